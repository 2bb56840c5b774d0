"""Cycles of load: section 4 of docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from golden.compiled import Data, Vector, compilable
from golden.engine_model import LOAD, NEVER, Marks, Queues, capture, head, place, pop, snapshot_free
from golden.memory_model import LOAD_READS, Port, burst_beats, want
from golden.table import IFMAP, KIND, MARK, PARAMETER, Table
from golden.tokens import (
    FILTER_FREE,
    FILTER_LEVEL,
    IFMAP_FREE,
    IFMAP_READY,
    PARAMETER_FREE,
    PARAMETER_READY,
    WRITTEN,
    Tokens,
    give,
    take,
    visible,
)
from hw.config import AcceleratorConfig

WRITER_FIFO_DEPTH = 4
PARAMETER_BEATS = 2

#: A command in ``data`` after :data:`golden.table.KIND`: tokens to wait for and to give; words of a filter item; runs
#: of beats, ``COLUMNS`` of them in each block.
(
    WAIT_FREE,
    WAIT_WRITTEN,
    SIGNAL,
    WORDS,
    RUNS,
    RUN_BEATS,
    COLUMNS,
    DRAM_ADDRESS,
    BLOCK_STRIDE,
    COLUMN_STRIDE,
    COMMAND_WORDS,
) = range(1, 12)


@dataclass(slots=True)
class Load:
    """Requests and writes of the load engine.

    Members
    -------
    commands, bus_bytes, longest : int
        Address of the commands; bytes of a beat; beats of a burst at most.
    idle : int
        First cycle in which requests are idle, while none is under way.
    busy : bool
        Whether requests are under way.
    command, run, address, beats_left : int
        Of these: the command's address, runs begun, address and beats left of the run.
    item : bool
        Whether they wait for words that a filter item needs, from cycle ``item_since`` on.
    marks : int
        Marks begun.
    written : int
        Commands that have left the writer's FIFO.
    writer_pops : list of int
        Ring: the cycles in which they did.
    """

    commands: int
    bus_bytes: int
    longest: int
    idle: int = 0
    busy: bool = False
    command: int = 0
    run: int = 0
    address: int = 0
    beats_left: int = 0
    item: bool = False
    item_since: int = 0
    marks: int = 0
    written: int = 0
    writer_pops: list[int] = field(default_factory=lambda: [0] * WRITER_FIFO_DEPTH)


def make_load(config: AcceleratorConfig, table: Table, data: Data) -> Load:
    """Return load before the first cycle."""
    values = {"load.ifmap": _ifmaps(table), "load.filter": _filters(table, config.bus_bytes)}
    rows = table.rows("load", COMMAND_WORDS, values | {"load.parameter": _parameters(table)})
    return Load(data.place(rows), config.bus_bytes, config.burst_beats)


def _ifmaps(table: Table) -> dict[int, np.ndarray]:
    names = {WAIT_FREE: "wait_ifmap_free", WAIT_WRITTEN: "wait_written", SIGNAL: "signal_ifmap_ready"}
    names |= {RUN_BEATS: "column_beats", COLUMNS: "columns", DRAM_ADDRESS: "dram_address"}
    names |= {BLOCK_STRIDE: "block_stride", COLUMN_STRIDE: "column_stride"}
    values = {word: table.field("load.ifmap", name) for word, name in names.items()}
    return values | {RUNS: table.field("load.ifmap", "blocks") * values[COLUMNS]}


def _filters(table: Table, bus_bytes: int) -> dict[int, np.ndarray]:
    names = ("dram_address", "items", "words", "lanes")
    address, items, words, lanes = (table.field("load.filter", name) for name in names)
    values = {WORDS: words, RUNS: items, RUN_BEATS: lanes * words, COLUMNS: items, DRAM_ADDRESS: address}
    return values | {COLUMN_STRIDE: lanes * words * bus_bytes}


def _parameters(table: Table) -> dict[int, np.ndarray]:
    names = ("wait_parameter_free", "dram_address", "channels")
    free, address, channels = (table.field("load.parameter", name) for name in names)
    one = np.ones_like(free)
    values = {WAIT_FREE: free, SIGNAL: one, RUNS: one, COLUMNS: one}
    return values | {RUN_BEATS: PARAMETER_BEATS * channels, DRAM_ADDRESS: address}


@compilable
def step_load(load: Load, queues: Queues, tokens: Tokens, marks: Marks, port: Port, data: Vector) -> bool:
    """Start the next command, or the next item of a filter load, if its time is known; return whether it is."""
    if load.item:
        return start_item(load, tokens, port, data)
    number, seen = queues.popped[LOAD], head(queues, LOAD)
    if load.busy or seen == NEVER:
        return False
    command = load.commands + number * COMMAND_WORDS
    kind, wait_free, wait_written = data[command + KIND], data[command + WAIT_FREE], data[command + WAIT_WRITTEN]
    free = PARAMETER_FREE if kind == PARAMETER else IFMAP_FREE
    start = max(load.idle, seen, writer_room(load, number), visible(tokens, data, free, wait_free))
    start = max(start, visible(tokens, data, WRITTEN, wait_written))
    if kind == MARK:
        start = max(start, snapshot_free(marks, load.marks))
    if start >= NEVER:
        return False
    take(tokens, free, wait_free)
    take(tokens, WRITTEN, wait_written)
    pop(queues, LOAD, start)
    load.idle = start + 1
    if kind == MARK:
        load.marks += 1
        capture_in_writer(load, queues, marks, data, 0)
    else:
        load.busy, load.command, load.run = True, command, 0
        request_burst(load, port, data, start + 1)
    return True


@compilable
def writer_room(load: Load, number: int) -> int:
    """Return the first cycle in which the writer's FIFO takes a command."""
    leaves = number - WRITER_FIFO_DEPTH
    if leaves < 0:
        return 0
    return load.writer_pops[leaves % WRITER_FIFO_DEPTH] + 1 if leaves < load.written else NEVER


