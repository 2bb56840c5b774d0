"""What the page's script draws, as one object of plain values."""

from __future__ import annotations

from typing import Any

from golden.energy import LEVELS
from sim.page.details import REASONS, RESOURCES, cost_row, detailed_points, machine_details
from sim.sweep.energy import cached_table
from sim.sweep.objectives import AREA_OBJECTIVES, known_objectives
from sim.sweep.points import DIFFERS, Point, SweepData

#: Label and unit of each figure; the energy's unit is its table's.
FIGURES: dict[str, tuple[str, str]] = {
    "cycles": ("cycles", "cycles"),
    "dram_bytes": ("DRAM traffic", "B"),
    "energy": ("energy", ""),
    "edp": ("energy-delay product", ""),
    "pes": ("PEs", "PEs"),
    "global_buffer_bytes": ("global buffer", "B"),
    "luts": ("LUTs", "LUT4"),
    "ffs": ("flip-flops", "FF"),
    "dsps": ("multipliers", "DSP"),
    "brams": ("block RAMs", "blocks of 16 Kibit"),
    "lut_rams": ("LUT RAMs", "blocks of 16 x 4 bit"),
    "gates": ("logic gates", "NAND2"),
    "sram_bits": ("SRAM", "bit"),
}


def page_data(data: SweepData) -> dict[str, Any]:
    """Return everything that the script needs; machines without a cost of every workload are left out."""
    points = [point for point in data.points if point.complete]
    objectives = shown_objectives(data)
    table = cached_table(data.space.energy_table)
    chosen = {point.candidate.id: point for point in detailed_points(data)}
    indices = {point.candidate.id: index for index, point in enumerate(points)}
    return {
        "objectives": [_objective(name, table.unit) for name in objectives],
        "front": [objectives.index(name) for name in data.space.objectives],
        "fields": list(_swept(data)),
        "workloads": [{"name": workload.name} for workload in data.space.workloads],
        "levels": list(LEVELS),
        "energy": {"name": table.name, "unit": table.unit},
        "reasons": [{"key": key, "label": label} for key, label in REASONS.items()],
        "resources": [{"key": key, "label": FIGURES[key][0], "unit": FIGURES[key][1]} for key in RESOURCES],
        "machines": [_machine(point, data, objectives) for point in points],
        "largest": _largest(data),
        "best": indices[best_point(data).candidate.id],
        "details": {str(indices[number]): machine_details(point, data) for number, point in chosen.items()},
    }


def _largest(data: SweepData) -> int:
    """Return which workload has the most multiply-accumulates."""
    costs = next(point.costs for point in data.points if point.complete)
    macs = [costs[workload.name].macs for workload in data.space.workloads]
    return macs.index(max(macs))


def best_point(data: SweepData) -> Point:
    """Return the machine of the front that is best in the first objective."""
    return min(data.front, key=lambda point: point.value(data.space.objectives[0]))


def shown_objectives(data: SweepData) -> list[str]:
    """Return the objectives that every machine has and that differ from one another, those of the front first."""
    labels = [workload.name for workload in data.space.workloads]
    known = known_objectives(labels if len(labels) > 1 else ())
    has_area = all(point.area is not None for point in data.points if point.complete)
    others = [name for name in known if has_area or name not in AREA_OBJECTIVES]
    return list(dict.fromkeys([*data.space.objectives, *others]))


def objective_text(name: str, energy_unit: str) -> tuple[str, str]:
    """Return label and unit of an objective."""
    base, _, workload = name.partition(".")
    label, unit = FIGURES[base]
    units = {"energy": energy_unit, "edp": f"{energy_unit}·cycle"}
    return label + (f", {workload}" if workload else ""), units.get(base, unit)


def _objective(name: str, energy_unit: str) -> dict[str, str]:
    label, unit = objective_text(name, energy_unit)
    return {"key": name, "label": label, "unit": unit}


def _swept(data: SweepData) -> list[str]:
    """Return the fields that have more than one value."""
    return [name for name, values in data.space.fields.items() if len(values) > 1]


def _machine(point: Point, data: SweepData, objectives: list[str]) -> dict[str, Any]:
    candidate, table = point.candidate, data.space.energy_table
    config = candidate.config
    assert config is not None
    costs = (point.costs[workload.name] for workload in data.space.workloads)
    return {
        "id": candidate.id,
        "name": candidate.name,
        "values": [candidate.values[name] for name in _swept(data)],
        "pes": config.pes,
        "bus": config.bus_bytes,
        "figures": [point.value(name) for name in objectives],
        "front": point.front,
        "verified": point.verified,
        "differs": point.verified.startswith(DIFFERS),
        "costs": [cost_row(cost.macs, cost.cycles, cost.counters, config, table) for cost in costs],
    }
