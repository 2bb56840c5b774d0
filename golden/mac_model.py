"""Cycles of mac: section 7 of docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from golden.compiled import Data, Vector, compilable
from golden.engine_model import DELIVER, MAC, NEVER, Marks, Queues, capture, head, pop, snapshot_free
from golden.execute_model import COLUMNS as RING
from golden.execute_model import Deliver, Ring, deliver_columns
from golden.passes import ofmap_operations, psums_and_spacing
from golden.table import KIND, MARK, PASS, Table
from golden.tokens import HALVES, PSUM_FREE, PSUM_READY, STAGED, Tokens, give, take, visible
from hw.config import AcceleratorConfig

#: A pass in ``data`` after :data:`golden.table.KIND`: tokens; S; new ifmap columns and operations of an ofmap column;
#: ofmap columns; psums, and the cycles from one that leaves to the next; cycles from launch to the last psum at the
#: chain's end.
(
    WAIT_PSUM,
    SIGNAL_PSUM,
    RELEASE_FILTERS,
    TAPS,
    FRESH,
    OPERATIONS,
    COLUMNS,
    PSUMS,
    SPACING,
    FIRST,
    FLUSH,
    CHAIN,
    COMMAND_WORDS,
) = range(1, 14)

#: Cycle counters that the timeline decides, in the order of :class:`Mac`'s ``cycles``.
COUNTED = ("hold", "launch", "wait_command", "wait_drain", "wait_filter", "wait_load")
HOLD, LAUNCH, WAIT_COMMAND, WAIT_DRAIN, WAIT_FILTER, WAIT_LOAD = range(len(COUNTED))


@dataclass(slots=True)
class Mac:
    """Micro-operations, emissions and the cycle counters of execution.

    Members
    -------
    commands, snapshots : int
        Address of the commands; of ``cycles`` at each mark.
    rows : int
        PE rows.
    idle : int
        First cycle in which it is idle.
    after_pass : bool
        Whether a pass ends in the cycle before, in which the next may launch.
    pending : bool
        Whether an ofmap column has not left the PEs yet.
    pending_first, pending_signal : int
        What its pass said about it: whether it starts from zero, tokens to give.
    cycles : list of int
        See :data:`COUNTED`.
    """

    commands: int
    snapshots: int
    rows: int
    idle: int = 1
    after_pass: bool = False
    pending: bool = False
    pending_first: int = 0
    pending_signal: int = 0
    cycles: list[int] = field(default_factory=lambda: [0] * len(COUNTED))


#: A row of reads in ``data``: cycles of its first and its last read, and from one read to the next.
ROW_FIRST, ROW_LAST, ROW_SPACING, ROW_WORDS = range(4)


@dataclass(slots=True)
class Heads:
    """Reads of the psum banks at the chain's head: one row of them for each ofmap column that leaves.

    Members
    -------
    oldest, following : int
        Address of the first row that can still matter, and of the next.
    """

    oldest: int
    following: int


def make_mac(config: AcceleratorConfig, table: Table, data: Data) -> Mac:
    """Return mac before the first cycle."""
    names = {WAIT_PSUM: "wait_psum_free", SIGNAL_PSUM: "signal_psum_ready", RELEASE_FILTERS: "release_filters"}
    names |= {COLUMNS: "columns", FIRST: "first", FLUSH: "flush"}
    passes = {word: table.field("execute.pass", name) for word, name in names.items()}
    taps, stride, depthwise = (
        table.layer_field("execute.pass", name) for name in ("filter_columns", "stride_columns", "depthwise")
    )
    psums, spacing = psums_and_spacing(table)
    slots_before_last = np.where(depthwise & passes[FLUSH], psums - 1, 0)
    passes |= {TAPS: taps, FRESH: np.minimum(stride, taps), OPERATIONS: ofmap_operations(table)}
    passes |= {PSUMS: psums, SPACING: spacing, CHAIN: slots_before_last * taps + config.rows + 2}
    commands = data.place(table.rows("mac", COMMAND_WORDS, {"execute.pass": passes}))
    return Mac(commands, data.reserve(len(table.places("mark")) * len(COUNTED)), config.rows)


def make_heads(table: Table, data: Data) -> Heads:
    """Return the head's reads before the first, with room for those of every ofmap column that needs them."""
    columns = np.maximum(1, table.field("execute.pass", "columns"))
    rows = data.reserve(ROW_WORDS * int(columns[table.field("execute.pass", "first") == 0].sum()))
    return Heads(rows, rows)


class Array(NamedTuple):
    """Mac with what it works on: the ring that deliver fills, and the psum chain's head."""

    deliver: Deliver
    ring: Ring
    mac: Mac
    heads: Heads


