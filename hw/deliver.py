"""Deliver: read ifmap words from the lanes and multicast them to the PEs' ifmap scratchpads."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw import spec
from hw.config import AcceleratorConfig
from hw.deliver_loop import IfmapColumnWalker, WindowWalker
from hw.deliver_tables import ColumnTableWalker, RowTableWalker
from hw.layouts import (
    COLUMN_ENTRY,
    DELIVERY_LAYER,
    QUEUED_COMMAND,
    ROW_ENTRY,
    command_layout,
    counts_layout,
    delivery_layout,
)


class DeliverEngine(wiring.Component):
    """Set up the PE array's tables for a pass, then deliver its ifmap columns while the ring has room.

    Latency: the first operation follows ``max(rows, cols) + 1`` cycles after the start; a column is ``delivered`` in
    the cycle after its last operation. Throughput: one operation a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command : In(stream of QUEUED_COMMAND)
        Command queue.
    ifmap_ready_level, ifmap_ready_take, ifmap_free_give : In(16), Out(16), Out(16)
        Loaded parts of the ifmap, and parts that are not needed any more.
    delivered_give : Out(16)
        Ifmap columns delivered, in the cycle after their last operation.
    release_columns : In(8)
        Ifmap columns that the PEs do not need any more.
    read_enable, read_address, read_next, read_address_next : Out(lanes), Out(12), Out(lanes), Out(12)
        Lanes to read; those in ``read_next`` at ``read_address_next``, the others at ``read_address``.
    delivery, layer : Out(delivery_layout(config)), Out(DELIVERY_LAYER)
        What the array does with the words read in the previous cycle.
    row_entry, row_shift, column_entry, column_shift : Out
        The array's row and column tables.
    takes : In(rows)
        PE rows that take the delivery.
    counts, capture, mark_free, halt : Out, Out, In, In
        Counter increments; the mark that is taken; whether its snapshot is free; start no command.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(QUEUED_COMMAND)),
                "ifmap_ready_level": In(spec.SEMAPHORE_BITS),
                "ifmap_ready_take": Out(spec.SEMAPHORE_BITS),
                "ifmap_free_give": Out(spec.SEMAPHORE_BITS),
                "delivered_give": Out(spec.SEMAPHORE_BITS),
                "release_columns": In(8),
                "read_enable": Out(config.lanes),
                "read_address": Out(12),
                "read_next": Out(config.lanes),
                "read_address_next": Out(12),
                "delivery": Out(delivery_layout(config)),
                "layer": Out(DELIVERY_LAYER),
                "row_entry": Out(ROW_ENTRY),
                "row_shift": Out(1),
                "column_entry": Out(COLUMN_ENTRY),
                "column_shift": Out(1),
                "takes": In(config.rows),
                "counts": Out(counts_layout("deliver")),
                "capture": Out(1),
                "mark_free": In(1),
                "halt": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, command = Signal(command_layout("execute.layer")), Signal(command_layout("execute.pass"))
        setup, operate, setup_cycles = Signal(), Signal(), max(self._config.rows, self._config.cols)
        setup_cycle, in_flight, position = Signal(range(setup_cycles)), Signal(8), Signal.like(self.delivery.position)
        columns, windows = self._loops(m, layer, command, setup, operate)
        first_of_column = windows.first_window & windows.first_of_window
        last_of_column = operate & windows.last
        with m.FSM():
            with m.State("IDLE"):
                start_layer, start_pass = self._start(m, layer, command, in_flight)
                m.d.sync += setup_cycle.eq(0)
                with m.If(start_layer):
                    m.d.sync += position.eq(0)
                with m.If(start_pass):
                    m.next = "SETUP"
            with m.State("SETUP"):
                m.d.comb += setup.eq(1)
                m.d.sync += setup_cycle.eq(setup_cycle + 1)
                with m.If(setup_cycle == setup_cycles - 1):
                    m.next = "DELIVER"
            with m.State("DELIVER"):
                m.d.comb += operate.eq(~first_of_column | (in_flight < layer.ring_columns))
                with m.If(last_of_column):
                    m.d.sync += position.eq(Mux(position + 1 == layer.ring_columns, 0, position + 1))
                with m.If(last_of_column & columns.last):
                    m.d.comb += self.ifmap_free_give.eq(command.signal_ifmap_free)
                    m.next = "IDLE"
        m.d.sync += in_flight.eq(in_flight + (operate & first_of_column) - self.release_columns)
        m.d.sync += self.delivered_give.eq(last_of_column)
        self._tables(m, layer, start_pass, setup)
        self._read(m, layer, columns, windows, operate)
        self._deliver(m, layer, columns, windows, operate, position)
        self._count(m, command)
        return m

    def _start(self, m: Module, layer: data.View, command: data.View, in_flight: Signal) -> tuple[Value, Value]:
        """Take the next command while idle; return whether it is a layer and whether it is a pass."""
        word = self.command.payload.word
        fresh = data.View(command_layout("execute.pass"), word)
        is_layer = fresh.opcode == spec.COMMAND["execute.layer"].opcode
        is_pass = fresh.opcode == spec.COMMAND["execute.pass"].opcode
        is_mark = fresh.opcode == spec.COMMAND["mark"].opcode
        can_start = (
            (is_layer & (in_flight == 0))
            | (is_pass & (self.ifmap_ready_level >= fresh.wait_ifmap_ready))
            | (is_mark & self.mark_free)
        )
        start, start_layer, start_pass = Signal(), Signal(), Signal()
        m.d.comb += [
            self.command.ready.eq(can_start & ~self.halt),
            start.eq(self.command.valid & self.command.ready),
            start_layer.eq(start & is_layer),
            start_pass.eq(start & is_pass),
            self.ifmap_ready_take.eq(Mux(start_pass, fresh.wait_ifmap_ready, 0)),
            self.capture.eq(start & is_mark),
        ]
        with m.If(start_layer):
            m.d.sync += layer.eq(word)
        with m.If(start_pass):
            m.d.sync += command.eq(word)
        return start_layer, start_pass

    def _loops(
        self, m: Module, layer: data.View, command: data.View, setup: Signal, operate: Signal
    ) -> tuple[IfmapColumnWalker, WindowWalker]:
        m.submodules.columns = columns = IfmapColumnWalker()
        m.submodules.windows = windows = WindowWalker(config=self._config)
        for walker in (columns, windows):
            m.d.comb += [walker.layer.eq(layer), walker.command.eq(command), walker.begin.eq(setup)]
        m.d.comb += [windows.advance.eq(operate), columns.advance.eq(operate & windows.last)]
        return columns, windows

    def _tables(self, m: Module, layer: data.View, load: Signal, enable: Signal) -> None:
        m.submodules.row_table = rows = RowTableWalker(config=self._config)
        m.submodules.column_table = columns = ColumnTableWalker(config=self._config)
        for walker in (rows, columns):
            m.d.comb += [walker.layer.eq(layer), walker.fresh.eq(self.command.payload.word)]
            m.d.comb += [walker.load.eq(load), walker.enable.eq(enable)]
        m.d.comb += [
            self.row_entry.eq(rows.entry),
            self.row_shift.eq(rows.shift),
            self.column_entry.eq(columns.entry),
            self.column_shift.eq(columns.shift),
        ]

    def _read(
        self, m: Module, layer: data.View, columns: IfmapColumnWalker, windows: WindowWalker, operate: Signal
    ) -> None:
        """Read the window's lanes where the array needs words that they do not show yet."""
        lanes = self._config.lanes
        first_lane = windows.window_row[: exact_log2(lanes)]
        enabled = Cat(windows.rows > lane for lane in range(lanes))
        read, words = Signal(), Signal(range(lanes + 1))
        m.d.comb += [
            read.eq(operate & windows.first_of_block & ~columns.padding),
            words.eq(Mux(windows.rows < lanes, windows.rows, lanes)),
            # Lane first_lane holds the window's first row: rotate the mask.
            self.read_enable.eq(Mux(read, (Cat(enabled, enabled) << first_lane)[lanes : 2 * lanes], 0)),
            self.read_next.eq(Cat(first_lane > lane for lane in range(lanes))),
            self.read_address.eq(windows.address + columns.column),
            self.read_address_next.eq(self.read_address + layer.row_block_stride),
            self.counts.glb_ifmap_read.eq(Mux(read, words, 0)),
            self.counts.array_ifmap_multicast.eq(operate),
        ]

    def _deliver(
        self,
        m: Module,
        layer: data.View,
        columns: IfmapColumnWalker,
        windows: WindowWalker,
        operate: Signal,
        position: Signal,
    ) -> None:
        m.d.comb += [self.layer[name].eq(layer[name]) for name in DELIVERY_LAYER.members]
        m.d.sync += [
            self.delivery.valid.eq(operate),
            self.delivery.restart.eq(windows.first_of_window),
            self.delivery.first_window.eq(windows.first_window),
            self.delivery.pad_column.eq(columns.padding),
            self.delivery.run.eq(windows.run),
            self.delivery.block.eq(windows.block),
            self.delivery.position.eq(position),
            self.delivery.window_row.eq(windows.window_row),
        ]

    def _count(self, m: Module, command: data.View) -> None:
        """Count PE writes when the array says which rows take; a mark may start in that cycle, so not later."""
        taking = Signal(range(self._config.rows + 1))
        m.d.comb += taking.eq(sum(self.takes[row] for row in range(self._config.rows)))
        with m.If(self.delivery.valid & self.delivery.first_window):
            m.d.comb += self.counts.pe_ifmap_write.eq(taking * command.strip_columns)
