"""Ifmap half of the global buffer: one memory per lane."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig


class IfmapBuffer(wiring.Component):
    """Store ifmap words; tile row ``h`` is in lane ``h % lanes``.

    A window of rows that starts in the middle of a group of lanes continues in the next group, so a read has two
    addresses. A word written in cycle t is seen by reads from cycle t + 1 on.

    Latency: read data in the cycle after the read, held until the lane's next one. Throughput: one read and one write
    per lane and cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    write_enable : In(lanes)
        Lanes to write.
    write_address : In(12)
        Word to write, the same in all lanes.
    write_data : In(64) for each lane
        What to write.
    read_enable : In(lanes)
        Lanes to read.
    read_address, read_address_next : In(12)
        Words to read.
    read_next : In(lanes)
        Lanes that use ``read_address_next``.
    read_data : Out(64) for each lane
        What was read.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        lanes = config.lanes
        super().__init__(
            {
                "write_enable": In(lanes),
                "write_address": In(12),
                "write_data": In(config.bus_bits).array(lanes),
                "read_enable": In(lanes),
                "read_address": In(12),
                "read_next": In(lanes),
                "read_address_next": In(12),
                "read_data": Out(config.bus_bits).array(lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for i in range(self._config.lanes):
            memory = Memory(shape=self._config.bus_bits, depth=self._config.ifmap_lane_words, init=[])
            m.submodules[f"lane_{i}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(self.write_enable[i]),
                write.addr.eq(self.write_address),
                write.data.eq(self.write_data[i]),
                read.en.eq(self.read_enable[i]),
                read.addr.eq(Mux(self.read_next[i], self.read_address_next, self.read_address)),
                self.read_data[i].eq(read.data),
            ]
        return m
