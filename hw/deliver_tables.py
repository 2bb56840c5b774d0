"""The two walkers that fill the PE array's row and column tables before a pass is delivered."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.config import AcceleratorConfig
from hw.layouts import COLUMN_ENTRY, ROW_ENTRY, command_layout


class RowTableWalker(wiring.Component):
    """Walk the (channel, filter row) pairs of a pass, one PE row after the other.

    Latency: row 0's entry is there in the cycle after ``load``. Throughput: one entry a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    load : In(1)
        Start with the pass in ``fresh``.
    fresh, layer : In(command layouts)
        The pass that is loaded, and the layer that it belongs to.
    enable : In(1)
        Shift out entries until every row has one.
    entry, shift : Out(ROW_ENTRY), Out(1)
        The entry, and whether the table takes it.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._rows = config.rows
        super().__init__(
            {
                "load": In(1),
                "fresh": In(command_layout("execute.pass")),
                "layer": In(command_layout("execute.layer")),
                "enable": In(1),
                "entry": Out(ROW_ENTRY),
                "shift": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row = Signal(bits_for(self._rows))
        active_rows, last_rows = Signal.like(self.fresh.active_rows), Signal.like(self.fresh.last_rows)
        slots = Signal.like(self.fresh.slots)
        filter_row, channel = Signal.like(self.entry.filter_row), Signal.like(self.entry.channel)
        m.d.comb += [
            self.shift.eq(self.enable & (row < self._rows)),
            self.entry.filter_row.eq(filter_row),
            self.entry.channel.eq(channel),
            self.entry.slots.eq(Mux(row < last_rows, slots, Mux(row < active_rows, slots - 1, 0))),
        ]
        with m.If(self.load):
            m.d.sync += [
                row.eq(0),
                active_rows.eq(self.fresh.active_rows),
                last_rows.eq(self.fresh.last_rows),
                slots.eq(self.fresh.slots),
                filter_row.eq(self.fresh.filter_row),
                channel.eq(self.fresh.channel_offset),
            ]
        with m.Elif(self.shift):
            wrap = filter_row + 1 == self.layer.filter_rows
            m.d.sync += [row.eq(row + 1), filter_row.eq(Mux(wrap, 0, filter_row + 1)), channel.eq(channel + wrap)]
        return m


class ColumnTableWalker(wiring.Component):
    """Walk the (filter group, image, ofmap row) triples of a strip, one PE column after the other.

    Latency: column 0's entry is there in the cycle after ``load``. Throughput: one entry a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    load : In(1)
        Start with the pass in ``fresh``.
    fresh, layer : In(command layouts)
        The pass that is loaded, and the layer that it belongs to.
    enable : In(1)
        Shift out entries until every column has one.
    entry, shift : Out(COLUMN_ENTRY), Out(1)
        The entry, and whether the table takes it.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._cols = config.cols
        super().__init__(
            {
                "load": In(1),
                "fresh": In(command_layout("execute.pass")),
                "layer": In(command_layout("execute.layer")),
                "enable": In(1),
                "entry": Out(COLUMN_ENTRY),
                "shift": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        column = Signal(bits_for(self._cols))
        strip_columns, wraps, wrapped = Signal.like(self.fresh.strip_columns), Signal(), Signal()
        row, image = Signal.like(self.fresh.row), Signal.like(self.fresh.image)
        # Tile row and row within its image under filter row 0, and the tile row where the image starts.
        first_row, image_row, image_base = (Signal(signed(14), name=n) for n in ("first_row", "image_row", "base"))
        m.d.comb += [
            self.shift.eq(self.enable & (column < self._cols)),
            self.entry.first_row.eq(first_row),
            self.entry.top.eq(_clip(-image_row, 8)),
            self.entry.bottom.eq(_clip(self.layer.image_rows - image_row, 9)),
            self.entry.run.eq(wrapped & wraps),
            self.entry.valid.eq(column < strip_columns),
        ]
        with m.If(self.load):
            m.d.sync += [
                column.eq(0),
                strip_columns.eq(self.fresh.strip_columns),
                wraps.eq(self.fresh.wrap_rows != 0),
                wrapped.eq(0),
                row.eq(self.fresh.row),
                image.eq(self.fresh.image),
                first_row.eq(self.fresh.first_row),
                image_row.eq(self.fresh.image_row),
                image_base.eq(self.fresh.first_row - self.fresh.image_row),
            ]
        with m.Elif(self.shift):
            m.d.sync += [
                column.eq(column + 1),
                row.eq(row + 1),
                first_row.eq(first_row + self.layer.stride_rows),
                image_row.eq(image_row + self.layer.stride_rows),
            ]
            with m.If(row + 1 == self.layer.rows):
                last_image = image + 1 == self.layer.images
                next_base = Mux(last_image, 0, image_base + self.layer.image_row_stride)
                m.d.sync += [
                    row.eq(0),
                    image.eq(Mux(last_image, 0, image + 1)),
                    image_base.eq(next_base),
                    first_row.eq(next_base - self.layer.pad_top),
                    image_row.eq(-self.layer.pad_top),
                    wrapped.eq(wrapped | last_image),
                ]
        return m


def _clip(value: Value, width: int) -> Value:
    """Return ``value`` (signed) clipped to the unsigned range of ``width`` bits."""
    sign, overflow = value[-1], value[width:-1].any()
    return Mux(sign, 0, Mux(overflow, (1 << width) - 1, value[:width]))
