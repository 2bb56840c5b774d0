"""Cycles of the DRAM bus and of the machine's read port: sections 3 and 9 of docs/timing.md."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from hw.config import AcceleratorConfig

#: AXI4: a burst must not cross this address boundary (IHI 0022, A3.4.1).
BOUNDARY_BYTES = 4096
#: Longest burst of AXI4 (IHI 0022, A3.4.1): what drain's blocks, which are shorter, are cut at.
LONGEST_BURST_BEATS = 256


class Timeline:
    """Events in order of their cycle; events of one cycle in the order they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._count = 0

    def at(self, cycle: int, event: Callable[[int], None]) -> None:
        """Call ``event(cycle)`` when the time has come."""
        self._count += 1
        heapq.heappush(self._heap, (cycle, self._count, event))

    def run(self, after_each: Callable[[], None]) -> None:
        """Process all events."""
        heap = self._heap
        while heap:
            cycle, _, event = heapq.heappop(heap)
            event(cycle)
            after_each()


class Reader(Protocol):
    """Somebody who wants read bursts: fetch, drain or load."""

    def accepted(self, cycle: int) -> None:
        """The wanted AR was accepted in ``cycle``."""

    def first_beat(self, cycle: int, tag: object) -> int:
        """Return the cycle of the burst's first handshake if data is offered from ``cycle``."""

    def received(self, first: int, beats: int, tag: object) -> None:
        """The burst's beats were handshaken from cycle ``first`` on."""


def split_bursts(
    address: int, beats: int, *, bus_bytes: int, burst_beats: int = LONGEST_BURST_BEATS
) -> Iterator[tuple[int, int]]:
    """Yield (address, beats) of AXI bursts: at most ``burst_beats`` long, never across 4 KiB."""
    while beats:
        room = (BOUNDARY_BYTES - address % BOUNDARY_BYTES) // bus_bytes
        length = min(beats, burst_beats, room)
        yield address, length
        address += length * bus_bytes
        beats -= length


class Dram:
    """The bus: whole bursts, one beat a cycle, writes before reads.

    Parameters
    ----------
    timeline : Timeline
        Where events go.
    latency_cycles : int
        Cycles from AR to the first beat, and from the last W beat to B.
    """

    def __init__(self, *, timeline: Timeline, latency_cycles: int) -> None:
        self.latency_cycles = latency_cycles
        self.read_port: ReadPort
        self._timeline = timeline
        self._free = 0
        self._next: int | None = None  # cycle of the grant that is on the timeline
        self._reads: deque[tuple[int, int, Reader, object]] = deque()
        self._writes: deque[tuple[int, int, Callable[[int, int], None]]] = deque()

    def read(self, accepted: int, beats: int, reader: Reader, tag: object) -> None:
        """Queue a read burst whose AR was accepted in cycle ``accepted``."""
        self._reads.append((accepted, beats, reader, tag))
        self._plan(accepted + self.latency_cycles)

    def write(self, accepted: int, beats: int, done: Callable[[int, int], None]) -> None:
        """Queue a write burst; ``done(first beat's cycle, B's cycle)`` is called when it is granted."""
        self._writes.append((accepted, beats, done))
        self._plan(accepted + 1)

    def _plan(self, cycle: int) -> None:
        """Grant in ``cycle``, or once the bus is free, unless a grant comes before."""
        cycle = max(cycle, self._free)
        if self._next is None or cycle < self._next:
            self._next = cycle
            self._timeline.at(cycle, self._grant)

    def _grant(self, now: int) -> None:
        if now != self._next:
            return
        self._next = None
        if self._writes and self._writes[0][0] < now:
            _, beats, done = self._writes.popleft()
            self._free = now + beats
            done(now, now + beats - 1 + self.latency_cycles)
        elif self._reads and self._reads[0][0] + self.latency_cycles <= now:
            _, beats, reader, tag = self._reads.popleft()
            first = reader.first_beat(now, tag)
            self._free = first + beats
            self.read_port.finished(first + beats - 1)
            reader.received(first, beats, tag)
        if self._writes:
            self._plan(self._writes[0][0] + 1)
        if self._reads:
            self._plan(self._reads[0][0] + self.latency_cycles)


class ReadPort:
    """AR arbitration: one a cycle, fetch before residuals before load, a limited number of bursts in flight."""

    def __init__(self, *, config: AcceleratorConfig, timeline: Timeline, dram: Dram) -> None:
        self._timeline = timeline
        self._dram = dram
        self._limit = config.outstanding_reads
        self._wants: dict[int, tuple[int, int, Reader, object]] = {}
        self._last = -1
        self._in_flight = 0
        self._ends: deque[int] = deque()
        self._next: int | None = None  # cycle of the arbitration that is on the timeline
        dram.read_port = self

    def want(self, priority: int, valid: int, beats: int, reader: Reader, tag: object) -> None:
        """Ask for a burst from cycle ``valid`` on; lower ``priority`` goes first."""
        self._wants[priority] = (valid, beats, reader, tag)
        self._plan(valid)

    def finished(self, last: int) -> None:
        """A burst's last beat is handshaken in cycle ``last``."""
        self._ends.append(last)
        if self._wants:
            self._plan(last + 1)

    def _plan(self, cycle: int) -> None:
        """Arbitrate in ``cycle``, or in the first one after the last AR, unless an arbitration comes before."""
        cycle = max(cycle, self._last + 1)
        if self._next is None or cycle < self._next:
            self._next = cycle
            self._timeline.at(cycle, self._arbitrate)

    def _arbitrate(self, now: int) -> None:
        if now != self._next:
            return
        self._next = None
        while self._ends and self._ends[0] < now:
            self._ends.popleft()
            self._in_flight -= 1
        if self._in_flight >= self._limit:
            if self._ends:
                self._plan(self._ends[0] + 1)
            return
        ready = [priority for priority, want in self._wants.items() if want[0] <= now]
        if not ready:
            self._plan(min(want[0] for want in self._wants.values()))
            return
        _, beats, reader, tag = self._wants.pop(min(ready))
        self._last = now
        self._in_flight += 1
        self._dram.read(now, beats, reader, tag)
        for want in self._wants.values():
            self._plan(want[0])
        reader.accepted(now)
