"""The PE array: rows of PEs, the psum chain from the head above row 0 to the tail below the last row."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.layouts import COLUMN_ENTRY, DELIVERY_LAYER, ROW_ENTRY, delivery_layout, operation_layout
from hw.pe import least_activation
from hw.pe_row import PERow, filter_write_layout


class PEArray(wiring.Component):
    """``rows`` x ``cols`` PEs; operations and psums travel downwards, one row a cycle.

    Latency: psums emitted by the operation of cycle i meet ``head_psums`` of i + 3 and are in ``tail_psums`` in
    i + 3 + rows. A delivery presented in cycle o + 1 is in the scratchpads at the end of o + 2, a filter word presented
    in r + 1 at the end of r + 2. Throughput: one operation, one delivery and one filter word per row a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    operation : In(operation_layout(config))
        Operation; bit r of ``active`` is row r.
    filter_words, filter_write : In(bus_bits).array(rows), In(filter_write_layout(config))
        One word of weights per row, and the columns and address they go to.
    delivery, lane_words, layer : In(delivery_layout(config)), In(bus_bits).array(lanes), In(DELIVERY_LAYER)
        The delivery, the lanes' words and what deliveries have in common.
    takes : Out(rows)
        Rows that take the delivery, in the same cycle.
    row_entry, row_shift, column_entry, column_shift : In
        Row and column table: entries enter at the last row (column) and move one towards row (column) 0 per shift.
    head_psums, head_enable : In(signed(psum_bits)).array(cols), In(1)
        Psums that enter the chain; without ``head_enable`` the identity does.
    tail_psums : Out(signed(psum_bits)).array(cols)
        Psums that leave the chain; held while nothing is emitted.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "operation": In(operation_layout(config)),
                "filter_words": In(config.bus_bits).array(config.rows),
                "filter_write": In(filter_write_layout(config)),
                "delivery": In(delivery_layout(config)),
                "lane_words": In(config.bus_bits).array(config.lanes),
                "layer": In(DELIVERY_LAYER),
                "takes": Out(config.rows),
                "row_entry": In(ROW_ENTRY),
                "row_shift": In(1),
                "column_entry": In(COLUMN_ENTRY),
                "column_shift": In(1),
                "head_psums": In(signed(config.psum_bits)).array(config.cols),
                "head_enable": In(1),
                "tail_psums": Out(signed(config.psum_bits)).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = [PERow(config=self._config) for _ in range(self._config.rows)]
        operations = self._operation_pipeline(m)
        row_table = self._table(m, "row", self.row_entry, self.row_shift, self._config.rows)
        column_table = self._table(m, "column", self.column_entry, self.column_shift, self._config.cols)
        # The head meets row 0's psums when its operation is in the third stage.
        chain = self._head(m, operations[2].maximum)
        for index, row in enumerate(rows):
            m.submodules[f"row_{index}"] = row
            m.d.comb += [
                row.operation.eq(operations[index]),
                row.filter_write.eq(self.filter_write),
                row.filter_word.eq(self.filter_words[index]),
                row.delivery.eq(self.delivery),
                row.layer.eq(self.layer),
                row.entry.eq(row_table[index]),
                self.takes[index].eq(row.takes),
            ]
            for ports, values in (
                (row.lane_words, self.lane_words),
                (row.columns, column_table),
                (row.chain_i, chain),
            ):
                m.d.comb += [port.eq(value) for port, value in zip(ports, values, strict=True)]
            chain = row.chain_o
        m.d.comb += [port.eq(psum) for port, psum in zip(self.tail_psums, chain, strict=True)]
        return m

    def _operation_pipeline(self, m: Module) -> list[data.View]:
        layout = operation_layout(self._config)
        operations = [Signal(layout, name=f"operation_{stage}") for stage in range(max(self._config.rows, 3))]
        for before, after in zip([self.operation, *operations], operations, strict=False):
            m.d.sync += after.eq(before)
        for before, after in zip(operations, operations[1:], strict=False):
            m.d.sync += after.active.eq(before.active[1:])
        return operations

    def _table(self, m: Module, name: str, entry: data.View, shift: Signal, length: int) -> list[data.View]:
        table = [Signal(entry.shape(), name=f"{name}_{index}_entry") for index in range(length)]
        with m.If(shift):
            m.d.sync += [place.eq(after) for place, after in zip(table, [*table[1:], entry], strict=True)]
        return table

    def _head(self, m: Module, maximum: Signal) -> list[Signal]:
        identity = Mux(maximum, least_activation(self._config), 0)
        head = [Signal.like(psum, name=f"head_{column}") for column, psum in enumerate(self.head_psums)]
        m.d.comb += [
            entering.eq(Mux(self.head_enable, psum, identity))
            for entering, psum in zip(head, self.head_psums, strict=True)
        ]
        return head
