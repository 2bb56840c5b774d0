"""Drain: psum banks to requantised ofmaps in DRAM, and counter snapshots to DRAM."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw import spec
from hw.axi import axi_write_signature
from hw.config import AcceleratorConfig
from hw.drain_reader import DrainReader, read_layout
from hw.drain_sender import DrainSender
from hw.drain_transposer import DrainTransposer
from hw.drain_walker import LAYER, STRIP, DrainWalker
from hw.layouts import ERROR_REPORT, PARAMETER, QUEUED_COMMAND, command_layout, counts_layout
from hw.requantise import LATENCY, Requantise
from hw.write_master import WriteMaster

MARK = command_layout("mark")


class DrainEngine(wiring.Component):
    """Execute drain's commands in order: set a layer, write a strip, write a snapshot.

    Latency: a strip's first bank read is two cycles after its start; a block's write command is valid seven cycles
    after its last read (``docs/timing.md``, section 8). Throughput: one channel of up to ``drain_width`` PE columns a
    cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command : In(stream of QUEUED_COMMAND)
        The queue; ready is the start condition.
    psum_ready_level, parameter_ready_level : In(16)
        Tokens there are.
    psum_ready_take, parameter_ready_take : Out(16)
        Tokens taken in this cycle.
    psum_free_give, parameter_free_give, written_give : Out(16)
        Tokens given in this cycle.
    psum_request, psum_address, psum_ready : Out(1), Out(12), In(1)
        Read of all psum banks.
    psums : In(signed(psum_bits)).array(cols)
        What was read in the cycle before.
    parameter_read_enable, parameter_read_address : Out(1), Out(12)
        Read of the parameter memory.
    parameter : In(PARAMETER)
        What was read in the cycle before.
    axi : Out(axi_write_signature(config))
        The bus.
    window_base, window_limit : In(32)
        First byte that may be written, and first byte after those.
    all_captured : In(1)
        All other engines have taken their part of the snapshot.
    snapshot_index, snapshot : Out(6), In(64)
        The snapshot's counter wanted, and its value.
    marked, done : Out(1)
        Pulse: DRAM has the snapshot; ``done`` if it was the program's last.
    counts, capture : Out(counts_layout("drain")), Out(1)
        Increments of this cycle (``cycle.total`` is counted elsewhere), and that a mark starts.
    halt : In(1)
        Start nothing, issue no more bursts.
    error : Out(ERROR_REPORT)
        Pulse: DRAM refused a write, or one was outside the window.
    idle : Out(1)
        No burst is in flight and none is waiting to be accepted.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(QUEUED_COMMAND)),
                "psum_ready_level": In(spec.SEMAPHORE_BITS),
                "psum_ready_take": Out(spec.SEMAPHORE_BITS),
                "parameter_ready_level": In(spec.SEMAPHORE_BITS),
                "parameter_ready_take": Out(spec.SEMAPHORE_BITS),
                "psum_free_give": Out(spec.SEMAPHORE_BITS),
                "parameter_free_give": Out(spec.SEMAPHORE_BITS),
                "written_give": Out(spec.SEMAPHORE_BITS),
                "psum_request": Out(1),
                "psum_address": Out(12),
                "psum_ready": In(1),
                "psums": In(signed(config.psum_bits)).array(config.cols),
                "parameter_read_enable": Out(1),
                "parameter_read_address": Out(12),
                "parameter": In(PARAMETER),
                "axi": Out(axi_write_signature(config)),
                "window_base": In(32),
                "window_limit": In(32),
                "all_captured": In(1),
                "snapshot_index": Out(6),
                "snapshot": In(64),
                "marked": Out(1),
                "done": Out(1),
                "counts": Out(counts_layout("drain")),
                "capture": Out(1),
                "halt": In(1),
                "error": Out(ERROR_REPORT),
                "idle": Out(1),
            }
        )
        self._walker = DrainWalker(config=config)
        self._reader = DrainReader(config=config)
        self._requantise = Requantise(config=config)
        self._transposer = DrainTransposer(config=config)
        self._sender = DrainSender(config=config)
        self._master = WriteMaster(config=config)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = Signal(LAYER)
        current = Signal(QUEUED_COMMAND)
        self._read(m, layer, current)
        self._transpose(m, layer)
        self._send(m)
        self._announce(m, current)
        self._count(m)
        latched = Signal(QUEUED_COMMAND)
        block = self._reader.blocks
        strip = data.View(STRIP, current.word)
        m.d.comb += current.eq(latched)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += current.eq(self.command.payload)
                m.d.sync += latched.eq(self.command.payload)
                self._start(m, layer)
            with m.State("STRIP"), m.If(block.valid & block.ready & block.payload.last):
                m.d.comb += self.psum_free_give.eq(strip.signal_psum_free)
                m.d.comb += self.parameter_free_give.eq(strip.signal_parameter_free)
                m.next = "IDLE"
            with m.State("MARK"), m.If(self._master.acknowledged):
                is_last = data.View(MARK, current.word).last
                m.d.comb += [self.marked.eq(1), self.done.eq(is_last & ~self.error.valid)]
                m.next = "IDLE"
        return m

    def _start(self, m: Module, layer: Signal) -> None:
        """Start the command at the queue's head if its conditions hold."""
        word, may_start = self.command.payload.word, self.command.valid & ~self.halt
        strip = data.View(STRIP, word)
        has_tokens = (self.psum_ready_level >= strip.wait_psum_ready) & (
            self.parameter_ready_level >= strip.wait_parameter_ready
        )
        quiet = self._reader.empty & self._master.idle
        with m.Switch(word[: spec.OPCODE.width]):
            with m.Case(spec.COMMAND["drain.layer"].opcode):
                m.d.comb += self.command.ready.eq(~self.halt)
                with m.If(may_start):
                    m.d.sync += layer.eq(word)
            with m.Case(spec.COMMAND["drain.strip"].opcode):
                m.d.comb += self.command.ready.eq(~self.halt & has_tokens)
                with m.If(may_start & has_tokens):
                    m.d.comb += [
                        self._walker.start.eq(1),
                        self.psum_ready_take.eq(strip.wait_psum_ready),
                        self.parameter_ready_take.eq(strip.wait_parameter_ready),
                    ]
                    m.next = "STRIP"
            with m.Case(spec.COMMAND["mark"].opcode):
                m.d.comb += self.command.ready.eq(~self.halt & self.all_captured & quiet)
                with m.If(may_start & self.all_captured & quiet):
                    m.d.comb += self.capture.eq(1)
                    m.next = "MARK"

    def _read(self, m: Module, layer: Signal, current: Signal) -> None:
        """Connect walker and reader, and the reader to the memories."""
        walker, reader, sender = self._walker, self._reader, self._sender
        m.submodules.walker = walker
        m.submodules.reader = reader
        connect(m, walker.blocks, reader.blocks)
        m.d.comb += [
            walker.layer.eq(layer),
            walker.strip.eq(current.word),
            reader.room.eq(sender.announced.ready),
            reader.beat_sent.eq(sender.beat_sent),
            reader.psum_ready.eq(self.psum_ready),
            self.psum_request.eq(reader.psum_request),
            self.psum_address.eq(reader.psum_address),
            self.parameter_read_enable.eq(reader.parameter_read_enable),
            self.parameter_read_address.eq(reader.parameter_read_address),
        ]

    def _transpose(self, m: Module, layer: Signal) -> None:
        """Connect requantiser and transposer; what a read is travels beside its psums."""
        requantise, transposer = self._requantise, self._transposer
        m.submodules.requantise = requantise
        m.submodules.transposer = transposer
        read = self._reader.read
        for cycle in range(1, LATENCY + 2):
            delayed = Signal(read_layout(self._config), name=f"read_{cycle}")
            m.d.sync += delayed.eq(read)
            read = delayed
        m.d.sync += requantise.first_column.eq(self._reader.blocks.payload.first_column)
        m.d.comb += [transposer.read.eq(read), requantise.parameter.eq(self.parameter)]
        m.d.comb += [requantise.output[name].eq(layer[name]) for name in ("zero_point", "minimum", "maximum")]
        for lane, activation in enumerate(requantise.activations):
            m.d.comb += transposer.activations[lane].eq(activation)
        for column, psum in enumerate(self.psums):
            m.d.comb += requantise.psums[column].eq(psum)

    def _send(self, m: Module) -> None:
        """Connect transposer, sender, write master and bus."""
        transposer, sender, master = self._transposer, self._sender, self._master
        m.submodules.sender = sender
        m.submodules.master = master
        connect(m, sender.writes, master.writes)
        connect(m, sender.beats, master.beats)
        connect(m, master.axi, flipped(self.axi))
        m.d.comb += [
            sender.beat_valid.eq(transposer.beat_valid),
            sender.beat.eq(transposer.beat),
            sender.complete.eq(transposer.complete | self.capture),
            sender.send_snapshot.eq(self.capture),
            sender.snapshot.eq(self.snapshot),
            self.snapshot_index.eq(sender.snapshot_index),
            master.window_base.eq(self.window_base),
            master.window_limit.eq(self.window_limit),
            master.halt.eq(self.halt),
            self.written_give.eq(master.written_give),
            self.error.eq(master.error),
            self.idle.eq(master.idle),
        ]

    def _announce(self, m: Module, current: Signal) -> None:
        """Announce a block's write with its last read, and the snapshot's when a mark starts."""
        reader, announced = self._reader, self._sender.announced
        write, block = announced.payload, reader.blocks.payload
        m.d.comb += write.index.eq(current.index)
        with m.If(self.capture):
            m.d.comb += [
                announced.valid.eq(1),
                write.address.eq(data.View(MARK, current.word).dram_address),
                write.beats.eq(spec.SNAPSHOT_BEATS),
                write.split.eq(spec.SNAPSHOT_BEATS),
            ]
        with m.Else():
            m.d.comb += [
                announced.valid.eq(reader.read.valid & reader.read.last),
                write.address.eq(block.address),
                write.beats.eq(block.columns),
                write.split.eq(reader.read.split),
                write.written.eq(Mux(block.last, data.View(STRIP, current.word).signal_written, 0)),
            ]

    def _count(self, m: Module) -> None:
        counts, read, block = self.counts, self._reader.read, self._reader.blocks.payload
        with m.If(read.valid):
            m.d.comb += [counts.glb_psum_drain.eq(block.columns), counts.parameter_read.eq(1)]
        with m.If(read.valid & read.first):
            words_bytes = block.columns * block.channels * self._config.activation_bytes
            m.d.comb += counts.dram_ofmap_write_bytes.eq(words_bytes)
        with m.If(self.marked):
            m.d.comb += counts.dram_mark_write_bytes.eq(spec.SNAPSHOT_BEATS * self._config.bus_bytes)
