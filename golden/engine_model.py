"""What the cost model's engines share: command queues, and marks; section 1 of docs/timing.md.

Each engine's state is a dataclass of integers and lists of integers. Functions change it; they are in a form that
:mod:`golden.compiled` can compile. What is as long as the program is in ``data``, one vector for all, and states hold
addresses in it. Cycles that are not known yet are :data:`NEVER`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from golden.compiled import compilable
from hw import spec
from hw.config import RANGES

Fields = dict[str, int]

#: Numbers of the engines; those with queues are in the order of :data:`hw.spec.ENGINES`.
LOAD, STAGE, DELIVER, MAC, DRAIN, FETCH = range(6)
QUEUES = len(spec.ENGINES)
NEVER = 1 << 60
#: Entries that are remembered of each queue: a power of two.
SLOTS = RANGES["queue_depth"][1]


@dataclass(slots=True)
class Queues:
    """The command queues.

    Members
    -------
    depth : int
        Of each queue.
    pushed, popped : list of int
        Commands so far, by engine.
    visible, pops : list of int
        Rings, one engine's after the other's: cycle in which each command is seen at the end of its queue, or popped.
    awake : list of int
        Whether something has happened to an engine since it was last asked for its next step.
    """

    depth: int
    pushed: list[int] = field(default_factory=lambda: [0] * QUEUES)
    popped: list[int] = field(default_factory=lambda: [0] * QUEUES)
    visible: list[int] = field(default_factory=lambda: [0] * QUEUES * SLOTS)
    pops: list[int] = field(default_factory=lambda: [0] * QUEUES * SLOTS)
    awake: list[int] = field(default_factory=lambda: [1] * (QUEUES + 1))


@dataclass(slots=True)
class Marks:
    """Snapshots: an engine may capture mark k + 1 once mark k is written.

    Members
    -------
    counts : list of int
        Marks that each engine has captured; drain's: that are written.
    captured, written : int
        Cycle of the last capture, and of the B of the last mark's burst.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (QUEUES + 1))
    captured: int = 0
    written: int = 0


@compilable
def place(engine: int, number: int) -> int:
    """Return where the queues' rings have command ``number`` of an engine."""
    return engine * SLOTS + number % SLOTS


@compilable
def room(queues: Queues, engine: int) -> int:
    """Return the first cycle in which the engine's queue takes another command."""
    leaves = queues.pushed[engine] - queues.depth
    if leaves < 0:
        return 0
    if leaves >= queues.popped[engine]:
        return NEVER
    return queues.pops[place(engine, leaves)] + 1


@compilable
def push(queues: Queues, engine: int, cycle: int) -> None:
    """Push the engine's next command in ``cycle``."""
    queues.visible[place(engine, queues.pushed[engine])] = cycle + 1
    queues.pushed[engine] += 1
    queues.awake[engine] = 1


@compilable
def head(queues: Queues, engine: int) -> int:
    """Return the cycle from which the engine sees its next command, NEVER while none is known to come."""
    if queues.popped[engine] == queues.pushed[engine]:
        return NEVER
    return queues.visible[place(engine, queues.popped[engine])]


@compilable
def pop(queues: Queues, engine: int, cycle: int) -> None:
    """Pop the engine's next command in ``cycle``."""
    queues.pops[place(engine, queues.popped[engine])] = cycle
    queues.popped[engine] += 1
    queues.awake[FETCH] = 1


@compilable
def snapshot_free(marks: Marks, count: int) -> int:
    """Return the first cycle in which an engine that has begun ``count`` marks may capture the next."""
    if count == 0:
        return 0
    return marks.written + 1 if count <= marks.counts[DRAIN] else NEVER


@compilable
def capture(marks: Marks, queues: Queues, engine: int, cycle: int) -> None:
    """Let an engine capture its counters in ``cycle``."""
    marks.captured = max(marks.captured, cycle)
    marks.counts[engine] += 1
    wake_all(queues)


@compilable
def all_captured(marks: Marks) -> int:
    """Return the first cycle in which drain sees that all other engines have captured the next mark."""
    for engine in range(QUEUES + 1):
        if engine != DRAIN and marks.counts[engine] == marks.counts[DRAIN]:
            return NEVER
    return marks.captured + 1


@compilable
def write_mark(marks: Marks, queues: Queues, cycle: int) -> None:
    """Let the B of a mark's burst come in ``cycle``."""
    marks.written = cycle
    marks.counts[DRAIN] += 1
    wake_all(queues)


@compilable
def wake_all(queues: Queues) -> None:
    """Ask every engine for its next step."""
    for engine in range(QUEUES + 1):
        queues.awake[engine] = 1


@compilable
def is_any_awake(queues: Queues) -> bool:
    """Return whether any engine must be asked for its next step."""
    awake = queues.awake
    return awake[LOAD] + awake[STAGE] + awake[DELIVER] + awake[MAC] + awake[DRAIN] + awake[FETCH] > 0


@compilable
def start_mark(queues: Queues, marks: Marks, engine: int, idle: int) -> int:
    """Start a mark that needs nothing but a free snapshot; return the cycle, or NEVER while it is not known."""
    start = max(idle, head(queues, engine), snapshot_free(marks, marks.counts[engine]))
    if start < NEVER:
        pop(queues, engine, start)
        capture(marks, queues, engine, start)
    return start
