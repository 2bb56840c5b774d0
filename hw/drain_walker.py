"""Drain's walker: cuts a strip into blocks of psums that leave as one burst."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.config import AcceleratorConfig
from hw.layouts import command_layout

LAYER = command_layout("drain.layer")
STRIP = command_layout("drain.strip")


def block_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of a block: ``channels`` psums, of consecutive channels, of each of ``columns`` PE columns.

    Channel c of a PE column is at bank address ``psum_address + c``, its parameters are at ``parameter_address + c``,
    and it goes to position ``lane + c`` of the column's word; the first column's word is at DRAM ``address``.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """
    return data.StructLayout(
        {
            "first_column": unsigned(bits_for(config.cols - 1)),
            "columns": unsigned(bits_for(config.drain_width)),
            "lane": unsigned(bits_for(config.channel_block - 1)),
            "channels": unsigned(bits_for(config.channel_block)),
            "psum_address": unsigned(12),
            "parameter_address": unsigned(12),
            "address": unsigned(32),
            "last": unsigned(1),
        }
    )


class DrainWalker(wiring.Component):
    """Walk over a strip's ofmap columns, segments, pieces and channel chunks, in this order from outer to inner.

    A segment is the PE columns of one filter group and image; a piece is up to ``drain_width`` of its columns; a chunk
    is the group's channels that share a word. Every filter group of the strip has a channel that exists.

    Latency: the first block is valid one cycle after ``start``. Throughput: a block a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    start : In(1)
        Begin a strip; only when the last block of the previous one has been taken.
    layer : In(command_layout("drain.layer"))
        The layer, constant from ``start`` until the strip's last block has been taken.
    strip : In(command_layout("drain.strip"))
        The strip, likewise.
    blocks : Out(stream of block_layout(config))
        Its blocks.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        self._pixel_bytes_log2 = bits_for(config.bus_bytes - 1)
        super().__init__(
            {
                "start": In(1),
                "layer": In(LAYER),
                "strip": In(STRIP),
                "blocks": Out(stream.Signature(block_layout(config))),
            }
        )
        # Per ofmap column: what start_address and group_address are there.
        self._columns_left = Signal(12)
        self._column_start = Signal(32)
        self._column_group = Signal(32)
        self._psum_column = Signal(12)
        # Per filter group: where image 0, row 0 has the group's first channel, and that channel's place in the word.
        self._group_address = Signal(32)
        self._group_lane = Signal(bits_for(config.channel_block - 1))
        self._group_channels = Signal(12)
        self._group_parameter = Signal(12)
        # Per image and piece.
        self._images_left = Signal(8)
        self._image_address = Signal(32)
        self._rows_left = Signal(12)
        self._row_address = Signal(32)
        self._pe_column = Signal(7)
        self._pe_columns_left = Signal(7)
        # Per chunk.
        self._channel = Signal(6)
        self._lane = Signal.like(self._group_lane)
        self._block_offset = Signal(32)
        self._address = Signal(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        walking = Signal()
        block = self.blocks.payload
        m.d.comb += self.blocks.valid.eq(walking)
        last_chunk, last_piece = self._cut(m, block)
        last_column = self._columns_left == 1
        m.d.comb += block.last.eq(last_chunk & last_piece & last_column)
        with m.If(walking & self.blocks.ready):
            with m.If(~last_chunk):
                self._next_chunk(m, block)
            with m.Elif(~last_piece):
                self._next_piece(m, block)
            with m.Else():
                self._next_column(m)
                m.d.sync += walking.eq(~last_column)
        with m.If(self.start):
            self._first_column(m)
            m.d.sync += walking.eq(1)
        return m

    def _cut(self, m: Module, block: data.View) -> tuple[Value, Value]:
        """Drive the present block; return whether it is its piece's last and whether its piece is the last."""
        group_channels = Signal(6)
        channels_left = Signal(6)
        m.d.comb += [
            group_channels.eq(_least(self.layer.psums, self._group_channels)),
            channels_left.eq(group_channels - self._channel),
            block.first_column.eq(self._pe_column),
            block.columns.eq(_least(self._config.drain_width, self._rows_left, self._pe_columns_left)),
            block.lane.eq(self._lane),
            block.channels.eq(_least(self._config.channel_block - self._lane, channels_left)),
            block.psum_address.eq(self._psum_column + self._channel),
            block.parameter_address.eq(self._group_parameter + self._channel),
            block.address.eq(self._address),
        ]
        # Not by way of the block's channels and columns: the path through their minima would be the machine's longest.
        last_chunk = channels_left <= self._config.channel_block - self._lane
        fits = self._pe_columns_left <= self._config.drain_width
        return last_chunk, fits & (self._pe_columns_left <= self._rows_left)

    def _next_chunk(self, m: Module, block: data.View) -> None:
        m.d.sync += [
            self._channel.eq(self._channel + block.channels),
            self._lane.eq(0),
            self._block_offset.eq(self._block_offset + self.layer.block_stride),
            self._address.eq(self._address + self.layer.block_stride),
        ]

    def _next_piece(self, m: Module, block: data.View) -> None:
        row_address = self._row_address + (block.columns << self._pixel_bytes_log2)
        m.d.sync += [
            self._channel.eq(0),
            self._lane.eq(self._group_lane),
            self._block_offset.eq(0),
            self._pe_column.eq(self._pe_column + block.columns),
            self._pe_columns_left.eq(self._pe_columns_left - block.columns),
            self._rows_left.eq(self._rows_left - block.columns),
            self._row_address.eq(row_address),
            self._address.eq(row_address),
        ]
        with m.If(block.columns == self._rows_left):
            m.d.sync += self._rows_left.eq(self.layer.rows)
            with m.If(self._images_left == 1):
                self._next_group(m, block)
            with m.Else():
                address = self._image_address + self.layer.image_stride
                m.d.sync += [
                    self._images_left.eq(self._images_left - 1),
                    self._image_address.eq(address),
                    self._row_address.eq(address),
                    self._address.eq(address),
                ]

    def _next_group(self, m: Module, block: data.View) -> None:
        """Continue behind the last chunk: a group that is followed by another one has all its channels."""
        room = self._config.channel_block - self._lane
        lane = (self._lane + block.channels)[: len(self._lane)]
        offset = self._block_offset + Mux(block.channels == room, self.layer.block_stride, 0)
        address = self._group_address + offset
        m.d.sync += [
            self._images_left.eq(self.layer.images),
            self._image_address.eq(address),
            self._row_address.eq(address),
            self._address.eq(address),
            self._group_address.eq(address),
            self._group_lane.eq(lane),
            self._lane.eq(lane),
            self._group_channels.eq(self._group_channels - self.layer.psums),
            self._group_parameter.eq(self._group_parameter + self.layer.psums),
        ]

    def _next_column(self, m: Module) -> None:
        m.d.sync += [
            self._columns_left.eq(self._columns_left - 1),
            self._psum_column.eq(self._psum_column + self.layer.psums),
        ]
        stride = self.layer.column_stride
        self._first_segment(m, self._column_start + stride, self._column_group + stride)

    def _first_column(self, m: Module) -> None:
        m.d.sync += [
            self._columns_left.eq(self.strip.columns),
            self._psum_column.eq(self.strip.psum_address),
        ]
        self._first_segment(m, self.strip.start_address, self.strip.group_address)

    def _first_segment(self, m: Module, start_address: Value, group_address: Value) -> None:
        """Go to the first segment of the ofmap column with these addresses."""
        layer, strip = self.layer, self.strip
        m.d.sync += [
            self._column_start.eq(start_address),
            self._column_group.eq(group_address),
            self._group_address.eq(group_address),
            self._group_lane.eq(strip.channel_offset),
            self._group_channels.eq(strip.channels),
            self._group_parameter.eq(strip.parameter),
            self._images_left.eq(layer.images - strip.image),
            self._image_address.eq(start_address - (strip.row << self._pixel_bytes_log2)),
            self._rows_left.eq(layer.rows - strip.row),
            self._row_address.eq(start_address),
            self._pe_column.eq(0),
            self._pe_columns_left.eq(strip.strip_columns),
            self._channel.eq(0),
            self._lane.eq(strip.channel_offset),
            self._block_offset.eq(0),
            self._address.eq(start_address),
        ]


def _least(*values: Value | int) -> Value:
    """Return the least of several numbers."""
    least, *others = values
    for value in others:
        least = Mux(least < value, least, value)
    return least
