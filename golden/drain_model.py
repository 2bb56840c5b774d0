"""Cycles and counts of drain: section 8 of docs/timing.md."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from golden.engine_model import Engine, Fields
from golden.execute_model import Links
from golden.memory_model import Dram, ReadPort, Timeline, split_bursts
from golden.residual_model import ADD_CYCLES, PIPELINE_CYCLES, Block, Credits, Residuals
from hw import spec
from hw.config import AcceleratorConfig


def segments(fields: Fields, layer: Fields, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (relative group, image, row, PE columns) of a strip's segments, cut to ``width`` columns."""
    group, image, row = 0, fields["image"], fields["row"]
    left = fields["strip_columns"]
    while left:
        length = min(left, layer["rows"] - row, width)
        yield group, image, row, length
        left -= length
        row += length
        if row == layer["rows"]:
            row, image = 0, image + 1
        if image == layer["images"]:
            image, group = 0, group + 1


def chunks(first_channel: int, channels: int, block: int) -> Iterator[tuple[int, int]]:
    """Yield (channel block, channels in it) of ``channels`` channels from ``first_channel`` on."""
    while channels:
        length = min(channels, block - first_channel % block)
        yield first_channel // block, length
        first_channel += length
        channels -= length


def strip_blocks(fields: Fields, layer: Fields, config: AcceleratorConfig) -> list[Block]:
    """Blocks of a strip in the order of drain's walker."""
    column: list[Block] = []
    psums = layer["psums"]
    for group, image, row, length in segments(fields, layer, config.drain_width):
        address = fields["group_address"] + image * layer["image_stride"] + row * config.bus_bytes
        valid = min(psums, fields["channels"] - group * psums)
        for block, reads in chunks(fields["channel_offset"] + group * psums, valid, config.channel_block):
            column.append(Block(address + block * layer["block_stride"], reads, length))
    blocks = [
        Block(block.address + x * layer["column_stride"], block.reads, block.beats)
        for x in range(fields["columns"])
        for block in column
    ]
    blocks[-1].last = True
    return blocks


