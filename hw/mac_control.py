"""When mac does what: commands, tokens, holds and flushes, and the cycle counters that account for every cycle."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.config import AcceleratorConfig
from hw.layouts import QUEUED_COMMAND, command_layout, counts_layout


class _State(enum.Enum, shape=3):
    IDLE = 0
    OPERATE = 1
    WAIT = 2
    HOLD = 3
    FLUSH = 4


class MacControl(wiring.Component):
    """Launch passes and decide for each cycle whether it operates, flushes, holds or waits.

    Latency: the first operation follows in the cycle after the launch, a column's first operation in the cycle after
    its tokens are taken. Throughput: one operation a cycle, also from pass to pass.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command, running, *_level, *_take, capture, mark_free, halt
        As in :class:`hw.mac.MacEngine`.
    layer, current : Out(command layouts)
        The layer, and the pass that computes.
    reset : Out(1)
        A layer starts in this cycle.
    operate, flush : Out(1)
        In this cycle an operation is issued, or a psum leaves without one.
    last, last_column, step : In(1), In(1), In(8)
        Whether the operation is its ofmap column's last; whether the column is the pass's last; min(U, S).
    overwrite : In(1)
        The operation overwrites a psum whose bank address the flush of this pass may read again before it is written:
        in depthwise layers psums are overwritten less often than a flush lets them leave.
    flush_last : In(1)
        Whether the psum that leaves is the last.
    counts : Out(counts_layout("mac"))
        Increments of the cycle counters; the others stay zero.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._chain_cycles = config.rows + 2
        super().__init__(
            {
                "command": In(stream.Signature(QUEUED_COMMAND)),
                "running": In(1),
                "psum_free_level": In(spec.SEMAPHORE_BITS),
                "psum_free_take": Out(spec.SEMAPHORE_BITS),
                "staged_level": In(spec.SEMAPHORE_BITS),
                "staged_take": Out(spec.SEMAPHORE_BITS),
                "delivered_level": In(spec.SEMAPHORE_BITS),
                "delivered_take": Out(spec.SEMAPHORE_BITS),
                "capture": Out(1),
                "mark_free": In(1),
                "halt": In(1),
                "layer": Out(command_layout("execute.layer")),
                "current": Out(command_layout("execute.pass")),
                "reset": Out(1),
                "operate": Out(1),
                "flush": Out(1),
                "last": In(1),
                "last_column": In(1),
                "step": In(8),
                "overwrite": In(1),
                "flush_last": In(1),
                "counts": Out(counts_layout("mac")),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state, hold, wait = Signal(_State), Signal(), Signal()
        finished, ending, launch, resume = (Signal(name=name) for name in ("finished", "ending", "launch", "resume"))
        column_last, pass_last = self.operate & self.last, self.operate & self.last & self.last_column
        # Cycles until the chain's head may read again what the pass's first psums will write at its tail.
        chain_wait = Signal(range(self._chain_cycles))
        m.d.comb += [
            self.operate.eq(state == _State.OPERATE),
            wait.eq(state == _State.WAIT),
            hold.eq(state == _State.HOLD),
            self.flush.eq(state == _State.FLUSH),
            finished.eq((pass_last | hold) & (chain_wait == 0)),
            ending.eq((finished & ~self.current.flush) | (self.flush & self.flush_last)),
            resume.eq((wait | (column_last & ~self.last_column)) & (self.delivered_level >= self.step)),
        ]
        with m.If(launch):
            m.d.sync += [state.eq(_State.OPERATE), chain_wait.eq(self._chain_cycles - 1)]
        with m.Else():
            m.d.sync += chain_wait.eq(Mux(self.overwrite, self._chain_cycles - 2, chain_wait - (chain_wait != 0)))
            with m.If(ending):
                m.d.sync += state.eq(_State.IDLE)
            with m.Elif(finished):
                m.d.sync += state.eq(_State.FLUSH)
            with m.Elif(pass_last):
                m.d.sync += state.eq(_State.HOLD)
            with m.Elif(column_last | wait):
                m.d.sync += state.eq(Mux(resume, _State.OPERATE, _State.WAIT))
        self._take_command(m, idle=state == _State.IDLE, ending=ending, launch=launch)
        m.d.comb += self.delivered_take.eq(Mux(launch, self.layer.filter_columns, Mux(resume, self.step, 0)))
        with m.If(self.running & (state == _State.WAIT)):
            m.d.comb += [self.counts.cycle_execute_launch.eq(resume), self.counts.cycle_execute_wait_load.eq(~resume)]
        m.d.comb += [
            self.counts.cycle_execute_busy.eq(self.running & self.operate),
            self.counts.cycle_execute_flush.eq(self.running & self.flush),
            self.counts.cycle_execute_hold.eq(self.running & hold),
        ]
        return m

    def _take_command(self, m: Module, *, idle: Value, ending: Value, launch: Signal) -> None:
        """Take the next command while idle, a pass also in the last cycle of the one before."""
        word = self.command.payload.word
        fresh = data.View(command_layout("execute.pass"), word)
        is_layer = fresh.opcode == spec.COMMAND["execute.layer"].opcode
        is_pass = fresh.opcode == spec.COMMAND["execute.pass"].opcode
        is_mark = fresh.opcode == spec.COMMAND["mark"].opcode
        banks, filters, columns, start = (Signal(name=name) for name in ("banks", "filters", "columns", "start"))
        can_launch = is_pass & banks & filters & columns
        m.d.comb += [
            banks.eq(self.psum_free_level >= fresh.wait_psum_free),
            filters.eq(self.staged_level != 0),
            columns.eq(self.delivered_level >= self.layer.filter_columns),
            self.command.ready.eq(
                ~self.halt & (((idle | ending) & can_launch) | (idle & (is_layer | (is_mark & self.mark_free))))
            ),
            start.eq(self.command.valid & self.command.ready),
            launch.eq(start & is_pass),
            self.reset.eq(start & is_layer),
            self.capture.eq(start & is_mark),
            self.psum_free_take.eq(Mux(launch, fresh.wait_psum_free, 0)),
            self.staged_take.eq(launch),
        ]
        with m.If(self.reset):
            m.d.sync += self.layer.eq(word)
        with m.If(launch):
            m.d.sync += self.current.eq(word)
        with m.If(self.running & idle):
            with m.If(start):
                m.d.comb += self.counts.cycle_execute_launch.eq(1)
            with m.Elif(~self.command.valid | self.halt):
                m.d.comb += self.counts.cycle_execute_wait_command.eq(1)
            with m.Elif(is_mark | ~banks):
                m.d.comb += self.counts.cycle_execute_wait_drain.eq(1)
            with m.Elif(~filters):
                m.d.comb += self.counts.cycle_execute_wait_filter.eq(1)
            with m.Else():
                m.d.comb += self.counts.cycle_execute_wait_load.eq(1)
