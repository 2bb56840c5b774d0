"""``eyas bench``: networks on the RTL of Eyeriss-sized machines, beside the figures they must reach.

A step is a program. Each finished step leaves a file, and is not run again while everything it depends on is the same.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler.mapper import Mapper
from compiler.networks import layer_inputs, network, network_input
from compiler.program import Program, compile_layers, compile_network
from golden.machine import LATENCY_CYCLES, Prediction, predict
from hw.config import AcceleratorConfig, ConfigError
from sim.benchmark.checks import missed
from sim.benchmark.items import ITEMS, Item, Step, steps_of
from sim.benchmark.pictures import draw
from sim.benchmark.progress import Progress
from sim.benchmark.report import document, summary
from sim.benchmark.results import (
    EQUALITIES,
    FORMAT,
    ItemResult,
    StepResult,
    collected,
    layer_entry,
    machine_entry,
)
from sim.build import ROOT, check_tools
from sim.files import write_text
from sim.pictures import require_matplotlib
from sim.report import layer_counts
from sim.run import Outcome, layers_task, machine_verilog, network_task, run_tasks

#: Files that decide, beside program, prediction and machine, whether a step's result is still true.
_SOURCES = ("sim/top.sv", "sim/dram.sv", "sim/bench.py", "golden/arithmetic.py", "golden/operators.py")


@dataclass(frozen=True)
class _Prepared:
    """A step's program, inputs and prediction."""

    step: Step
    program: Program
    inputs: tuple[np.ndarray, ...]
    prediction: Prediction

    def key(self) -> str:
        """Return a hash of everything that the result depends on."""
        config, program = self.program.config, self.program
        parts = [str(FORMAT), repr(config), str(LATENCY_CYCLES), repr(program.commands), repr(self.prediction)]
        parts += [repr([(layer.name, layer.macs) for layer in program.layers])]
        if self.step.item.rtl:
            parts += [machine_verilog(config), *((ROOT / name).read_text() for name in _SOURCES)]
        digest = hashlib.sha256("\0".join(parts).encode())
        if self.step.item.rtl:
            digest.update(program.image(self.inputs))
        return digest.hexdigest()

    def result(self, key: str, outcome: Outcome | None) -> StepResult:
        """Return what to write under a key, from the run, or without one from the prediction."""
        measured = self.prediction if outcome is None else outcome
        counters = layer_counts(measured.snapshots, measured.cycles)
        batch = self.step.item.batch
        return {
            "key": key,
            "item": self.step.item.name,
            "step": self.step.name,
            "machine": machine_entry(self.program.config),
            "latency_cycles": LATENCY_CYCLES,
            **{name: outcome is None or getattr(outcome, name) for name in EQUALITIES},
            "differences": "" if outcome is None else outcome.differences(),
            "wall_seconds": 0.0 if outcome is None else outcome.wall_seconds,
            "layers": [
                layer_entry(layer, batch, counts) for layer, counts in zip(self.program.layers, counters, strict=True)
            ],
        }


@functools.lru_cache(maxsize=4)
def _mapper(config: AcceleratorConfig) -> Mapper:
    return Mapper(config=config)


def _prepare(step: Step) -> _Prepared:
    item, config = step.item, step.item.machine
    net = network(item.network)
    inputs: tuple[np.ndarray, ...]
    if step.layers:
        program = compile_layers(net, step.layers, config, batch=item.batch, mapper=_mapper(config))
        inputs = tuple(ifmap for name in step.layers for ifmap in layer_inputs(net, name, item.batch))
    else:
        program = compile_network(net, config, batch=item.batch, mapper=_mapper(config))
        inputs = (network_input(net, item.batch),)
    return _Prepared(step, program, inputs, predict(config, program.commands, latency_cycles=LATENCY_CYCLES))


def run_step(step: Step, folder: Path, progress: Callable[[int, int], None]) -> StepResult:
    """Return a step's result; run it only if ``folder`` has none with the same key.

    Parameters
    ----------
    step : Step
        What to run.
    folder : Path
        Where its result is, or is written.
    progress : callable
        Called now and then with the cycles that have been simulated, and how many there are.

    Raises
    ------
    SimulationError
        If the simulation fails or the machine stops with an error.
    """
    path = folder / f"{step.name}.json"
    prepared = _prepare(step)
    key = prepared.key()  # of the files as they are before the run
    if path.is_file():
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["key"] == key:
            return result
    outcome = None
    if step.item.rtl:
        program, inputs = prepared.program, prepared.inputs
        task = layers_task(program, inputs) if step.layers else network_task(program, inputs[0])
        (outcome,) = run_tasks(
            program.config,
            [task],
            work=folder / f"{step.name}.simulation",
            latency_cycles=LATENCY_CYCLES,
            progress=lambda _job, cycles: progress(cycles, prepared.prediction.cycles),
        )
    result = prepared.result(key, outcome)
    write_text(path, json.dumps(result, indent=1) + "\n")
    return result


def run_items(items: Sequence[Item], out: Path) -> list[ItemResult]:
    """Run items, or read what is there of them already.

    Parameters
    ----------
    items : sequence of Item
        What to run.
    out : Path
        Folder with a folder for each item.
    """
    steps = [step for item in items for step in steps_of(item)]
    progress = Progress(steps)
    results: dict[str, list[StepResult]] = {item.name: [] for item in items}
    for step in steps:
        progress.begin()
        results[step.item.name].append(run_step(step, out / step.item.name, progress.simulating))
        progress.end()
    progress.close()
    return [ItemResult(item, results[item.name]) for item in items]


def run_bench(
    out: Path, *, only: Sequence[str] = (), documents: Path | None = None, items: Sequence[Item] = ITEMS
) -> int:
    """Run the benchmark, print what must be shown and whether it is, and write the document.

    Parameters
    ----------
    out : Path
        Folder of the results.
    only : sequence of str
        Names of the items to run; empty means all.
    documents : Path, optional
        Folder for ``performance.json``, ``performance.md`` and ``pictures/performance_*.svg``.
    items : sequence of Item
        The benchmark.

    Returns
    -------
    int
        0, or 1 if anything differs from its prediction or misses its bar.

    Raises
    ------
    ConfigError
        If an item does not exist, or a document is asked for but not every item.
    PlotError
        If a document is asked for and matplotlib is not installed.
    """
    names = [item.name for item in items]
    for name in only:
        if name not in names:
            raise ConfigError(f"item must be one of {', '.join(names)}, not {name!r}")
    chosen = [item for item in items if not only or item.name in only]
    if documents is not None:
        if len(chosen) < len(items):
            raise ConfigError(f"the document needs every item, not only {', '.join(only)}")
        require_matplotlib()
    if any(item.rtl for item in chosen):
        check_tools("verilator")
    results = run_items(chosen, out)
    if documents is not None:
        write_text(documents / "performance.json", collected(results))
        draw(results, documents / "pictures")
        write_text(documents / "performance.md", document(results))
    print(summary(results))
    differences = [step["differences"] for result in results for step in result.steps if step["differences"]]
    if differences:
        print("\n".join(differences), file=sys.stderr)
    return 1 if missed(results) else 0
