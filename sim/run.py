"""Run programs on a machine's Verilog and compare bytes, counters and cycles with the prediction."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler.program import Program
from golden.machine import LATENCY_CYCLES, Prediction, predict
from hw import spec
from hw.config import AcceleratorConfig
from hw.eyas import Eyas
from sim.simulator import Job, JobResult, SimulationError, run_jobs
from sim.verilog import generate

#: A program that takes this many times its predicted cycles hangs.
TIMEOUT_FACTOR = 4
TIMEOUT_CYCLES = 20_000


class MachineError(SimulationError):
    """The machine stopped with an error; the message names the error, the command and its layer."""


@dataclass(frozen=True)
class Task:
    """A program with its inputs and the ofmaps (N, E, F, M) that must come out, one per step."""

    program: Program
    inputs: tuple[np.ndarray, ...]
    expected: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Outcome:
    """What a task did on the machine, beside what was predicted.

    Members
    -------
    prediction : Prediction
        Of the cost model.
    cycles : int
        From start to interrupt, by the machine's own counter.
    snapshots : list of dict
        Counters at each layer's mark.
    ofmaps : list of array
        Each layer's ofmap.
    exact : list of bool
        Whether each layer's ofmap is what the golden model says.
    wall_seconds : float
        Of the simulation.
    """

    task: Task
    prediction: Prediction
    cycles: int
    snapshots: list[dict[str, int]]
    ofmaps: list[np.ndarray]
    exact: list[bool]
    wall_seconds: float

    @property
    def bit_exact(self) -> bool:
        """Whether every output byte is what the golden model says."""
        return all(self.exact)

    @property
    def counters_equal(self) -> bool:
        """Whether every counter of every layer is what the cost model says."""
        return self.snapshots == list(self.prediction.snapshots)

    @property
    def cycles_equal(self) -> bool:
        """Whether the machine took as many cycles as predicted."""
        return self.cycles == self.prediction.cycles

    @property
    def equal(self) -> bool:
        """Whether everything is as predicted."""
        return self.bit_exact and self.counters_equal and self.cycles_equal

    def differences(self) -> str:
        """Return what differs, a line each; empty if nothing does."""
        lines = [
            f"layer {layer.name}: {np.count_nonzero(ofmap != expected)} of {expected.size} bytes differ"
            for layer, ofmap, expected in zip(self.task.program.layers, self.ofmaps, self.task.expected, strict=True)
            if not np.array_equal(ofmap, expected)
        ]
        for layer, got, predicted in zip(
            self.task.program.layers, self.snapshots, self.prediction.snapshots, strict=True
        ):
            lines += [
                f"layer {layer.name}: {name} is {got[name]}, predicted {predicted[name]}"
                for name in spec.COUNTER_NAMES
                if got[name] != predicted[name]
            ]
        if not self.cycles_equal:
            lines.append(f"{self.cycles} cycles, predicted {self.prediction.cycles}")
        return "\n".join(lines)


def network_task(program: Program, inputs: np.ndarray) -> Task:
    """Return the task of a whole network's program for an input (N, H, W, C)."""
    ofmaps = program.network.reference(inputs)
    return Task(program, (inputs,), tuple(ofmaps[layer.layer.name] for layer in program.layers))


def layers_task(program: Program, inputs: Sequence[np.ndarray]) -> Task:
    """Return the task of a program of single layers; each takes its own inputs, in order."""
    left = iter(inputs)
    expected = [layer.layer.reference(*itertools.islice(left, len(layer.sources))) for layer in program.layers]
    return Task(program, tuple(inputs), tuple(expected))


@functools.lru_cache(maxsize=4)
def machine_verilog(config: AcceleratorConfig) -> str:
    """Return the Verilog of a machine; kept, as making it takes seconds."""
    return generate(Eyas(config=config))


def run_tasks(
    config: AcceleratorConfig,
    tasks: Sequence[Task],
    *,
    work: Path,
    simulator: str = "verilator",
    latency_cycles: int = LATENCY_CYCLES,
    waves: bool = False,
    progress: Callable[[int, int], None] | None = None,
    unknown_checks: Sequence[tuple[str, str]] = (),
) -> list[Outcome]:
    """Run tasks one after the other in one simulator process.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    tasks : sequence of Task
        What to run; their programs are for this machine.
    work : Path
        Folder for files of the run.
    simulator, latency_cycles, waves, progress, unknown_checks
        See :func:`sim.simulator.run_jobs`.

    Raises
    ------
    MachineError
        If a program stops with an error or does not end.
    SimulationError
        If the simulation cannot be built or run.
    """
    predictions: dict[int, Prediction] = {}
    for task in tasks:
        if id(task.program) not in predictions:
            predictions[id(task.program)] = predict(config, task.program.commands, latency_cycles=latency_cycles)
    jobs = [_job(task, predictions[id(task.program)].cycles) for task in tasks]
    results = run_jobs(
        machine_verilog(config),
        jobs,
        simulator=simulator,
        waves=waves,
        latency=latency_cycles,
        work=work,
        progress=progress,
        unknown_checks=unknown_checks,
    )
    return [_outcome(task, predictions[id(task.program)], result) for task, result in zip(tasks, results, strict=True)]


def _job(task: Task, cycles: int) -> Job:
    program = task.program
    return Job(
        image=program.image(task.inputs),
        memory_bytes=program.memory_bytes,
        program_address=program.program_address,
        program_commands=len(program.commands),
        window_base=0,
        window_limit=program.memory_bytes,
        dump_base=program.results.start,
        dump_limit=program.results.stop,
        timeout_cycles=TIMEOUT_FACTOR * cycles + TIMEOUT_CYCLES,
    )


def _outcome(task: Task, prediction: Prediction, result: JobResult) -> Outcome:
    program = task.program
    if not result.done:
        raise MachineError(describe_error(program, result))
    results = memoryview(result.dump)
    ofmaps = [program.ofmap(index, results) for index in range(len(program.layers))]
    return Outcome(
        task,
        prediction,
        result.cycles,
        program.snapshots(results),
        ofmaps,
        [np.array_equal(ofmap, expected) for ofmap, expected in zip(ofmaps, task.expected, strict=True)],
        result.wall_seconds,
    )


def describe_error(program: Program, result: JobResult) -> str:
    """Return one sentence that says why and where a program stopped."""
    if result.timed_out:
        return f"the machine has not finished {program.network.name} after {result.simulated_cycles} cycles"
    names = {error.code: error.name for error in spec.ERRORS}
    index = result.error_command
    where = "a command outside the program"
    if index < len(program.commands):
        layer = program.layers[program.command_layers[index]].name
        where = f"command {index} ({program.commands[index][0]}) of layer {layer}"
    return (
        f"the machine stopped with error {names.get(result.error_code, result.error_code)} "
        f"at {where}, address {result.error_address:#x}"
    )
