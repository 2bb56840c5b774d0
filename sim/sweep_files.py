"""What a sweep writes: a table, the same with all counters as JSON, and a picture; each file whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sim.files import write_text
from sim.pictures import PicturePoint, PlotError, pareto_picture

if TYPE_CHECKING:
    from sim.costs import Cost
    from sim.sweep import Point, SweepResult

_COST_COLUMNS = ("cycles", "utilisation", "dram_bytes", "energy")
_TOTAL_COLUMNS = ("cycles", "dram_bytes", "energy")


def write_results(result: SweepResult, out: Path) -> None:
    """Write ``sweep.csv``, ``sweep.json`` and, where matplotlib is installed, ``sweep.png`` into a folder.

    ``result.files`` and ``result.note`` say what was written and what was not.
    """
    files = {"sweep.csv": _csv(result), "sweep.json": json.dumps(_json(result), indent=2) + "\n"}
    for name, text in files.items():
        write_text(out / name, text)
    result.files = [out / name for name in files]
    try:
        pareto_picture(_panels(result), out / "sweep.png")
    except PlotError as error:
        result.note = str(error)
    else:
        result.files.append(out / "sweep.png")


def _figures(point: Point, cost: Cost) -> dict[str, object]:
    config = point.candidate.config
    assert config is not None
    return {
        "cycles": cost.cycles,
        "utilisation": round(cost.macs / (config.pes * cost.cycles), 4),
        "dram_bytes": cost.dram_bytes,
        "energy": sum(cost.energy.values()),
    }


def _csv(result: SweepResult) -> str:
    space = result.space
    costs = [f"{workload.name}.{column}" for workload in space.workloads for column in _COST_COLUMNS]
    heads = ["machine", *space.fields, "pes", "global_buffer_bytes", *costs, *_TOTAL_COLUMNS]
    text = io.StringIO()
    table = csv.DictWriter(text, [*heads, "front", "verified", "skipped"], restval="", lineterminator="\n")
    table.writeheader()
    for point in result.points:
        row: dict[str, object] = {"machine": point.candidate.name, **point.candidate.values}
        config = point.candidate.config
        if config is not None:
            row |= {"pes": config.pes, "global_buffer_bytes": config.global_buffer_bytes}
        for name, cost in point.costs.items():
            row |= {f"{name}.{column}": value for column, value in _figures(point, cost).items()}
        if point.complete:
            row |= {column: point.value(column) for column in _TOTAL_COLUMNS}
        why = "; ".join(f"{name}: {reason}" if name else reason for name, reason in point.reasons.items())
        table.writerow(row | {"front": int(point.front), "verified": point.verified, "skipped": why})
    return text.getvalue()


def _json(result: SweepResult) -> dict[str, object]:
    space = result.space
    return {
        "base": dataclasses.asdict(space.base),
        "fields": {name: list(values) for name, values in space.fields.items()},
        "constraints": [constraint.text for constraint in space.constraints],
        "objectives": list(space.objectives),
        "networks": [dataclasses.asdict(workload) for workload in space.workloads],
        "machines": [
            {
                "name": point.candidate.name,
                "values": dict(point.candidate.values),
                "costs": {name: dataclasses.asdict(cost) for name, cost in point.costs.items()},
                "front": point.front,
                "verified": point.verified,
                "skipped": point.reasons,
            }
            for point in result.points
        ],
    }


def _panels(result: SweepResult) -> dict[str, list[PicturePoint]]:
    """Return the points of each panel: a network's cycles, and those of all together if there are several."""
    names = [workload.name for workload in result.space.workloads]
    objectives = {name: f"cycles.{name}" for name in names}
    if len(names) > 1:
        objectives[" + ".join(names)] = "cycles"
    complete = [point for point in result.points if point.complete]
    return {
        title: [
            PicturePoint(
                pes=point.value("pes"),
                cycles=point.value(objective),
                buffer_kib=point.value("global_buffer_bytes") / 1024,
                verified=bool(point.verified) and not point.verified.startswith("DIFFERS"),
            )
            for point in complete
        ]
        for title, objective in objectives.items()
    }
