"""Psum banks of the global buffer: one per PE column, shared by the psum chain and drain."""

from amaranth.hdl import Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig


class PsumBanks(wiring.Component):
    """Psum memory of one bank per PE column, each with one read and one write port; the chain's head reads first.

    Latency: ``data`` shows a word one cycle after its read. A read and a write of one word in the same cycle give the
    old value. Throughput: one read and one write of every bank each cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    head_enable : In(1)
        The head of the chain reads all banks.
    head_address : In(12)
        The word it reads.
    drain_request : In(1)
        Drain wants to read all banks.
    drain_address : In(12)
        The word it wants.
    drain_ready : Out(1)
        Drain's read is done in this cycle: the head does not read.
    data : Out(signed(psum_bits)).array(cols)
        The words read in the cycle before.
    tail_enable : In(cols)
        The banks that the tail of the chain writes.
    tail_address : In(12)
        The word it writes.
    tail_psums : In(signed(psum_bits)).array(cols)
        What it writes.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        psums = signed(config.psum_bits)
        super().__init__(
            {
                "head_enable": In(1),
                "head_address": In(12),
                "drain_request": In(1),
                "drain_address": In(12),
                "drain_ready": Out(1),
                "data": Out(psums).array(config.cols),
                "tail_enable": In(config.cols),
                "tail_address": In(12),
                "tail_psums": In(psums).array(config.cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.drain_ready.eq(~self.head_enable)
        for column in range(self._config.cols):
            memory = Memory(shape=signed(self._config.psum_bits), depth=self._config.psum_bank_words, init=[])
            m.submodules[f"bank_{column}"] = memory
            write = memory.write_port()
            read = memory.read_port()
            m.d.comb += [
                write.en.eq(self.tail_enable[column]),
                write.addr.eq(self.tail_address),
                write.data.eq(self.tail_psums[column]),
                read.en.eq(self.head_enable | self.drain_request),
                read.addr.eq(Mux(self.head_enable, self.head_address, self.drain_address)),
                self.data[column].eq(read.data),
            ]
        return m