class Drain(Engine):
    """Requantisation and ofmap writes."""

    def __init__(
        self,
        *,
        config: AcceleratorConfig,
        links: Links,
        timeline: Timeline,
        dram: Dram,
        port: ReadPort,
        **engine: object,
    ) -> None:
        super().__init__(name="drain", **engine)  # type: ignore[arg-type]
        self._config = config
        self._links = links
        self._timeline = timeline
        self._dram = dram
        self._layer: Fields = {}
        self._strip: Fields = {}
        self._blocks: deque[Block] = deque()
        self._reading = False
        self._earliest = 0  # first read of the next block, as far as descriptor and order decide
        self._hold = (0, 0)  # (last read, beats) of the block before
        self._credits = Credits(config.drain_fifo_beats)
        self._residual: Fields = {"enable": 0}
        self._residuals = Residuals(config=config, port=port, drain=self)
        self._bursts: deque[tuple[int, int, int]] = deque()  # (descriptor visible, beats, written tokens)
        self._last_aw = 0
        self._issued = 0
        self._responses: list[int] = []
        self._marking = False
        self.finished: int | None = None
        self._head = 0

    def step(self) -> bool:
        """Issue the next AW, start the next block's reads or the next command, if known."""
        if self._bursts and self._issue():
            return True
        if self._residuals.step():
            return True
        if self._reading or self._marking:
            return False
        if self._blocks:
            return self._start_block()
        return self._start_command() if self.queue else False

    def _start_command(self) -> bool:
        visible, command, fields = self.queue[0]
        start = max(self.idle, visible)
        if command == "mark":
            return self._start_mark(start, fields)
        if command == "drain.residual":
            back = self._credits.all_back()
            if back is None:
                return False
            start = max(start, back)
            self._residual = fields
        elif command == "drain.layer":
            self._layer = fields
        else:
            links = self._links
            psum = links.psum_ready.visible(fields["wait_psum_ready"])
            parameter = links.parameter_ready.visible(fields["wait_parameter_ready"])
            if psum is None or parameter is None:
                return False
            links.psum_ready.take(fields["wait_psum_ready"])
            links.parameter_ready.take(fields["wait_parameter_ready"])
            start = max(start, psum, parameter)
            self._start_strip(start, fields)
        self.pop(start)
        self.idle = start + 1
        return True

    def _start_strip(self, start: int, fields: Fields) -> None:
        self._strip = fields
        blocks = strip_blocks(fields, self._layer, self._config)
        if self._residual["enable"]:
            for block in blocks:
                block.ready = None
            self._residuals.start(start + 1, blocks, self._residual["address_offset"])
        self._blocks.extend(blocks)
        self._earliest = start + 2

    def _start_block(self) -> bool:
        block = self._blocks[0]
        credit = self._credits.visible(block.beats)
        if credit is None or block.ready is None:
            return False
        last, beats = self._hold
        first = max(self._earliest, credit, block.ready, last + 1 + max(0, beats - block.reads))
        self._credits.take(block.beats)
        self._reading = True
        self._read(first, block)
        return True

    def _read(self, first: int, block: Block) -> None:
        """Wait until the block's last read is past; head reads meanwhile may delay it."""
        heads = self._links.head_reads
        known = len(heads)

        def arrive(now: int) -> None:
            nonlocal known
            if known < len(heads):
                known = len(heads)
                again = self._last_read(first, block.reads)
                if again > now:
                    self._timeline.at(again, arrive)
                    return
            self._finish_block(now, block)

        self._timeline.at(self._last_read(first, block.reads), arrive)

    def _last_read(self, first: int, reads: int) -> int:
        """Cycle of the last of ``reads`` bank reads from ``first`` on, as far as head reads are known."""
        heads, index = self._links.head_reads, self._head
        while index < len(heads) and heads[index][0] + (heads[index][1] - 1) * heads[index][2] < first:
            index += 1
        self._head = index
        cycle = first - 1
        while reads:
            cycle += 1
            while index < len(heads) and heads[index][0] + (heads[index][1] - 1) * heads[index][2] < cycle:
                index += 1
            if index == len(heads) or cycle < heads[index][0]:
                free = reads if index == len(heads) else min(reads, heads[index][0] - cycle)
                cycle += free - 1
                reads -= free
            elif (cycle - heads[index][0]) % heads[index][2]:
                reads -= 1
        return cycle

    def _finish_block(self, last: int, block: Block) -> None:
        strip, config = self._strip, self._config
        self._blocks.popleft()
        self._reading = False
        self.awake = True
        self._hold = (last, block.beats)
        self._earliest = last + 1
        now = self.counts.now
        now["glb.psum.drain"] += block.reads * block.beats
        now["parameter.read"] += block.reads
        now["dram.ofmap.write_bytes"] += block.reads * block.beats * config.activation_bytes
        complete = last + PIPELINE_CYCLES
        if self._residual["enable"]:
            complete += ADD_CYCLES
            self._residuals.finish(last, block.beats)
            now["add.done"] += block.reads * block.beats
            now["dram.residual.read_bytes"] += block.beats * config.bus_bytes
        pieces = list(split_bursts(block.address, block.beats, bus_bytes=config.bus_bytes))
        for number, (_, beats) in enumerate(pieces):
            tokens = strip["signal_written"] if block.last and number == len(pieces) - 1 else 0
            self._bursts.append((complete + 1, beats, tokens))
        if block.last:
            self._links.psum_free.give(last + 1, strip["signal_psum_free"])
            self._links.parameter_free.give(last + 1, strip["signal_parameter_free"])
            self.idle = last + 1

    def _issue(self) -> bool:
        """Issue AW of the oldest complete burst if a place in flight is known to be free."""
        index = self._issued - self._config.outstanding_writes
        if index >= len(self._responses):
            return False
        visible, beats, tokens = self._bursts.popleft()
        free = self._responses[index] + 1 if index >= 0 else 0
        self._last_aw = max(self._last_aw + 1, visible, free)
        self._issued += 1

        def granted(first: int, response: int) -> None:
            self._credits.give_back(first, beats)
            self._responses.append(response)
            self._links.written.give(response + 1, tokens)
            self.awake = True

        self._dram.write(self._last_aw, beats, granted)
        return True

    def _start_mark(self, start: int, fields: Fields) -> bool:
        captured = self.marks.all_captured(len(self.marks.written))
        if captured is None or len(self._responses) < self._issued or self._bursts:
            return False
        start = max(start, captured, self._responses[-1] + 1 if self._responses else 0)
        self.pop(start)
        self.counts.now["cycle.total"] = start
        self.counts.capture()
        self._marking = True
        self._issued += 1
        self._last_aw = start + 1

        def granted(_first: int, response: int) -> None:
            self._responses.append(response)
            self.counts.now["dram.mark.write_bytes"] += spec.SNAPSHOT_BEATS * self._config.bus_bytes
            self.marks.write(response)
            self.idle = response + 1
            self._marking = False
            self.awake = True
            if fields["last"]:
                self.finished = response + 1

        self._dram.write(start + 1, spec.SNAPSHOT_BEATS, granted)
        return True
