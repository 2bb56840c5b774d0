"""Cycles of the DRAM bus and of the machine's read port: sections 3 and 9 of docs/timing.md.

At most one arbitration and one grant are planned at a time; :mod:`golden.timeline` calls them when their cycle comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from golden.compiled import compilable
from golden.engine_model import NEVER
from hw.config import RANGES

#: AXI4: a burst must not cross this address boundary (IHI 0022, A3.4.1).
BOUNDARY_BYTES = 4096
#: Longest burst of AXI4 (IHI 0022, A3.4.1): what drain's blocks, which are shorter, are cut at.
LONGEST_BURST_BEATS = 256
#: Bursts in flight that a ring can hold: a power of two.
IN_FLIGHT = max(RANGES["outstanding_reads"][1], RANGES["outstanding_writes"][1])

#: Who reads, in the order of arbitration.
FETCH_READS, RESIDUAL_READS, LOAD_READS, NOBODY = range(4)


@compilable
def burst_beats(address: int, beats: int, longest: int, bus_bytes: int) -> int:
    """Return the length of the first AXI burst of a run of beats: at most ``longest``, never across 4 KiB."""
    room = BOUNDARY_BYTES - address % BOUNDARY_BYTES
    return min(beats, longest, (room + bus_bytes - 1) // bus_bytes)  # rounded up: a beat at least, whatever the address


@dataclass(slots=True)
class Bursts:
    """A queue of bursts: a ring, of which entries ``oldest`` to ``following`` (exclusive) wait.

    Members
    -------
    accepted : list of int
        Cycle in which the address was accepted.
    beats, tag, reader : list of int
        Of each; ``tag`` is what the reader or writer remembers of it.
    """

    oldest: int = 0
    following: int = 0
    accepted: list[int] = field(default_factory=lambda: [0] * IN_FLIGHT)
    beats: list[int] = field(default_factory=lambda: [0] * IN_FLIGHT)
    tag: list[int] = field(default_factory=lambda: [0] * IN_FLIGHT)
    reader: list[int] = field(default_factory=lambda: [0] * IN_FLIGHT)


@compilable
def enqueue(bursts: Bursts, accepted: int, beats: int, tag: int, reader: int) -> None:
    """Append a burst."""
    index = bursts.following % IN_FLIGHT
    bursts.accepted[index], bursts.beats[index], bursts.tag[index], bursts.reader[index] = accepted, beats, tag, reader
    bursts.following += 1


@compilable
def oldest_accepted(bursts: Bursts) -> int:
    """Return the cycle in which the oldest burst's address was accepted, NEVER if no burst waits."""
    return bursts.accepted[bursts.oldest % IN_FLIGHT] if bursts.oldest < bursts.following else NEVER


@dataclass(slots=True)
class Bus:
    """Whole bursts, one beat a cycle, writes before reads.

    Members
    -------
    latency : int
        Cycles from AR to the first beat, and from the last W beat to B.
    grant : int
        Cycle of the next grant.
    free : int
        First cycle after the burst under way.
    """

    latency: int
    grant: int = NEVER
    free: int = 0


@compilable
def plan_grant(bus: Bus, cycle: int) -> None:
    """Grant in ``cycle``, or once the bus is free, unless a grant comes before."""
    bus.grant = min(bus.grant, max(cycle, bus.free))


@dataclass(slots=True)
class Port:
    """AR arbitration: one a cycle, fetch before residuals before load, a limited number of bursts in flight.

    Members
    -------
    limit, in_flight : int
        Bursts at most, and now.
    arbitration : int
        Cycle of the next arbitration.
    last : int
        Cycle of the last AR.
    valid, beats, tag : list of int
        What each reader asks for, from which cycle on; NEVER if for nothing.
    ends : list of int
        Ring, of which entries ``oldest`` to ``following`` (exclusive) still count as in flight: last beats of bursts.
    """

    limit: int
    in_flight: int = 0
    arbitration: int = NEVER
    last: int = -1
    valid: list[int] = field(default_factory=lambda: [NEVER] * NOBODY)
    beats: list[int] = field(default_factory=lambda: [0] * NOBODY)
    tag: list[int] = field(default_factory=lambda: [0] * NOBODY)
    oldest: int = 0
    following: int = 0
    ends: list[int] = field(default_factory=lambda: [0] * IN_FLIGHT)


@compilable
def want(port: Port, reader: int, valid: int, beats: int, tag: int) -> None:
    """Ask for a read burst from cycle ``valid`` on."""
    port.valid[reader], port.beats[reader], port.tag[reader] = valid, beats, tag
    plan_arbitration(port, valid)


@compilable
def plan_arbitration(port: Port, cycle: int) -> None:
    """Arbitrate in ``cycle``, or in the first one after the last AR, unless an arbitration comes before."""
    port.arbitration = min(port.arbitration, max(cycle, port.last + 1))


@compilable
def earliest_want(port: Port) -> int:
    """Return the first cycle in which somebody asks for a burst."""
    return min(port.valid[FETCH_READS], port.valid[RESIDUAL_READS], port.valid[LOAD_READS])


class Memory(NamedTuple):
    """Port and bus, with the read and write bursts that wait for the bus."""

    port: Port
    bus: Bus
    reads: Bursts
    writes: Bursts


@compilable
def request_write(memory: Memory, accepted: int, beats: int, tag: int) -> None:
    """Queue a write burst whose AW was accepted in cycle ``accepted``."""
    enqueue(memory.writes, accepted, beats, tag, NOBODY)
    plan_grant(memory.bus, accepted + 1)


@compilable
def arbitrate(memory: Memory, now: int) -> int:
    """Accept an AR if one is valid and a place in flight is free; return whose."""
    port = memory.port
    port.arbitration = NEVER
    while port.oldest < port.following and port.ends[port.oldest % IN_FLIGHT] < now:
        port.oldest += 1
        port.in_flight -= 1
    if port.in_flight >= port.limit:
        if port.oldest < port.following:
            plan_arbitration(port, port.ends[port.oldest % IN_FLIGHT] + 1)
        return NOBODY
    reader = FETCH_READS
    while reader < NOBODY and port.valid[reader] > now:
        reader += 1
    if reader < NOBODY:
        port.valid[reader], port.last = NEVER, now
        port.in_flight += 1
        enqueue(memory.reads, now, port.beats[reader], port.tag[reader], reader)
        plan_grant(memory.bus, now + memory.bus.latency)
    plan_arbitration(port, earliest_want(port))
    return reader


@compilable
def plan_next_grant(memory: Memory) -> None:
    """Plan the grant after one that is over."""
    bus = memory.bus
    bus.grant = NEVER
    earliest = min(oldest_accepted(memory.writes) + 1, oldest_accepted(memory.reads) + bus.latency)
    if earliest < NEVER:
        plan_grant(bus, earliest)


@compilable
def begin_write(memory: Memory, first: int) -> int:
    """Transfer the oldest write burst from cycle ``first`` on; return its place in the ring."""
    writes = memory.writes
    index = writes.oldest % IN_FLIGHT
    writes.oldest += 1
    memory.bus.free = first + writes.beats[index]
    return index


@compilable
def begin_read(memory: Memory, first: int) -> int:
    """Transfer the oldest read burst from cycle ``first`` on; return its place in the ring."""
    port, reads = memory.port, memory.reads
    index = reads.oldest % IN_FLIGHT
    reads.oldest += 1
    memory.bus.free = first + reads.beats[index]
    port.ends[port.following % IN_FLIGHT] = memory.bus.free - 1
    port.following += 1
    if earliest_want(port) < NEVER:
        plan_arbitration(port, memory.bus.free)
    return index
