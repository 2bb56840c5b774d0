"""Drain: psum banks to requantised ofmaps in DRAM, and counter snapshots to DRAM."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw import spec
from hw.axi import axi_write_signature
from hw.config import AcceleratorConfig
from hw.drain_compute import DrainCompute
from hw.drain_reader import DrainReader
from hw.drain_sender import DrainSender
from hw.drain_walker import LAYER, STRIP, DrainWalker
from hw.layouts import ERROR_REPORT, PARAMETER, QUEUED_COMMAND, READ_REQUEST, command_layout, counts_layout
from hw.residual_add import RESIDUAL
from hw.residual_request import ResidualRequest
from hw.write_master import WriteMaster, inside_window

MARK = command_layout("mark")


class DrainEngine(wiring.Component):
    """Execute drain's commands in order: set a layer or a residual, write a strip, write a snapshot.

    Latency: a strip's first bank read is two cycles after its start; a block's write command is valid seven cycles
    after its last read, six more with a residual (``docs/timing.md``, section 8). Throughput: one channel of up to
    ``drain_width`` PE columns a cycle.

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
    residual_request, residual_data : Out(stream of READ_REQUEST), In(stream of bus words)
        Bursts of a second feature map, and their beats, always taken.
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
                "residual_request": Out(stream.Signature(READ_REQUEST)),
                "residual_data": In(stream.Signature(config.bus_bits)),
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
        self._residual_request = ResidualRequest(config=config)
        self._reader = DrainReader(config=config)
        self._results = DrainCompute(config=config)
        self._sender = DrainSender(config=config)
        self._master = WriteMaster(config=config)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = Signal(LAYER)
        residual = Signal(RESIDUAL)
        current = Signal(QUEUED_COMMAND)
        self._walk(m, layer, residual, current)
        self._read(m, residual)
        self._produce(m, layer, residual)
        self._send(m)
        self._announce(m, current)
        self._count(m, residual)
        latched = Signal(QUEUED_COMMAND)
        block = self._reader.blocks
        strip = data.View(STRIP, current.word)
        m.d.comb += current.eq(latched)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += current.eq(self.command.payload)
                m.d.sync += latched.eq(self.command.payload)
                self._start(m, layer, residual)
            with m.State("STRIP"), m.If(block.valid & block.ready & block.payload.last):
                m.d.comb += self.psum_free_give.eq(strip.signal_psum_free)
                m.d.comb += self.parameter_free_give.eq(strip.signal_parameter_free)
                m.next = "IDLE"
            with m.State("MARK"), m.If(self._master.acknowledged):
                is_last = data.View(MARK, current.word).last
                m.d.comb += [self.marked.eq(1), self.done.eq(is_last & ~self.error.valid)]
                m.next = "IDLE"
        return m

    def _start(self, m: Module, layer: Signal, residual: Signal) -> None:
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
            with m.Case(spec.COMMAND["drain.residual"].opcode):
                m.d.comb += self.command.ready.eq(~self.halt & self._reader.empty)
                with m.If(may_start & self._reader.empty):
                    m.d.sync += residual.eq(word)
            with m.Case(spec.COMMAND["mark"].opcode):
                m.d.comb += self.command.ready.eq(~self.halt & self.all_captured & quiet)
                with m.If(may_start & self.all_captured & quiet):
                    m.d.comb += self.capture.eq(1)
                    m.next = "MARK"

    def _walk(self, m: Module, layer: Signal, residual: Signal, current: Signal) -> None:
        """Connect walker and reader by way of the requests for residual beats."""
        walker, request, reader = self._walker, self._residual_request, self._reader
        m.submodules.walker = walker
        m.submodules.residual_request = request
        m.submodules.reader = reader
        connect(m, walker.blocks, request.walked)
        connect(m, request.blocks, reader.blocks)
        connect(m, request.request, flipped(self.residual_request))
        m.d.comb += [
            walker.layer.eq(layer),
            walker.strip.eq(current.word),
            request.enable.eq(residual.enable),
            request.address_offset.eq(residual.address_offset),
            request.index.eq(current.index),
            request.beat_taken.eq(self._results.beat_taken),
        ]

    def _read(self, m: Module, residual: Signal) -> None:
        """Connect the reader to the memories and to what comes after it."""
        reader, sender = self._reader, self._sender
        m.d.comb += [
            reader.room.eq(sender.announced.ready),
            reader.beat_sent.eq(sender.beat_sent),
            reader.residual_enable.eq(residual.enable),
            reader.residual_arrived.eq(self.residual_data.valid & self.residual_data.ready),
            reader.psum_ready.eq(self.psum_ready),
            self.psum_request.eq(reader.psum_request),
            self.psum_address.eq(reader.psum_address),
            self.parameter_read_enable.eq(reader.parameter_read_enable),
            self.parameter_read_address.eq(reader.parameter_read_address),
        ]

    def _produce(self, m: Module, layer: Signal, residual: Signal) -> None:
        """Connect what is between the memories and the sender."""
        compute, reader, sender = self._results, self._reader, self._sender
        m.submodules.compute = compute
        connect(m, flipped(self.residual_data), compute.residual_data)
        m.d.comb += [
            compute.read.eq(reader.read),
            compute.first_column.eq(reader.blocks.payload.first_column),
            compute.parameter.eq(self.parameter),
            compute.layer.eq(layer),
            compute.residual.eq(residual),
            sender.beat_valid.eq(compute.beat_valid),
            sender.beat.eq(compute.beat),
            sender.complete.eq(compute.complete | self.capture),
        ]
        for column, psum in enumerate(self.psums):
            m.d.comb += compute.psums[column].eq(psum)

    def _send(self, m: Module) -> None:
        """Connect sender, write master and bus."""
        sender, master = self._sender, self._master
        m.submodules.sender = sender
        m.submodules.master = master
        connect(m, sender.writes, master.writes)
        connect(m, sender.beats, master.beats)
        connect(m, master.axi, flipped(self.axi))
        m.d.comb += [
            sender.send_snapshot.eq(self.capture),
            sender.snapshot.eq(self.snapshot),
            self.snapshot_index.eq(sender.snapshot_index),
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
        for name, value in inside_window(write, self.window_base, self.window_limit).items():
            m.d.comb += write[name].eq(value)
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

    def _count(self, m: Module, residual: Signal) -> None:
        counts, read, block, config = self.counts, self._reader.read, self._reader.blocks.payload, self._config
        with m.If(read.valid):
            m.d.comb += [counts.glb_psum_drain.eq(block.columns), counts.parameter_read.eq(1)]
        with m.If(read.valid & read.first):
            activations = block.columns * block.channels
            m.d.comb += counts.dram_ofmap_write_bytes.eq(activations * config.activation_bytes)
            with m.If(residual.enable):
                m.d.comb += counts.add_done.eq(activations)
                m.d.comb += counts.dram_residual_read_bytes.eq(block.columns * config.bus_bytes)
        with m.If(self.marked):
            m.d.comb += counts.dram_mark_write_bytes.eq(spec.SNAPSHOT_BEATS * config.bus_bytes)
