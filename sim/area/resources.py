"""What area is counted in."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """Area on Lattice ECP5, and area that depends on no technology.

    Parameters
    ----------
    luts : int
        LUT4 cells, and two for each CCU2C (two bits of a carry chain), whose place it takes.
    ffs : int
        TRELLIS_FF cells.
    dsps : int
        MULT18X18D cells.
    brams : int
        DP16KD cells, 16 Kibit of block RAM each.
    lut_rams : int
        TRELLIS_DPR16X4 cells, 16 words of 4 bits each; not in ``luts``.
    gates : int
        NAND2 equivalents of logic and flip-flops: CMOS transistors divided by four. Memories are not in it.
    sram_bits : int
        Bits of all memories, the small ones with an asynchronous read port too.
    """

    luts: int = 0
    ffs: int = 0
    dsps: int = 0
    brams: int = 0
    lut_rams: int = 0
    gates: int = 0
    sram_bits: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.luts + other.luts,
            self.ffs + other.ffs,
            self.dsps + other.dsps,
            self.brams + other.brams,
            self.lut_rams + other.lut_rams,
            self.gates + other.gates,
            self.sram_bits + other.sram_bits,
        )

    def __mul__(self, count: int) -> Resources:
        return Resources(
            self.luts * count,
            self.ffs * count,
            self.dsps * count,
            self.brams * count,
            self.lut_rams * count,
            self.gates * count,
            self.sram_bits * count,
        )


#: The resources by name, in the order of their columns.
NAMES = tuple(field.name for field in dataclasses.fields(Resources))
