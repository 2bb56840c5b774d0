"""What workloads cost on machines, by the cost model."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compiler.graph import Network, NetworkError
from compiler.mapper import Mapper
from compiler.mapping import Mapping as LayerMapping
from compiler.networks import network
from compiler.program import Program, compile_layers, compile_network
from golden.machine import DeadlockError, predict
from hw import spec
from hw.config import AcceleratorConfig
from hw.spec import SpecError
from sim.sweep.machine_area import machine_area
from sim.sweep.space import Workload

if TYPE_CHECKING:
    from sim.area.model import Area

#: What says that a workload cannot run on a machine.
_UNMAPPABLE = (NetworkError, SpecError, DeadlockError, MemoryError)


@dataclass(frozen=True)
class Cost:
    """What one workload costs on one machine.

    Members
    -------
    macs : int
        Multiply-accumulates of the whole batch.
    cycles : int
        From start to interrupt.
    counters : dict
        Every counter at the end; ``cycle.total`` is ``cycles``.
    """

    macs: int
    cycles: int
    counters: dict[str, int]

    @property
    def dram_bytes(self) -> int:
        """Bytes read and written."""
        return sum(count for name, count in self.counters.items() if name.startswith("dram."))


@dataclass(frozen=True)
class LayerCost:
    """What one step of a workload costs: a layer, perhaps with the addition fused into it.

    Members
    -------
    name : str
        Of the step.
    macs, cycles, counters
        As of :class:`Cost`; from the mark before to the step's own.
    mapping : tuple of compiler.mapping.Mapping
        Of the step's works.
    """

    name: str
    macs: int
    cycles: int
    counters: dict[str, int]
    mapping: tuple[LayerMapping, ...]


@dataclass(frozen=True)
class Task:
    """One machine and what it shall compute."""

    id: int
    config: AcceleratorConfig
    workloads: tuple[Workload, ...]


@dataclass
class Outcome:
    """What became of a machine.

    Members
    -------
    costs : dict
        By workload.
    reasons : dict
        Why a workload, or the machine (under ``""``), has none.
    unexpected : list
        Keys of the reasons that are no statement about the machine: exceptions, or a process that died.
    area : Area or None
        By component.
    """

    costs: dict[str, Cost] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    area: Area | None = None

    @staticmethod
    def lost(reason: str) -> Outcome:
        """Return the outcome of a machine that could not be evaluated, for no reason of its own."""
        return Outcome(reasons={"": reason}, unexpected=[""])


def evaluate_machine(task: Task) -> Outcome:
    """Return all costs of a machine; never raises an exception, so that one machine does not stop a sweep.

    The workloads share one mapper: layers that occur twice are mapped once.
    """
    outcome = Outcome()
    try:
        outcome.area = machine_area(task.config)
        mapper = Mapper(config=task.config)
    except Exception as error:  # whatever it is, it is this machine's
        return Outcome.lost(_describe(error))
    for workload in task.workloads:
        try:
            cost = evaluate(task.config, workload, mapper=mapper)
        except Exception as error:  # the same
            outcome.reasons[workload.name] = _describe(error)
            outcome.unexpected.append(workload.name)
            continue
        if isinstance(cost, Cost):
            outcome.costs[workload.name] = cost
        else:
            outcome.reasons[workload.name] = cost
    return outcome


def evaluate(config: AcceleratorConfig, workload: Workload, *, mapper: Mapper | None = None) -> Cost | str:
    """Return the cost of a workload, or the sentence why it cannot be mapped.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    workload : Workload
        What it computes.
    mapper : Mapper, optional
        Reused between workloads of one machine.
    """
    try:
        program = compile_workload(config, workload, mapper=mapper)
        prediction = predict(config, program.commands)
    except _UNMAPPABLE as error:
        return str(error)
    counters = dict(prediction.snapshots[-1]) | {"cycle.total": prediction.cycles}
    return Cost(sum(layer.macs for layer in program.layers) * workload.batch, prediction.cycles, counters)


def evaluate_layers(config: AcceleratorConfig, workload: Workload) -> list[LayerCost]:
    """Return what each step of a workload costs.

    The cycles of all steps are those of the last mark, a few less than from start to interrupt.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    workload : Workload
        What it computes.

    Raises
    ------
    NetworkError, SpecError, DeadlockError, MemoryError
        If it cannot be mapped.
    """
    program = compile_workload(config, workload)
    snapshots = predict(config, program.commands).snapshots
    befores: Iterable[Mapping[str, int]] = (dict.fromkeys(spec.COUNTER_NAMES, 0), *snapshots)
    costs = []
    for layer, before, after in zip(program.layers, befores, snapshots, strict=False):
        counters = {name: after[name] - before[name] for name in spec.COUNTER_NAMES}
        macs = layer.macs * workload.batch
        costs.append(LayerCost(layer.name, macs, counters["cycle.total"], counters, layer.mappings))
    return costs


@functools.cache
def cached_network(name: str) -> Network:
    """Return the built-in network, made once per process."""
    return network(name)


def compile_workload(config: AcceleratorConfig, workload: Workload, *, mapper: Mapper | None = None) -> Program:
    """Return the workload's program for a machine."""
    net = cached_network(workload.network)
    if workload.layers:
        return compile_layers(net, workload.layers, config, batch=workload.batch, mapper=mapper)
    return compile_network(net, config, batch=workload.batch, mapper=mapper)


def _describe(error: Exception) -> str:
    """Return an unexpected exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
