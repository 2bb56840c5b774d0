"""Cycles of stage and deliver: sections 5 and 6 of docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass, field

from golden.compiled import Data, Vector, compilable
from golden.engine_model import DELIVER, MAC, NEVER, STAGE, Marks, Queues, head, pop, start_mark
from golden.passes import delivered_columns, ifmap_operations
from golden.table import KIND, LAYER, MARK, PASS, Table
from golden.tokens import (
    FILTER_FREE,
    FILTER_LEVEL,
    HALVES,
    IFMAP_FREE,
    IFMAP_READY,
    STAGED,
    Tokens,
    give,
    take,
    visible,
)
from hw import spec
from hw.config import AcceleratorConfig

#: A command of stage in ``data`` after :data:`golden.table.KIND`.
REUSE, FILTER_WORDS, GROUPS, KEEP_LAST, STAGE_WORDS = range(1, 6)


@dataclass(slots=True)
class Stage:
    """Filter buffer to filter scratchpads.

    Members
    -------
    commands : int
        Address of the commands.
    idle : int
        First cycle in which it is idle.
    busy : bool
        Whether a pass is under way.
    command, group, following : int
        Of the pass: its address, groups staged, first cycle that may look for the next group.
    kept : bool
        Whether the pass before left its last group in the filter buffer.
    """

    commands: int
    idle: int = 0
    busy: bool = False
    command: int = 0
    group: int = 0
    following: int = 0
    kept: bool = False


def make_stage(table: Table, data: Data) -> Stage:
    """Return stage before the first cycle."""
    names = {REUSE: "reuse_filters", FILTER_WORDS: "filter_words", GROUPS: "groups", KEEP_LAST: "keep_last_group"}
    passes = {word: table.field("execute.pass", name) for word, name in names.items()}
    return Stage(data.place(table.rows("stage", STAGE_WORDS, {"execute.pass": passes})))


@compilable
def step_stage(stage: Stage, queues: Queues, tokens: Tokens, marks: Marks, data: Vector) -> bool:
    """Start the next command, or the next group of the pass under way, if its time is known; return whether it is."""
    if stage.busy:
        return stage_group(stage, queues, tokens, data)
    seen = head(queues, STAGE)
    if seen == NEVER:
        return False
    command = stage.commands + queues.popped[STAGE] * STAGE_WORDS
    if data[command + KIND] == MARK:
        start = start_mark(queues, marks, STAGE, stage.idle)
        if start < NEVER:
            stage.idle = start + 1
        return start < NEVER
    start = max(stage.idle, seen)
    if data[command + KIND] == PASS:
        if data[command + REUSE]:
            give(tokens, queues, data, STAGED, start + 1, 1)
        else:
            start = max(start, visible(tokens, data, HALVES, 1))
            if start >= NEVER:
                return False
            take(tokens, HALVES, 1)
            stage.busy, stage.command, stage.group, stage.following = True, command, 0, start + 1
    pop(queues, STAGE, start)
    stage.idle = start + 1
    return True


@compilable
def stage_group(stage: Stage, queues: Queues, tokens: Tokens, data: Vector) -> bool:
    """Stage the pass's next group if its time is known; return whether it is."""
    words = data[stage.command + FILTER_WORDS]
    needed = 0 if stage.kept else words
    level = visible(tokens, data, FILTER_LEVEL, needed)
    if level == NEVER:
        return False
    take(tokens, FILTER_LEVEL, needed)
    last_read = max(stage.following, level) + words
    stage.group += 1
    is_last = stage.group >= data[stage.command + GROUPS]
    stage.kept = is_last and data[stage.command + KEEP_LAST] != 0
    if not stage.kept:
        give(tokens, queues, data, FILTER_FREE, last_read + 1, words)
    stage.following = last_read + 1
    if is_last:
        give(tokens, queues, data, STAGED, last_read + 2, 1)
        stage.busy, stage.idle = False, last_read + 2
    return True


#: A command of deliver in ``data`` after :data:`golden.table.KIND`: tokens, the ring, ifmap columns and the operations
#: of each.
WAIT_READY, SIGNAL_FREE, RING_COLUMNS, IFMAP_COLUMNS, OPERATIONS, DELIVER_WORDS = range(1, 7)
#: Ifmap columns that are remembered: more than any ring has.
COLUMNS = 1 << next(f.width for f in spec.COMMAND["execute.layer"].fields if f.name == "ring_columns")


