"""Request side of load: starts commands and asks for their bursts."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.axi import PAGE_BYTES
from hw.config import AcceleratorConfig
from hw.layouts import QUEUED_COMMAND, READ_REQUEST, command_layout

OPCODE = {name: spec.COMMAND[name].opcode for name in ("load.ifmap", "load.filter", "load.parameter", "mark")}
"""Opcodes of the commands that load executes."""

_PAGE_BEATS = PAGE_BYTES // 8

#: Where the request side is: next byte, beats left in this run, and where the current column and block started.
_POSITION = data.StructLayout({"address": 32, "left": 15, "column_address": 32, "block_address": 32})


class LoadRequest(wiring.Component):
    """Start load's commands in order and split each run of beats into bursts.

    Latency: a command's first request is valid one cycle after its start (``load.filter``: one more per item).
    Throughput: one request a cycle; the next command may start in the cycle after the last request was taken.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command : In(stream of QUEUED_COMMAND)
        The queue; ready is the start condition.
    started : Out(stream of 256 bits)
        Commands started, for the write side; transferred in the cycle of the start.
    request : Out(stream of READ_REQUEST)
        Bursts wanted; none crosses 4 KiB.
    ifmap_free_level, written_level, parameter_free_level : In(16)
        Tokens there are.
    ifmap_free_take, written_take, parameter_free_take : Out(16)
        Tokens taken in this cycle.
    filter_free : In(16)
        Free words per filter lane.
    filter_reserve : Out(8)
        Filter words taken in this cycle.
    mark_free : In(1)
        Load's snapshot may be overwritten.
    captured : In(1)
        Pulse from the write side: it has executed a mark.
    halt : In(1)
        Start nothing.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(QUEUED_COMMAND)),
                "started": Out(stream.Signature(spec.COMMAND_BITS)),
                "request": Out(stream.Signature(READ_REQUEST)),
                "ifmap_free_level": In(spec.SEMAPHORE_BITS),
                "ifmap_free_take": Out(spec.SEMAPHORE_BITS),
                "written_level": In(spec.SEMAPHORE_BITS),
                "written_take": Out(spec.SEMAPHORE_BITS),
                "parameter_free_level": In(spec.SEMAPHORE_BITS),
                "parameter_free_take": Out(spec.SEMAPHORE_BITS),
                "filter_free": In(16),
                "filter_reserve": Out(8),
                "mark_free": In(1),
                "captured": In(1),
                "halt": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        start = Signal()
        may_start = Signal()
        latched = Signal(QUEUED_COMMAND)
        position = Signal(_POSITION)
        item = data.View(command_layout("load.filter"), latched.word)
        self._check_conditions(m, may_start, start)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [
                    self.command.ready.eq(may_start & self.started.ready & ~self.halt),
                    start.eq(self.command.valid & self.command.ready),
                ]
                with m.If(start):
                    m.d.sync += latched.eq(self.command.payload)
                    self._begin(m, position)
            with m.State("ITEM"), m.If(self.filter_free >= item.words):
                m.d.comb += self.filter_reserve.eq(item.words)
                m.d.sync += position.left.eq(item.lanes * item.words)
                m.next = "BURSTS"
            with m.State("BURSTS"):
                self._ask(m, latched, position)
        m.d.comb += [self.started.valid.eq(start), self.started.payload.eq(self.command.payload.word)]
        return m

    def _check_conditions(self, m: Module, may_start: Signal, start: Signal) -> None:
        """Decide whether the command at the head may start, and take its tokens when it does."""
        word = self.command.payload.word
        ifmap = data.View(command_layout("load.ifmap"), word)
        parameter = data.View(command_layout("load.parameter"), word)
        mark_under_way = Signal()
        with m.Switch(ifmap.opcode):
            with m.Case(OPCODE["load.ifmap"]):
                enough_free = self.ifmap_free_level >= ifmap.wait_ifmap_free
                m.d.comb += [
                    may_start.eq(enough_free & (self.written_level >= ifmap.wait_written)),
                    self.ifmap_free_take.eq(Mux(start, ifmap.wait_ifmap_free, 0)),
                    self.written_take.eq(Mux(start, ifmap.wait_written, 0)),
                ]
            with m.Case(OPCODE["load.parameter"]):
                m.d.comb += [
                    may_start.eq(self.parameter_free_level >= parameter.wait_parameter_free),
                    self.parameter_free_take.eq(Mux(start, parameter.wait_parameter_free, 0)),
                ]
            with m.Case(OPCODE["mark"]):
                # A mark on its way to the write side will take the snapshot that still looks free here.
                m.d.comb += may_start.eq(self.mark_free & ~mark_under_way)
                with m.If(start):
                    m.d.sync += mark_under_way.eq(1)
            with m.Default():
                m.d.comb += may_start.eq(1)
        with m.If(self.captured):
            m.d.sync += mark_under_way.eq(0)

    def _begin(self, m: Module, position: data.View) -> None:
        word = self.command.payload.word
        ifmap = data.View(command_layout("load.ifmap"), word)
        parameter = data.View(command_layout("load.parameter"), word)
        item = data.View(command_layout("load.filter"), word)
        with m.Switch(ifmap.opcode):
            with m.Case(OPCODE["load.ifmap"]):
                m.d.sync += [
                    position.address.eq(ifmap.dram_address),
                    position.left.eq(ifmap.column_beats),
                    position.column_address.eq(ifmap.dram_address),
                    position.block_address.eq(ifmap.dram_address),
                ]
                m.next = "BURSTS"
            with m.Case(OPCODE["load.filter"]):
                m.d.sync += position.address.eq(item.dram_address)
                m.next = "ITEM"
            with m.Case(OPCODE["load.parameter"]):
                m.d.sync += [
                    position.address.eq(parameter.dram_address),
                    position.left.eq(parameter.channels << 1),
                ]
                m.next = "BURSTS"

    def _ask(self, m: Module, latched: data.View, position: data.View) -> None:
        """Request the next burst; when it is taken, go on with this run of beats, the next run, or the next command."""
        longest = self._config.burst_beats
        to_page = Signal(range(_PAGE_BEATS + 1))
        allowed = Signal(range(_PAGE_BEATS + 1))
        beats = Signal(range(_PAGE_BEATS + 1))
        m.d.comb += [
            to_page.eq(_PAGE_BEATS - position.address[3:12]),
            allowed.eq(Mux(to_page < longest, to_page, longest)),
            beats.eq(Mux(position.left < allowed, position.left, allowed)),
            self.request.valid.eq(1),
            self.request.payload.address.eq(position.address),
            self.request.payload.beats.eq(beats),
            self.request.payload.index.eq(latched.index),
        ]
        with m.If(self.request.ready):
            m.d.sync += [
                position.address.eq(position.address + (beats << 3)),
                position.left.eq(position.left - beats),
            ]
            with m.If(position.left == beats):
                self._end_run(m, latched.word, position)

    def _end_run(self, m: Module, word: Signal, position: data.View) -> None:
        """Go to the next column or block, to the next item, or back to idle; the counts end as they began, at zero."""
        ifmap = data.View(command_layout("load.ifmap"), word)
        filters = data.View(command_layout("load.filter"), word)
        column = Signal(12)
        block = Signal(8)
        item = Signal(16)
        with m.Switch(ifmap.opcode):
            with m.Case(OPCODE["load.ifmap"]):
                m.d.sync += position.left.eq(ifmap.column_beats)
                with m.If(column + 1 != ifmap.columns):
                    self._jump(m, position, position.column_address + ifmap.column_stride)
                    m.d.sync += column.eq(column + 1)
                with m.Else():
                    m.d.sync += column.eq(0)
                    with m.If(block + 1 != ifmap.blocks):
                        address = position.block_address + ifmap.block_stride
                        self._jump(m, position, address)
                        m.d.sync += [block.eq(block + 1), position.block_address.eq(address)]
                    with m.Else():
                        m.d.sync += block.eq(0)
                        m.next = "IDLE"
            with m.Case(OPCODE["load.filter"]):
                with m.If(item + 1 != filters.items):
                    m.d.sync += item.eq(item + 1)
                    m.next = "ITEM"
                with m.Else():
                    m.d.sync += item.eq(0)
                    m.next = "IDLE"
            with m.Default():
                m.next = "IDLE"

    @staticmethod
    def _jump(m: Module, position: data.View, address: Value) -> None:
        m.d.sync += [position.address.eq(address), position.column_address.eq(address)]
