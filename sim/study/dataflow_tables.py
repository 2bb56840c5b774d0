"""Tables of the dataflow study, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from golden.dataflows import DATAFLOWS
from golden.dataflows.framework import DATA
from golden.dataflows.published import PUBLISHED
from golden.dataflows.totals import Total
from golden.energy import LEVELS, TABLES, load_table
from sim.study.dataflows import SHOWN_LEVELS, EyasRun, Study, Variant, moved, order

TITLES = {dataflow.key: dataflow.title for dataflow in DATAFLOWS}
LEVEL_TITLES = {"mac": "MAC", "rf": "RF", "array": "array", "glb": "buffer", "dram": "DRAM"}


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is text and whose others are figures."""
    ruler = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ruler, *rows))


def percent(value: float) -> str:
    """Return a deviation in percent with its sign, none if it rounds to zero."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def deviation_table(study: Study) -> str:
    """Return energies and DRAM accesses beside the published ones, from the least energy to the most."""
    found = {one.dataflow: one for one in study.deviations}
    active = {one.dataflow: one.active_pes for one in study.compared}
    rows = [
        [
            f"{key}, {TITLES[key]}",
            f"{found[key].energy:.3f}",
            f"{PUBLISHED.energy[key]:.3f}",
            percent(found[key].energy_percent),
            f"{found[key].dram:.5f}",
            f"{PUBLISHED.dram[key]:.5f}",
            percent(found[key].dram_percent),
            f"{active[key]:.0f}",
        ]
        for key in study.order
    ]
    heads = ["", "energy / MAC", "published", "deviation, %", "DRAM accesses / MAC", "published", "deviation, %"]
    return markdown([*heads, "PEs at work"], rows)


def level_table(study: Study) -> str:
    """Return the energies by level and by type of data, relative to the unit."""
    unit = study.unit.energy
    rows = []
    for one in [study.unit, *study.compared]:
        shares = [one.by_level[level] for level in SHOWN_LEVELS] + [moved(one)[data] for data in DATA]
        figures = [f"{share / unit:.3f}" for share in [*shares, one.energy]]
        rows.append([f"{one.dataflow}, batch {one.batch}", *figures])
    heads = [LEVEL_TITLES[level] for level in SHOWN_LEVELS]
    return markdown(["", *heads, "ifmaps", "filters", "psums", "in all"], rows)


def storage_table(study: Study) -> str:
    """Return how the area is divided between RFs and buffer."""
    rows = []
    for one in study.compared:
        rf_bytes, buffer_bytes = 2 * one.machine.rf_words, 2 * one.machine.buffer_words
        storage = one.machine.pes * rf_bytes + buffer_bytes
        rows.append([one.dataflow, str(rf_bytes), f"{buffer_bytes / 1024:.1f}", f"{storage / 1024:.1f}"])
    return markdown(["", "RF, bytes per PE", "global buffer, KiB", "in all, KiB"], rows)


def mapping_table(study: Study) -> str:
    """Return the mapping of each layer by each dataflow, with its factors of reuse."""
    rows = []
    for one in study.compared:
        for layer in one.layers:
            parameters = ", ".join(f"{name} {value}" for name, value in layer.parameters.items())
            reuse = [" x ".join(_factor(factor) for factor in layer.reuse[data]) for data in DATA]
            rows.append([one.dataflow, layer.layer.name, parameters, str(layer.pes), *reuse])
    return markdown(["", "layer", "mapping", "PEs", "ifmap reuse", "filter reuse", "psum accumulations"], rows)


def _factor(factor: Fraction) -> str:
    return f"{factor.numerator:,}" if factor.denominator == 1 else f"{float(factor):,.2f}"


def variant_table(variants: Sequence[Variant]) -> str:
    """Return what changes with each assumption."""
    usual = {one.dataflow: one for one in variants[0].deviations}
    rows = []
    for variant in variants:
        changed = usual | {one.dataflow: one for one in variant.deviations}
        kept = order(list(changed.values())) == PUBLISHED.order
        figures = [f"{percent(one.energy_percent)} / {percent(one.dram_percent)}" for one in changed.values()]
        concerned = {one.dataflow for one in variant.deviations}
        shown = [text if key in concerned else "" for key, text in zip(changed, figures, strict=True)]
        rows.append([variant.title, *shown, "yes" if kept else "no"])
    return markdown(["deviation of energy / of DRAM accesses, %", *usual, "order as published"], rows)


def scaled_table(study: Study) -> str:
    """Return energy, DRAM accesses and energy-delay product for other array sizes and batches."""
    unit, rows = study.unit, []
    for (pes, batch), totals in study.scaled.items():
        for one in totals:
            rows.append([str(pes), str(batch), one.dataflow, *_figures(one, unit)])
    return markdown(["PEs", "batch", "", "energy", "DRAM accesses / MAC", "PEs at work", "energy x delay"], rows)


def fc_table(study: Study) -> str:
    """Return the same for FC layers, relative to row stationary at the smaller batch."""
    unit = next(iter(study.fully_connected.values()))[0]
    rows = [
        [str(batch), one.dataflow, *_figures(one, unit)]
        for batch, totals in study.fully_connected.items()
        for one in totals
    ]
    return markdown(["batch", "", "energy", "DRAM accesses / MAC", "PEs at work", "energy x delay"], rows)


def _figures(one: Total, unit: Total) -> list[str]:
    if one.missing:
        return [f"{', '.join(one.missing)} does not fit", "-", "-", "-"]
    energy = one.energy / unit.energy
    delay = unit.active_pes / one.active_pes
    return [f"{energy:.3f}", f"{one.dram:.5f}", f"{one.active_pes:.0f}", f"{energy * delay:.3f}"]


def eyas_table(eyas: EyasRun) -> str:
    """Return Eyas's energy per MAC beside that of row stationary in the comparison's model."""
    model = {level: eyas.model.by_level[level] for level in LEVELS}
    rows = [
        _by_level(f"Eyas, `{eyas.config}`, 8-bit words", eyas.by_level, eyas.dram),
        _by_level("RS, the comparison's model, 16-bit words", model, eyas.model.dram),
    ]
    return markdown(["", *(LEVEL_TITLES[level] for level in SHOWN_LEVELS), "in all", "DRAM words / MAC"], rows)


def _by_level(title: str, levels: dict[str, float], dram: float) -> list[str]:
    return [title, *(f"{levels[level]:.3f}" for level in SHOWN_LEVELS), f"{sum(levels.values()):.3f}", f"{dram:.5f}"]


def cost_table() -> str:
    """Return the energy tables that Eyas brings."""
    tables = [load_table(path.stem) for path in sorted(TABLES.glob("*.toml"))]
    rows = [
        [f"`{table.name}`", table.unit, *(f"{table.costs[level]:g}" for level in LEVELS), table.source]
        for table in tables
    ]
    return markdown(["", "unit", *(LEVEL_TITLES[level] for level in LEVELS), "source"], rows)
