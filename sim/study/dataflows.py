"""The dataflow study: energy and DRAM accesses of six dataflows on AlexNet, beside what was published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from golden.dataflows import DATAFLOWS
from golden.dataflows.framework import DATA, Dataflow, Layer
from golden.dataflows.layers import CONV, FC, TABLE_II
from golden.dataflows.output_stationary_c import ONE_IMAGE
from golden.dataflows.published import PUBLISHED
from golden.dataflows.totals import Total, total
from golden.dataflows.weight_stationary import LINES_IN_ARRAY
from golden.energy import LEVELS, energy, words
from hw.config import preset

RS = DATAFLOWS[0]
OS_A = next(dataflow for dataflow in DATAFLOWS if dataflow.key == "OS_A")

#: Array sizes and batches of Figs. 11 to 13, and those of the FC layers.
SCALES = tuple((pes, batch) for pes in (256, 512, 1024) for batch in (1, 16, 64))
FC_PES, FC_BATCHES = 1024, (16, 64)

EYAS_CONFIG, EYAS_BATCH = "eyeriss", 16

#: What an energy is made of: DRAM first, as in the paper's figures.
SHOWN_LEVELS = tuple(reversed(LEVELS))


@dataclass(frozen=True)
class Deviation:
    """A dataflow's energy per MAC, relative to the unit, and DRAM accesses per MAC, beside the published ones."""

    dataflow: str
    energy: float
    dram: float

    @property
    def energy_percent(self) -> float:
        """How far the energy is from the published one, in percent of it."""
        return 100 * (self.energy / PUBLISHED.energy[self.dataflow] - 1)

    @property
    def dram_percent(self) -> float:
        """How far the DRAM accesses are from the published ones, in percent of them."""
        return 100 * (self.dram / PUBLISHED.dram[self.dataflow] - 1)


@dataclass(frozen=True)
class Variant:
    """The comparison with one assumption changed; ``deviations`` are of the dataflows that it concerns."""

    title: str
    deviations: tuple[Deviation, ...]


@dataclass(frozen=True)
class EyasRun:
    """Eyas's own machine, by the cost model of its hardware: energy per MAC by level, DRAM words per MAC."""

    config: str
    pes: int
    buffer_kib: float
    batch: int
    by_level: dict[str, float]
    dram: float
    model: Total


@dataclass(frozen=True)
class Study:
    """All results: the unit (row stationary at batch 1), the comparison, and what is beside it."""

    unit: Total
    compared: tuple[Total, ...]
    variants: tuple[Variant, ...]
    scaled: dict[tuple[int, int], tuple[Total, ...]]
    fully_connected: dict[int, tuple[Total, ...]]
    eyas: EyasRun

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """The dataflows beside the published figures."""
        return _deviations(self.compared, self.unit)

    @property
    def order(self) -> list[str]:
        """The dataflows, from the least energy to the most."""
        return order(self.deviations)

    @property
    def reproduced(self) -> bool:
        """Whether the order is the published one."""
        return self.order == PUBLISHED.order


def order(deviations: Sequence[Deviation]) -> list[str]:
    """Return the dataflows, from the least energy to the most."""
    return [one.dataflow for one in sorted(deviations, key=lambda one: one.energy)]


def run_study(progress: Callable[[str], None] = lambda _: None) -> Study:
    """Run all of it.

    Parameters
    ----------
    progress : callable
        Told what comes next.
    """
    progress("CONV layers, 256 PEs")
    unit, compared = compare()
    progress("assumptions changed")
    variants = find_variants(unit, compared)
    scaled = {}
    for pes, batch in SCALES:
        progress(f"CONV layers, {pes} PEs, batch {batch}")
        scaled[pes, batch] = tuple(total(dataflow, CONV, pes, batch) for dataflow in DATAFLOWS)
    fully_connected = {}
    for batch in FC_BATCHES:
        progress(f"FC layers, {FC_PES} PEs, batch {batch}")
        fully_connected[batch] = tuple(
            total(dataflow, FC, FC_PES, batch, machine_layers=CONV) for dataflow in DATAFLOWS
        )
    progress(f"Eyas's machine {EYAS_CONFIG}, batch {EYAS_BATCH}")
    return Study(unit, compared, variants, scaled, fully_connected, run_eyas())


def compare(layers: Sequence[Layer] = CONV, strict: bool = False) -> tuple[Total, tuple[Total, ...]]:
    """Return the unit and the six dataflows at the published array size and batch.

    Parameters
    ----------
    layers, strict
        As for :func:`golden.dataflows.totals.total`.
    """
    unit = total(RS, layers, PUBLISHED.pes, 1, strict=strict)
    return unit, tuple(total(each, layers, PUBLISHED.pes, PUBLISHED.batch, strict=strict) for each in DATAFLOWS)


def find_variants(unit: Total, compared: Sequence[Total]) -> tuple[Variant, ...]:
    """Return the comparison with one assumption changed at a time.

    Parameters
    ----------
    unit, compared
        The comparison without changes, as :func:`compare` returns it.
    """

    def one(title: str, dataflow: Dataflow) -> Variant:
        return Variant(title, _deviations([total(dataflow, CONV, PUBLISHED.pes, PUBLISHED.batch)], unit))

    without_groups, strict = compare(TABLE_II), compare(strict=True)
    return (
        Variant("as computed", _deviations(compared, unit)),
        Variant("Table II as it stands: no groups", _deviations(without_groups[1], without_groups[0])),
        Variant("a level without reuse is charged", _deviations(strict[1], strict[0])),
        one("WS: psums go from PE row to PE row at no cost", LINES_IN_ARRAY),
        one("OS_A: RF of 1 + U x R words (45)", replace(OS_A, rf_words=lambda layers: 45)),
        one("OS_C: one image at a time", ONE_IMAGE),
    )


def _deviations(totals: Sequence[Total], unit: Total) -> tuple[Deviation, ...]:
    return tuple(Deviation(one.dataflow, one.energy / unit.energy, one.dram) for one in totals)


def run_eyas() -> EyasRun:
    """Return what Eyas's machine spends on the same layers, by its exact cost model."""
    from compiler.networks import network
    from compiler.program import compile_layers
    from golden.machine import predict

    config = preset(EYAS_CONFIG)
    names = [layer.name.lower() for layer in CONV]
    program = compile_layers(network("alexnet"), names, config, batch=EYAS_BATCH)
    counters = predict(config, program.commands).snapshots[-1]
    macs, pes = counters["mac.done"], config.rows * config.cols
    return EyasRun(
        config=config.name,
        pes=pes,
        buffer_kib=config.global_buffer_bytes / 1024,
        batch=EYAS_BATCH,
        by_level={level: spent / macs for level, spent in energy(counters, config).items()},
        dram=words(counters, config)["dram"] / macs,
        model=total(RS, CONV, pes, EYAS_BATCH),
    )


def moved(one: Total) -> dict[str, float]:
    """Return the energy per MAC of each type of data, and of the MAC itself."""
    return {data: one.by_data[data] for data in DATA} | {"mac": one.table.costs["mac"]}
