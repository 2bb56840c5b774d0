"""Stage: copy filter words from the filter buffer into the PEs' filter scratchpads."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.config import AcceleratorConfig
from hw.layouts import QUEUED_COMMAND, command_layout, counts_layout
from hw.pe_row import filter_write_layout


class StageEngine(wiring.Component):
    """Fill one half of the filter scratchpads per pass, filter group after filter group.

    Latency: a pass whose filters are in the buffer reads its first word two cycles after it starts and gives ``staged``
    in the cycle after its last read. Throughput: one word per PE row a cycle, and one cycle between groups.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    command : In(stream of QUEUED_COMMAND)
        Command queue.
    halves_level, halves_take : In(16), Out(16)
        Free halves of the filter scratchpads.
    staged_give : Out(16)
        Passes whose filters are in the scratchpads.
    filter_level : In(16)
        Complete words in the filter buffer.
    filter_read_enable, filter_read_offset : Out(rows), Out(16)
        Filter lanes to read, and the word, counted from the read pointer.
    filter_release : Out(8)
        Words that the buffer may drop after this cycle's read.
    filter_write : Out(filter_write_layout(config))
        Where the word read in the previous cycle goes.
    counts, capture, mark_free, halt : Out, Out, In, In
        Counter increments; the mark that is taken; whether its snapshot is free; start no command.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(QUEUED_COMMAND)),
                "halves_level": In(spec.SEMAPHORE_BITS),
                "halves_take": Out(spec.SEMAPHORE_BITS),
                "staged_give": Out(spec.SEMAPHORE_BITS),
                "filter_level": In(16),
                "filter_read_enable": Out(config.rows),
                "filter_read_offset": Out(16),
                "filter_release": Out(8),
                "filter_write": Out(filter_write_layout(config)),
                "counts": Out(counts_layout("stage")),
                "capture": Out(1),
                "mark_free": In(1),
                "halt": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, command = Signal(command_layout("execute.layer")), Signal(command_layout("execute.pass"))
        group, word, half = Signal.like(command.groups), Signal.like(command.filter_words), Signal()
        reading, last_word, last_group = Signal(), Signal(), Signal()
        m.d.comb += [
            last_word.eq(reading & (word + 1 == command.filter_words)),
            last_group.eq(group + 1 == command.groups),
        ]
        with m.FSM():
            with m.State("IDLE"):
                fill = self._start(m, layer, command)
                m.d.sync += group.eq(0)
                with m.If(fill):
                    m.next = "WAIT"
            with m.State("WAIT"), m.If(self.filter_level >= command.filter_words):
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += reading.eq(1)
                m.d.sync += word.eq(Mux(last_word, 0, word + 1))
                with m.If(last_word):
                    m.d.sync += group.eq(group + 1)
                    m.next = "WAIT"
                with m.If(last_word & last_group):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.staged_give.eq(1)
                m.d.sync += half.eq(~half)
                m.next = "IDLE"
        keep = last_group & command.keep_last_group
        m.d.comb += [
            self.filter_read_enable.eq(Mux(reading, _low_bits(command.active_rows, self._config.rows), 0)),
            self.filter_read_offset.eq(word),
            self.filter_release.eq(Mux(last_word & ~keep, command.filter_words, 0)),
        ]
        self._write(m, reading, Cat(word[: len(self.filter_write.address) - 1], half))
        self._columns(m, layer, command, fill=fill, advance=last_word)
        return m

    def _start(self, m: Module, layer: data.View, command: data.View) -> Value:
        """Take the next command while idle; return whether it is a pass that brings filters."""
        word = self.command.payload.word
        fresh = data.View(command_layout("execute.pass"), word)
        is_layer = fresh.opcode == spec.COMMAND["execute.layer"].opcode
        is_pass = fresh.opcode == spec.COMMAND["execute.pass"].opcode
        is_mark = fresh.opcode == spec.COMMAND["mark"].opcode
        start, fill = Signal(), Signal()
        m.d.comb += [
            self.command.ready.eq(
                ~self.halt
                & (is_layer | (is_pass & (fresh.reuse_filters | (self.halves_level != 0))) | (is_mark & self.mark_free))
            ),
            start.eq(self.command.valid & self.command.ready),
            fill.eq(start & is_pass & ~fresh.reuse_filters),
            self.halves_take.eq(fill),
            self.staged_give.eq(start & is_pass & fresh.reuse_filters),
            self.capture.eq(start & is_mark),
        ]
        with m.If(start & is_layer):
            m.d.sync += layer.eq(word)
        with m.If(fill):
            m.d.sync += command.eq(word)
        return fill

    def _write(self, m: Module, reading: Value, address: Value) -> None:
        m.d.sync += [self.filter_write.enable.eq(reading), self.filter_write.address.eq(address)]

    def _columns(self, m: Module, layer: data.View, command: data.View, *, fill: Value, advance: Value) -> None:
        """Follow the PE columns of the current filter group and count what is written to them."""
        fresh = data.View(command_layout("execute.pass"), self.command.payload.word)
        lower, upper = Signal.like(command.strip_columns), Signal.like(command.strip_columns)
        group_columns = Signal(len(layer.rows) + len(layer.images))
        writes = Signal(len(command.active_rows) + len(upper))
        with m.If(fill):
            m.d.sync += [lower.eq(0), upper.eq(_minimum(fresh.first_group_columns, fresh.strip_columns))]
        with m.Elif(advance):
            m.d.sync += [lower.eq(upper), upper.eq(_minimum(upper + group_columns, command.strip_columns))]
        m.d.sync += [
            group_columns.eq(layer.rows * layer.images),
            writes.eq(command.active_rows * (upper - lower)),
            self.filter_write.columns.eq(_low_bits(upper, self._config.cols) & ~_low_bits(lower, self._config.cols)),
        ]
        with m.If(self.filter_write.enable):
            m.d.comb += [
                self.counts.glb_filter_read.eq(command.active_rows),
                self.counts.pe_filter_write.eq(writes),
            ]


def _low_bits(count: Value, width: int) -> Value:
    """Return a mask of the lowest ``count`` of ``width`` bits."""
    return Cat(count > bit for bit in range(width))


def _minimum(a: Value, b: Value) -> Value:
    return Mux(a < b, a, b)
