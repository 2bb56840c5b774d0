"""Sweeps: every machine of a space costed by the cost model, the Pareto front, and proof of some points on RTL."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compiler.networks import layer_input, network_input
from hw.config import AcceleratorConfig
from sim.costs import Cost, cached_network, compile_workload, evaluate_all, tell
from sim.run import MachineError, Task, layers_task, network_task, run_tasks
from sim.space import MACHINE_OBJECTIVES, Candidate, Constraint, Space, SweepError, Workload, load_space
from sim.sweep_files import write_results

__all__ = [
    "Constraint",
    "Cost",
    "Point",
    "Space",
    "SweepError",
    "SweepResult",
    "Workload",
    "load_space",
    "pareto_front",
    "sweep",
]

#: Verification leaves out workloads that take longer, unless the machine has no shorter one.
VERIFY_CYCLES = 200_000


@dataclass
class Point:
    """One machine of the space with its costs by workload.

    Members
    -------
    reasons : dict
        Why a workload, or the machine (under ``""``), was skipped.
    front : bool
        Whether no other machine is at least as good in every objective and better in one.
    verified : str
        What ran on RTL and how it compared; empty if nothing did.
    """

    candidate: Candidate
    costs: dict[str, Cost] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    front: bool = False
    verified: str = ""

    @property
    def complete(self) -> bool:
        """Whether every workload has a cost."""
        return not self.reasons

    def value(self, objective: str) -> int:
        """Return what the front minimises: a figure of the machine, of a workload, or of all workloads together."""
        if objective in MACHINE_OBJECTIVES:
            return int(getattr(self.candidate.config, objective))
        name, _, workload = objective.partition(".")
        costs = [self.costs[workload]] if workload else self.costs.values()
        return sum(sum(cost.energy.values()) if name == "energy" else getattr(cost, name) for cost in costs)


@dataclass
class SweepResult:
    """All points in the order of the space, and where they were written."""

    space: Space
    points: list[Point]
    files: list[Path] = field(default_factory=list)
    note: str = ""

    @property
    def front(self) -> list[Point]:
        """Points of the front, by the last objective, then the others."""
        chosen = [point for point in self.points if point.front]
        return sorted(chosen, key=lambda point: [point.value(name) for name in reversed(self.space.objectives)])

    @property
    def verified(self) -> bool:
        """Whether everything that ran on RTL was as predicted."""
        return not any(point.verified.startswith("DIFFERS") for point in self.points)

    def summary(self) -> str:
        """Return the front as a table, what was skipped and why, and the files."""
        objectives = self.space.objectives
        lines = [f"{len(self.points)} machines, {len(self.front)} on the front of {', '.join(objectives)}:", ""]
        width = max((len(point.candidate.name) for point in self.front), default=0)
        heads = [f"{objective:>14}" for objective in objectives]
        lines.append("  ".join(["machine".ljust(width), *heads, "on RTL"]))
        for point in self.front:
            figures = [f"{point.value(objective):>14,}" for objective in objectives]
            lines.append("  ".join([point.candidate.name.ljust(width), *figures, point.verified]).rstrip())
        skipped = [(point.candidate.name, *item) for point in self.points for item in point.reasons.items()]
        lines += ["", *(f"skipped {name}{f', {label}' if label else ''}: {why}" for name, label, why in skipped)]
        lines += [*(f"wrote {path}" for path in self.files), *([self.note] if self.note else [])]
        return "\n".join(lines)


def sweep(space: Space, out: Path, *, progress: bool = True, verify: int = 0, jobs: int | None = None) -> SweepResult:
    """Cost every machine of a space, write the results into a folder, and verify some machines of the front.

    Parameters
    ----------
    space : Space
        What to sweep.
    out : Path
        Folder for ``sweep.csv``, ``sweep.json`` and ``sweep.png``; the same for the same space, whatever ``jobs`` is.
    progress : bool
        Whether to say on standard error how far the sweep is.
    verify : int
        Machines of the front to run on RTL, from the one that is least in the last objective upwards.
    jobs : int, optional
        Processes; by default one per core.

    Raises
    ------
    SweepError
        If ``verify`` is negative or no machine meets the constraints.
    SimulationError
        If the simulation cannot be built or run.
    """
    if verify < 0:
        raise SweepError(f"verify must be at least 0, not {verify}")
    result = SweepResult(space, _points(space, jobs or os.cpu_count() or 1, progress))
    complete = [point for point in result.points if point.complete]
    for point, on_front in zip(complete, pareto_front([_values(space, p) for p in complete]), strict=True):
        point.front = on_front
    write_results(result, out)
    for point in _spread(result.front, verify):
        tell(progress, f"verifying {point.candidate.name} on RTL")
        point.verified = _verify(space, point, out / "simulation" / point.candidate.name)
    if verify:
        write_results(result, out)
    return result


def pareto_front(values: Sequence[Sequence[int]]) -> list[bool]:
    """Return for each point whether no other is at least as small in all values and smaller in one."""

    def beats(other: Sequence[int], own: Sequence[int]) -> bool:
        return tuple(other) != tuple(own) and all(a <= b for a, b in zip(other, own, strict=True))

    return [not any(beats(other, own) for other in values) for own in values]


def _values(space: Space, point: Point) -> list[int]:
    return [point.value(objective) for objective in space.objectives]


def _points(space: Space, jobs: int, progress: bool) -> list[Point]:
    points = [Point(candidate) for candidate in space.candidates()]
    pairs = []
    for point in points:
        if point.candidate.config is None:
            point.reasons[""] = point.candidate.reason
        else:
            pairs += [(point, point.candidate.config, workload) for workload in space.workloads]
    outcomes = evaluate_all([(config, workload) for _, config, workload in pairs], min(jobs, len(pairs)), progress)
    for (point, _, workload), outcome in zip(pairs, outcomes, strict=True):
        if isinstance(outcome, Cost):
            point.costs[workload.name] = outcome
        else:
            point.reasons[workload.name] = outcome
    return points


def _spread(front: Sequence[Point], count: int) -> Iterator[Point]:
    """Yield ``count`` points of the front, the first and then in even steps."""
    count = min(count, len(front))
    yield from (front[index * len(front) // count] for index in range(count))


def _verify(space: Space, point: Point, work: Path) -> str:
    """Run the machine's shorter workloads on its Verilog; say what ran, and what differs."""
    config = point.candidate.config
    assert config is not None
    cycles = {workload: point.costs[workload.name].cycles for workload in space.workloads}
    short = [workload for workload in space.workloads if cycles[workload] <= VERIFY_CYCLES]
    chosen = short or [min(space.workloads, key=lambda workload: cycles[workload])]
    try:
        outcomes = run_tasks(config, [_task(config, workload) for workload in chosen], work=work)
    except MachineError as error:
        return f"DIFFERS: {error}"
    for workload, outcome in zip(chosen, outcomes, strict=True):
        if not outcome.equal or outcome.cycles != cycles[workload]:
            lines = [*outcome.differences().splitlines(), f"{cycles[workload]} cycles in the table"]
            return f"DIFFERS in {workload.name}: {outcome.cycles} cycles; {'; '.join(lines)}"
    return f"{', '.join(workload.name for workload in chosen)} equal"


def _task(config: AcceleratorConfig, workload: Workload) -> Task:
    program, net = compile_workload(config, workload), cached_network(workload.network)
    if workload.layers:
        return layers_task(program, [layer_input(net, name, workload.batch) for name in workload.layers])
    return network_task(program, network_input(net, workload.batch))
