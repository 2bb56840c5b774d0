"""Drain's second feature map, read ahead of its addition; section 8 of docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass, field

from golden.blocks import BLOCK_ADDRESS, BLOCK_BEATS, BLOCK_WORDS, COLUMN_STRIDE, COLUMNS
from golden.compiled import Vector, compilable
from golden.engine_model import DRAIN, NEVER, Queues
from golden.memory_model import LONGEST_BURST_BEATS, RESIDUAL_READS, Port, burst_beats, want
from golden.tokens import Credits, free_places, give_back

PIPELINE_CYCLES = 6  # last bank read of a block to the block complete
ADD_CYCLES = 6  # the same, beyond that, with a residual
BLOCKS_AHEAD = 16  # descriptors between walker and reader
#: Blocks that are remembered: those ahead and the one that is shown, and a power of two.
BLOCKS = 2 * BLOCKS_AHEAD
ADDRESSES = 1 << 32


@dataclass(slots=True)
class Residual:
    """The walker while a second feature map is added: asks for each block's share of it.

    Members
    -------
    bus_bytes : int
        Of a beat.
    first_block, column_blocks, column_stride : int
        Of the strip: address of its first block, blocks of an ofmap column, bytes from one column to the next.
    to_show, block : int
        Blocks left, the next one's number within its ofmap column.
    offset : int
        What leads from the block's address in the first ofmap column to its residual.
    shown_since : int
        Cycle from which the block is shown.
    wanting : bool
        Whether an AR waits to be accepted.
    address, beats_left : int
        Of the block's residual, as far as it has not been asked for.
    shown, received, read : int
        Blocks whose last AR is accepted, whose residual has come, whose last bank read is known.
    ready, reads : list of int
        Rings: cycle from which each block's residual is there; cycle of its last bank read.
    """

    bus_bytes: int
    first_block: int = 0
    column_blocks: int = 0
    column_stride: int = 0
    to_show: int = 0
    block: int = 0
    offset: int = 0
    shown_since: int = 0
    wanting: bool = False
    address: int = 0
    beats_left: int = 0
    shown: int = 0
    received: int = 0
    read: int = 0
    ready: list[int] = field(default_factory=lambda: [0] * BLOCKS)
    reads: list[int] = field(default_factory=lambda: [0] * BLOCKS)


@compilable
def start_residual(
    residual: Residual, data: Vector, cycle: int, strip: int, blocks: int, count: int, offset: int
) -> None:
    """Begin a strip whose first block is shown in ``cycle``.

    Its ``count`` blocks of an ofmap column are at address ``blocks``; ``offset`` leads from ofmap to residual.
    """
    residual.first_block, residual.column_blocks = blocks, count
    residual.column_stride, residual.to_show = data[strip + COLUMN_STRIDE], count * data[strip + COLUMNS]
    residual.block, residual.offset, residual.shown_since = 0, offset, cycle


@compilable
def step_residual(residual: Residual, credits: Credits, port: Port, data: Vector) -> bool:
    """Ask for the next block's residual if its time is known; return whether it is."""
    if residual.wanting or not residual.to_show:
        return False
    block = residual.first_block + residual.block * BLOCK_WORDS
    leaves = residual.shown - BLOCKS_AHEAD
    credit = free_places(credits, data[block + BLOCK_BEATS])
    if credit == NEVER or leaves >= residual.read:
        return False
    room = residual.reads[leaves % BLOCKS] + 1 if leaves >= 0 else 0
    credits.taken += data[block + BLOCK_BEATS]
    residual.address = (data[block + BLOCK_ADDRESS] + residual.offset) % ADDRESSES
    residual.beats_left = data[block + BLOCK_BEATS]
    residual.wanting = True
    want_piece(residual, port, max(residual.shown_since, credit, room))
    return True


@compilable
def want_piece(residual: Residual, port: Port, valid: int) -> None:
    """Ask for the block's residual up to the next 4 KiB; the burst remembers whether it is the block's last."""
    beats = burst_beats(residual.address, residual.beats_left, LONGEST_BURST_BEATS, residual.bus_bytes)
    residual.address += beats * residual.bus_bytes
    residual.beats_left -= beats
    want(port, RESIDUAL_READS, valid, beats, 0 if residual.beats_left else 1)


@compilable
def accept_residual(residual: Residual, queues: Queues, port: Port, cycle: int) -> None:
    """Accept the wanted AR."""
    if residual.beats_left:
        want_piece(residual, port, cycle + 1)
        return
    residual.wanting, residual.shown_since = False, cycle + 1
    residual.to_show -= 1
    residual.shown += 1
    residual.block += 1
    if residual.block == residual.column_blocks:
        residual.block = 0
        residual.offset += residual.column_stride
    queues.awake[DRAIN] = 1


@compilable
def receive_residual(residual: Residual, queues: Queues, last: int, ends_block: int) -> None:
    """Receive a burst whose last beat is handshaken in cycle ``last``."""
    if ends_block:
        residual.ready[residual.received % BLOCKS] = last + 1
        residual.received += 1
        queues.awake[DRAIN] = 1


@compilable
def residual_ready(residual: Residual) -> int:
    """Return the first cycle in which the residual of the next block to be read is there."""
    return residual.ready[residual.read % BLOCKS] if residual.read < residual.received else NEVER


@compilable
def read_block(residual: Residual, credits: Credits, last_read: int, beats: int) -> None:
    """Let a block's last read be in ``last_read``: its descriptor is gone, its residual beats go one by one."""
    residual.reads[residual.read % BLOCKS] = last_read
    residual.read += 1
    give_back(credits, last_read + PIPELINE_CYCLES + 1, beats)
