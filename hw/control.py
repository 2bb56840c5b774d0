"""Start, stop, errors and reset of the whole machine."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.csr import csr_shape
from hw.layouts import ERROR_REPORT

#: Who reports errors; of several in one cycle the first counts.
REPORTERS = ("fetch", "read_master", "drain")


class State(enum.Enum):
    """What the machine does."""

    IDLE = 0
    WAIT = 1
    RESET = 2
    START = 3
    RUN = 4


class Control(wiring.Component):
    """Turn the control register into starts and resets, and what happens into status, interrupts and error registers.

    Both start and reset wait until no AXI burst is in flight and then reset the engines for one cycle. A start goes on:
    the cycle after is t0, in which fetch sees ``go``. Start does nothing while the machine is busy; reset works at any
    time and wins.

    Latency: ``done`` or an error in cycle b stops the machine (``halt``, status, interrupt) in b + 1.

    Members
    -------
    start, reset : In(1)
        Written to the control register.
    masters_idle : In(1)
        No AXI burst is in flight.
    done : In(1)
        The last mark of the program is written.
    error_* : In(ERROR_REPORT)
        Errors, per reporter. The first stops the machine and is kept until the next start or reset.
    status, interrupt_set : Out
        For the registers of these names (``interrupt_set`` is combinational).
    error_code, error_command, error_address : Out
        For the registers of these names.
    engine_reset : Out(1)
        All engines, queues and tokens return to their initial state.
    clear : Out(1)
        The counters return to zero; in cycle t0 - 1.
    go : Out(1)
        Cycle t0.
    running : Out(1)
        From t0 + 1 to the cycle of the end, b.
    halt : Out(1)
        Neither ``go`` nor ``running``: no engine may begin anything.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                **{name: In(1) for name in ("start", "reset", "masters_idle", "done")},
                **{f"error_{name}": In(ERROR_REPORT) for name in REPORTERS},
                "status": Out(csr_shape(spec.CSR["status"])),
                "interrupt_set": Out(csr_shape(spec.CSR["interrupt"])),
                "error_code": Out(ERROR_REPORT["code"].shape),
                "error_command": Out(ERROR_REPORT["index"].shape),
                "error_address": Out(ERROR_REPORT["address"].shape),
                **{name: Out(1) for name in ("engine_reset", "clear", "go", "running", "halt")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state, restart, stop, leave_idle = Signal(State), Signal(), Signal(), Signal()
        self._result(m, stop=stop, forget=leave_idle)
        m.d.comb += leave_idle.eq(self.reset | (self.start & (state == State.IDLE)))
        with m.Switch(state):
            with m.Case(State.WAIT), m.If(self.masters_idle):
                m.d.sync += state.eq(State.RESET)
            with m.Case(State.RESET):
                m.d.sync += state.eq(Mux(restart, State.START, State.IDLE))
            with m.Case(State.START):
                m.d.sync += state.eq(State.RUN)
            with m.Case(State.RUN), m.If(stop):
                m.d.sync += state.eq(State.IDLE)
        with m.If(leave_idle):
            m.d.sync += [state.eq(State.WAIT), restart.eq(~self.reset)]
        m.d.comb += [
            self.status.busy.eq(state != State.IDLE),
            self.engine_reset.eq(state == State.RESET),
            self.clear.eq(self.engine_reset & restart),
            self.go.eq(state == State.START),
            self.running.eq(state == State.RUN),
            self.halt.eq(~(self.go | self.running)),
        ]
        return m

    def _result(self, m: Module, *, stop: Signal, forget: Signal) -> None:
        """Latch how the program ended; ``stop`` is the cycle in which it does."""
        error = Signal(ERROR_REPORT)
        for name in reversed(REPORTERS):
            report = getattr(self, f"error_{name}")
            with m.If(report.valid):
                m.d.comb += error.eq(report)
        m.d.comb += [
            self.interrupt_set.error.eq(self.running & error.valid),
            self.interrupt_set.done.eq(self.running & self.done & ~error.valid),
            stop.eq(self.interrupt_set.error | self.interrupt_set.done),
        ]
        with m.If(stop):
            m.d.sync += [self.status.done.eq(self.interrupt_set.done), self.status.error.eq(self.interrupt_set.error)]
        with m.If(self.interrupt_set.error):
            m.d.sync += [
                self.error_code.eq(error.code),
                self.error_command.eq(error.index),
                self.error_address.eq(error.address),
            ]
        with m.If(forget):
            m.d.sync += [self.status.done.eq(0), self.status.error.eq(0)]
            m.d.sync += [self.error_code.eq(0), self.error_command.eq(0), self.error_address.eq(0)]
