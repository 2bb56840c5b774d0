"""Memory for the requantisation parameters of the channels."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.layouts import PARAMETER


class ParameterMemory(wiring.Component):
    """Store bias, multiplier and shift of each channel.

    An entry written in cycle t is seen by reads from cycle t + 1 on.

    Latency: read data in the cycle after the read, held until the next one. Throughput: one read and one write a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    write_enable : In(1)
        Write now.
    write_address : In(12)
        Entry to write.
    write_data : In(PARAMETER)
        What to write.
    read_enable : In(1)
        Read now.
    read_address : In(12)
        Entry to read.
    read_data : Out(PARAMETER)
        What was read.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(12),
                "write_data": In(PARAMETER),
                "read_enable": In(1),
                "read_address": In(12),
                "read_data": Out(PARAMETER),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=PARAMETER, depth=self._config.parameter_words, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.en.eq(self.read_enable),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m
