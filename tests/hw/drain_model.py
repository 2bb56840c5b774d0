"""What ``docs/timing.md`` promises of drain, in plain Python: blocks, cycles and bytes."""

import random
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import groupby

from hw import spec
from hw.config import AcceleratorConfig

PAGE = 4096
BLOCKS_AHEAD = 16
ADDITION = 6
"""Cycles that a residual adds to a block."""


def _high(product: int) -> int:
    """TFLite's SaturatingRoundingDoublingHighMul, from the product on, not saturated."""
    nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    return abs(nudged) // (1 << 31) * (1 if nudged >= 0 else -1)


def _divide(value: int, exponent: int) -> int:
    """TFLite's RoundingDivideByPOT."""
    mask = (1 << exponent) - 1
    return (value >> exponent) + ((value & mask) > (mask >> 1) + (value < 0))


def requantise(psum: int, parameter: dict[str, int], output: dict[str, int]) -> int:
    """TFLite's reference: gemmlowp's high multiply and rounding divide, as written there."""
    left, right = max(parameter["shift"], 0), max(-parameter["shift"], 0)
    accumulator = (psum + parameter["bias"]) << left
    accumulator = (accumulator + (1 << 31)) % (1 << 32) - (1 << 31)
    scaled = _divide(min(_high(accumulator * parameter["multiplier"]), (1 << 31) - 1), right)
    return min(max(scaled + output["zero_point"], output["minimum"]), output["maximum"])


def add(own: int, residual: int, zero_point: int, settings: dict[str, int]) -> int:
    """AddElementwise of TFLite's reference/add.h, with the fields of ``drain.residual``, in integers without limits."""
    shifted = (own - zero_point) << 20, (residual - settings["residual_zero_point"]) << 20
    first = _divide(_high(shifted[0] * settings["multiplier"]), settings["shift"])
    second = _divide(_high(shifted[1] * settings["residual_multiplier"]), settings["residual_shift"])
    raw = _divide(_high((first + second) * settings["sum_multiplier"]), settings["sum_shift"])
    return min(max(raw + settings["sum_zero_point"], settings["sum_minimum"]), settings["sum_maximum"])


def residual_word(address: int) -> int:
    """What DRAM holds of second feature maps."""
    return random.Random(address % (1 << 32)).getrandbits(64)


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
    residual: dict[str, int],
) -> dict[int, int]:
    """What a strip writes: byte by address."""
    size, memory = config.activation_bytes, {}
    for x in range(strip["columns"]):
        for column, (group, image, row) in enumerate(entries(layer, strip)):
            for k in range(group_channels(layer, strip, group)):
                psum = banks[column][strip["psum_address"] + x * layer["psums"] + k]
                value = requantise(psum, parameters[strip["parameter"] + group * layer["psums"] + k], layer)
                block, lane = divmod(strip["channel_offset"] + group * layer["psums"] + k, config.channel_block)
                word = word_address(layer, strip, x, image, row, block)
                address = word + lane * size
                if residual["enable"]:
                    there = residual_word(word + residual["address_offset"]).to_bytes(8, "little")
                    other = int.from_bytes(there[lane * size :][:size], "little", signed=True)
                    value = add(value, other, layer["zero_point"], residual)
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
    residual_ready: list[bool] = field(default_factory=list)
    residual_beat: list[bool] = field(default_factory=list)

    def tokens(self, name: str, cycle: int) -> int:
        """Tokens given so far, visible in ``cycle``."""
        return sum(getattr(self, name)[:cycle])


