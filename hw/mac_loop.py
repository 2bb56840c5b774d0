"""The loops of a pass: ofmap columns, slots, taps and, innermost, filters, with the scratchpad addresses they need."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.layouts import command_layout, operation_layout


class OperationLoop(wiring.Component):
    """Point at one operation of the pass; after the last one, at the first of the pass that follows.

    Latency: the next operation is there in the cycle after ``advance``. Throughput: one operation a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command, layer : In(command layouts)
        The pass, and the layer that it belongs to.
    reset : In(1)
        A layer starts: go back to ring column 0.
    advance : In(1)
        Go to the next operation.
    filter_address, ifmap_address, psum : Out
        Scratchpad addresses of the operation; ``psum`` is also the psum's number within the ofmap column.
    first_tap, first_filter, last_slot : Out(1)
        Whether the operation is the first of its psum, of its ifmap operand, and in the pass's last slot.
    last_psum : Out(1)
        Whether its psum is the ofmap column's last.
    first_column, last_column, last : Out(1)
        Whether its ofmap column is the pass's first or last, and whether it is the column's last operation.
    step : Out(8)
        Ifmap columns that each ofmap column but the first needs anew: min(U, S).
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        operation = operation_layout(config)
        super().__init__(
            {
                "command": In(command_layout("execute.pass")),
                "layer": In(command_layout("execute.layer")),
                "reset": In(1),
                "advance": In(1),
                "filter_address": Out(operation["filter_address"].shape),
                "ifmap_address": Out(operation["ifmap_address"].shape),
                "psum": Out(operation["psum_address"].shape),
                "first_tap": Out(1),
                "first_filter": Out(1),
                "last_slot": Out(1),
                "last_psum": Out(1),
                "first_column": Out(1),
                "last_column": Out(1),
                "last": Out(1),
                "step": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        column, slot = Signal.like(self.command.columns), Signal.like(self.command.slots)
        tap, filter_ = Signal.like(self.layer.filter_columns), Signal.like(self.layer.filters)
        last_tap, last_filter = Signal(), Signal()
        m.d.comb += [
            last_filter.eq(filter_ + 1 == self.layer.filters),
            last_tap.eq(tap + 1 == self.layer.filter_columns),
            self.last_slot.eq(slot + 1 == self.command.slots),
            self.last_column.eq(column + 1 == self.command.columns),
            self.last.eq(last_filter & last_tap & self.last_slot),
            self.first_filter.eq(filter_ == 0),
            self.first_tap.eq((tap == 0) & (self.layer.depthwise | (slot == 0))),
            self.first_column.eq(column == 0),
            self.psum.eq(Mux(self.layer.depthwise, slot, filter_)),
            self.last_psum.eq(Mux(self.layer.depthwise, self.last_slot, last_filter)),
        ]
        with m.If(self.advance):
            m.d.sync += filter_.eq(Mux(last_filter, 0, filter_ + 1))
            with m.If(last_filter):
                m.d.sync += tap.eq(Mux(last_tap, 0, tap + 1))
            with m.If(last_filter & last_tap):
                m.d.sync += slot.eq(Mux(self.last_slot, 0, slot + 1))
            with m.If(self.last):
                m.d.sync += column.eq(Mux(self.last_column, 0, column + 1))
        self._filter_address(m)
        self._ifmap_address(m, last_filter, last_tap)
        return m

    def _filter_address(self, m: Module) -> None:
        weight, half = Signal(len(self.filter_address) - 1), Signal()
        with m.If(self.advance):
            m.d.sync += weight.eq(Mux(self.last, 0, weight + 1))
            with m.If(self.last & self.last_column & self.command.release_filters):
                m.d.sync += half.eq(~half)
        m.d.comb += self.filter_address.eq(Cat(weight, half))

    def _ifmap_address(self, m: Module, last_filter: Signal, last_tap: Signal) -> None:
        ring_columns, filter_columns = self.layer.ring_columns, self.layer.filter_columns
        # Ring column under tap 0, ring column under the current tap, first word of the slot's ring.
        position, ring_column = Signal.like(ring_columns), Signal.like(ring_columns)
        slot_base = Signal.like(self.ifmap_address)
        moved, next_position = Signal(len(self.step) + 1), Signal.like(ring_columns)
        m.d.comb += [
            self.step.eq(Mux(self.layer.stride_columns < filter_columns, self.layer.stride_columns, filter_columns)),
            moved.eq(position + Mux(self.last_column, filter_columns, self.step)),
            next_position.eq(Mux(moved >= ring_columns, moved - ring_columns, moved)),
            self.ifmap_address.eq(slot_base + ring_column),
        ]
        with m.If(self.advance & last_filter):
            m.d.sync += ring_column.eq(Mux(ring_column + 1 == ring_columns, 0, ring_column + 1))
            with m.If(last_tap):
                m.d.sync += [ring_column.eq(position), slot_base.eq(slot_base + ring_columns)]
            with m.If(self.last):
                m.d.sync += [ring_column.eq(next_position), position.eq(next_position), slot_base.eq(0)]
        with m.If(self.reset):
            m.d.sync += [position.eq(0), ring_column.eq(0)]