@dataclass(slots=True)
class Ring:
    """The ifmap scratchpads' ring of ifmap columns.

    Members
    -------
    delivered, released : int
        Columns so far.
    deliveries, releases : list of int
        Rings: cycle in which each column's delivery, or its release, is visible.
    """

    delivered: int = 0
    released: int = 0
    deliveries: list[int] = field(default_factory=lambda: [0] * COLUMNS)
    releases: list[int] = field(default_factory=lambda: [0] * COLUMNS)


@dataclass(slots=True)
class Deliver:
    """Ifmap lanes to ifmap scratchpads.

    Members
    -------
    commands, setup : int
        Address of the commands; cycles before a pass's first operation.
    idle : int
        First cycle in which it is idle, while no pass is under way.
    command, columns_left, following : int
        Of the pass under way: its address, ifmap columns left, cycle after the last operation so far.
    """

    commands: int
    setup: int
    idle: int = 0
    command: int = 0
    columns_left: int = 0
    following: int = 0


def make_deliver(config: AcceleratorConfig, table: Table, data: Data) -> Deliver:
    """Return deliver before the first cycle.

    Raises
    ------
    ValueError
        If a layer has a ring that no command can describe.
    """
    ring_columns = table.layer_field("execute.pass", "ring_columns")
    if ring_columns.max(initial=0) >= COLUMNS:
        raise ValueError(f"execute.layer.ring_columns must be less than {COLUMNS}, not {ring_columns.max()}")
    passes = {
        WAIT_READY: table.field("execute.pass", "wait_ifmap_ready"),
        SIGNAL_FREE: table.field("execute.pass", "signal_ifmap_free"),
        RING_COLUMNS: ring_columns,
        IFMAP_COLUMNS: delivered_columns(table),
        OPERATIONS: ifmap_operations(table, config.lanes),
    }
    commands = data.place(table.rows("deliver", DELIVER_WORDS, {"execute.pass": passes}))
    return Deliver(commands, max(config.rows, config.cols))


@compilable
def step_deliver(deliver: Deliver, ring: Ring, queues: Queues, tokens: Tokens, marks: Marks, data: Vector) -> bool:
    """Deliver further columns of the pass under way, or start the next command; return whether either is known."""
    if deliver.columns_left:
        return deliver_columns(deliver, ring, queues, tokens, data)
    seen = head(queues, DELIVER)
    if seen == NEVER:
        return False
    command = deliver.commands + queues.popped[DELIVER] * DELIVER_WORDS
    if data[command + KIND] == MARK:
        start = start_mark(queues, marks, DELIVER, deliver.idle)
        if start < NEVER:
            deliver.idle = start + 1
        return start < NEVER
    wait = data[command + WAIT_READY]
    start = max(deliver.idle, seen, visible(tokens, data, IFMAP_READY, wait))
    if data[command + KIND] == LAYER:
        start = max(start, ring_empty(ring))
    if start >= NEVER:
        return False
    take(tokens, IFMAP_READY, wait)
    pop(queues, DELIVER, start)
    deliver.idle, deliver.command, deliver.columns_left = start + 1, command, data[command + IFMAP_COLUMNS]
    deliver.following = start + 1 + deliver.setup
    return True


@compilable
def ring_empty(ring: Ring) -> int:
    """Return the first cycle in which all columns delivered so far are released."""
    if ring.released < ring.delivered:
        return NEVER
    return ring.releases[(ring.released - 1) % COLUMNS] if ring.released else 0


@compilable
def deliver_columns(deliver: Deliver, ring: Ring, queues: Queues, tokens: Tokens, data: Vector) -> bool:
    """Deliver as many columns of the pass under way as the releases known so far allow; return whether any."""
    operations, ahead = data[deliver.command + OPERATIONS], data[deliver.command + RING_COLUMNS]
    left, following, count, released = deliver.columns_left, deliver.following, ring.delivered, ring.released
    while left > 0 and count - ahead < released:
        if count >= ahead:
            following = max(following, ring.releases[(count - ahead) % COLUMNS])
        following += operations
        ring.deliveries[count % COLUMNS] = following + 1  # the last operation is in following - 1
        count += 1
        left -= 1
    if count == ring.delivered:
        return False
    deliver.columns_left, deliver.following, ring.delivered = left, following, count
    queues.awake[MAC] = 1
    if not left:
        give(tokens, queues, data, IFMAP_FREE, following, data[deliver.command + SIGNAL_FREE])
        deliver.idle = following
    return True
