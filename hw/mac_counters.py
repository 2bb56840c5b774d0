"""What the operations and the psums that leave add to the access counters."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.layouts import command_layout, counts_layout
from hw.mac_emission import EMITTING_PASS


class AccessCounter(wiring.Component):
    """Count PEs at work, active rows times active columns, and psum bank accesses.

    Latency: what happens in cycle i is in ``counts`` in i + 1, so a mark in the next cycle includes it. A new pass
    or a new emitting pass may come in the same cycle as the last event of the old one, and its first event one cycle
    later. Throughput: one operation and one emission a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command, layer : In(command layouts)
        The pass, and the layer that it belongs to.
    operate, first_tap, first_filter, last_slot : In(1)
        An operation is issued; whether it is the first of its psum, of its ifmap operand, and in the last slot.
    emit, emitting : In(1), In(EMITTING_PASS)
        A psum leaves each PE column of this pass.
    counts : Out(counts_layout("mac"))
        Increments; the cycle counters stay zero.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._rows = config.rows
        super().__init__(
            {
                "command": In(command_layout("execute.pass")),
                "layer": In(command_layout("execute.layer")),
                "operate": In(1),
                "first_tap": In(1),
                "first_filter": In(1),
                "last_slot": In(1),
                "emit": In(1),
                "emitting": In(EMITTING_PASS),
                "counts": Out(counts_layout("mac")),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        operated, first_tap, first_filter, last_slot, emitted, first_pass = (
            Signal(name=name)
            for name in ("operated", "first_tap", "first_filter", "last_slot", "emitted", "first_pass")
        )
        columns = Signal.like(self.command.strip_columns)
        # The products follow their factors by one cycle, just as the events do.
        all_slots, last_slots, left, hopped = (
            Signal(14, name=name) for name in ("all_slots", "last_slots", "left", "hopped")
        )
        working, leaving = Signal(14), Signal(14)
        m.d.sync += [
            operated.eq(self.operate),
            first_tap.eq(self.first_tap),
            first_filter.eq(self.first_filter),
            last_slot.eq(self.last_slot),
            all_slots.eq(self.command.active_rows * self.command.strip_columns),
            last_slots.eq(self.command.last_rows * self.command.strip_columns),
            emitted.eq(self.emit),
            first_pass.eq(self.emitting.first),
            columns.eq(self.emitting.strip_columns),
            left.eq(self.emitting.active_rows * self.emitting.strip_columns),
            hopped.eq(self._rows * self.emitting.strip_columns),
        ]
        m.d.comb += [
            working.eq(Mux(operated, Mux(last_slot, last_slots, all_slots), 0)),
            leaving.eq(Mux(emitted, left, 0)),
            self.counts.mac_done.eq(Mux(self.layer.pool, 0, working)),
            self.counts.pool_done.eq(Mux(self.layer.pool, working, 0)),
            self.counts.pe_filter_read.eq(working),
            self.counts.pe_ifmap_read.eq(Mux(first_filter, working, 0)),
            self.counts.pe_psum_read.eq(Mux(first_tap, 0, working) + leaving),
            self.counts.pe_psum_write.eq(working),
            self.counts.array_psum_hop.eq(Mux(emitted, hopped, 0)),
            self.counts.glb_psum_write.eq(Mux(emitted, columns, 0)),
            self.counts.glb_psum_read.eq(Mux(emitted & ~first_pass, columns, 0)),
        ]
        return m
