"""Mac: broadcast one micro-operation a cycle to the PE array."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.config import AcceleratorConfig
from hw.layouts import QUEUED_COMMAND, counts_layout, operation_layout
from hw.mac_control import MacControl
from hw.mac_counters import AccessCounter
from hw.mac_emission import Emission
from hw.mac_loop import OperationLoop

_CONTROL_INPUTS = ("running", "psum_free_level", "staged_level", "delivered_level", "mark_free", "halt")
_CONTROL_OUTPUTS = ("psum_free_take", "staged_take", "delivered_take", "capture")
_EMISSION_OUTPUTS = (
    "head_read_enable",
    "head_read_address",
    "head_enable",
    "tail_enable",
    "tail_address",
    "psum_ready_give",
)


class MacEngine(wiring.Component):
    """Run passes back to back: a pass costs its operations, and waits only for tokens and for the psum chain.

    Latency: the first operation follows in the cycle after the launch. Throughput: one operation a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command : In(stream of QUEUED_COMMAND)
        Command queue.
    running : In(1)
        The cycle counters count this cycle.
    psum_free_level, psum_free_take, psum_ready_give : In(16), Out(16), Out(16)
        Psum bank space, and psums that are complete in their bank.
    staged_level, staged_take : In(16), Out(16)
        Passes whose filters are in the scratchpads.
    delivered_level, delivered_take : In(16), Out(16)
        Ifmap columns in the scratchpads.
    release_columns, release_half : Out(8), Out(1)
        Ifmap columns and the filter half that no PE row needs any more.
    operation : Out(operation_layout(config))
        The micro-operation.
    head_read_enable, head_read_address, head_enable : Out(1), Out(12), Out(1)
        Psum bank read at the chain's head, and in the next cycle whether its data enters the chain.
    tail_enable, tail_address : Out(cols), Out(12)
        Psum bank write at the chain's tail.
    counts, capture, mark_free, halt : Out, Out, In, In
        Counter increments; the mark that is taken; whether its snapshot is free; start no command.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(QUEUED_COMMAND)),
                "running": In(1),
                "psum_free_level": In(spec.SEMAPHORE_BITS),
                "psum_free_take": Out(spec.SEMAPHORE_BITS),
                "psum_ready_give": Out(spec.SEMAPHORE_BITS),
                "staged_level": In(spec.SEMAPHORE_BITS),
                "staged_take": Out(spec.SEMAPHORE_BITS),
                "delivered_level": In(spec.SEMAPHORE_BITS),
                "delivered_take": Out(spec.SEMAPHORE_BITS),
                "release_columns": Out(8),
                "release_half": Out(1),
                "operation": Out(operation_layout(config)),
                "head_read_enable": Out(1),
                "head_read_address": Out(12),
                "head_enable": Out(1),
                "tail_enable": Out(config.cols),
                "tail_address": Out(12),
                "counts": Out(counts_layout("mac")),
                "capture": Out(1),
                "mark_free": In(1),
                "halt": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.control = control = MacControl(config=self._config)
        m.submodules.loop = loop = OperationLoop(config=self._config)
        m.submodules.emission = emission = Emission(config=self._config)
        m.submodules.access_counter = access = AccessCounter(config=self._config)
        for component in (loop, emission, access):
            m.d.comb += [component.layer.eq(control.layer), component.command.eq(control.current)]
        column_done = control.operate & loop.last
        m.d.comb += [
            control.last.eq(loop.last),
            control.last_column.eq(loop.last_column),
            control.step.eq(loop.step),
            control.overwrite.eq(
                control.operate & loop.first_tap & loop.first_column & control.layer.depthwise & control.current.flush
            ),
            control.flush_last.eq(emission.flush_last),
            loop.reset.eq(control.reset),
            loop.advance.eq(control.operate),
            emission.column_done.eq(column_done),
            emission.first_column.eq(loop.first_column),
            emission.last_column.eq(loop.last_column),
            emission.overwrite.eq(control.operate & loop.first_tap),
            emission.last_psum.eq(loop.last_psum),
            emission.flush.eq(control.flush),
            access.operate.eq(control.operate),
            access.first_tap.eq(loop.first_tap),
            access.first_filter.eq(loop.first_filter),
            access.last_slot.eq(loop.last_slot),
            access.emit.eq(emission.emit),
            access.emitting.eq(emission.emitting),
        ]
        m.d.comb += [getattr(control, name).eq(getattr(self, name)) for name in _CONTROL_INPUTS]
        m.d.comb += [getattr(self, name).eq(getattr(control, name)) for name in _CONTROL_OUTPUTS]
        m.d.comb += [getattr(self, name).eq(getattr(emission, name)) for name in _EMISSION_OUTPUTS]
        wiring.connect(m, control.command, wiring.flipped(self.command))
        self._operate(m, control, loop, emission)
        self._release(m, control, loop, column_done)
        for name in counts_layout("mac").members:
            counting = control if name.startswith("cycle_") else access
            m.d.comb += self.counts[name].eq(counting.counts[name])
        return m

    def _operate(self, m: Module, control: MacControl, loop: OperationLoop, emission: Emission) -> None:
        rows = Mux(control.operate & loop.last_slot, control.current.last_rows, control.current.active_rows)
        m.d.comb += [
            self.operation.valid.eq(control.operate),
            self.operation.first.eq(loop.first_tap),
            self.operation.emit.eq(emission.emit),
            self.operation.maximum.eq(control.layer.maximum),
            self.operation.filter_address.eq(loop.filter_address),
            self.operation.ifmap_address.eq(loop.ifmap_address),
            self.operation.psum_address.eq(Mux(control.flush, emission.flush_psum, loop.psum)),
            self.operation.active.eq(Cat(rows > row for row in range(self._config.rows))),
        ]

    def _release(self, m: Module, control: MacControl, loop: OperationLoop, column_done: Value) -> None:
        """Release ring columns and the filter half once the last row has read them."""
        columns, half = Signal.like(self.release_columns), Signal()
        m.d.comb += [
            columns.eq(Mux(column_done, Mux(loop.last_column, control.layer.filter_columns, loop.step), 0)),
            half.eq(column_done & loop.last_column & control.current.release_filters),
        ]
        for row in range(1, self._config.rows):
            later_columns, later_half = Signal.like(columns, name=f"columns_{row}"), Signal(name=f"half_{row}")
            m.d.sync += [later_columns.eq(columns), later_half.eq(half)]
            columns, half = later_columns, later_half
        m.d.comb += [self.release_columns.eq(columns), self.release_half.eq(half)]
