"""Ifmap half of load's write side: spreads the beats of a ``load.ifmap`` over the lanes."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.layouts import command_layout


class LoadIfmap(wiring.Component):
    """Decide lanes and word of each beat's pixels and unpack them.

    A beat of ``2**pixels_log2`` pixels starts at a tile row that is a multiple of that number, so its pixels lie in
    neighbouring lanes, all in the same word.

    Latency: none, a beat is written in the cycle in which it comes. Throughput: one beat a cycle, also from one column,
    block or command to the next.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command : In(command_layout("load.ifmap"))
        The command under way; constant from the first beat to the last.
    first_address : In(12)
        Lane word of the command's first beat.
    beat : In(64)
        Data.
    step : In(1)
        A beat of this command comes now.
    last : Out(1)
        The beat that is due is the command's last one.
    pixels : Out(4)
        Pixels in a beat.
    write_enable : Out(lanes)
        Lanes that take a pixel now.
    write_address : Out(12)
        Lane word.
    write_data : Out(64) for each lane
        The pixel, its channels first, the word's other channels zero.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(command_layout("load.ifmap")),
                "first_address": In(12),
                "beat": In(config.bus_bits),
                "step": In(1),
                "last": Out(1),
                "pixels": Out(4),
                "write_enable": Out(config.lanes),
                "write_address": Out(12),
                "write_data": Out(config.bus_bits).array(config.lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lane = Signal(range(self._config.lanes))
        m.d.comb += self.pixels.eq(Const(1) << self.command.pixels_log2)
        self._walk(m, lane)
        with m.Switch(self.command.pixels_log2):
            for pixels_log2 in range(exact_log2(self._config.channel_block) + 1):
                with m.Case(pixels_log2):
                    self._unpack(m, lane, pixels_log2)
        return m

    def _walk(self, m: Module, lane: Signal) -> None:
        """Follow the beats; positions are relative to the first beat, so that all end as they begin, at zero."""
        command = self.command
        rows = Signal(lane.shape())
        offset = Signal(12)
        column_offset = Signal(12)
        block_offset = Signal(12)
        beat = Signal(12)
        column = Signal(12)
        block = Signal(8)
        next_lane = Signal(len(lane) + 1)
        end_of_column = Signal()
        end_of_block = Signal()
        m.d.comb += [
            lane.eq(command.row + rows),
            next_lane.eq(lane + self.pixels),
            self.write_address.eq(self.first_address + offset),
            end_of_column.eq(beat + 1 == command.column_beats),
            end_of_block.eq(end_of_column & (column + 1 == command.columns)),
            self.last.eq(end_of_block & (block + 1 == command.blocks)),
        ]
        with m.If(self.step):
            m.d.sync += [
                beat.eq(beat + 1),
                rows.eq(rows + self.pixels),
                offset.eq(offset + Mux(next_lane[-1], command.row_block_stride, 0)),
            ]
            with m.If(end_of_column):
                m.d.sync += [beat.eq(0), rows.eq(0), column.eq(column + 1)]
                m.d.sync += [offset.eq(column_offset + 1), column_offset.eq(column_offset + 1)]
            with m.If(end_of_block):
                start = block_offset + command.block_words
                m.d.sync += [column.eq(0), block.eq(block + 1)]
                m.d.sync += [offset.eq(start), column_offset.eq(start), block_offset.eq(start)]
            with m.If(self.last):
                m.d.sync += [block.eq(0), offset.eq(0), column_offset.eq(0), block_offset.eq(0)]

    def _unpack(self, m: Module, lane: Signal, pixels_log2: int) -> None:
        pixels = 1 << pixels_log2
        width = self._config.bus_bits // pixels
        for i in range(self._config.lanes):
            m.d.comb += [
                self.write_enable[i].eq(self.step & (lane >> pixels_log2 == i >> pixels_log2)),
                self.write_data[i].eq(self.beat.word_select(i % pixels, width)),
            ]
