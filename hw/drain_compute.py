"""Drain's arithmetic: psums that have been read become beats of the ofmap."""

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import AcceleratorConfig
from hw.drain_reader import read_layout
from hw.drain_transposer import DrainTransposer, beat_layout
from hw.drain_walker import LAYER
from hw.layouts import PARAMETER
from hw.requantise import LATENCY, Requantise
from hw.residual_add import RESIDUAL, ResidualAdd


class DrainCompute(wiring.Component):
    """Requantise, transpose and, if enabled, add a second feature map.

    Latency: ``complete`` six cycles after a block's last read, its first beat one cycle later; with a residual six
    cycles more. Throughput: one read and one beat a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    read : In(read_layout(config))
        What is read in this cycle.
    first_column : In
        PE column where its block begins.
    layer : In(LAYER)
        The block's layer.
    psums, parameter : In(signed(psum_bits)).array(cols), In(PARAMETER)
        What was read in the cycle before.
    residual : In(RESIDUAL)
        The second feature map; constant while blocks are under way.
    residual_data : In(stream of bus words)
        Its beats, always taken; a block's are all here when it is first read.
    beat_taken : Out(1)
        One of them leaves the residual FIFO.
    complete : Out(1)
        Pulse: the block's beats follow.
    beat_valid, beat : Out(1), Out(beat_layout(config))
        A beat, which must be taken now.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        super().__init__(
            {
                "read": In(read_layout(config)),
                "first_column": In(range(max(2, config.cols))),
                "layer": In(LAYER),
                "psums": In(signed(config.psum_bits)).array(config.cols),
                "parameter": In(PARAMETER),
                "residual": In(RESIDUAL),
                "residual_data": In(stream.Signature(config.bus_bits)),
                "beat_taken": Out(1),
                "complete": Out(1),
                "beat_valid": Out(1),
                "beat": Out(beat_layout(config)),
            }
        )
        self._requantise = Requantise(config=config)
        self._transposer = DrainTransposer(config=config)
        self._add = ResidualAdd(config=config)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        requantise, transposer = self._requantise, self._transposer
        m.submodules.requantise = requantise
        m.submodules.transposer = transposer
        m.d.sync += requantise.first_column.eq(self.first_column)
        m.d.comb += [
            requantise.parameter.eq(self.parameter),
            transposer.read.eq(_delay(m, self.read, LATENCY + 1, name="read")),
        ]
        m.d.comb += [requantise.output[name].eq(self.layer[name]) for name in ("zero_point", "minimum", "maximum")]
        for column, psum in enumerate(self.psums):
            m.d.comb += requantise.psums[column].eq(psum)
        for lane, activation in enumerate(requantise.activations):
            m.d.comb += transposer.activations[lane].eq(activation)
        self._add_residual(m)
        return m

    def _add_residual(self, m: Module) -> None:
        """Connect transposer, addition and outputs; the next layer may be set before the block's beats are here."""
        transposer, add = self._transposer, self._add
        m.submodules.residual_add = add
        connect(m, flipped(self.residual_data), add.residual_data)
        m.d.comb += [
            add.settings.eq(self.residual),
            add.zero_point.eq(_delay(m, self.layer.zero_point, LATENCY + 2, name="zero_point")),
            add.complete.eq(transposer.complete),
            add.beat_valid.eq(transposer.beat_valid),
            add.beat.eq(transposer.beat),
            self.beat_taken.eq(add.beat_taken),
            self.complete.eq(add.sum_complete),
            self.beat_valid.eq(add.sum_valid),
            self.beat.eq(add.sum),
        ]


def _delay(m: Module, value: Value, cycles: int, *, name: str) -> Value:
    """Return what ``value`` was some cycles ago."""
    for cycle in range(1, cycles + 1):
        delayed = Signal.like(value, name=f"{name}_{cycle}")
        m.d.sync += delayed.eq(value)
        value = delayed
    return value
