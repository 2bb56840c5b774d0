"""Sweeps: every machine of a space costed by the cost model, the Pareto front, and proof of some points on RTL."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from compiler.graph import Network, NetworkError
from compiler.networks import layer_input, network, network_input
from compiler.program import Program, compile_layers, compile_network
from golden.energy import energy
from golden.machine import DeadlockError, predict
from hw.config import AcceleratorConfig
from hw.spec import SpecError
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
_UNMAPPABLE = (NetworkError, SpecError, DeadlockError, MemoryError)


@dataclass(frozen=True)
class Cost:
    """What one workload costs on one machine; ``energy`` is by level, in multiply-accumulates."""

    macs: int
    cycles: int
    dram_bytes: int
    energy: dict[str, int]
    counters: dict[str, int]


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
    result = SweepResult(space, _evaluate_all(space, jobs or os.cpu_count() or 1, progress))
    complete = [point for point in result.points if point.complete]
    for point, on_front in zip(complete, pareto_front([_values(space, p) for p in complete]), strict=True):
        point.front = on_front
    write_results(result, out)
    for point in _spread(result.front, verify):
        _tell(progress, f"verifying {point.candidate.name} on RTL")
        point.verified = _verify(space, point, out / "simulation" / point.candidate.name)
    if verify:
        write_results(result, out)
    return result


def pareto_front(values: Sequence[Sequence[int]]) -> list[bool]:
    """Return for each point whether no other is at least as small in all values and smaller in one."""

    def beats(other: Sequence[int], own: Sequence[int]) -> bool:
        return tuple(other) != tuple(own) and all(a <= b for a, b in zip(other, own, strict=True))

    return [not any(beats(other, own) for other in values) for own in values]


def evaluate(config: AcceleratorConfig, workload: Workload) -> Cost | str:
    """Return the cost of a workload, or the sentence why it cannot be mapped."""
    try:
        program = _compile(config, workload)
        prediction = predict(config, program.commands)
    except _UNMAPPABLE as error:
        return str(error)
    counters = dict(prediction.snapshots[-1]) | {"cycle.total": prediction.cycles}
    return Cost(
        macs=sum(layer.layer.macs for layer in program.layers) * workload.batch,
        cycles=prediction.cycles,
        dram_bytes=sum(count for name, count in counters.items() if name.startswith("dram.")),
        energy=energy(counters, config),
        counters=counters,
    )


@functools.cache
def _network(name: str) -> Network:
    return network(name)


def _compile(config: AcceleratorConfig, workload: Workload) -> Program:
    net = _network(workload.network)
    if workload.layers:
        return compile_layers(net, workload.layers, config, batch=workload.batch)
    return compile_network(net, config, batch=workload.batch)


def _values(space: Space, point: Point) -> list[int]:
    return [point.value(objective) for objective in space.objectives]


def _evaluate_all(space: Space, jobs: int, progress: bool) -> list[Point]:
    points = [Point(candidate) for candidate in space.candidates()]
    pairs = []
    for point in points:
        if point.candidate.config is None:
            point.reasons[""] = point.candidate.reason
        else:
            pairs += [(point, point.candidate.config, workload) for workload in space.workloads]
    outcomes = _run_all([(config, workload) for _, config, workload in pairs], min(jobs, len(pairs)), progress)
    for (point, _, workload), outcome in zip(pairs, outcomes, strict=True):
        if isinstance(outcome, Cost):
            point.costs[workload.name] = outcome
        else:
            point.reasons[workload.name] = outcome
    return points


def _run_all(pairs: Sequence[tuple[AcceleratorConfig, Workload]], jobs: int, progress: bool) -> list[Cost | str]:
    """Return the outcome of each pair, in their order."""
    started = time.monotonic()

    def report(done: int) -> None:
        left = (time.monotonic() - started) / done * (len(pairs) - done)
        _tell(progress, f"costed {done} of {len(pairs)} (machine, network) pairs, about {left:.0f} s left")

    outcomes: list[Cost | str] = []
    if jobs <= 1:
        for pair in pairs:
            outcomes.append(evaluate(*pair))
            report(len(outcomes))
        return outcomes
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=jobs, mp_context=context) as pool:
        futures: list[Future[Cost | str]] = [pool.submit(evaluate, *pair) for pair in pairs]
        try:
            for done, _ in enumerate(as_completed(futures), start=1):
                report(done)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _tell(progress: bool, text: str) -> None:
    if progress:
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"{text:<70}", end=end, file=sys.stderr, flush=True)


def _spread(front: Sequence[Point], count: int) -> Iterator[Point]:
    """Yield ``count`` points of the front, the first and then in even steps."""
    count = min(count, len(front))
    yield from (front[index * len(front) // count] for index in range(count))


def _verify(space: Space, point: Point, work: Path) -> str:
    """Run the machine's shorter workloads on its Verilog; say what ran, and what differs."""
    config = point.candidate.config
    assert config is not None
    by_cycles: Callable[[Workload], int] = lambda workload: point.costs[workload.name].cycles  # noqa: E731
    ordered = sorted(space.workloads, key=by_cycles)
    chosen = [workload for workload in ordered if by_cycles(workload) <= VERIFY_CYCLES] or ordered[:1]
    try:
        outcomes = run_tasks(config, [_task(config, workload) for workload in chosen], work=work)
    except MachineError as error:
        return f"DIFFERS: {error}"
    for workload, outcome in zip(chosen, outcomes, strict=True):
        if not outcome.equal or outcome.cycles != point.costs[workload.name].cycles:
            return f"DIFFERS in {workload.name}: {outcome.differences()}"
    return f"{', '.join(workload.name for workload in chosen)} equal"


def _task(config: AcceleratorConfig, workload: Workload) -> Task:
    program, net = _compile(config, workload), _network(workload.network)
    if workload.layers:
        return layers_task(program, [layer_input(net, name, workload.batch) for name in workload.layers])
    return network_task(program, network_input(net, workload.batch))
