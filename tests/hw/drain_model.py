"""What ``docs/timing.md`` promises of drain, in plain Python: blocks, cycles and bytes."""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import groupby

from hw import spec
from hw.config import AcceleratorConfig

PAGE = 4096


def requantise(psum: int, parameter: dict[str, int], output: dict[str, int]) -> int:
    """TFLite's reference: gemmlowp's high multiply and rounding divide, as written there."""
    left, right = max(parameter["shift"], 0), max(-parameter["shift"], 0)
    accumulator = (psum + parameter["bias"]) << left
    accumulator = (accumulator + (1 << 31)) % (1 << 32) - (1 << 31)
    product = accumulator * parameter["multiplier"]
    nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    high = min(abs(nudged) // (1 << 31) * (1 if nudged >= 0 else -1), (1 << 31) - 1)
    mask = (1 << right) - 1
    scaled = (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))
    return min(max(scaled + output["zero_point"], output["minimum"]), output["maximum"])


@dataclass(frozen=True)
class Block:
    """One block: ``reads`` are (bank address, parameter address), the first PE column's word is at ``address``."""

    first_column: int
    columns: int
    lane: int
    reads: list[tuple[int, int]]
    address: int


def entries(layer: dict[str, int], strip: dict[str, int]) -> list[tuple[int, int, int]]:
    """(filter group, image, ofmap row) of every PE column of a strip."""
    first = strip["image"] * layer["rows"] + strip["row"]
    group_columns = layer["images"] * layer["rows"]
    flat = range(first, first + strip["strip_columns"])
    return [(i // group_columns, i % group_columns // layer["rows"], i % layer["rows"]) for i in flat]


def group_channels(layer: dict[str, int], strip: dict[str, int], group: int) -> int:
    """Channels of a filter group that exist."""
    return min(layer["psums"], strip["channels"] - group * layer["psums"])


def word_address(layer: dict[str, int], strip: dict[str, int], x: int, image: int, row: int, block: int) -> int:
    """Byte address of a word of the ofmap, channel blocks counted from the strip's first."""
    base = strip["group_address"] + image * layer["image_stride"] + row * 8
    return base + x * layer["column_stride"] + block * layer["block_stride"]


def blocks(config: AcceleratorConfig, layer: dict[str, int], strip: dict[str, int]) -> list[Block]:
    """The blocks of a strip in order."""
    result = []
    for x in range(strip["columns"]):
        column = 0
        for (group, image), segment in groupby(entries(layer, strip), key=lambda entry: entry[:2]):
            rows = [row for _, _, row in segment]
            while rows:
                piece, rows = rows[: config.drain_width], rows[config.drain_width :]
                positions = [
                    (strip["channel_offset"] + group * layer["psums"] + k, group * layer["psums"] + k, k)
                    for k in range(group_channels(layer, strip, group))
                ]
                for block, chunk in groupby(positions, key=lambda p: p[0] // config.channel_block):
                    chunk = list(chunk)
                    reads = [
                        (strip["psum_address"] + x * layer["psums"] + k, strip["parameter"] + channel)
                        for _, channel, k in chunk
                    ]
                    address = word_address(layer, strip, x, image, piece[0], block)
                    result.append(Block(column, len(piece), chunk[0][0] % config.channel_block, reads, address))
                column += len(piece)
    return result


def ofmap_bytes(
    config: AcceleratorConfig,
    layer: dict[str, int],
    strip: dict[str, int],
    banks: list[list[int]],
    parameters: list[dict[str, int]],
) -> dict[int, int]:
    """What a strip writes: byte by address."""
    size, memory = config.activation_bytes, {}
    for x in range(strip["columns"]):
        for column, (group, image, row) in enumerate(entries(layer, strip)):
            for k in range(group_channels(layer, strip, group)):
                psum = banks[column][strip["psum_address"] + x * layer["psums"] + k]
                value = requantise(psum, parameters[strip["parameter"] + group * layer["psums"] + k], layer)
                block, lane = divmod(strip["channel_offset"] + group * layer["psums"] + k, config.channel_block)
                address = word_address(layer, strip, x, image, row, block) + lane * size
                for i, byte in enumerate(value.to_bytes(size, "little", signed=True)):
                    memory[address + i] = byte
    return memory


@dataclass
class Surroundings:
    """What happens around drain, by cycle; beyond the lists' ends nothing is in the way."""

    arrivals: list[int]
    head: list[bool]
    grant: list[bool]
    captured: list[bool]
    psum_ready: list[int]
    parameter_ready: list[int]
    latency: int

    def tokens(self, name: str, cycle: int) -> int:
        """Tokens given so far, visible in ``cycle``."""
        return sum(getattr(self, name)[:cycle])


@dataclass
class Trace:
    """Everything that can be seen of drain, each with its cycle."""

    started: list = field(default_factory=list)
    reads: list = field(default_factory=list)
    aw: list = field(default_factory=list)
    w: list = field(default_factory=list)
    b: list = field(default_factory=list)
    gives: list = field(default_factory=list)
    marks: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)

    def count(self, name: str, cycle: int, amount: int) -> None:
        """Note an increment."""
        if amount:
            self.counts[name, cycle] = amount


def _first(cycle: int, blocked) -> int:
    while blocked(cycle):
        cycle += 1
    return cycle


def _at(pattern: list[bool], cycle: int, default: bool) -> bool:
    return pattern[cycle] if cycle < len(pattern) else default


class Model:
    """Predicts a trace, event by event."""

    def __init__(self, config: AcceleratorConfig, around: Surroundings) -> None:
        self.config, self.around, self.trace = config, around, Trace()
        self.idle = 0
        self.beats_of_blocks: list[int] = []
        self.credits_taken = 0
        self.previous_last, self.previous_columns = -100, 0
        self.taken = {"psum_ready": 0, "parameter_ready": 0}

    def run(self, commands: list[tuple[str, dict[str, int]]]) -> Trace:
        """Predict what a program does."""
        layer = {}
        for index, (name, values) in enumerate(commands):
            cycle = max(self.idle, self.around.arrivals[index])
            if name == "drain.layer":
                self.trace.started.append(cycle)
                layer, self.idle = values, cycle + 1
            elif name == "drain.strip":
                self._strip(cycle, layer, values)
            else:
                self._mark(cycle, values)
        return self.trace

    def _has_tokens(self, cycle: int, strip: dict[str, int]) -> bool:
        return all(
            self.around.tokens(name, cycle) - taken >= strip[f"wait_{name}"] for name, taken in self.taken.items()
        )

    def _strip(self, cycle: int, layer: dict[str, int], strip: dict[str, int]) -> None:
        start = _first(cycle, lambda c: not self._has_tokens(c, strip))
        self.trace.started.append(start)
        for name in self.taken:
            self.taken[name] += strip[f"wait_{name}"]
        todo = blocks(self.config, layer, strip)
        for number, block in enumerate(todo):
            last_read = self._read(start + 2, block)
            is_last = number == len(todo) - 1
            self._write(last_read, block, strip["signal_written"] if is_last else 0)
        self.trace.gives.append(("psum_free", last_read, strip["signal_psum_free"]))
        self.trace.gives.append(("parameter_free", last_read, strip["signal_parameter_free"]))
        self.idle = last_read + 1

    def _read(self, visible: int, block: Block) -> int:
        """Read a block; return the cycle of its last read."""

        def blocked(c: int) -> bool:
            credit = self.config.drain_fifo_beats - self.credits_taken + bisect_left(self.beats_of_blocks, c)
            hold = max(self.previous_columns - (c - self.previous_last - 1), 0)
            return _at(self.around.head, c, False) or credit < block.columns or hold > len(block.reads)

        cycle = _first(max(visible, self.previous_last + 1), blocked)
        self.credits_taken += block.columns
        written = block.columns * len(block.reads) * self.config.activation_bytes
        self.trace.count("dram_ofmap_write_bytes", cycle, written)
        for read in block.reads:
            cycle = _first(cycle, lambda c: _at(self.around.head, c, False))
            self.trace.reads.append((cycle, *read))
            self.trace.count("glb_psum_drain", cycle, block.columns)
            self.trace.count("parameter_read", cycle, 1)
            cycle += 1
        self.previous_last, self.previous_columns = cycle - 1, block.columns
        return cycle - 1

    def _write(self, last_read: int, block: Block, written: int) -> None:
        complete = last_read + 6
        split = min(block.columns, (PAGE - block.address % PAGE) // 8)
        size = self.config.activation_bytes
        strobe = ((1 << len(block.reads) * size) - 1) << (block.lane * size)
        for first, beats in ((0, split), (split, block.columns - split)):
            if beats:
                visible = [complete + 2 + first + j for j in range(beats)]
                self.beats_of_blocks += self._burst(complete + 1, block.address + 8 * first, visible, strobe)
        if written:
            self.trace.gives.append(("written", self.trace.b[-1], written))

    def _burst(self, cycle: int, address: int, visible: list[int], strobe: int) -> list[int]:
        """Issue a burst; return the cycles of its beats."""
        trace, limit = self.trace, self.config.outstanding_writes
        if trace.aw:
            cycle = max(cycle, trace.aw[-1][0] + 1)
        if len(trace.b) >= limit:
            cycle = max(cycle, trace.b[-limit] + 1)
        trace.aw.append((cycle, address, len(visible) - 1))
        after = max(cycle, trace.w[-1][0] if trace.w else 0) + 1
        cycle = _first(after, lambda c: not _at(self.around.grant, c, True))
        beats = []
        for j, there in enumerate(visible):
            cycle = max(cycle, there)
            beats.append(cycle)
            trace.w.append((cycle, strobe, j == len(visible) - 1))
            cycle += 1
        trace.b.append(beats[-1] + self.around.latency)
        return beats

    def _mark(self, cycle: int, mark: dict[str, int]) -> None:
        if self.trace.b:
            cycle = max(cycle, self.trace.b[-1] + 1)
        start = _first(cycle, lambda c: not _at(self.around.captured, c, True))
        self.trace.started.append(start)
        self._burst(start + 1, mark["dram_address"], [start + 1] * spec.SNAPSHOT_BEATS, 0xFF)
        end = self.trace.b[-1]
        self.trace.marks.append((start, end, mark["last"]))
        self.trace.count("dram_mark_write_bytes", end, 8 * spec.SNAPSHOT_BEATS)
        self.idle = end + 1
