"""Cycles of drain's commands and of what its write bursts end: section 8 of docs/timing.md."""

from __future__ import annotations

from golden.blocks import COLUMNS, cut_column
from golden.compiled import Vector, compilable
from golden.drain_reads import start_block
from golden.drain_state import (
    ADDRESS_OFFSET,
    COMMAND_WORDS,
    COUNTS,
    ENABLE,
    LAST,
    TOTAL,
    WAIT_PARAMETER,
    WAIT_PSUM,
    Output,
)
from golden.engine_model import DRAIN, NEVER, Marks, Queues, all_captured, head, pop, write_mark
from golden.mac_model import Heads
from golden.memory_model import Memory
from golden.residual_model import start_residual, step_residual
from golden.table import KIND, MARK, RESIDUAL, STRIP
from golden.tokens import PARAMETER_READY, PSUM_READY, WRITTEN, Tokens, free_places, give, give_back, take, visible
from golden.write_model import SNAPSHOT, acknowledge, all_acknowledged, step_writer, write_snapshot


@compilable
def step_drain(
    output: Output, heads: Heads, queues: Queues, tokens: Tokens, marks: Marks, memory: Memory, data: Vector
) -> bool:
    """Issue the next AW, start the next block's reads or the next command; return whether any of these is known."""
    drain = output.drain
    if step_writer(output.writer, memory):
        return True
    if step_residual(output.residual, output.residual_credits, memory.port, data):
        return True
    if drain.last_read < NEVER or drain.marking:
        return False
    if drain.blocks_left:
        return start_block(output, heads, data)
    start = start_cycle(output, queues, tokens, marks, data)
    if start < NEVER:
        start_command(output, queues, tokens, marks, memory, data, start)
    return start < NEVER


@compilable
def start_cycle(output: Output, queues: Queues, tokens: Tokens, marks: Marks, data: Vector) -> int:
    """Return the cycle in which the next command starts, NEVER while it is not known."""
    drain = output.drain
    start = max(drain.idle, head(queues, DRAIN))
    if start == NEVER:
        return NEVER
    command = drain.commands + queues.popped[DRAIN] * COMMAND_WORDS
    if data[command + KIND] == MARK:
        return max(start, all_captured(marks), all_acknowledged(output.writer))
    if data[command + KIND] == RESIDUAL:
        return max(start, free_places(output.credits, output.credits.places))
    psum = visible(tokens, data, PSUM_READY, data[command + WAIT_PSUM])
    parameter = visible(tokens, data, PARAMETER_READY, data[command + WAIT_PARAMETER])
    return max(start, psum, parameter)


@compilable
def start_command(
    output: Output, queues: Queues, tokens: Tokens, marks: Marks, memory: Memory, data: Vector, start: int
) -> None:
    """Start the next command in cycle ``start``."""
    drain = output.drain
    command = drain.commands + queues.popped[DRAIN] * COMMAND_WORDS
    kind = data[command + KIND]
    pop(queues, DRAIN, start)
    take(tokens, PSUM_READY, data[command + WAIT_PSUM])
    take(tokens, PARAMETER_READY, data[command + WAIT_PARAMETER])
    drain.command, drain.idle = command, start + 1
    if kind == MARK:
        start_snapshot(output, memory, data, marks.counts[DRAIN], start)
    elif kind == RESIDUAL:
        drain.adding, drain.residual_offset = data[command + ENABLE], data[command + ADDRESS_OFFSET]
    elif kind == STRIP:
        start_strip(output, data, start)


@compilable
def start_snapshot(output: Output, memory: Memory, data: Vector, mark: int, start: int) -> None:
    """Capture the counters of a mark that starts in cycle ``start``, and write the snapshot."""
    drain = output.drain
    drain.counts[TOTAL] = start
    for counter in range(COUNTS):
        data[drain.snapshots + mark * COUNTS + counter] = drain.counts[counter]
    drain.marking = True
    write_snapshot(output.writer, memory, start + 1)


@compilable
def start_strip(output: Output, data: Vector, start: int) -> None:
    """Cut the strip that starts in cycle ``start``."""
    drain, strip = output.drain, output.drain.command
    count = cut_column(strip, drain.blocks, data, drain.width, drain.channel_block, drain.bus_bytes)
    drain.block, drain.column_blocks, drain.blocks_left = 0, count, count * data[strip + COLUMNS]
    drain.offset, drain.earliest = 0, start + 2
    if drain.adding:
        start_residual(output.residual, data, start + 1, strip, drain.blocks, count, drain.residual_offset)


@compilable
def end_write(
    output: Output,
    queues: Queues,
    tokens: Tokens,
    marks: Marks,
    data: Vector,
    first: int,
    beats: int,
    response: int,
    tag: int,
) -> None:
    """Let a write burst begin in cycle ``first`` and its B come in cycle ``response``; ``tag`` is the writer's."""
    drain = output.drain
    acknowledge(output.writer, response)
    queues.awake[DRAIN] = 1
    if tag != SNAPSHOT:
        give_back(output.credits, first, beats)
        give(tokens, queues, data, WRITTEN, response + 1, tag)
        return
    write_mark(marks, queues, response)
    drain.marking, drain.idle = False, response + 1
    if data[drain.command + LAST]:
        drain.finished = response + 1
