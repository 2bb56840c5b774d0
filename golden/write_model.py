"""Cycles of the write master: bursts of complete blocks, and of snapshots; section 8 of docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass, field

from golden.compiled import compilable
from golden.engine_model import NEVER
from golden.memory_model import LONGEST_BURST_BEATS, Memory, burst_beats, request_write
from hw import spec
from hw.config import RANGES

#: Tag of a snapshot's write burst; others have the number of ``written`` tokens that they give.
SNAPSHOT = -1
#: Bursts that are remembered: more than beats in the FIFO, or bursts in flight, and a power of two.
BURSTS = 2 * max(RANGES["drain_fifo_beats"][1], RANGES["outstanding_writes"][1])


@dataclass(slots=True)
class Writer:
    """Write bursts from their completion to their B.

    Members
    -------
    bus_bytes, limit, snapshot_beats : int
        Of a beat; bursts in flight at most; beats of a snapshot.
    complete, issued, acknowledged : int
        Bursts so far.
    last : int
        Cycle of the last AW.
    visible, beats, tokens : list of int
        Rings: from which cycle on a burst can be issued, its beats, the ``written`` tokens that it gives.
    responses : list of int
        Ring: cycle of each B.
    """

    bus_bytes: int
    limit: int
    snapshot_beats: int = spec.SNAPSHOT_BEATS
    complete: int = 0
    issued: int = 0
    acknowledged: int = 0
    last: int = 0
    visible: list[int] = field(default_factory=lambda: [0] * BURSTS)
    beats: list[int] = field(default_factory=lambda: [0] * BURSTS)
    tokens: list[int] = field(default_factory=lambda: [0] * BURSTS)
    responses: list[int] = field(default_factory=lambda: [0] * BURSTS)


@compilable
def complete_block(writer: Writer, address: int, beats: int, visible: int, tokens: int) -> None:
    """Queue a block's bursts, seen from cycle ``visible`` on; the last one gives the tokens."""
    while beats > 0:
        length = burst_beats(address, beats, LONGEST_BURST_BEATS, writer.bus_bytes)
        address += length * writer.bus_bytes
        beats -= length
        index = writer.complete % BURSTS
        writer.visible[index], writer.beats[index], writer.tokens[index] = visible, length, 0 if beats else tokens
        writer.complete += 1


@compilable
def step_writer(writer: Writer, memory: Memory) -> bool:
    """Issue the oldest burst's AW if a place in flight is known to be free; return whether it is."""
    acknowledged = writer.issued - writer.limit  # what must have come before
    if writer.complete == writer.issued or acknowledged >= writer.acknowledged:
        return False
    index = writer.issued % BURSTS
    free = writer.responses[acknowledged % BURSTS] + 1 if acknowledged >= 0 else 0
    writer.last = max(writer.last + 1, writer.visible[index], free)
    writer.issued += 1
    request_write(memory, writer.last, writer.beats[index], writer.tokens[index])
    return True


@compilable
def write_snapshot(writer: Writer, memory: Memory, cycle: int) -> None:
    """Issue the AW of a snapshot in ``cycle``, when no other burst is left."""
    writer.complete += 1
    writer.issued += 1
    writer.last = cycle
    request_write(memory, cycle, writer.snapshot_beats, SNAPSHOT)


@compilable
def acknowledge(writer: Writer, response: int) -> None:
    """Let the B of the oldest burst in flight come in cycle ``response``."""
    writer.responses[writer.acknowledged % BURSTS] = response
    writer.acknowledged += 1


@compilable
def all_acknowledged(writer: Writer) -> int:
    """Return the first cycle in which no burst is left."""
    if writer.acknowledged < writer.complete:
        return NEVER
    return writer.responses[(writer.acknowledged - 1) % BURSTS] + 1 if writer.acknowledged else 0
