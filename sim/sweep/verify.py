"""Proof of machines: their workloads run on the generated Verilog, beside what the store says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compiler.networks import layer_inputs, network_input
from hw.config import AcceleratorConfig
from sim.run import MachineError, Outcome, Task, layers_task, network_task, run_tasks
from sim.sweep.costs import Cost, cached_network, compile_workload
from sim.sweep.points import Point
from sim.sweep.space import Space, Workload
from sim.sweep.store import Verification

#: Workloads that take longer are left out, unless the machine has no shorter one.
VERIFY_CYCLES = 200_000


def verify(space: Space, point: Point, work: Path, verify_cycles: int = VERIFY_CYCLES) -> dict[str, Verification]:
    """Run a machine's workloads within the budget, else the shortest, on its Verilog; say what differs.

    Parameters
    ----------
    space : Space
        Has the workloads.
    point : Point
        The machine, with a cost of every workload.
    work : Path
        Folder for files of the simulation.
    verify_cycles : int
        Predicted cycles of a workload, at most.

    Raises
    ------
    SimulationError
        If the simulation cannot be built or run.
    """
    config = point.candidate.config
    assert config is not None
    chosen = chosen_workloads(space, point, verify_cycles)
    try:
        outcomes = run_tasks(config, [_task(config, workload) for workload in chosen], work=work)
    except MachineError as error:
        return {workload.name: Verification(False, None, str(error)) for workload in chosen}
    return {
        workload.name: _compare(outcome, point.costs[workload.name])
        for workload, outcome in zip(chosen, outcomes, strict=True)
    }


def chosen_workloads(space: Space, point: Point, verify_cycles: int) -> Sequence[Workload]:
    """Return the workloads within the budget, else the shortest."""

    def cycles(workload: Workload) -> int:
        return point.costs[workload.name].cycles

    short = [workload for workload in space.workloads if cycles(workload) <= verify_cycles]
    return short or [min(space.workloads, key=cycles)]


def _compare(outcome: Outcome, cost: Cost) -> Verification:
    """Compare bytes with the golden model, and counters and cycles with the store."""
    lines = outcome.differences().splitlines()
    if outcome.cycles != cost.cycles:
        lines.append(f"{outcome.cycles} cycles, {cost.cycles} in the store")
    counters = outcome.snapshots[-1]
    lines += [
        f"{name} is {counters[name]}, {count} in the store"
        for name, count in cost.counters.items()
        if name != "cycle.total" and counters[name] != count
    ]
    equal = outcome.equal and not lines
    return Verification(equal, outcome.cycles, "" if equal else "; ".join(lines))


def _task(config: AcceleratorConfig, workload: Workload) -> Task:
    program, net = compile_workload(config, workload), cached_network(workload.network)
    if workload.layers:
        inputs = [ifmap for name in workload.layers for ifmap in layer_inputs(net, name, workload.batch)]
        return layers_task(program, inputs)
    return network_task(program, network_input(net, workload.batch))
