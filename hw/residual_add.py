"""Residual addition: a second feature map added to the ofmap's beats, bit-exact to TFLite's int8 ADD."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.drain_transposer import beat_layout
from hw.layouts import command_layout

RESIDUAL = command_layout("drain.residual")

RESIDUAL_LATENCY = 6
"""Cycles that an addition takes."""

_LEFT_SHIFT = 20
"""Left shift of both addends before they are scaled."""

_HIGH_SHIFT = 31
"""Fraction bits of a multiplier."""


#: A right shift; what to add before it to round a value from 0 up, and a negative one.
_SHIFT = data.StructLayout({"amount": 5, "half": _HIGH_SHIFT, "less": _HIGH_SHIFT})


class ResidualAdd(wiring.Component):
    """Add one residual beat to each beat, lane by lane, if enabled; otherwise pass the beats on.

    Both addends lose their zero point, are shifted left by 20 and scaled by their multiplier and shift; the sum is
    scaled likewise, gets its zero point and is clamped. Scaling is by ``multiplier / 2**31``, rounded half up, and then
    by ``2**-shift``, rounded half away from zero.

    Latency: 6 cycles if enabled, otherwise none. Throughput: a beat a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    settings : In(RESIDUAL)
        What to do; constant while there are beats, and for a cycle before.
    zero_point : In(signed(activation_bits))
        Of the beats of the block that becomes complete in this cycle.
    residual_data : In(stream of bus words)
        Residual beats, always taken; at least as many as beats, and in time.
    complete, beat_valid, beat : In(1), In(1), In(beat_layout(config))
        What the transposer sends.
    beat_taken : Out(1)
        A residual beat leaves the FIFO.
    sum_complete, sum_valid, sum : Out(1), Out(1), Out(beat_layout(config))
        The same with the residual added.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        if not isinstance(config, AcceleratorConfig):
            raise TypeError(f"config must be an AcceleratorConfig, not {config!r}")
        self._config = config
        super().__init__(
            {
                "settings": In(RESIDUAL),
                "zero_point": In(signed(config.activation_bits)),
                "residual_data": In(stream.Signature(config.bus_bits)),
                "complete": In(1),
                "beat_valid": In(1),
                "beat": In(beat_layout(config)),
                "beat_taken": Out(1),
                "sum_complete": Out(1),
                "sum_valid": Out(1),
                "sum": Out(beat_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, bits = self._config, self._config.activation_bits
        fifo = SyncFIFO(width=config.bus_bits, depth=config.residual_fifo_beats)
        m.submodules.fifo = fifo
        m.d.comb += [
            self.residual_data.ready.eq(1),
            fifo.w_data.eq(self.residual_data.payload),
            fifo.w_en.eq(self.residual_data.valid),
            self.beat_taken.eq(self.settings.enable & self.beat_valid),
            fifo.r_en.eq(self.beat_taken),
        ]
        zero_point = Signal(signed(bits))
        with m.If(self.complete):
            m.d.sync += zero_point.eq(self.zero_point)
        beat, shifts = self.beat.data, self._shifts(m)
        lanes = [
            self._lane(m, lane, beat.word_select(lane, bits), zero_point, fifo.r_data.word_select(lane, bits), shifts)
            for lane in range(config.channel_block)
        ]
        self._choose(m, Cat(lanes))
        return m

    def _choose(self, m: Module, sums: Value) -> None:
        """Drive the outputs: what came in six cycles ago with its sums, or what comes in now."""
        enable = self.settings.enable
        aside = Cat(self.complete & enable, self.beat_valid & enable, self.beat.strobe, self.beat.last)
        for cycle in range(1, RESIDUAL_LATENCY + 1):
            delayed = Signal.like(aside, name=f"aside_{cycle}")
            m.d.sync += delayed.eq(aside)
            aside = delayed
        outputs = Cat(self.sum_complete, self.sum_valid, self.sum.strobe, self.sum.last)
        with m.If(enable):
            m.d.comb += [outputs.eq(aside), self.sum.data.eq(sums)]
        with m.Else():
            m.d.comb += [
                self.sum_complete.eq(self.complete),
                self.sum_valid.eq(self.beat_valid),
                self.sum.eq(self.beat),
            ]

    def _shifts(self, m: Module) -> tuple[data.View, ...]:
        """Return the shifts of own activations, residual and sum, with the masks that round them, from registers."""
        names = ("shift", "residual_shift", "sum_shift")
        shifts = tuple(Signal(_SHIFT, name=name) for name in names)
        for shift, name in zip(shifts, names, strict=True):
            amount = self.settings[name]
            m.d.sync += [
                shift.amount.eq(amount),
                shift.half.eq(Cat(amount == i + 1 for i in range(_HIGH_SHIFT))),
                shift.less.eq(Cat(amount > i + 1 for i in range(_HIGH_SHIFT))),
            ]
        return shifts

    def _lane(
        self,
        m: Module,
        lane: int,
        activation: Value,
        zero_point: Value,
        residual: Value,
        shifts: tuple[data.View, ...],
    ) -> Signal:
        """Build the pipeline of one lane; return its sum, six cycles after the addends."""
        own_shift, residual_shift, sum_shift = shifts
        settings, bits = self.settings, self._config.activation_bits
        residual_zero_point = settings.residual_zero_point[:bits].as_signed()
        addends = (
            ("own", activation, zero_point, settings.multiplier, own_shift),
            ("residual", residual, residual_zero_point, settings.residual_multiplier, residual_shift),
        )
        scaled = []
        for name, value, zero, multiplier, shift in addends:
            centred = Signal(signed(self._config.operand_bits), name=f"{name}_centred_{lane}")
            product = Signal(signed(len(centred) + len(multiplier)), name=f"{name}_product_{lane}")
            m.d.sync += [centred.eq(value.as_signed() - zero), product.eq(centred * multiplier)]
            nudged = _nudge(product, _HIGH_SHIFT - _LEFT_SHIFT, shift)
            kept = Signal(nudged.shape(), name=f"{name}_nudged_{lane}")
            m.d.sync += kept.eq(nudged)
            scaled.append(kept >> shift.amount)
        return self._sum(m, lane, scaled[0] + scaled[1], sum_shift)

    def _sum(self, m: Module, lane: int, total: Value, shift: data.View) -> Signal:
        """Scale and clamp the sum of both addends, three cycles later."""
        settings = self.settings
        raw = Signal(signed(self._config.operand_bits + _LEFT_SHIFT + 1), name=f"raw_{lane}")
        product = Signal(signed(len(raw) + len(settings.sum_multiplier)), name=f"product_{lane}")
        nudged = Signal(signed(len(raw) + 2), name=f"nudged_{lane}")
        result = Signal(signed(self._config.activation_bits), name=f"sum_{lane}")
        m.d.sync += [
            raw.eq(total),
            product.eq(raw * settings.sum_multiplier),
            nudged.eq(_nudge(product, _HIGH_SHIFT, shift)),
        ]
        centred = (nudged >> shift.amount) + settings.sum_zero_point
        limited = Mux(centred > settings.sum_maximum, settings.sum_maximum, centred)
        m.d.comb += result.eq(Mux(centred < settings.sum_minimum, settings.sum_minimum, limited))
        return result


def _nudge(product: Signal, drop: int, shift: data.View) -> Value:
    """Return what has to be shifted right by ``shift`` to get ``product / 2**drop / 2**shift`` with two roundings.

    The first rounds halves up, the second away from zero: it adds a half, or a unit less if the value is negative. For
    this the product's sign will do: a negative product that is rounded to zero gives zero with both. The two roundings
    share one adder: the bit below those that stay is its carry.
    """
    return (Cat(1, product[drop:]).as_signed() + Cat(product[drop - 1], Mux(product < 0, shift.less, shift.half))) >> 1
