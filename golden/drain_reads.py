"""Cycles and counts of drain's bank reads: section 8 of docs/timing.md."""

from __future__ import annotations

from golden.blocks import BLOCK_ADDRESS, BLOCK_BEATS, BLOCK_READS, BLOCK_WORDS, COLUMN_STRIDE
from golden.compiled import Vector, compilable
from golden.drain_state import (
    BEATS_ADDED,
    CHANNELS_READ,
    PSUMS_ADDED,
    PSUMS_READ,
    SIGNAL_PARAMETER,
    SIGNAL_PSUM,
    SIGNAL_WRITTEN,
    Drain,
    Output,
)
from golden.engine_model import DRAIN, NEVER, Queues
from golden.mac_model import ROW_FIRST, ROW_LAST, ROW_SPACING, ROW_WORDS, Heads
from golden.residual_model import ADD_CYCLES, PIPELINE_CYCLES, read_block, residual_ready
from golden.tokens import PARAMETER_FREE, PSUM_FREE, Tokens, free_places, give
from golden.write_model import complete_block


@compilable
def start_block(output: Output, heads: Heads, data: Vector) -> bool:
    """Start the next block's reads if their time is known; return whether it is."""
    drain = output.drain
    block = drain.blocks + drain.block * BLOCK_WORDS
    reads, beats = data[block + BLOCK_READS], data[block + BLOCK_BEATS]
    credit = free_places(output.credits, beats)
    ready = residual_ready(output.residual) if drain.adding else 0
    if credit == NEVER or ready == NEVER:
        return False
    output.credits.taken += beats
    after_hold = drain.hold_last + 1 + max(0, drain.hold_beats - reads)
    drain.first_read = max(drain.earliest, credit, ready, after_hold)
    drain.rows_known = heads.following
    drain.last_read = find_last_read(heads, data, drain.first_read, reads)
    return True


@compilable
def find_last_read(heads: Heads, data: Vector, first: int, reads: int) -> int:
    """Return the cycle of the last of ``reads`` bank reads from ``first`` on, as far as the head's reads are known."""
    row, end = heads.oldest, heads.following
    while row < end and data[row + ROW_LAST] < first:
        row += ROW_WORDS
    heads.oldest = row
    cycle = first - 1
    while reads > 0:
        cycle += 1
        while row < end and data[row + ROW_LAST] < cycle:
            row += ROW_WORDS
        if row == end or cycle < data[row + ROW_FIRST]:
            free = reads if row == end else min(reads, data[row + ROW_FIRST] - cycle)
            cycle += free - 1
            reads -= free
        elif (cycle - data[row + ROW_FIRST]) % data[row + ROW_SPACING]:
            reads -= 1
    return cycle


@compilable
def reach_last_read(output: Output, heads: Heads, queues: Queues, tokens: Tokens, data: Vector) -> None:
    """End the block if this is its last read, also with what has become known of the head's reads meanwhile."""
    drain, now = output.drain, output.drain.last_read
    if drain.rows_known < heads.following:
        reads = data[drain.blocks + drain.block * BLOCK_WORDS + BLOCK_READS]
        drain.rows_known = heads.following
        drain.last_read = find_last_read(heads, data, drain.first_read, reads)
    if drain.last_read <= now:
        drain.last_read = NEVER
        end_block(output, queues, tokens, data, now)


@compilable
def end_block(output: Output, queues: Queues, tokens: Tokens, data: Vector, last: int) -> None:
    """End the block whose last read is in cycle ``last``, and with its last block the strip."""
    drain = output.drain
    block = drain.blocks + drain.block * BLOCK_WORDS
    beats, address = data[block + BLOCK_BEATS], data[block + BLOCK_ADDRESS] + drain.offset
    complete = last + PIPELINE_CYCLES
    count_block(drain, data[block + BLOCK_READS], beats)
    if drain.adding:
        complete += ADD_CYCLES
        read_block(output.residual, output.residual_credits, last, beats)
    drain.hold_last, drain.hold_beats, drain.earliest = last, beats, last + 1
    drain.blocks_left -= 1
    drain.block += 1
    if drain.block == drain.column_blocks:
        drain.block = 0
        drain.offset += data[drain.command + COLUMN_STRIDE]
    written = 0 if drain.blocks_left else data[drain.command + SIGNAL_WRITTEN]
    complete_block(output.writer, address, beats, complete + 1, written)
    if not drain.blocks_left:
        give(tokens, queues, data, PSUM_FREE, last + 1, data[drain.command + SIGNAL_PSUM])
        give(tokens, queues, data, PARAMETER_FREE, last + 1, data[drain.command + SIGNAL_PARAMETER])
        drain.idle = last + 1
    queues.awake[DRAIN] = 1


@compilable
def count_block(drain: Drain, reads: int, beats: int) -> None:
    """Count a block's reads."""
    drain.counts[PSUMS_READ] += reads * beats
    drain.counts[CHANNELS_READ] += reads
    if drain.adding:
        drain.counts[PSUMS_ADDED] += reads * beats
        drain.counts[BEATS_ADDED] += beats
