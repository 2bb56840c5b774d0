"""Command fetch: reads the program from DRAM and deals its commands out to the engines' queues."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.config import AcceleratorConfig
from hw.layouts import ERROR_REPORT, QUEUED_COMMAND, READ_REQUEST, counts_layout

FIFO_COMMANDS = 8
"""Commands buffered in front of the dispatcher."""

BURST_COMMANDS = 4
"""Commands fetched by one burst; programs are aligned so that such a burst never crosses 4 KiB."""

_COMMAND_BEATS = 4


class Fetch(wiring.Component):
    """Read a program in order and push each command into all queues it names, in one cycle.

    The first command with an unknown opcode is reported, and nothing is dispatched until reset. ``halt`` stops
    dispatching, so that a command that arrived with an error response is never executed.

    Latency: first request one cycle after ``start``; a command is dispatched one cycle after its last beat at best.
    Throughput: one command a cycle; a command is four beats.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    start : In(1)
        Pulse; the program before has been dispatched to the end.
    program_address, program_commands : In(32)
        Byte address, a multiple of 512, and number of commands; read in the cycle of ``start``.
    request : Out(stream of READ_REQUEST)
        Bursts wanted; ``index`` is the first command in it.
    data : In(stream of 64 bits)
        Beats of those bursts, always taken.
    load, stage, deliver, mac, drain : Out(stream of QUEUED_COMMAND)
        The command queues. ``valid`` depends on the other queues' ``ready``: all take a command in the same cycle.
    counts : Out(counts_layout("fetch"))
        Increments in this cycle.
    capture : Out(1)
        Pulse: a mark is dispatched.
    mark_free : In(1)
        The counter's snapshot may be overwritten.
    halt : In(1)
        Dispatch nothing.
    error : Out(ERROR_REPORT)
        Pulse with code ``illegal_command`` and the byte address of the command.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        queues = {engine: Out(stream.Signature(QUEUED_COMMAND)) for engine in spec.ENGINES}
        super().__init__(
            {
                "start": In(1),
                "program_address": In(32),
                "program_commands": In(32),
                "request": Out(stream.Signature(READ_REQUEST)),
                "data": In(stream.Signature(config.bus_bits)),
                "counts": Out(counts_layout("fetch")),
                "capture": Out(1),
                "mark_free": In(1),
                "halt": In(1),
                "error": Out(ERROR_REPORT),
            }
            | queues
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=spec.COMMAND_BITS, depth=FIFO_COMMANDS)
        dispatch = Signal()
        self._request_bursts(m, dispatch)
        self._collect_commands(m, fifo)
        self._dispatch_commands(m, fifo, dispatch)
        return m

    def _request_bursts(self, m: Module, dispatch: Signal) -> None:
        address = Signal(32)
        index = Signal(spec.COMMAND_INDEX_BITS)
        left = Signal(32)
        credits = Signal(range(FIFO_COMMANDS + 1), init=FIFO_COMMANDS)
        commands = Signal(range(BURST_COMMANDS + 1))
        accepted = Signal()
        m.d.comb += [
            commands.eq(Mux(left < BURST_COMMANDS, left, BURST_COMMANDS)),
            self.request.valid.eq((left != 0) & (credits >= commands)),
            self.request.payload.address.eq(address),
            self.request.payload.beats.eq(commands * _COMMAND_BEATS),
            self.request.payload.index.eq(index),
            accepted.eq(self.request.valid & self.request.ready),
        ]
        m.d.sync += credits.eq(credits - Mux(accepted, commands, 0) + dispatch)
        with m.If(self.start):
            m.d.sync += [address.eq(self.program_address), index.eq(0), left.eq(self.program_commands)]
        with m.Elif(accepted):
            m.d.sync += [
                address.eq(address + commands * spec.COMMAND_BYTES),
                index.eq(index + commands),
                left.eq(left - commands),
            ]

    def _collect_commands(self, m: Module, fifo: SyncFIFO) -> None:
        beat = Signal(range(_COMMAND_BEATS))
        earlier = Signal(spec.COMMAND_BITS - self._config.bus_bits)
        m.d.comb += [
            self.data.ready.eq(1),
            fifo.w_data.eq(Cat(earlier, self.data.payload)),
            fifo.w_en.eq(self.data.valid & (beat == _COMMAND_BEATS - 1)),
        ]
        with m.If(self.data.valid):
            m.d.sync += [
                beat.eq(beat + 1),
                earlier.eq(Cat(earlier[self._config.bus_bits :], self.data.payload)),
            ]

    def _dispatch_commands(self, m: Module, fifo: SyncFIFO, dispatch: Signal) -> None:
        opcode = fifo.r_data[: spec.OPCODE.width]
        index = Signal(spec.COMMAND_INDEX_BITS)
        address = Signal(32)
        known = Signal()
        reported = Signal()
        targets = {engine: Signal(name=f"to_{engine}") for engine in spec.ENGINES}
        with m.Switch(opcode):
            for command in spec.COMMANDS:
                with m.Case(command.opcode):
                    m.d.comb += [known.eq(1), *(targets[engine].eq(1) for engine in command.engines)]
        is_mark = opcode == spec.COMMAND["mark"].opcode
        ready = known & ~self.halt & (self.mark_free | ~is_mark)
        for engine, target in targets.items():
            queue = getattr(self, engine)
            ready &= queue.ready | ~target
            m.d.comb += [
                queue.valid.eq(dispatch & target),
                queue.payload.word.eq(fifo.r_data),
                queue.payload.index.eq(index),
            ]
        m.d.comb += [
            dispatch.eq(fifo.r_rdy & ready),
            fifo.r_en.eq(dispatch),
            self.capture.eq(dispatch & is_mark),
            self.counts.dram_command_read_bytes.eq(Mux(dispatch, spec.COMMAND_BYTES, 0)),
            self.error.valid.eq(fifo.r_rdy & ~known & ~self.halt & ~reported),
            self.error.code.eq(spec.ERROR_CODE["illegal_command"]),
            self.error.index.eq(index),
            self.error.address.eq(address),
        ]
        with m.If(self.error.valid):
            m.d.sync += reported.eq(1)
        with m.If(self.start):
            m.d.sync += [index.eq(0), address.eq(self.program_address)]
        with m.Elif(dispatch):
            m.d.sync += [index.eq(index + 1), address.eq(address + spec.COMMAND_BYTES)]
