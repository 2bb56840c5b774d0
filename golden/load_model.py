"""Cycles and counts of load and fetch: sections 2 and 4 of docs/timing.md."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from golden.engine_model import Counts, Engine, Fields, Marks
from golden.execute_model import Links
from golden.memory_model import ReadPort, split_bursts
from golden.tokens import Sleeper
from hw import spec
from hw.config import AcceleratorConfig

WRITER_FIFO_DEPTH = 4
FETCH_BURST_COMMANDS = 4
FETCH_FIFO_COMMANDS = 8
COMMAND_BEATS = 4
PARAMETER_BEATS = 2


@dataclass(slots=True)
class Burst:
    """One read burst of a load command; what happens with its last beat."""

    beats: int
    order: int
    item_words: int = 0
    last: bool = False


class Load(Engine):
    """Requests and writes of the load engine."""

    def __init__(self, *, config: AcceleratorConfig, links: Links, port: ReadPort, **engine: object) -> None:
        super().__init__(name="load", **engine)  # type: ignore[arg-type]
        self._config = config
        self._links = links
        self._port = port
        self._bursts: Iterator[Burst] = iter(())
        self._busy = False
        self._item: Burst | None = None
        self._item_ready = 0
        self._writer_pops: list[int] = []
        self._entries: list[tuple[str, Fields, int]] = []  # command, fields, cycle of the push
        self._marks_requested = 0

    def step(self) -> bool:
        """Start the next command, or the next item of a filter load, if its time is known."""
        if self._item is not None:
            return self._start_item()
        if self._busy or not self.queue:
            return False
        room = self._writer_room()
        start = self._start(room)
        if start is None:
            return False
        _, command, fields = self.queue[0]
        self.pop(start)
        self._entries.append((command, fields, start))
        self.idle = start + 1
        if command == "mark":
            self._marks_requested += 1
            self._mark_in_writer()
            return True
        self._busy = True
        self._bursts = self._split(command, fields, len(self._entries) - 1)
        self._request(start + 1)
        return True

    def _start(self, room: int | None) -> int | None:
        visible, command, fields = self.queue[0]
        tokens = []
        if command == "load.ifmap":
            tokens = [
                (self._links.ifmap_free, fields["wait_ifmap_free"]),
                (self._links.written, fields["wait_written"]),
            ]
        elif command == "load.parameter":
            tokens = [(self._links.parameter_free, fields["wait_parameter_free"])]
        cycles = [room, *(semaphore.visible(amount) for semaphore, amount in tokens)]
        if command == "mark":
            cycles.append(self.marks.free("load", self._marks_requested))
        known = [cycle for cycle in cycles if cycle is not None]
        if len(known) < len(cycles):
            return None
        for semaphore, amount in tokens:
            semaphore.take(amount)
        return max(self.idle, visible, *known)

    def _writer_room(self) -> int | None:
        index = len(self._entries) - WRITER_FIFO_DEPTH
        if index < 0:
            return 0
        return self._writer_pops[index] + 1 if index < len(self._writer_pops) else None

    def _split(self, command: str, fields: Fields, order: int) -> Iterator[Burst]:
        bus, longest = self._config.bus_bytes, self._config.burst_beats
        address = fields["dram_address"]
        if command == "load.filter":
            beats = fields["lanes"] * fields["words"]
            runs = [(address + item * beats * bus, beats) for item in range(fields["items"])]
        elif command == "load.parameter":
            runs = [(address, PARAMETER_BEATS * fields["channels"])]
        else:
            runs = [
                (address + block * fields["block_stride"] + column * fields["column_stride"], fields["column_beats"])
                for block in range(fields["blocks"])
                for column in range(fields["columns"])
            ]
        words = fields["words"] if command == "load.filter" else 0
        for index, (start, beats) in enumerate(runs):
            pieces = list(split_bursts(start, beats, bus_bytes=bus, burst_beats=longest))
            if words:
                yield Burst(0, order, item_words=words)
            for number, (_, length) in enumerate(pieces):
                end = number == len(pieces) - 1
                yield Burst(length, order, item_words=words if end else 0, last=end and index == len(runs) - 1)

    def _request(self, ready: int) -> None:
        """Ask for the next burst from cycle ``ready`` on, or become idle."""
        burst = next(self._bursts, None)
        if burst is None:
            self._busy, self.idle = False, ready
        elif burst.beats:
            self._port.want(2, ready, burst.beats, self, burst)
        else:
            self._item, self._item_ready = burst, ready

    def _start_item(self) -> bool:
        assert self._item is not None
        free = self._links.filter_free.visible(self._item.item_words)
        if free is None:
            return False
        self._links.filter_free.take(self._item.item_words)
        self._item = None
        self._request(max(self._item_ready, free) + 1)
        return True

    def accepted(self, cycle: int) -> None:
        """AR of the wanted burst was accepted."""
        self.awake = True
        self._request(cycle + 1)

    def first_beat(self, cycle: int, tag: object) -> int:
        """A mark at the head of the writer's FIFO holds the data back for its cycle."""
        assert isinstance(tag, Burst)
        return max(cycle, self._writer_pops[tag.order - 1] + 1) if tag.order else cycle

    def received(self, first: int, beats: int, tag: object) -> None:
        """Write the burst's beats."""
        assert isinstance(tag, Burst)
        self.awake = True
        command, fields, _ = self._entries[tag.order]
        now, last = self.counts.now, first + beats - 1
        kind = command.removeprefix("load.")
        now[f"dram.{kind}.read_bytes"] += beats * self._config.bus_bytes
        if kind == "ifmap":
            now["glb.ifmap.write"] += beats << fields["pixels_log2"]
        elif kind == "filter":
            now["glb.filter.write"] += beats
            self._links.filter_level.give(last + 1, tag.item_words)
        if tag.last:
            if kind == "ifmap":
                self._links.ifmap_ready.give(last + 1, fields["signal_ifmap_ready"])
            elif kind == "parameter":
                now["parameter.write"] += fields["channels"]
                self._links.parameter_ready.give(last + 1)
            self._pop_writer(last)

    def _pop_writer(self, cycle: int) -> None:
        self._writer_pops.append(cycle)
        self._mark_in_writer(since=cycle + 1)

    def _mark_in_writer(self, *, since: int = 0) -> None:
        """Capture if a mark is at the head of the writer's FIFO."""
        head = len(self._writer_pops)
        if head < len(self._entries) and self._entries[head][0] == "mark":
            cycle = max(since, self._entries[head][2] + 1)
            self._writer_pops.append(cycle)
            self.counts.capture()
            self.marks.capture("load", cycle)


