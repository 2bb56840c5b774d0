"""Cycles and counts of stage, deliver and mac: sections 5 to 7 of docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass

from golden.engine_model import Engine, Fields
from golden.tokens import Sleeper, Tokens
from hw.config import AcceleratorConfig


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


@dataclass
class Links:
    """Tokens between the engines; ``columns`` and ``releases`` hold the visible cycle of each ring column."""

    ifmap_ready: Tokens
    ifmap_free: Tokens
    parameter_ready: Tokens
    parameter_free: Tokens
    psum_ready: Tokens
    psum_free: Tokens
    written: Tokens
    staged: Tokens
    halves: Tokens
    filter_level: Tokens
    filter_free: Tokens
    columns: list[int]
    releases: list[int]
    head_reads: list[tuple[int, int, int]]


class Stage(Engine):
    """Filter buffer to filter scratchpads."""

    def __init__(self, *, config: AcceleratorConfig, links: Links, **engine: object) -> None:
        super().__init__(name="stage", **engine)  # type: ignore[arg-type]
        self._links = links
        self._pass: Fields | None = None
        self._group = 0
        self._kept = 0
        self._next = 0

    def step(self) -> bool:
        """Start the next command, or the next group of the pass under way, if its time is known."""
        if self._pass is not None:
            return self._stage_group(self._pass)
        if not self.queue:
            return False
        visible, command, fields = self.queue[0]
        if command == "mark":
            return self.start_mark()
        start = max(self.idle, visible)
        if command == "execute.pass" and not fields["reuse_filters"]:
            half = self._links.halves.visible(1)
            if half is None:
                return False
            self._links.halves.take(1)
            start = max(start, half)
            self._pass, self._group, self._next = fields, 0, start + 1
        elif command == "execute.pass":
            self._links.staged.give(start + 1)
        self.pop(start)
        self.idle = start + 1
        return True

    def _stage_group(self, fields: Fields) -> bool:
        words, groups = fields["filter_words"], fields["groups"]
        needed = 0 if self._kept else words
        level = self._links.filter_level.visible(needed)
        if level is None:
            return False
        self._links.filter_level.take(needed)
        self._kept = 0
        last_read = max(self._next, level) + words
        if fields["keep_last_group"] and self._group == groups - 1:
            self._kept = words
        else:
            self._links.filter_free.give(last_read + 1, words)
        self._group += 1
        self._next = last_read + 1
        if self._group == groups:
            self._links.staged.give(last_read + 2)
            self.idle = last_read + 2
            self._pass = None
            now = self.counts.now
            now["glb.filter.read"] += fields["active_rows"] * words * groups
            now["pe.filter.write"] += fields["active_rows"] * words * fields["strip_columns"]
        return True


class Deliver(Engine):
    """Ifmap lanes to ifmap scratchpads; ``follower`` waits for delivered columns."""

    def __init__(self, *, config: AcceleratorConfig, links: Links, **engine: object) -> None:
        super().__init__(name="deliver", **engine)  # type: ignore[arg-type]
        self._links = links
        self._lanes = config.lanes
        self._setup = max(config.rows, config.cols)
        self._layer: Fields = {}
        self._columns_left = 0
        self._operations = 0
        self._next = 0
        self._signal = 0
        self.follower = Sleeper()

    def step(self) -> bool:
        """Deliver further columns of the pass under way, or start the next command."""
        if self._columns_left:
            return self._deliver()
        if not self.queue:
            return False
        visible, command, fields = self.queue[0]
        if command == "mark":
            return self.start_mark()
        start = max(self.idle, visible)
        if command == "execute.layer":
            releases = self._links.releases
            if len(releases) < len(self._links.columns):
                return False
            start = max(start, releases[-1]) if releases else start
            self._layer = fields
            self.idle = start + 1
        else:
            ready = self._links.ifmap_ready.visible(fields["wait_ifmap_ready"])
            if ready is None:
                return False
            self._links.ifmap_ready.take(fields["wait_ifmap_ready"])
            start = max(start, ready)
            self._begin(start, fields)
        self.pop(start)
        return True

    def _begin(self, start: int, fields: Fields) -> None:
        layer = self._layer
        taps, stride, columns = layer["filter_columns"], layer["stride_columns"], fields["columns"]
        new = min(stride, taps)
        blocks = fields["blocks"]
        per_window = fields["first_operations"] + max(0, blocks - 2) * fields["middle_operations"]
        if blocks > 1:
            per_window += fields["last_operations"]
        windows = max(1, ceil_div(fields["run_rows"], self._lanes) + ceil_div(fields["wrap_rows"], self._lanes))
        self._operations = windows * per_window
        self._columns_left = taps + (columns - 1) * new
        self._next = start + 1 + self._setup
        self._signal = fields["signal_ifmap_free"]
        resident = layer["ifmap_columns"]
        if stride <= taps:
            first, last = fields["ifmap_column"], fields["ifmap_column"] + self._columns_left - 1
            inside = max(0, min(last, resident - 1) - max(first, 0) + 1)
        else:
            wanted = (fields["ifmap_column"] + x * stride + s for x in range(columns) for s in range(taps))
            inside = sum(0 <= column < resident for column in wanted)
        now = self.counts.now
        now["glb.ifmap.read"] += inside * blocks * (fields["run_rows"] + fields["wrap_rows"])
        now["array.ifmap.multicast"] += self._columns_left * self._operations
        pairs = (fields["slots"] - 1) * fields["active_rows"] + fields["last_rows"]
        now["pe.ifmap.write"] += self._columns_left * pairs * fields["strip_columns"]

    def _deliver(self) -> bool:
        columns, releases = self._links.columns, self._links.releases
        ring, operations, following = self._layer["ring_columns"], self._operations, self._next
        progress = False
        while self._columns_left:
            behind = len(columns) - ring
            if behind >= len(releases):
                break
            if behind >= 0 and releases[behind] > following:
                following = releases[behind]
            following += operations
            columns.append(following + 1)  # the last operation is in following - 1
            self._columns_left -= 1
            progress = True
        self._next = following
        if progress:
            self.follower.awake = True
        if progress and not self._columns_left:
            self._links.ifmap_free.give(following, self._signal)
            self.idle = following
        return progress


@dataclass
class Pending:
    """The ofmap column that has not left the PEs yet, and what its pass said about it."""

    first: int
    strip_columns: int
    active: int
    signal: int


class Mac(Engine):
    """Micro-operations, emissions and the cycle counters of execution."""

    def __init__(self, *, config: AcceleratorConfig, links: Links, deliver: Deliver, **engine: object) -> None:
        super().__init__(name="mac", **engine)  # type: ignore[arg-type]
        self._links = links
        self._deliver = deliver
        deliver.follower = self
        self._rows = config.rows
        self._layer: Fields = {}
        self._pending: Pending | None = None
        self.idle = 1
        self._after_pass = False  # a pass may launch in the end cycle of the pass before
        self._consumed = 0

    def step(self) -> bool:
        """Start the next command if its time is known."""
        if not self.queue:
            return False
        visible, command, fields = self.queue[0]
        if command == "execute.pass":
            return self._start_pass(visible, fields)
        free = self.marks.free("mac") if command == "mark" else 0
        if free is None:
            return False
        start = max(self.idle, visible, free)
        self._wait(start, (visible, free))
        self._after_pass = False
        if command == "mark":
            self.counts.capture()
            self.marks.capture("mac", start)
        else:
            self._layer = fields
        self.pop(start)
        return True

    def _wait(self, start: int, conditions: tuple[int, ...]) -> None:
        """Account for the cycles from idle to ``start``: each waits for the first condition that is not met yet."""
        since, now = self.idle, self.counts.now
        for name, condition in zip(("command", "drain", "filter", "load"), conditions, strict=False):
            cycles = min(condition, start) - since
            if cycles > 0:
                now[f"cycle.execute.wait_{name}"] += cycles
                since += cycles
        now["cycle.execute.launch"] += 1
        self.idle = start + 1

    def _start_pass(self, visible: int, fields: Fields) -> bool:
        links = self._links
        psum = links.psum_free.visible(fields["wait_psum_free"])
        staged = links.staged.visible(1)
        window = self._consumed + self._layer["filter_columns"]
        if psum is None or staged is None or len(links.columns) < window:
            return False
        links.psum_free.take(fields["wait_psum_free"])
        links.staged.take(1)
        delivered = links.columns[window - 1]
        launch = max(self.idle - self._after_pass, visible, psum, staged, delivered)
        if launch >= self.idle:
            self._wait(launch, (visible, psum, staged, delivered))
        self.pop(launch)
        self._run(launch, fields)
        return True

    def _run(self, launch: int, fields: Fields) -> None:
        layer, now, rows = self._layer, self.counts.now, self._rows
        taps, columns = layer["filter_columns"], fields["columns"]
        new = min(layer["stride_columns"], taps)
        psums = fields["slots"] if layer["depthwise"] else layer["filters"]
        spacing = taps if layer["depthwise"] else 1
        operations = fields["slots"] * taps * layer["filters"]
        active = fields["active_rows"] * fields["strip_columns"]
        inner = Pending(fields["first"], fields["strip_columns"], active, 0)
        pending, decision, last = self._pending, launch, launch
        for x in range(columns):
            if x:
                self._consumed += new
                decision = self._next_column(last, self._consumed + taps)
            if pending is not None:
                self._emit(decision + 1, psums, spacing, pending)
            pending = inner
            last = decision + operations
            self._links.releases.extend([last + rows] * (new if x < columns - 1 else taps))
        self._consumed += taps
        self._deliver.awake = True
        if fields["release_filters"]:
            self._links.halves.give(last + rows)
        held = max(last, launch + rows + 2)
        if layer["depthwise"] and fields["flush"]:
            held = max(held, launch + (psums - 1) * taps + rows + 2)
        self._pending = Pending(fields["first"], fields["strip_columns"], active, fields["signal_psum_ready"])
        end = held
        if fields["flush"]:
            self._emit(held + 1, psums, 1, self._pending)
            self._pending = None
            end = held + psums
        now["cycle.execute.busy"] += columns * operations
        now["cycle.execute.hold"] += held - last
        now["cycle.execute.flush"] += end - held
        self.idle, self._after_pass = end + 1, True
        self._count(fields, columns)

    def _next_column(self, last: int, needed: int) -> int:
        """Return the cycle of the launch decision for a column that needs ``needed`` delivered columns."""
        columns = self._links.columns
        if len(columns) < needed:
            self._deliver.step()
        delivered = columns[needed - 1]
        if delivered <= last:
            return last
        self.counts.now["cycle.execute.wait_load"] += delivered - last - 1
        self.counts.now["cycle.execute.launch"] += 1
        return delivered

    def _emit(self, first: int, psums: int, spacing: int, pending: Pending) -> None:
        now, columns = self.counts.now, pending.strip_columns
        now["array.psum.hop"] += psums * self._rows * columns
        now["glb.psum.write"] += psums * columns
        now["pe.psum.read"] += psums * pending.active
        if not pending.first:
            now["glb.psum.read"] += psums * columns
            self._links.head_reads.append((first + 2, psums, spacing))
        if pending.signal:
            tail = first + (psums - 1) * spacing + self._rows + 3
            self._links.psum_ready.give(tail + 1, pending.signal)

    def _count(self, fields: Fields, columns: int) -> None:
        layer, now, strip = self._layer, self.counts.now, fields["strip_columns"]
        taps, filters = layer["filter_columns"], layer["filters"]
        pairs = (fields["slots"] - 1) * fields["active_rows"] + fields["last_rows"]
        done = columns * pairs * taps * filters * strip
        first_taps = columns * (pairs if layer["depthwise"] else fields["active_rows"]) * filters * strip
        now["pool.done" if layer["pool"] else "mac.done"] += done
        now["pe.filter.read"] += done
        now["pe.psum.write"] += done
        now["pe.ifmap.read"] += columns * pairs * taps * strip
        now["pe.psum.read"] += done - first_taps