@compilable
def request_burst(load: Load, port: Port, data: Vector, ready: int) -> None:
    """Ask for the next burst from cycle ``ready`` on, or let an item wait for words, or become idle."""
    command = load.command
    words = data[command + WORDS]
    while not load.beats_left:
        if load.run == data[command + RUNS]:
            load.busy, load.idle = False, ready
            return
        start_run(load, data)
        if words:
            load.item, load.item_since = True, ready
            return
    beats = burst_beats(load.address, load.beats_left, load.longest, load.bus_bytes)
    load.address += beats * load.bus_bytes
    load.beats_left -= beats
    tag = 0
    if not load.beats_left:
        tag = 2 * words
        if load.run == data[command + RUNS]:
            tag += 1
    want(port, LOAD_READS, ready, beats, tag)


@compilable
def start_run(load: Load, data: Vector) -> None:
    """Go on with the command's next run of beats."""
    command, columns = load.command, data[load.command + COLUMNS]
    offset = load.run // columns * data[command + BLOCK_STRIDE] + load.run % columns * data[command + COLUMN_STRIDE]
    load.address = data[command + DRAM_ADDRESS] + offset
    load.beats_left = data[command + RUN_BEATS]
    load.run += 1


@compilable
def start_item(load: Load, tokens: Tokens, port: Port, data: Vector) -> bool:
    """Take the words of a filter item if their time is known; return whether it is."""
    words = data[load.command + WORDS]
    free = visible(tokens, data, FILTER_FREE, words)
    if free == NEVER:
        return False
    take(tokens, FILTER_FREE, words)
    load.item = False
    request_burst(load, port, data, max(load.item_since, free) + 1)
    return True


@compilable
def accept_load(load: Load, queues: Queues, port: Port, data: Vector, cycle: int) -> None:
    """Accept the wanted AR."""
    request_burst(load, port, data, cycle + 1)
    if load.item or not load.busy:
        queues.awake[LOAD] = 1


@compilable
def first_beat(load: Load, cycle: int) -> int:
    """Return the first handshake of data offered from ``cycle`` on: a mark at the writer's head holds it back."""
    return max(cycle, load.writer_pops[(load.written - 1) % WRITER_FIFO_DEPTH] + 1) if load.written else cycle


@compilable
def receive_load(
    load: Load, queues: Queues, tokens: Tokens, marks: Marks, data: Vector, last: int, words: int, ends_command: int
) -> None:
    """Write a burst whose last beat is handshaken in cycle ``last``, and which ends a filter item of ``words``."""
    give(tokens, queues, data, FILTER_LEVEL, last + 1, words)
    if ends_command:
        queues.awake[LOAD] = 1  # there is room in the writer's FIFO
        command = load.commands + load.written * COMMAND_WORDS
        if data[command + KIND] == IFMAP:
            give(tokens, queues, data, IFMAP_READY, last + 1, data[command + SIGNAL])
        elif data[command + KIND] == PARAMETER:
            give(tokens, queues, data, PARAMETER_READY, last + 1, data[command + SIGNAL])
        pop_writer(load, last)
        capture_in_writer(load, queues, marks, data, last + 1)


@compilable
def pop_writer(load: Load, cycle: int) -> None:
    """Let the command at the head of the writer's FIFO leave it in ``cycle``."""
    load.writer_pops[load.written % WRITER_FIFO_DEPTH] = cycle
    load.written += 1


@compilable
def capture_in_writer(load: Load, queues: Queues, marks: Marks, data: Vector, since: int) -> None:
    """Capture if a mark is at the head of the writer's FIFO: in ``since``, or the cycle after it was pushed."""
    number = load.written
    if number < queues.popped[LOAD] and data[load.commands + number * COMMAND_WORDS + KIND] == MARK:
        cycle = max(since, queues.pops[place(LOAD, number)] + 1)
        pop_writer(load, cycle)
        capture(marks, queues, LOAD, cycle)
