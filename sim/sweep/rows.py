"""Rows of a store: from machines and outcomes, and back to points."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from sim.sweep.costs import Cost, Outcome
from sim.sweep.energy import energy_by_level
from sim.sweep.machine_area import AREA_COLUMNS, area_from_json, area_to_json
from sim.sweep.objectives import MACHINE_OBJECTIVES
from sim.sweep.points import DIFFERS, Point, SweepData
from sim.sweep.space import Candidate, Space


def machine_row(space: Space, candidate: Candidate, outcome: Outcome) -> dict[str, Any]:
    """Return the row of a machine."""
    config, area = candidate.config, outcome.area
    row: dict[str, Any] = {**_base_values(space), **candidate.values, "id": candidate.id, "name": candidate.name}
    if config is not None:
        row |= {name: getattr(config, name) for name in MACHINE_OBJECTIVES}
    if area is not None:
        row |= {name: getattr(area.total, name) for name in AREA_COLUMNS}
    reason = candidate.reason or outcome.reasons.get("")
    return row | {"area": area_to_json(area), "reason": reason, "unexpected": int("" in outcome.unexpected)}


def _base_values(space: Space) -> dict[str, Any]:
    return {name: value for name, value in vars(space.base).items() if name != "name"}


def cost_rows(space: Space, candidate: Candidate, outcome: Outcome) -> list[dict[str, Any]]:
    """Return the rows of a machine's workloads."""
    labels = (workload.name for workload in space.workloads)
    known = (label for label in labels if label in outcome.costs or label in outcome.reasons)
    return [_cost_row(space, candidate, label, outcome) for label in known]


def _cost_row(space: Space, candidate: Candidate, label: str, outcome: Outcome) -> dict[str, Any]:
    unexpected = int(label in outcome.unexpected)
    row = {"machine_id": candidate.id, "workload": label, "reason": outcome.reasons.get(label)}
    cost, config = outcome.costs.get(label), candidate.config
    if cost is None or config is None:
        return row | {"unexpected": unexpected}
    return row | {
        "macs": cost.macs,
        "cycles": cost.cycles,
        "dram_bytes": cost.dram_bytes,
        "energy": sum(energy_by_level(cost.counters, config, space.energy_table).values()),
        "utilisation": cost.macs / (config.pes * cost.cycles),
        "counters": json.dumps(cost.counters),
    }


def stored_data(connection: sqlite3.Connection, space: Space) -> SweepData:
    """Return all that a store holds, by the machines' numbers."""
    return SweepData(space, list(stored_points(connection, space).values()))


def stored_points(connection: sqlite3.Connection, space: Space, ids: Sequence[int] | None = None) -> dict[int, Point]:
    """Return the machines that a store holds, or some of them, by number."""
    chosen = "" if ids is None else f"IN ({', '.join(map(str, ids))})"
    where, which = (f" WHERE id {chosen}", f" WHERE machine_id {chosen}") if chosen else ("", "")
    points: dict[int, Point] = {}
    for row in connection.execute(f"SELECT id, area, reason, unexpected FROM machines{where} ORDER BY id"):
        candidate = space.candidate(row["id"])
        assert candidate is not None
        point = Point(candidate, area=area_from_json(row["area"]), unexpected=bool(row["unexpected"]))
        if row["reason"] is not None:
            point.reasons[""] = row["reason"]
        points[row["id"]] = point
    costs = {(row["machine_id"], row["workload"]): row for row in connection.execute(f"SELECT * FROM costs{which}")}
    for number, point in points.items():
        for workload in space.workloads:
            _fill(point, workload.name, costs.get((number, workload.name)))
    for number, text in _verified(connection, space).items():
        if number in points:
            points[number].verified = text
    return points


def _fill(point: Point, label: str, row: sqlite3.Row | None) -> None:
    if row is None:
        return
    point.unexpected |= bool(row["unexpected"])
    if row["reason"] is not None:
        point.reasons[label] = row["reason"]
        return
    point.costs[label] = Cost(row["macs"], row["cycles"], json.loads(row["counters"]))
    point.energies[label] = row["energy"]


def _verified(connection: sqlite3.Connection, space: Space) -> dict[int, str]:
    """Return by machine what ran on RTL, how it compared, and what did not run."""
    found: dict[int, dict[str, sqlite3.Row]] = {}
    for row in connection.execute("SELECT * FROM verified"):
        found.setdefault(row["machine_id"], {})[row["workload"]] = row
    texts = {}
    for number, rows in found.items():
        labels = [workload.name for workload in space.workloads]
        different = [f"{DIFFERS} in {label}: {rows[label]['text']}" for label in rows if not rows[label]["equal"]]
        ran = ", ".join(label for label in labels if label in rows)
        left = ", ".join(label for label in labels if label not in rows)
        texts[number] = "; ".join(different) or f"{ran} equal" + (f" (not run: {left})" if left else "")
    return texts
