"""Drain's transposer: collects channels of several PE columns, sends PE columns with several channels."""

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.drain_reader import read_layout


def beat_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of a beat for the bus; ``last`` of its burst.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """
    return data.StructLayout(
        {"data": unsigned(config.bus_bits), "strobe": unsigned(config.bus_bytes), "last": unsigned(1)}
    )


class DrainTransposer(wiring.Component):
    """Turn a block's reads, one channel of all its PE columns each, into beats, all channels of one PE column each.

    Two sets of words: one collects a block while the other sends the block before it. Whoever reads keeps a block from
    being complete before the words of the previous one have left.

    Latency: ``complete`` one cycle after a block's last read came in, its first beat one cycle later.
    Throughput: one read and one beat a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    read : In(read_layout(config))
        What the activations are.
    activations : In(signed(activation_bits)).array(drain_width)
        One activation of each of the block's PE columns.
    complete : Out(1)
        Pulse: all activations of a block are here.
    beat_valid : Out(1)
        There is a beat, which must be taken now.
    beat : Out(beat_layout(config))
        The beat.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "read": In(read_layout(config)),
                "activations": In(signed(config.activation_bits)).array(config.drain_width),
                "complete": Out(1),
                "beat_valid": Out(1),
                "beat": Out(beat_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        collected = [Signal(config.bus_bits, name=f"collected_{i}") for i in range(config.drain_width)]
        present = Signal(config.channel_block)
        finished = Signal(read_layout(config))
        m.d.sync += finished.eq(self.read)
        with m.If(self.read.valid):
            for word, activation in zip(collected, self.activations, strict=True):
                m.d.sync += word.word_select(self.read.lane, config.activation_bits).eq(activation)
            with m.If(self.read.first):
                m.d.sync += present.eq(0)
            m.d.sync += present.bit_select(self.read.lane, 1).eq(1)
        m.d.comb += self.complete.eq(finished.valid & finished.last)
        self._send(m, collected, present, finished)
        return m

    def _send(self, m: Module, collected: list[Signal], present: Signal, finished: data.View) -> None:
        words = [Signal.like(word, name=f"word_{i}") for i, word in enumerate(collected)]
        strobe = Signal(self._config.bus_bytes)
        left = Signal.like(finished.columns)
        split_left = Signal.like(finished.split)
        m.d.comb += [
            self.beat_valid.eq(left != 0),
            self.beat.data.eq(words[0]),
            self.beat.strobe.eq(strobe),
            self.beat.last.eq((left == 1) | (split_left == 1)),
        ]
        with m.If(self.beat_valid):
            m.d.sync += [left.eq(left - 1), split_left.eq(split_left - 1)]
            m.d.sync += Cat(words).eq(Cat(words[1:]))
        with m.If(self.complete):
            m.d.sync += [left.eq(finished.columns), split_left.eq(finished.split)]
            m.d.sync += strobe.eq(Cat(bit.replicate(self._config.activation_bytes) for bit in present))
            m.d.sync += Cat(words).eq(Cat(collected))
