"""Drain's reader: reads the blocks' psums and parameters whenever banks, transposer and FIFO allow."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.axi import PAGE_BYTES
from hw.config import AcceleratorConfig
from hw.drain_walker import block_layout


def read_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of one read: a psum of each of ``columns`` PE columns for position ``lane`` of their words.

    ``first`` and ``last`` of its block. The first ``split`` words of the block lie before the next 4 KiB border.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "first": unsigned(1),
            "last": unsigned(1),
            "lane": unsigned(bits_for(config.channel_block - 1)),
            "columns": unsigned(bits_for(config.drain_width)),
            "split": unsigned(bits_for(config.drain_width)),
        }
    )


class DrainReader(wiring.Component):
    """Read blocks in order, one channel a cycle.

    A block begins when its beats have room in the beat FIFO, the transposer will have sent the previous block before
    this one is complete, and all its residual beats are there, if it has any.

    Latency: none; a block's first read may be in the cycle in which it appears. Throughput: a read a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    blocks : In(stream of block_layout(config))
        Blocks to read; taken with the last read.
    room : In(1)
        The block may be pushed towards the bus.
    beat_sent : In(1)
        A beat of a block leaves the beat FIFO.
    residual_enable : In(1)
        Blocks have as many residual beats as beats.
    residual_arrived : In(1)
        One of them has come in.
    psum_request, psum_address : Out(1), Out(12)
        Read of all psum banks.
    psum_ready : In(1)
        The banks do it in this cycle.
    parameter_read_enable, parameter_read_address : Out(1), Out(12)
        Read of the parameter memory.
    read : Out(read_layout(config))
        What is read in this cycle.
    empty : Out(1)
        Every beat of every block read has left.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "blocks": In(stream.Signature(block_layout(config))),
                "room": In(1),
                "beat_sent": In(1),
                "residual_enable": In(1),
                "residual_arrived": In(1),
                "psum_request": Out(1),
                "psum_address": Out(12),
                "psum_ready": In(1),
                "parameter_read_enable": Out(1),
                "parameter_read_address": Out(12),
                "read": Out(read_layout(config)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        block, read = self.blocks.payload, self.read
        beats = self._config.drain_fifo_beats
        credits_left = Signal(range(beats + 1), init=beats)
        hold = Signal(range(self._config.drain_width + 1))
        channel = Signal(range(self._config.channel_block))
        may_begin = (credits_left >= block.columns) & (hold <= block.channels) & self.room & self._has_residual(m)
        m.d.comb += [
            read.first.eq(channel == 0),
            read.last.eq(channel + 1 == block.channels),
            read.lane.eq(block.lane + channel),
            read.columns.eq(block.columns),
            read.split.eq(self._split(block)),
            self.psum_request.eq(self.blocks.valid & (~read.first | may_begin)),
            self.psum_address.eq(block.psum_address + channel),
            read.valid.eq(self.psum_request & self.psum_ready),
            self.parameter_read_enable.eq(read.valid),
            self.parameter_read_address.eq(block.parameter_address + channel),
            self.blocks.ready.eq(read.valid & read.last),
            self.empty.eq(credits_left == beats),
        ]
        taken = Mux(read.valid & read.first, block.columns, 0)
        m.d.sync += credits_left.eq(credits_left - taken + self.beat_sent)
        with m.If(read.valid):
            m.d.sync += channel.eq(Mux(read.last, 0, channel + 1))
        with m.If(read.valid & read.last):
            m.d.sync += hold.eq(block.columns)
        with m.Elif(hold != 0):
            m.d.sync += hold.eq(hold - 1)
        return m

    def _has_residual(self, m: Module) -> Value:
        """Count the residual beats that wait for their block; return whether the block at hand may begin."""
        columns, begins = self.blocks.payload.columns, self.read.valid & self.read.first & self.residual_enable
        level = Signal(range(self._config.residual_fifo_beats + 1))
        m.d.sync += level.eq(level - Mux(begins, columns, 0) + self.residual_arrived)
        return ~self.residual_enable | (level >= columns)

    def _split(self, block: data.View) -> Value:
        words = PAGE_BYTES // self._config.bus_bytes
        to_border = words - block.address[bits_for(self._config.bus_bytes - 1) : bits_for(PAGE_BYTES - 1)]
        return Mux(to_border < block.columns, to_border, block.columns)