@compilable
def step_mac(array: Array, queues: Queues, tokens: Tokens, marks: Marks, data: Vector) -> bool:
    """Start the next command if its time is known; return whether it is."""
    mac, seen = array.mac, head(queues, MAC)
    if seen == NEVER:
        return False
    command = mac.commands + queues.popped[MAC] * COMMAND_WORDS
    if data[command + KIND] == PASS:
        launch = launch_pass(mac, command, array.ring, tokens, data, seen)
        if launch < NEVER:
            pop(queues, MAC, launch)
            run_pass(array, command, launch, queues, tokens, data)
        return launch < NEVER
    is_mark = data[command + KIND] == MARK
    free = snapshot_free(marks, marks.counts[MAC]) if is_mark else 0
    start = max(mac.idle, seen, free)
    if start >= NEVER:
        return False
    wait(mac, start, seen, free, 0, 0)
    mac.after_pass = False
    pop(queues, MAC, start)
    if is_mark:
        snapshot = mac.snapshots + marks.counts[MAC] * len(COUNTED)
        for counter in range(len(COUNTED)):
            data[snapshot + counter] = mac.cycles[counter]
        capture(marks, queues, MAC, start)
    return True


@compilable
def wait(mac: Mac, start: int, command: int, drain: int, filters: int, load: int) -> None:
    """Account for the cycles from idle to ``start``: each waits for the first condition that is not met yet."""
    since = wait_until(mac, WAIT_COMMAND, mac.idle, min(command, start))
    since = wait_until(mac, WAIT_DRAIN, since, min(drain, start))
    since = wait_until(mac, WAIT_FILTER, since, min(filters, start))
    wait_until(mac, WAIT_LOAD, since, min(load, start))
    mac.cycles[LAUNCH] += 1
    mac.idle = start + 1


@compilable
def wait_until(mac: Mac, counter: int, since: int, condition: int) -> int:
    """Count the cycles until a condition is met; return the first that is not counted."""
    if condition <= since:
        return since
    mac.cycles[counter] += condition - since
    return condition


@compilable
def launch_pass(mac: Mac, command: int, ring: Ring, tokens: Tokens, data: Vector, seen: int) -> int:
    """Take a pass's tokens and return the cycle in which it launches, or NEVER while that is not known."""
    psum = visible(tokens, data, PSUM_FREE, data[command + WAIT_PSUM])
    staged = visible(tokens, data, STAGED, 1)
    window = ring.released + data[command + TAPS]
    if psum == NEVER or staged == NEVER or ring.delivered < window:
        return NEVER
    take(tokens, PSUM_FREE, data[command + WAIT_PSUM])
    take(tokens, STAGED, 1)
    delivered = ring.deliveries[(window - 1) % RING]
    end = mac.idle - 1 if mac.after_pass else mac.idle
    launch = max(end, seen, psum, staged, delivered)
    if launch >= mac.idle:
        wait(mac, launch, seen, psum, staged, delivered)
    return launch


@compilable
def run_pass(array: Array, command: int, launch: int, queues: Queues, tokens: Tokens, data: Vector) -> None:
    """Run a pass that launches in cycle ``launch``."""
    mac, ring = array.mac, array.ring
    columns, psums, first = data[command + COLUMNS], data[command + PSUMS], data[command + FIRST]
    last = launch
    for column in range(columns):
        decision = next_column(array, command, last, queues, tokens, data) if column else launch
        if mac.pending:
            emit(array, queues, tokens, data, decision + 1, psums, data[command + SPACING])
        mac.pending, mac.pending_first, mac.pending_signal = True, first, 0
        last = decision + data[command + OPERATIONS]
        release(ring, data[command + FRESH] if column < columns - 1 else data[command + TAPS], last + mac.rows)
    queues.awake[DELIVER] = 1
    if data[command + RELEASE_FILTERS]:
        give(tokens, queues, data, HALVES, last + mac.rows, 1)
    mac.pending, mac.pending_first, mac.pending_signal = True, first, data[command + SIGNAL_PSUM]
    held = max(last, launch + data[command + CHAIN])
    mac.cycles[HOLD] += held - last
    mac.idle, mac.after_pass = held + 1, True
    if data[command + FLUSH]:
        emit(array, queues, tokens, data, held + 1, psums, 1)
        mac.pending = False
        mac.idle += psums


@compilable
def next_column(array: Array, command: int, last: int, queues: Queues, tokens: Tokens, data: Vector) -> int:
    """Return the cycle of the launch decision of a column after one whose last operation is in cycle ``last``."""
    mac, ring = array.mac, array.ring
    window = ring.released + data[command + TAPS]
    if ring.delivered < window:
        deliver_columns(array.deliver, ring, queues, tokens, data)
    delivered = ring.deliveries[(window - 1) % RING]
    if delivered <= last:
        return last
    mac.cycles[WAIT_LOAD] += delivered - last - 1
    mac.cycles[LAUNCH] += 1
    return delivered


@compilable
def release(ring: Ring, columns: int, cycle: int) -> None:
    """Release the ring's oldest columns, visible in ``cycle``."""
    for index in range(ring.released, ring.released + columns):
        ring.releases[index % RING] = cycle
    ring.released += columns


@compilable
def emit(array: Array, queues: Queues, tokens: Tokens, data: Vector, first: int, psums: int, spacing: int) -> None:
    """Let the pending column's psums leave from cycle ``first`` on."""
    mac, heads, between = array.mac, array.heads, (psums - 1) * spacing
    if not mac.pending_first:
        row = heads.following
        data[row + ROW_FIRST], data[row + ROW_LAST], data[row + ROW_SPACING] = first + 2, first + 2 + between, spacing
        heads.following = row + ROW_WORDS
    give(tokens, queues, data, PSUM_READY, first + between + mac.rows + 4, mac.pending_signal)
