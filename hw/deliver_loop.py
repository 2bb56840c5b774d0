"""The loops of a delivery: ifmap columns outside, then windows of lanes, channel blocks and operations."""

from amaranth.hdl import Module, Mux, Signal, ValueLike, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.layouts import command_layout


class IfmapColumnWalker(wiring.Component):
    """Walk the resident ifmap columns that the ofmap columns of a pass need, each once.

    Latency: the first column is there in the cycle after ``begin``. Throughput: one column a cycle.

    Members
    -------
    command, layer : In(command layouts)
        The pass, and the layer that it belongs to.
    begin, advance : In(1)
        Go to the first column; go to the next.
    column : Out(signed(14))
        Resident column; padding if it is negative or not below ``ifmap_columns``.
    padding, last : Out(1)
        Whether the column is padding, and whether it is the pass's last.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "command": In(command_layout("execute.pass")),
                "layer": In(command_layout("execute.layer")),
                "begin": In(1),
                "advance": In(1),
                "column": Out(signed(14)),
                "padding": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ofmap_column, tap = Signal.like(self.command.columns), Signal.like(self.layer.filter_columns)
        taps, last_tap, skips = Signal.like(self.layer.filter_columns), Signal(), Signal()
        stride, filter_columns = self.layer.stride_columns, self.layer.filter_columns
        m.d.comb += [
            skips.eq(stride > filter_columns),
            taps.eq(Mux((ofmap_column == 0) | skips, filter_columns, stride)),
            last_tap.eq(tap + 1 == taps),
            self.last.eq(last_tap & (ofmap_column + 1 == self.command.columns)),
            self.padding.eq((self.column < 0) | (self.column >= self.layer.ifmap_columns)),
        ]
        with m.If(self.begin):
            m.d.sync += [ofmap_column.eq(0), tap.eq(0), self.column.eq(self.command.ifmap_column)]
        with m.Elif(self.advance):
            skipped = Mux(last_tap & skips, stride - filter_columns, 0)
            m.d.sync += [
                self.column.eq(self.column + 1 + skipped),
                tap.eq(Mux(last_tap, 0, tap + 1)),
                ofmap_column.eq(ofmap_column + last_tap),
            ]
        return m


class WindowWalker(wiring.Component):
    """Walk the operations that deliver one ifmap column: windows of lanes, channel blocks, operations.

    The first run of ifmap rows comes first, then the wrap run. Where both are empty there is one window without lanes.

    Latency: the first operation is there in the cycle after ``begin``, and again in the cycle after ``last``.
    Throughput: one operation a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command, layer : In(command layouts)
        The pass, and the layer that it belongs to.
    begin, advance : In(1)
        Go to the first operation; go to the next.
    window_row, rows : Out(signed(14)), Out(11)
        Tile row of the window's first lane, and the rows left of the run from there.
    run, first_window : Out(1)
        Whether this is the wrap run; whether this is the column's first window.
    block, address : Out(6), Out(12)
        Channel block, and its lane word for tile row ``window_row`` and resident column 0.
    first_of_window, first_of_block, last : Out(1)
        Where in the loops this operation stands; ``last`` is the column's last.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._lanes = config.lanes
        command = command_layout("execute.pass")
        super().__init__(
            {
                "command": In(command),
                "layer": In(command_layout("execute.layer")),
                "begin": In(1),
                "advance": In(1),
                "window_row": Out(signed(14)),
                "rows": Out(command["run_rows"].shape),
                "run": Out(1),
                "first_window": Out(1),
                "block": Out(command["blocks"].shape),
                "address": Out(command["bank_address"].shape),
                "first_of_window": Out(1),
                "first_of_block": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        operation, operations = (
            Signal.like(self.command.first_operations, name=n) for n in ("operation", "operations")
        )
        base = Signal.like(self.address)
        last_operation, last_block, more_rows, more_runs = (
            Signal(name=n) for n in ("last_operation", "last_block", "more_rows", "more_runs")
        )
        m.d.comb += [
            operations.eq(Mux(last_block, self.command.last_operations, self.command.middle_operations)),
            last_operation.eq(operation + 1 == operations),
            last_block.eq(self.block + 1 == self.command.blocks),
            more_rows.eq(self.rows > self._lanes),
            more_runs.eq(~self.run & (self.command.wrap_rows != 0)),
            self.first_of_block.eq(operation == 0),
            self.first_of_window.eq((operation == 0) & (self.block == 0)),
            self.last.eq(last_operation & last_block & ~more_rows & ~more_runs),
        ]
        with m.If(self.block == 0):
            m.d.comb += operations.eq(self.command.first_operations)
        with m.If(self.advance):
            m.d.sync += operation.eq(Mux(last_operation, 0, operation + 1))
            with m.If(last_operation):
                m.d.sync += [self.block.eq(self.block + 1), self.address.eq(self.address + self.layer.block_words)]
            with m.If(last_operation & last_block):
                m.d.sync += self.first_window.eq(0)
                with m.If(more_rows):
                    self._go_to(
                        m,
                        base,
                        run=self.run,
                        row=self.window_row + self._lanes,
                        rows=self.rows - self._lanes,
                        address=base + self.layer.row_block_stride,
                    )
                with m.Else():
                    self._go_to_wrap_run(m, base)
        with m.If(self.begin | (self.advance & self.last)):
            m.d.sync += [operation.eq(0), self.first_window.eq(1)]
            with m.If((self.command.run_rows == 0) & (self.command.wrap_rows != 0)):
                self._go_to_wrap_run(m, base)
            with m.Else():
                row = Mux(self.command.first_row < 0, 0, self.command.first_row)
                self._go_to(m, base, run=0, row=row, rows=self.command.run_rows, address=self.command.run_address)
        return m

    def _go_to_wrap_run(self, m: Module, base: Signal) -> None:
        self._go_to(m, base, run=1, row=0, rows=self.command.wrap_rows, address=self.command.bank_address)

    def _go_to(
        self, m: Module, base: Signal, *, run: ValueLike, row: ValueLike, rows: ValueLike, address: ValueLike
    ) -> None:
        """Go to the first block of a window; ``base`` remembers the window's lane word."""
        m.d.sync += [self.run.eq(run), self.window_row.eq(row), self.rows.eq(rows)]
        m.d.sync += [self.block.eq(0), base.eq(address), self.address.eq(address)]
