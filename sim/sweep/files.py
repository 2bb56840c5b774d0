"""What a sweep writes beside its store: a table, a picture, Parquet; each file whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
from pathlib import Path

from sim.files import write_text
from sim.pictures import PicturePoint, PlotError, pareto_picture
from sim.sweep.errors import SweepError
from sim.sweep.objectives import AREA_OBJECTIVES, COST_OBJECTIVES, MACHINE_OBJECTIVES
from sim.sweep.points import DIFFERS, Point, SweepData

_COST_COLUMNS = ("cycles", "utilisation", "dram_bytes", "energy")


def csv_table(data: SweepData) -> str:
    """Return all machines as CSV, by their numbers and so by their fields' values, without times."""
    space = data.space
    costs = [f"{workload.name}.{column}" for workload in space.workloads for column in _COST_COLUMNS]
    areas = AREA_OBJECTIVES if any(point.area is not None for point in data.points) else ()
    heads = ["machine", *space.fields, *MACHINE_OBJECTIVES, *areas, *costs, *COST_OBJECTIVES]
    text = io.StringIO()
    table = csv.DictWriter(text, [*heads, "front", "verified", "skipped"], restval="", lineterminator="\n")
    table.writeheader()
    for point in data.points:
        table.writerow(_row(point))
    return text.getvalue()


def _row(point: Point) -> dict[str, object]:
    row: dict[str, object] = {"machine": point.candidate.name, **point.candidate.values}
    config = point.candidate.config
    if config is not None:
        row |= {name: point.value(name) for name in MACHINE_OBJECTIVES}
        for label, cost in point.costs.items():
            utilisation = round(cost.macs / (config.pes * cost.cycles), 4)
            figures = (cost.cycles, utilisation, cost.dram_bytes, point.energies[label])
            row |= {f"{label}.{column}": value for column, value in zip(_COST_COLUMNS, figures, strict=True)}
    if point.area is not None:
        row |= {name: point.value(name) for name in AREA_OBJECTIVES}
    if point.complete:
        row |= {name: point.value(name) for name in COST_OBJECTIVES}
    why = "; ".join(f"{label}: {reason}" if label else reason for label, reason in point.reasons.items())
    return row | {"front": int(point.front), "verified": point.verified, "skipped": why}


def write_csv(data: SweepData, out: Path) -> Path:
    """Write ``sweep.csv`` into a folder."""
    path = out / "sweep.csv"
    write_text(path, csv_table(data))
    return path


def write_picture(data: SweepData, out: Path) -> Path:
    """Write ``sweep.png`` into a folder.

    Raises
    ------
    PlotError
        If matplotlib is not installed.
    """
    path = out / "sweep.png"
    pareto_picture(_panels(data), path)
    return path


def check_parquet() -> None:
    """Check that Parquet can be written.

    Raises
    ------
    SweepError
        If pandas or pyarrow is not installed.
    """
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError:
        raise SweepError("--export parquet needs pandas and pyarrow: pip install 'eyas[sweep]'") from None


def write_parquet(store: Path, out: Path) -> Path:
    """Write the view ``points`` of a store as ``sweep.parquet`` into a folder."""
    import pandas

    connection = sqlite3.connect(store)
    try:
        table = pandas.read_sql("SELECT * FROM points ORDER BY id", connection)
    finally:
        connection.close()
    path, temporary = out / "sweep.parquet", out / ".sweep.parquet.writing"
    table.to_parquet(temporary)
    os.replace(temporary, path)
    return path


def _panels(data: SweepData) -> dict[str, list[PicturePoint]]:
    """Return the points of each panel: a network's cycles, and those of all together if there are several."""
    names = [workload.name for workload in data.space.workloads]
    objectives = {name: f"cycles.{name}" for name in names}
    if len(names) > 1:
        objectives[" + ".join(names)] = "cycles"
    complete = [point for point in data.points if point.complete]
    return {
        title: [
            PicturePoint(
                pes=int(point.value("pes")),
                cycles=int(point.value(objective)),
                buffer_kib=point.value("global_buffer_bytes") / 1024,
                verified=bool(point.verified) and not point.verified.startswith(DIFFERS),
            )
            for point in complete
        ]
        for title, objective in objectives.items()
    }


__all__ = ["PlotError", "check_parquet", "csv_table", "write_csv", "write_parquet", "write_picture"]
