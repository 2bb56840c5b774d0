"""Cycles of fetch: section 2 of docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from golden.compiled import Data, Vector, compilable
from golden.engine_model import FETCH, NEVER, QUEUES, Marks, Queues, capture, push, room, snapshot_free
from golden.memory_model import FETCH_READS, Port, want
from golden.table import MARK, Table
from hw import spec

BURST_COMMANDS = 4
FIFO_COMMANDS = 8
COMMAND_BEATS = 4

#: A command in ``data``: its opcode, and the engines that it goes to, a bit each.
OPCODE, TARGETS, COMMAND_WORDS = range(3)


@dataclass(slots=True)
class Fetch:
    """Reads commands and deals them out to the queues, in order.

    Members
    -------
    commands : int
        Address of the commands.
    length : int
        Commands of the program.
    requested, arrived, dispatched : int
        Commands so far.
    wanting : bool
        Whether an AR waits to be accepted.
    last_request : int
        Cycle of the last AR.
    arrivals, dispatches : list of int
        Rings: cycle in which each command is seen in the FIFO, or dispatched.
    """

    commands: int
    length: int
    requested: int = 0
    arrived: int = 0
    dispatched: int = 0
    wanting: bool = False
    last_request: int = 0
    arrivals: list[int] = field(default_factory=lambda: [0] * FIFO_COMMANDS)
    dispatches: list[int] = field(default_factory=lambda: [0] * FIFO_COMMANDS)


def make_fetch(table: Table, data: Data) -> Fetch:
    """Return fetch before the first cycle."""
    targets = np.zeros(256, np.int64)
    for command in spec.COMMANDS:
        targets[command.opcode] = sum(1 << spec.ENGINES.index(engine) for engine in command.engines)
    return Fetch(data.place(np.stack([table.kinds, targets[table.kinds]], axis=1)), len(table.kinds))


@compilable
def step_fetch(fetch: Fetch, queues: Queues, marks: Marks, port: Port, data: Vector) -> bool:
    """Request the next burst and dispatch the next command, if their times are known; return whether one is."""
    requested = request_commands(fetch, port)
    return dispatch(fetch, queues, marks, data) or requested


@compilable
def request_commands(fetch: Fetch, port: Port) -> bool:
    """Ask for the next burst of commands if its time is known; return whether it is."""
    count = min(fetch.length - fetch.requested, BURST_COMMANDS)
    if fetch.wanting or not count:
        return False
    needed = fetch.requested + count - FIFO_COMMANDS  # commands that must have left the FIFO
    if needed > fetch.dispatched:
        return False
    credit = fetch.dispatches[(needed - 1) % FIFO_COMMANDS] + 1 if needed > 0 else 0
    fetch.wanting = True
    fetch.requested += count
    want(port, FETCH_READS, max(fetch.last_request + 1, credit), count * COMMAND_BEATS, 0)
    return True


@compilable
def accept_fetch(fetch: Fetch, queues: Queues, cycle: int) -> None:
    """Accept the wanted AR."""
    fetch.last_request, fetch.wanting = cycle, False
    queues.awake[FETCH] = 1


@compilable
def receive_commands(fetch: Fetch, queues: Queues, first: int, beats: int) -> None:
    """Put commands into the FIFO, each one cycle after its fourth beat; the beats go from cycle ``first`` on."""
    for end in range(COMMAND_BEATS, beats + 1, COMMAND_BEATS):
        fetch.arrivals[fetch.arrived % FIFO_COMMANDS] = first + end
        fetch.arrived += 1
    queues.awake[FETCH] = 1


@compilable
def dispatch(fetch: Fetch, queues: Queues, marks: Marks, data: Vector) -> bool:
    """Dispatch the next command if its time is known; return whether it is."""
    number = fetch.dispatched
    if number == fetch.arrived:
        return False
    command = fetch.commands + number * COMMAND_WORDS
    is_mark, targets = data[command + OPCODE] == MARK, data[command + TARGETS]
    cycle = fetch.arrivals[number % FIFO_COMMANDS]
    if number:
        cycle = max(cycle, fetch.dispatches[(number - 1) % FIFO_COMMANDS] + 1)
    if is_mark:
        cycle = max(cycle, snapshot_free(marks, marks.counts[FETCH]))
    for engine in range(QUEUES):
        if targets >> engine & 1:
            cycle = max(cycle, room(queues, engine))
    if cycle >= NEVER:
        return False
    fetch.dispatches[number % FIFO_COMMANDS] = cycle
    fetch.dispatched += 1
    for engine in range(QUEUES):
        if targets >> engine & 1:
            push(queues, engine, cycle)
    if is_mark:
        capture(marks, queues, FETCH, cycle)
    return True