@dataclass
class Trace:
    """Everything that can be seen of drain, each with its cycle."""

    started: list = field(default_factory=list)
    requests: list = field(default_factory=list)
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
        self.residual = {"enable": 0}
        self.residual_asked = 0
        self.residual_arrivals: list[int] = []
        self.residual_additions: list[int] = []

    def run(self, commands: list[tuple[str, dict[str, int]]]) -> Trace:
        """Predict what a program does."""
        layer = {}
        for index, (name, values) in enumerate(commands):
            cycle = max(self.idle, self.around.arrivals[index])
            if name == "drain.layer":
                self.trace.started.append(cycle)
                layer, self.idle = values, cycle + 1
            elif name == "drain.residual":
                cycle = max([cycle, *(beat + 1 for beat in self.beats_of_blocks[-1:])])
                self.trace.started.append(cycle)
                self.residual, self.idle = values, cycle + 1
            elif name == "drain.strip":
                self._strip(cycle, layer, values, index)
            else:
                self._mark(cycle, values)
        return self.trace

    def _has_tokens(self, cycle: int, strip: dict[str, int]) -> bool:
        return all(
            self.around.tokens(name, cycle) - taken >= strip[f"wait_{name}"] for name, taken in self.taken.items()
        )

    def _strip(self, cycle: int, layer: dict[str, int], strip: dict[str, int], index: int) -> None:
        start = _first(cycle, lambda c: not self._has_tokens(c, strip))
        self.trace.started.append(start)
        for name in self.taken:
            self.taken[name] += strip[f"wait_{name}"]
        todo = blocks(self.config, layer, strip)
        pushed, last_reads = start, []
        for number, block in enumerate(todo):
            room_from = last_reads[-BLOCKS_AHEAD] + 1 if number >= BLOCKS_AHEAD else 0
            pushed = self._push(max(pushed + 1, room_from), block, index)
            last_read = self._read(pushed + 1, block)
            last_reads.append(last_read)
            is_last = number == len(todo) - 1
            self._write(last_read, block, strip["signal_written"] if is_last else 0)
        self.trace.gives.append(("psum_free", last_read, strip["signal_psum_free"]))
        self.trace.gives.append(("parameter_free", last_read, strip["signal_parameter_free"]))
        self.idle = last_read + 1

    def _push(self, cycle: int, block: Block, index: int) -> int:
        """Ask for a block's residual beats, if it has any; return the cycle in which it enters the FIFO."""
        if not self.residual["enable"]:
            return cycle

        def blocked(c: int) -> bool:
            credit = self.config.residual_fifo_beats - self.residual_asked + bisect_left(self.residual_additions, c)
            return credit < block.columns

        cycle = _first(cycle, blocked)
        self.residual_asked += block.columns
        address = (block.address + self.residual["address_offset"]) % (1 << 32)
        split = min(block.columns, (PAGE - address % PAGE) // 8)
        cycle = self._ask(cycle, address, split, index)
        return (
            self._ask(cycle + 1, address + 8 * split, block.columns - split, index) if split < block.columns else cycle
        )

    def _ask(self, cycle: int, address: int, beats: int, index: int) -> int:
        """Issue a burst of residual beats; return the cycle in which it is accepted."""
        accepted = _first(cycle, lambda c: not _at(self.around.residual_ready, c, True))
        self.trace.requests.append((accepted, address % (1 << 32), beats, index))
        arrivals = self.residual_arrivals
        for _ in range(beats):
            earliest = max([accepted + self.around.latency, *(beat + 1 for beat in arrivals[-1:])])
            arrivals.append(_first(earliest, lambda c: not _at(self.around.residual_beat, c, True)))
        return accepted

    def _read(self, visible: int, block: Block) -> int:
        """Read a block; return the cycle of its last read."""

        def blocked(c: int) -> bool:
            credit = self.config.drain_fifo_beats - self.credits_taken + bisect_left(self.beats_of_blocks, c)
            hold = max(self.previous_columns - (c - self.previous_last - 1), 0)
            return _at(self.around.head, c, False) or credit < block.columns or hold > len(block.reads)

        earliest, activations = max(visible, self.previous_last + 1), block.columns * len(block.reads)
        if self.residual["enable"]:
            earliest = max(earliest, self.residual_arrivals[len(self.residual_additions) + block.columns - 1] + 1)
        cycle = _first(earliest, blocked)
        self.credits_taken += block.columns
        self.trace.count("dram_ofmap_write_bytes", cycle, activations * self.config.activation_bytes)
        if self.residual["enable"]:
            self.trace.count("add_done", cycle, activations)
            self.trace.count("dram_residual_read_bytes", cycle, 8 * block.columns)
        for read in block.reads:
            cycle = _first(cycle, lambda c: _at(self.around.head, c, False))
            self.trace.reads.append((cycle, *read))
            self.trace.count("glb_psum_drain", cycle, block.columns)
            self.trace.count("parameter_read", cycle, 1)
            cycle += 1
        self.previous_last, self.previous_columns = cycle - 1, block.columns
        if self.residual["enable"]:
            self.residual_additions += [cycle - 1 + 7 + j for j in range(block.columns)]
        return cycle - 1

    def _write(self, last_read: int, block: Block, written: int) -> None:
        complete = last_read + 6 + (ADDITION if self.residual["enable"] else 0)
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
