"""Layer by layer figures of some machines of the front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hw.config import AcceleratorConfig
from sim.page.array import first_pass, step_layers
from sim.sweep.costs import evaluate_layers
from sim.sweep.energy import energy_by_level
from sim.sweep.points import Point, SweepData
from sim.sweep.space import Workload

#: Machines whose layers a page shows, so that it stays small.
DETAILED = 8
#: Reasons of the array's cycles; all but the first do no work.
REASONS: dict[str, str] = {
    "busy": "busy",
    "launch": "launch",
    "hold": "hold",
    "flush": "flush",
    "wait_command": "waits for commands",
    "wait_drain": "waits for drain",
    "wait_filter": "waits for filters",
    "wait_load": "waits for ifmaps",
}
RESOURCES = ("gates", "luts", "ffs", "dsps", "brams", "lut_rams", "sram_bits")
CostRow = list[Any]


def detailed_points(data: SweepData, count: int = DETAILED) -> list[Point]:
    """Return some machines of the front: the best in each objective, those that ran on RTL, others in even steps."""
    front = data.front
    best = [min(front, key=lambda point: point.value(name)) for name in data.space.objectives] if front else []
    steps = [front[index * len(front) // count] for index in range(min(count, len(front)))]
    chosen: dict[int, Point] = {}
    for point in (*best, *(point for point in front if point.verified), *steps, *front):
        if len(chosen) < count:
            chosen.setdefault(point.candidate.id, point)
    return [point for point in front if point.candidate.id in chosen]


def cost_row(macs: int, cycles: int, counters: Mapping[str, int], config: AcceleratorConfig, table: str) -> CostRow:
    """Return MACs, cycles, DRAM bytes, energy by level, and the array's cycles by reason."""
    dram_bytes = sum(count for name, count in counters.items() if name.startswith("dram."))
    energy = list(energy_by_level(counters, config, table).values())
    return [macs, cycles, dram_bytes, energy, [counters[f"cycle.execute.{reason}"] for reason in REASONS]]


def machine_details(point: Point, data: SweepData) -> dict[str, Any]:
    """Return a machine's area by component, if it is known, and the layers of each workload."""
    config = point.candidate.config
    assert config is not None
    area = None
    if point.area is not None:
        parts = point.area.components.items()
        area = {name: [int(getattr(part, resource)) for resource in RESOURCES] for name, part in parts}
    table = data.space.energy_table
    return {"area": area, "layers": [_layers(config, workload, table) for workload in data.space.workloads]}


def _layers(config: AcceleratorConfig, workload: Workload, table: str) -> list[dict[str, Any]]:
    costs = evaluate_layers(config, workload)
    return [
        {
            "name": cost.name,
            "cost": cost_row(cost.macs, cost.cycles, cost.counters, config, table),
            "array": first_pass(layer, cost.mapping, config, batch=workload.batch),
        }
        for cost, layer in zip(costs, step_layers(workload), strict=True)
    ]
