"""How psums leave the PEs: which column is pending, and the bank accesses that follow its psums down the chain."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.config import AcceleratorConfig
from hw.layouts import command_layout, operation_layout

_PASS = command_layout("execute.pass")
_LAYER = command_layout("execute.layer")

#: What stays the same for all psums of a pass.
EMITTING_PASS = data.StructLayout(
    {name: _PASS[name].shape for name in ("first", "active_rows", "strip_columns", "signal_psum_ready")}
)


class Emission(wiring.Component):
    """Remember the ofmap column whose psums are still in the PEs, and accompany each psum through the chain.

    Latency: a psum that leaves in cycle i reads its bank in i + 2, enters the chain in i + 3 and is written in
    i + rows + 3. Throughput: one psum per PE column a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command, layer : In(command layouts)
        The pass that computes, and the layer that it belongs to.
    column_done, first_column, last_column : In(1)
        This cycle's operation is the last one of an ofmap column; whether it is the pass's first or last column.
    overwrite, last_psum : In(1)
        This cycle's operation overwrites a psum; whether it is the column's last psum.
    flush : In(1)
        Let the next psum of the pending column leave without an operation.
    flush_psum, flush_last : Out
        Which psum that is; whether it is the column's last.
    emit : Out(1)
        A psum leaves in this cycle.
    emitting : Out(EMITTING_PASS)
        The pass it belongs to.
    head_read_enable, head_read_address, head_enable : Out(1), Out(12), Out(1)
        Psum bank read at the chain's head, and in the next cycle whether its data enters the chain.
    tail_enable, tail_address : Out(cols), Out(12)
        Psum bank write at the chain's tail.
    psum_ready_give : Out(16)
        Tokens for the pass's last psum, in the cycle of its bank write.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        address = _PASS["psum_address"].shape
        super().__init__(
            {
                "command": In(_PASS),
                "layer": In(_LAYER),
                "column_done": In(1),
                "first_column": In(1),
                "last_column": In(1),
                "overwrite": In(1),
                "last_psum": In(1),
                "flush": In(1),
                "flush_psum": Out(operation_layout(config)["psum_address"].shape),
                "flush_last": Out(1),
                "emit": Out(1),
                "emitting": Out(EMITTING_PASS),
                "head_read_enable": Out(1),
                "head_read_address": Out(address),
                "head_enable": Out(1),
                "tail_enable": Out(config.cols),
                "tail_address": Out(address),
                "psum_ready_give": Out(spec.SEMAPHORE_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pending, pending_last = Signal(), Signal()
        address = Signal.like(self.command.psum_address)
        psums = Mux(self.layer.depthwise, self.command.slots, self.layer.filters)
        m.d.comb += [
            self.emit.eq((self.overwrite & pending) | self.flush),
            self.flush_last.eq(self.flush_psum + 1 == psums),
        ]
        with m.If(self.emit):
            m.d.sync += address.eq(address + 1)
        with m.If(self.flush):
            m.d.sync += self.flush_psum.eq(Mux(self.flush_last, 0, self.flush_psum + 1))
            with m.If(self.flush_last):
                m.d.sync += pending.eq(0)
        with m.If(self.column_done):
            m.d.sync += [pending.eq(1), pending_last.eq(self.last_column)]
            with m.If(self.first_column):
                m.d.sync += address.eq(self.command.psum_address)
                m.d.sync += [self.emitting[name].eq(self.command[name]) for name in EMITTING_PASS.members]
        self._chain(m, address, Mux(self.flush, self.flush_last, self.last_psum & pending_last))
        return m

    def _chain(self, m: Module, address: Signal, last: Value) -> None:
        """Delay what the head and the tail have to know: stage i is i cycles after the psum left."""
        layout = data.StructLayout(
            {
                "write": unsigned(1),
                "read": unsigned(1),
                "address": address.shape(),
                "columns": self.emitting.strip_columns.shape(),
                "signal": self.emitting.signal_psum_ready.shape(),
            }
        )
        stages = [Signal(layout, name=f"stage_{index}") for index in range(self._config.rows + 4)]
        m.d.comb += [
            stages[0].write.eq(self.emit),
            stages[0].read.eq(self.emit & ~self.emitting.first),
            stages[0].address.eq(address),
            stages[0].columns.eq(self.emitting.strip_columns),
            stages[0].signal.eq(Mux(self.emit & last, self.emitting.signal_psum_ready, 0)),
        ]
        m.d.sync += [after.eq(before) for before, after in zip(stages, stages[1:], strict=False)]
        tail = stages[-1]
        m.d.comb += [
            self.head_read_enable.eq(stages[2].read),
            self.head_read_address.eq(stages[2].address),
            self.head_enable.eq(stages[3].read),
            self.tail_enable.eq(Cat(tail.write & (tail.columns > column) for column in range(self._config.cols))),
            self.tail_address.eq(tail.address),
            self.psum_ready_give.eq(tail.signal),
        ]
