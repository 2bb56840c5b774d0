"""What a component is made of, as its source says it: memories, multipliers, and what its logic grows with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amaranth.utils import bits_for

from hw.config import AcceleratorConfig
from sim.area.memories import Memory, address_bits

Basis = Callable[[AcceleratorConfig], Sequence[float]]


@dataclass(frozen=True)
class Structure:
    """How a component is made up, as functions of the configuration.

    Parameters
    ----------
    logic : function or None
        Numbers that gates and flip-flops of its logic grow with, one coefficient each; the first is 1. None: every
        value that its fields may have has been measured.
    memories : function
        Its memories.
    dsps : function
        Its MULT18X18D.
    luts : function or None
        The same for LUTs, if they follow fewer numbers: what Yosys finds for LUTs varies by several per cent between
        netlists that differ in names only, and a coefficient more would follow that.
    """

    logic: Basis | None = None
    memories: Callable[[AcceleratorConfig], Sequence[Memory]] = lambda config: ()
    dsps: Callable[[AcceleratorConfig], int] = lambda config: 0
    luts: Basis | None = None

    def basis(self, resource: str) -> Basis | None:
        """Return the numbers that a resource grows with: ``luts``, ``ffs`` or ``gates``."""
        return self.luts if resource == "luts" and self.luts else self.logic


def fifo_logic(entries: int) -> tuple[float, ...]:
    """Return what a FIFO's logic grows with: its level and its two pointers.

    Parameters
    ----------
    entries : int
        Its depth.
    """
    return 1, bits_for(entries), address_bits(entries)
