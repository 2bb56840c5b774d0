"""Filter half of the global buffer: one memory per PE row, used as a FIFO of rows of words."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig


class FilterBuffer(wiring.Component):
    """Store filter words; all lanes share the write and the read pointer and the two levels.

    ``free`` falls when load reserves words, ``level`` rises when load has written them, and stage's release gives them
    back. A word written in cycle t is seen by reads from cycle t + 1 on, as are all changes of pointers and levels.

    Latency: read data in the cycle after the read, held until the lane's next one. Throughput: one read and one write
    per lane and cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    write_enable : In(rows)
        Lanes to write, at the write pointer.
    write_data : In(64)
        What to write.
    write_advance : In(1)
        The write pointer moves on after this cycle.
    reserve : In(8)
        Words taken from ``free``.
    give : In(8)
        Words that are complete with this cycle's write.
    read_enable : In(rows)
        Lanes to read.
    read_offset : In(16)
        Words from the read pointer, less than ``filter_lane_words``.
    read_data : Out(64) for each lane
        What was read.
    release : In(8)
        Words that are no longer needed after this cycle: the read pointer moves on.
    level : Out(16)
        Words per lane that may be read.
    free : Out(16)
        Words per lane that may be reserved.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        rows = config.rows
        super().__init__(
            {
                "write_enable": In(rows),
                "write_data": In(config.bus_bits),
                "write_advance": In(1),
                "reserve": In(8),
                "give": In(8),
                "read_enable": In(rows),
                "read_offset": In(16),
                "read_data": Out(config.bus_bits).array(rows),
                "release": In(8),
                "level": Out(16),
                "free": Out(16, init=config.filter_lane_words),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self._config.filter_lane_words
        write_pointer = Signal(range(words))
        read_pointer = Signal(range(words))
        read_address = Signal(range(words))
        m.d.comb += read_address.eq(self._wrap(read_pointer + self.read_offset))
        m.d.sync += [
            read_pointer.eq(self._wrap(read_pointer + self.release)),
            write_pointer.eq(self._wrap(write_pointer + self.write_advance)),
            self.level.eq(self.level + self.give - self.release),
            self.free.eq(self.free + self.release - self.reserve),
        ]
        for i in range(self._config.rows):
            m.submodules[f"lane_{i}"] = memory = Memory(shape=self._config.bus_bits, depth=words, init=[])
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(self.write_enable[i]),
                write.addr.eq(write_pointer),
                write.data.eq(self.write_data),
                read.en.eq(self.read_enable[i]),
                read.addr.eq(read_address),
                self.read_data[i].eq(read.data),
            ]
        return m

    def _wrap(self, address: Value) -> Value:
        words = self._config.filter_lane_words
        return Mux(address >= words, address - words, address)
