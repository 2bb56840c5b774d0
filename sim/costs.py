"""What workloads cost on machines, by the cost model, on all cores."""

from __future__ import annotations

import functools
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from compiler.graph import Network, NetworkError
from compiler.networks import network
from compiler.program import Program, compile_layers, compile_network
from golden.energy import energy
from golden.machine import DeadlockError, predict
from hw.config import AcceleratorConfig
from hw.spec import SpecError
from sim.space import Workload

#: What says that a workload cannot run on a machine.
_UNMAPPABLE = (NetworkError, SpecError, DeadlockError, MemoryError)


@dataclass(frozen=True)
class Cost:
    """What one workload costs on one machine; ``energy`` is by level, in multiply-accumulates."""

    macs: int
    cycles: int
    dram_bytes: int
    energy: dict[str, int]
    counters: dict[str, int]


def evaluate(config: AcceleratorConfig, workload: Workload) -> Cost | str:
    """Return the cost of a workload, or the sentence why it cannot be mapped."""
    try:
        program = compile_workload(config, workload)
        prediction = predict(config, program.commands)
    except _UNMAPPABLE as error:
        return str(error)
    counters = dict(prediction.snapshots[-1]) | {"cycle.total": prediction.cycles}
    return Cost(
        macs=sum(layer.macs for layer in program.layers) * workload.batch,
        cycles=prediction.cycles,
        dram_bytes=sum(count for name, count in counters.items() if name.startswith("dram.")),
        energy=energy(counters, config),
        counters=counters,
    )


@functools.cache
def cached_network(name: str) -> Network:
    """Return the built-in network, made once per process."""
    return network(name)


def compile_workload(config: AcceleratorConfig, workload: Workload) -> Program:
    """Return the workload's program for a machine."""
    net = cached_network(workload.network)
    if workload.layers:
        return compile_layers(net, workload.layers, config, batch=workload.batch)
    return compile_network(net, config, batch=workload.batch)


def evaluate_all(pairs: Sequence[tuple[AcceleratorConfig, Workload]], jobs: int, progress: bool) -> list[Cost | str]:
    """Return the outcome of each pair, in their order, computed by ``jobs`` processes."""
    started = time.monotonic()

    def report(done: int) -> None:
        if done < len(pairs) and not sys.stderr.isatty() and done % max(1, len(pairs) // 10):
            return
        left = (time.monotonic() - started) / done * (len(pairs) - done)
        tell(progress, f"costed {done} of {len(pairs)} (machine, network) pairs, about {left:.0f} s left")

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


def tell(progress: bool, text: str) -> None:
    """Say on standard error how far something is, if asked to."""
    if progress:
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"{text:<70}", end=end, file=sys.stderr, flush=True)
