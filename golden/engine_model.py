"""What the cost model's engines share: a command queue, idle time, marks and counts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from golden.tokens import Sleeper
from hw import spec

Fields = dict[str, int]


@dataclass
class Counts:
    """Running counters of one engine and their values at each mark."""

    engine: str
    now: dict[str, int] = field(default_factory=dict)
    snapshots: list[dict[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = dict.fromkeys(spec.engine_counters(self.engine), 0)

    def capture(self) -> None:
        """Remember the counters' present values."""
        self.snapshots.append(dict(self.now))


class Marks:
    """Snapshot hand-shake: an engine may capture mark k + 1 once mark k is written.

    Members
    -------
    engines : list of Sleeper
        Who waits for captures and writes.
    """

    def __init__(self) -> None:
        self.engines: list[Sleeper] = []
        self.captured: dict[str, list[int]] = {name: [] for name in ("fetch", "load", "stage", "deliver", "mac")}
        self.written: list[int] = []

    def free(self, engine: str, started: int | None = None) -> int | None:
        """First cycle in which the engine's snapshot is free for its next mark, None while unknown.

        ``started`` counts the marks that the engine began, where that differs from those it has captured.
        """
        count = len(self.captured[engine]) if started is None else started
        if count == 0:
            return 0
        return self.written[count - 1] + 1 if len(self.written) >= count else None

    def capture(self, engine: str, cycle: int) -> None:
        """The engine captured its counters in ``cycle``."""
        self.captured[engine].append(cycle)
        self._wake()

    def all_captured(self, mark: int) -> int | None:
        """First cycle in which drain sees all snapshots of mark number ``mark``, None while unknown."""
        if any(len(cycles) <= mark for cycles in self.captured.values()):
            return None
        return max(cycles[mark] for cycles in self.captured.values()) + 1

    def write(self, cycle: int) -> None:
        """B of the mark's burst arrived in ``cycle``."""
        self.written.append(cycle)
        self._wake()

    def _wake(self) -> None:
        for engine in self.engines:
            engine.awake = True


class Engine(Sleeper):
    """One command queue and the engine behind it.

    Parameters
    ----------
    name : str
        Engine name of :data:`hw.spec.ENGINES`.
    depth : int
        Queue depth.
    marks : Marks
        Snapshot hand-shake.

    Members
    -------
    feeder : Sleeper
        Who waits for room in the queue.
    """

    def __init__(self, *, name: str, depth: int, marks: Marks) -> None:
        marks.engines.append(self)
        self.feeder = Sleeper()
        self.name = name
        self.counts = Counts(name)
        self.marks = marks
        self.queue: deque[tuple[int, str, Fields]] = deque()
        self.idle = 0
        self._depth = depth
        self._pushed = 0
        self._pops: list[int] = []

    def room(self) -> int | None:
        """First cycle in which the queue takes another command, None while unknown."""
        if self._pushed < self._depth:
            return 0
        index = self._pushed - self._depth
        return self._pops[index] + 1 if index < len(self._pops) else None

    def push(self, cycle: int, command: str, fields: Fields) -> None:
        """A command is pushed in ``cycle``."""
        self._pushed += 1
        self.queue.append((cycle + 1, command, fields))
        self.awake = True

    def pop(self, cycle: int) -> None:
        """The head of the queue is popped in ``cycle``."""
        self.queue.popleft()
        self._pops.append(cycle)
        self.feeder.awake = True

    def step(self) -> bool:
        """Start the next command if its start is known; return whether it was."""
        raise NotImplementedError

    def start_mark(self) -> bool:
        """Start a mark at the head of the queue that needs nothing but a free snapshot."""
        free = self.marks.free(self.name)
        if free is None:
            return False
        start = max(self.idle, self.queue[0][0], free)
        self.pop(start)
        self.counts.capture()
        self.marks.capture(self.name, start)
        self.idle = start + 1
        return True
