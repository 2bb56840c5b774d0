"""Token counters between engines."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw import spec


class Semaphore(wiring.Component):
    """Count tokens that one engine gives and another takes.

    Latency: a token given in cycle t is in ``level`` in cycle t + 1. Throughput: any number of tokens a cycle.

    Parameters
    ----------
    initial : int
        Tokens after reset.

    Members
    -------
    give : In(SEMAPHORE_BITS)
        Tokens added in this cycle.
    take : In(SEMAPHORE_BITS)
        Tokens removed in this cycle; at most ``level``.
    level : Out(SEMAPHORE_BITS)
        Tokens there are.
    """

    def __init__(self, *, initial: int = 0) -> None:
        if not 0 <= initial < 1 << spec.SEMAPHORE_BITS:
            raise ValueError(f"initial must be from 0 to {(1 << spec.SEMAPHORE_BITS) - 1}, not {initial!r}")
        self._initial = initial
        super().__init__(
            {
                "give": In(spec.SEMAPHORE_BITS),
                "take": In(spec.SEMAPHORE_BITS),
                "level": Out(spec.SEMAPHORE_BITS, init=initial),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.level.eq(self.level + self.give - self.take)
        return m
