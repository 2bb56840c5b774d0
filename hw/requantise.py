"""Requantisation: psums to activations, bit-exact to TFLite's double rounding."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.layouts import PARAMETER

#: Zero point and range of the activations that come out.
OUTPUT_RANGE = data.StructLayout({"zero_point": signed(16), "minimum": signed(16), "maximum": signed(16)})

LATENCY = 4
"""Cycles from psums in to activations out."""

#: A power of two to divide by, its half and the bits below the half; half and bits are zero if it is 1.
_DIVISOR = data.StructLayout({"exponent": 5, "half": 32, "below_half": 32})


class Requantise(wiring.Component):
    """Add the bias, scale with two roundings, add the zero point and clamp, for ``drain_width`` psums of one channel.

    Lane ``j`` takes PE column ``first_column + j``. The biased psum, with shift > 0 shifted left, is a 32-bit value
    (the compiler proves the range). It is multiplied by ``multiplier / 2**31``, rounded half up and saturated; with
    shift < 0 it is then divided by ``2**-shift``, rounded half away from zero. Shifts are from -31 to 31.

    Latency: 4 cycles. Throughput: ``drain_width`` psums a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    psums : In(signed(psum_bits)).array(cols)
        One psum per PE column.
    first_column : In
        PE column of lane 0.
    parameter : In(PARAMETER)
        Of the channel.
    output : In(OUTPUT_RANGE)
        Of the layer.
    activations : Out(signed(activation_bits)).array(drain_width)
        Results of the inputs four cycles ago; lanes beyond the last PE column are undefined.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "psums": In(signed(config.psum_bits)).array(config.cols),
                "first_column": In(range(max(2, config.cols))),
                "parameter": In(PARAMETER),
                "output": In(OUTPUT_RANGE),
                "activations": Out(signed(config.activation_bits)).array(config.drain_width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        scales = _delays(m, self.parameter, 2, name="parameter")
        ranges = _delays(m, self.output, LATENCY, name="output")
        divisor = self._divisor(m, scales[1].shift)
        columns = _skip(list(self.psums), self.first_column)
        for lane in range(self._config.drain_width):
            psum = columns[lane] if lane < len(columns) else columns[-1]
            self._lane(m, lane, psum, scales, divisor, ranges[-1])
        return m

    def _divisor(self, m: Module, shift: Value) -> data.View:
        """Return, a cycle later, ``log2`` of the divisor and two masks that say where ties and halves are."""
        divisor = Signal(_DIVISOR)
        exponent = Mux(shift < 0, (-shift)[:5], 0)
        half = Const(1, 32) << exponent >> 1
        m.d.sync += [
            divisor.exponent.eq(exponent),
            divisor.half.eq(half),
            divisor.below_half.eq(Mux(exponent == 0, 0, half - 1)),
        ]
        return divisor

    def _lane(
        self, m: Module, lane: int, psum: Value, scales: Sequence[data.View], divisor: data.View, output: data.View
    ) -> None:
        biased = Signal(signed(32), name=f"biased_{lane}")
        shifted = Signal(signed(32), name=f"shifted_{lane}")
        product_low = Signal(signed(48), name=f"product_low_{lane}")
        product_high = Signal(signed(48), name=f"product_high_{lane}")
        high = Signal(signed(33), name=f"high_{lane}")
        floor = Signal(signed(33), name=f"floor_{lane}")
        up = Signal(name=f"up_{lane}")
        m.d.sync += [
            biased.eq(psum + self.parameter.bias),
            shifted.eq(biased << Mux(scales[0].shift > 0, scales[0].shift[:5], 0)),
            product_low.eq(shifted * scales[1].multiplier[:16]),
            product_high.eq(shifted * scales[1].multiplier[16:].as_signed()),
            floor.eq(high >> divisor.exponent),
            up.eq(_round_up(high, divisor)),
        ]
        m.d.comb += high.eq(_high(product_low, product_high))
        centred = floor + output.zero_point + up
        limited = Mux(centred > output.maximum, output.maximum, centred)
        m.d.comb += self.activations[lane].eq(Mux(centred < output.minimum, output.minimum, limited))


def _delays(m: Module, value: data.View, cycles: int, *, name: str) -> list[Signal]:
    """Return ``value`` of one cycle ago, two cycles ago and so on."""
    stages = []
    for cycle in range(1, cycles + 1):
        stage = Signal(value.shape(), name=f"{name}_{cycle}")
        m.d.sync += stage.eq(value)
        stages.append(stage)
        value = stage
    return stages


def _skip(values: list[Value], count: Value) -> list[Value]:
    """Return ``values`` from index ``count`` on; the last one repeats at the end."""
    for level, bit in enumerate(count):
        moved = values[1 << level :] + values[-1:] * (1 << level)
        values = [Mux(bit, far, near) for near, far in zip(values, moved, strict=False)]
    return values


def _high(product_low: Signal, product_high: Signal) -> Value:
    """Return ``(product_low + 2**16 * product_high) / 2**31`` rounded half up.

    Only -2**31 times itself gives 2**31, which should saturate to 2**31 - 1: divided by 2 or more both are the same,
    and undivided both are above every ``output.maximum``.
    """
    return ((product_low >> 16) + product_high + (1 << 14))[15:48].as_signed()


def _round_up(value: Value, divisor: data.View) -> Value:
    """Return whether ``value / 2**exponent`` rounded to nearest, halves away from zero, is above its floor."""
    above_tie = (value & divisor.below_half).any()
    return (value & divisor.half).any() & (above_tie | (value >= 0))
