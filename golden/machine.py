"""The cost model: every counter and every cycle of a program, from the program alone.

Each engine's commands get their start and end from the rules of docs/timing.md as maxima and sums of earlier
cycles; only what is arbitrated (read port, DRAM bus, psum bank ports) is processed in the order of time, per burst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from golden.drain_model import Drain
from golden.engine_model import Counts, Engine, Fields, Marks
from golden.execute_model import Deliver, Links, Mac, Stage
from golden.load_model import Fetch, Load
from golden.memory_model import Dram, ReadPort, Timeline
from golden.tokens import Tokens
from hw import spec
from hw.config import AcceleratorConfig

#: Default DRAM latency, see :class:`golden.memory_model.Dram`.
LATENCY_CYCLES = 40


class DeadlockError(RuntimeError):
    """A program that never ends; the message names the command at the head of each queue."""


@dataclass(frozen=True)
class Prediction:
    """What a program costs.

    Members
    -------
    cycles : int
        From start to interrupt.
    snapshots : tuple of dict
        Every counter at each mark, by counter name.
    """

    cycles: int
    snapshots: tuple[dict[str, int], ...]


def predict(
    config: AcceleratorConfig, commands: Sequence[tuple[str, Fields]], *, latency_cycles: int = LATENCY_CYCLES
) -> Prediction:
    """Predict a program that ends with a ``mark`` whose ``last`` is set.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    commands : sequence of (command name, fields)
        The program, as :data:`hw.spec.COMMAND` declares it.
    latency_cycles : int
        DRAM latency.

    Raises
    ------
    DeadlockError
        If an engine waits for something that never comes.
    """
    marks, timeline = Marks(), Timeline()
    dram = Dram(timeline=timeline, latency_cycles=latency_cycles)
    port = ReadPort(config=config, timeline=timeline, dram=dram)
    links = _links(config)
    common: dict[str, Any] = {"depth": config.queue_depth, "marks": marks, "config": config, "links": links}
    deliver = Deliver(**common)
    drain = Drain(timeline=timeline, dram=dram, port=port, **common)
    engines: dict[str, Engine] = {
        "load": Load(port=port, **common),
        "stage": Stage(**common),
        "deliver": deliver,
        "mac": Mac(deliver=deliver, **common),
        "drain": drain,
    }
    _connect(links, engines)
    fetch = Fetch(commands=commands, engines=engines, port=port, marks=marks)
    steppers: tuple[Fetch | Engine, ...] = (fetch, *engines.values())

    def settle() -> None:
        progress = True
        while progress:
            progress = False
            for stepper in steppers:
                if stepper.awake:
                    progress, stepper.awake = True, False
                    while stepper.step():
                        pass

    settle()
    timeline.run(settle)
    if drain.finished is None:
        heads = ", ".join(f"{name}: {engine.queue[0][1]}" for name, engine in engines.items() if engine.queue)
        raise DeadlockError(f"the program does not end; queues wait with {heads or 'nothing'}")
    return Prediction(drain.finished, _snapshots([fetch.counts, *(engine.counts for engine in engines.values())]))


def _links(config: AcceleratorConfig) -> Links:
    tokens = {name: Tokens() for name in spec.SEMAPHORES}
    return Links(
        **tokens,
        staged=Tokens(),
        halves=Tokens(initial=2),
        filter_level=Tokens(),
        filter_free=Tokens(initial=config.filter_lane_words),
        columns=[],
        releases=[],
        head_reads=[],
    )


def _connect(links: Links, engines: Mapping[str, Engine]) -> None:
    """Tell every kind of tokens which engine waits for it."""
    takers = {name: taker for name, (_, taker) in spec.SEMAPHORES.items()}
    takers |= {"staged": "mac", "halves": "stage", "filter_level": "stage", "filter_free": "load"}
    for name, taker in takers.items():
        getattr(links, name).taker = engines[taker]


def _snapshots(counts: Sequence[Counts]) -> tuple[dict[str, int], ...]:
    snapshots = []
    for parts in zip(*(part.snapshots for part in counts), strict=True):
        merged = {name: value for part in parts for name, value in part.items()}
        snapshots.append({name: merged[name] for name in spec.COUNTER_NAMES})
    return tuple(snapshots)