class Fetch(Sleeper):
    """Reads commands and deals them out to the queues, in order."""

    def __init__(
        self,
        *,
        commands: Sequence[tuple[str, Fields]],
        engines: dict[str, Engine],
        port: ReadPort,
        marks: Marks,
    ) -> None:
        self.counts = Counts("fetch")
        marks.engines.append(self)
        for engine in engines.values():
            engine.feeder = self
        self._commands = commands
        self._engines = engines
        self._port = port
        self._marks = marks
        self._requested = 0
        self._wanting = False
        self._arrived: deque[int] = deque()
        self._dispatched: list[int] = []
        self._last_request = 0

    def step(self) -> bool:
        """Request the next burst and dispatch the next command, if their times are known."""
        return self._request() | self._dispatch()

    def _request(self) -> bool:
        left = len(self._commands) - self._requested
        if self._wanting or not left:
            return False
        count = min(left, FETCH_BURST_COMMANDS)
        needed = self._requested + count - FETCH_FIFO_COMMANDS
        if needed > len(self._dispatched):
            return False
        credit = self._dispatched[needed - 1] + 1 if needed > 0 else 0
        self._wanting = True
        self._requested += count
        self._port.want(0, max(self._last_request + 1, credit), count * COMMAND_BEATS, self, count)
        return True

    def accepted(self, cycle: int) -> None:
        """AR was accepted."""
        self._last_request = cycle
        self._wanting = False
        self.awake = True

    def first_beat(self, cycle: int, tag: object) -> int:
        """Fetch is always ready."""
        return cycle

    def received(self, first: int, beats: int, tag: object) -> None:
        """Commands are in the FIFO one cycle after their fourth beat."""
        self.awake = True
        self._arrived.extend(first + beat + 1 for beat in range(COMMAND_BEATS - 1, beats, COMMAND_BEATS))

    def _dispatch(self) -> bool:
        if not self._arrived:
            return False
        name, fields = self._commands[len(self._dispatched)]
        command = spec.COMMAND[name]
        cycles = [self._engines[engine].room() for engine in command.engines]
        if name == "mark":
            cycles.append(self._marks.free("fetch"))
        known = [cycle for cycle in cycles if cycle is not None]
        if len(known) < len(cycles):
            return False
        after = self._dispatched[-1] + 1 if self._dispatched else 0
        cycle = max(after, self._arrived.popleft(), *known)
        self._dispatched.append(cycle)
        self.counts.now["dram.command.read_bytes"] += spec.COMMAND_BYTES
        for engine in command.engines:
            self._engines[engine].push(cycle, name, fields)
        if name == "mark":
            self.counts.capture()
            self._marks.capture("fetch", cycle)
        return True
