"""The report of a run: what was measured, what was predicted, and whether they are equal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from golden.energy import energy
from hw import spec
from hw.config import AcceleratorConfig
from sim.files import write_text
from sim.run import Outcome

#: Columns of the table: title and the counters it sums up.
ACCESS_LEVELS: dict[str, tuple[str, ...]] = {
    "RF": ("pe.filter.read", "pe.filter.write", "pe.ifmap.read", "pe.ifmap.write", "pe.psum.read", "pe.psum.write"),
    "array": ("array.psum.hop", "array.ifmap.multicast"),
    "GLB": (
        *("glb.ifmap.read", "glb.ifmap.write", "glb.filter.read", "glb.filter.write"),
        *("glb.psum.read", "glb.psum.write", "glb.psum.drain"),
    ),
}
DRAM_COUNTERS = tuple(name for name in spec.COUNTER_NAMES if name.startswith("dram."))
Counts = dict[str, int]
Report = dict[str, object]


def layer_counts(snapshots: Sequence[Counts], cycles: int) -> list[Counts]:
    """Return each layer's share of the counters; the last layer's cycles run to the interrupt."""
    shares, before = [], dict.fromkeys(spec.COUNTER_NAMES, 0)
    for index, snapshot in enumerate(snapshots):
        share = {name: snapshot[name] - before[name] for name in spec.COUNTER_NAMES}
        if index == len(snapshots) - 1:
            share["cycle.total"] = cycles - before["cycle.total"]
        shares.append(share)
        before = snapshot
    return shares


def _sum(parts: Sequence[Counts]) -> Counts:
    return {name: sum(part[name] for part in parts) for name in spec.COUNTER_NAMES}


def _entry(config: AcceleratorConfig, macs: int, counters: Counts, predicted: Counts) -> Report:
    cycles = counters["cycle.total"]
    return {
        "macs": macs,
        "cycles": cycles,
        "utilisation": macs / (config.pes * cycles),
        "dram_bytes": sum(counters[name] for name in DRAM_COUNTERS),
        "energy": energy(counters, config),
        "counters": counters,
        "predicted": predicted,
    }


def make_report(
    config: AcceleratorConfig, outcomes: Sequence[Outcome], *, simulator: str, labels: np.ndarray | None = None
) -> Report:
    """Return the report of one or more runs of the same program.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    outcomes : sequence of Outcome
        The runs; counters and cycles are added up.
    simulator : str
        What they ran on.
    labels : array (N,), optional
        Right answers for the last layer's outputs, all runs one after the other.

    Returns
    -------
    dict
        ``config, network, batch, images, simulator, bit_exact, counters_equal, cycles_equal, total, layers,
        simulated_cycles_per_second``, and ``accuracy`` and ``golden_accuracy`` where there are labels.
    """
    program = outcomes[0].task.program
    measured = [layer_counts(outcome.snapshots, outcome.cycles) for outcome in outcomes]
    predicted = [layer_counts(outcome.prediction.snapshots, outcome.prediction.cycles) for outcome in outcomes]
    images = program.batch * len(outcomes)
    layers = []
    for index, layer in enumerate(program.layers):
        own, golden = _sum([run[index] for run in measured]), _sum([run[index] for run in predicted])
        entry = _entry(config, layer.macs * images, own, golden)
        exact = all(outcome.exact[index] for outcome in outcomes)
        layers.append({"name": layer.name, "bit_exact": exact, **entry})
    macs = sum(layer.macs for layer in program.layers) * images
    total = _entry(config, macs, _sum([_sum(run) for run in measured]), _sum([_sum(run) for run in predicted]))
    report: Report = {
        "config": config.name,
        "network": program.network.name,
        "batch": program.batch,
        "images": images,
        "simulator": simulator,
        "bit_exact": all(outcome.bit_exact for outcome in outcomes),
        "counters_equal": all(outcome.counters_equal for outcome in outcomes),
        "cycles_equal": all(outcome.cycles_equal for outcome in outcomes),
        "total": total,
        "layers": layers,
        "simulated_cycles_per_second": sum(outcome.cycles for outcome in outcomes)
        / max(1e-9, sum(outcome.wall_seconds for outcome in outcomes)),
    }
    if labels is not None:
        report["accuracy"] = _accuracy([outcome.ofmaps[-1] for outcome in outcomes], labels)
        report["golden_accuracy"] = _accuracy([outcome.task.expected[-1] for outcome in outcomes], labels)
    return report


def _accuracy(ofmaps: Sequence[np.ndarray], labels: np.ndarray) -> float:
    outputs = np.concatenate(ofmaps)
    return float(np.mean(outputs.reshape(len(outputs), -1).argmax(axis=1) == labels))


def table(report: Report) -> str:
    """Return the report as text: a line per layer, MACs, cycles, utilisation and accesses per level."""
    heads = ["layer", "MACs", "cycles", "utilisation", *(f"{level} accesses" for level in ACCESS_LEVELS), "DRAM bytes"]
    rows = [heads]
    entries = [*report["layers"], {"name": "total", **report["total"]}]  # type: ignore[misc,dict-item]
    for entry in entries:
        counters = entry["counters"]
        levels = [sum(counters[name] for name in names) for names in ACCESS_LEVELS.values()]
        numbers = [f"{value:,}" for value in (*levels, entry["dram_bytes"])]
        rows.append(
            [entry["name"], f"{entry['macs']:,}", f"{entry['cycles']:,}", f"{entry['utilisation']:.1%}", *numbers]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    lines.insert(-1, lines[1])
    return "\n".join(lines)


def verdict(report: Report) -> str:
    """Return what was compared and how it came out, in a line or two."""
    names = {"bit_exact": "output bytes", "counters_equal": "counters", "cycles_equal": "cycles"}
    lines = [", ".join(f"{what} {'equal' if report[field] else 'DIFFER'}" for field, what in names.items())]
    if "accuracy" in report:
        lines.append(
            f"accuracy {report['accuracy']:.2%} over {report['images']} images, "
            f"golden model {report['golden_accuracy']:.2%}"
        )
    lines.append(f"{report['simulated_cycles_per_second']:,.0f} simulated cycles per second ({report['simulator']})")
    return "\n".join(lines)


def write_report(report: Report, folder: Path) -> Path:
    """Write ``report.json`` into a folder, whole or not at all, and return its path."""
    path = folder / "report.json"
    write_text(path, json.dumps(report, indent=2) + "\n")
    return path
