"""Write side of load: puts the beats of the commands under way where they belong."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw import spec
from hw.config import AcceleratorConfig
from hw.layouts import PARAMETER, command_layout, counts_layout
from hw.load_ifmap import LoadIfmap
from hw.load_request import OPCODE

FIFO_COMMANDS = 4
"""Commands between request and write side."""

#: FIFO entry: the command and, for ``load.ifmap``, the lane word of its first beat.
_ENTRY = data.StructLayout({"word": spec.COMMAND_BITS, "first_address": 12})


class LoadWrite(wiring.Component):
    """Write beats into ifmap lanes, filter lanes or parameter memory, in the order of the commands started.

    Latency: none, a beat is written in the cycle in which it comes. Throughput: one beat a cycle, without gaps between
    commands; a mark takes a cycle of its own.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command : In(stream of 256 bits)
        Commands started; up to four wait here.
    data : In(stream of 64 bits)
        Beats, taken whenever a load command is at the head.
    ifmap_ready_give, parameter_ready_give : Out(16)
        Tokens given in this cycle, that of a command's last beat.
    filter_give : Out(8)
        Words per filter lane that are complete with this cycle's beat.
    ifmap_write_enable : Out(lanes)
        Lanes written now.
    ifmap_write_address : Out(12)
        Lane word.
    ifmap_write_data : Out(64) for each lane
        Words to write.
    filter_write_enable : Out(rows)
        Filter lanes written now.
    filter_write_data : Out(64)
        Word to write.
    filter_write_advance : Out(1)
        This write completes the row of words.
    parameter_write_enable : Out(1)
        Write an entry now.
    parameter_write_address : Out(12)
        Entry.
    parameter_write_data : Out(PARAMETER)
        Its contents.
    counts : Out(counts_layout("load"))
        Increments in this cycle.
    capture : Out(1)
        Pulse: a mark is at the head.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(spec.COMMAND_BITS)),
                "data": In(stream.Signature(config.bus_bits)),
                "ifmap_ready_give": Out(spec.SEMAPHORE_BITS),
                "parameter_ready_give": Out(spec.SEMAPHORE_BITS),
                "filter_give": Out(8),
                "ifmap_write_enable": Out(config.lanes),
                "ifmap_write_address": Out(12),
                "ifmap_write_data": Out(config.bus_bits).array(config.lanes),
                "filter_write_enable": Out(config.rows),
                "filter_write_data": Out(config.bus_bits),
                "filter_write_advance": Out(1),
                "parameter_write_enable": Out(1),
                "parameter_write_address": Out(12),
                "parameter_write_data": Out(PARAMETER),
                "counts": Out(counts_layout("load")),
                "capture": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=_ENTRY.size, depth=FIFO_COMMANDS)
        m.submodules.ifmap = ifmap = LoadIfmap(config=self._config)
        entry = data.View(_ENTRY, fifo.r_data)
        beat = Signal()
        last = Signal()
        self._enqueue(m, fifo)
        m.d.comb += [
            self.data.ready.eq(fifo.r_rdy & ~self.capture),
            beat.eq(self.data.valid & self.data.ready),
            fifo.r_en.eq((beat & last) | self.capture),
        ]
        self._connect_ifmap(m, ifmap, entry)
        with m.Switch(ifmap.command.opcode):
            with m.Case(OPCODE["load.ifmap"]):
                m.d.comb += [ifmap.step.eq(beat), last.eq(ifmap.last)]
                self._count_ifmap(m, ifmap, last)
            with m.Case(OPCODE["load.filter"]):
                self._write_filter(m, data.View(command_layout("load.filter"), entry.word), beat, last)
            with m.Case(OPCODE["load.parameter"]):
                self._write_parameter(m, data.View(command_layout("load.parameter"), entry.word), beat, last)
            with m.Case(OPCODE["mark"]):
                m.d.comb += self.capture.eq(fifo.r_rdy)
        return m

    def _enqueue(self, m: Module, fifo: SyncFIFO) -> None:
        command = data.View(command_layout("load.ifmap"), self.command.payload)
        row_group = command.row[exact_log2(self._config.lanes) :]
        entry = Signal(_ENTRY)
        m.d.comb += [
            entry.word.eq(self.command.payload),
            entry.first_address.eq(command.bank_address + row_group * command.row_block_stride),
            fifo.w_data.eq(entry),
            fifo.w_en.eq(self.command.valid),
            self.command.ready.eq(fifo.w_rdy),
        ]

    def _connect_ifmap(self, m: Module, ifmap: LoadIfmap, entry: data.View) -> None:
        m.d.comb += [
            ifmap.command.eq(entry.word),
            ifmap.first_address.eq(entry.first_address),
            ifmap.beat.eq(self.data.payload),
            self.ifmap_write_enable.eq(ifmap.write_enable),
            self.ifmap_write_address.eq(ifmap.write_address),
        ]
        m.d.comb += [mine.eq(its) for mine, its in zip(self.ifmap_write_data, ifmap.write_data, strict=True)]

    def _count_ifmap(self, m: Module, ifmap: LoadIfmap, last: Signal) -> None:
        with m.If(ifmap.step):
            m.d.comb += [
                self.counts.dram_ifmap_read_bytes.eq(self._config.bus_bytes),
                self.counts.glb_ifmap_write.eq(ifmap.pixels),
                self.ifmap_ready_give.eq(Mux(last, ifmap.command.signal_ifmap_ready, 0)),
            ]

    def _write_filter(self, m: Module, command: data.View, beat: Signal, last: Signal) -> None:
        lane = Signal(7)
        word = Signal(8)
        item = Signal(16)
        end_of_row = Signal()
        end_of_item = Signal()
        m.d.comb += [
            end_of_row.eq(lane + 1 == command.lanes),
            end_of_item.eq(end_of_row & (word + 1 == command.words)),
            last.eq(end_of_item & (item + 1 == command.items)),
            self.filter_write_data.eq(self.data.payload),
        ]
        with m.If(beat):
            m.d.comb += [
                self.filter_write_enable.eq(1 << lane),
                self.filter_write_advance.eq(end_of_row),
                self.filter_give.eq(Mux(end_of_item, command.words, 0)),
                self.counts.dram_filter_read_bytes.eq(self._config.bus_bytes),
                self.counts.glb_filter_write.eq(1),
            ]
            m.d.sync += lane.eq(lane + 1)
            with m.If(end_of_row):
                m.d.sync += [lane.eq(0), word.eq(word + 1)]
            with m.If(end_of_item):
                m.d.sync += [word.eq(0), item.eq(item + 1)]
            with m.If(last):
                m.d.sync += item.eq(0)

    def _write_parameter(self, m: Module, command: data.View, beat: Signal, last: Signal) -> None:
        odd = Signal()
        channel = Signal(12)
        even_beat = Signal(self._config.bus_bits)
        m.d.comb += [
            last.eq(odd & (channel + 1 == command.channels)),
            self.parameter_write_address.eq(command.entry + channel),
            self.parameter_write_data.eq(Cat(even_beat, self.data.payload[:8])),
        ]
        with m.If(beat):
            m.d.comb += [
                self.parameter_write_enable.eq(odd),
                self.parameter_ready_give.eq(last),
                self.counts.dram_parameter_read_bytes.eq(self._config.bus_bytes),
                self.counts.parameter_write.eq(odd),
            ]
            m.d.sync += [odd.eq(~odd), channel.eq(channel + odd)]
            with m.If(~odd):
                m.d.sync += even_beat.eq(self.data.payload)
            with m.If(last):
                m.d.sync += channel.eq(0)
