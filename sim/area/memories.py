"""Which ECP5 cells Yosys makes of a memory: the rule of its pass ``memory_libmap``, followed exactly.

Source: ``passes/memory/memory_libmap.cc`` of Yosys and ``share/lattice/brams_16kd.txt`` and ``lutrams_trellis.txt``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

#: Widths of a block RAM and the words that it then has; widths of 9 and more hold whole bytes of 9 bits.
BLOCK_SHAPES: dict[int, int] = {1: 16384, 2: 8192, 4: 4096, 9: 2048, 18: 1024, 36: 512}
#: Words and bits of a LUT RAM.
LUT_RAM_WORDS, LUT_RAM_BITS = 16, 4
_BYTE_BITS = 9
_BLOCK_COST, _LUT_RAM_COST = 128, 4
_MULTIPLEXER_COST, _DECODER_COST, _EMULATION_COST = 0.5, 0.5, 2
#: Transistors of a NAND with two inputs, a flip-flop and an inverting multiplexer in Yosys's ``stat -tech cmos``.
NAND2_TRANSISTORS = 4
_HELD_BIT_TRANSISTORS = 16 + 10
_FLAGS = 2
#: Points for a read port of its own, for reading the old word while it is written, and for the bypass which that needs.
_LUT_RAM_EMULATION, _BLOCK_EMULATION = 1, 1 + 3 + 3


@dataclass(frozen=True)
class Cells:
    """What a memory becomes.

    Parameters
    ----------
    brams, lut_rams : int
        Cells.
    groups : int
        Groups of cells one behind the other, between which the upper address bits choose.
    registers : int
        Bits in flip-flops, if the memory is too small for anything else.
    """

    brams: int = 0
    lut_rams: int = 0
    groups: int = 0
    registers: int = 0


@dataclass(frozen=True)
class Memory:
    """Equal memories with one write port and one read port each.

    Parameters
    ----------
    width, depth : int
        Bits of a word, and words.
    synchronous : bool
        Whether reading takes a clock; otherwise they cannot be block RAMs.
    copies : int
        How many there are.
    written_alike : bool
        Whether the same word is written into all of them, so that one register of it is enough to bypass block RAMs.
    """

    width: int
    depth: int
    synchronous: bool = True
    copies: int = 1
    written_alike: bool = False

    @property
    def cells(self) -> Cells:
        """The cells that Yosys chooses for one of them."""
        return _cells(self.width, self.depth, self.synchronous)

    @property
    def brams(self) -> int:
        """Block RAMs of all."""
        return self.copies * self.cells.brams

    @property
    def lut_rams(self) -> int:
        """LUT RAMs of all."""
        return self.copies * self.cells.lut_rams

    @property
    def sram_bits(self) -> int:
        """Bits that all hold as memories: none if they are single words, which Yosys takes for registers."""
        return self.copies * self.width * self.depth if self.depth > 1 else 0

    @property
    def compared_bits(self) -> int:
        """Address bits of one that are compared to bypass a block RAM when the word read is being written."""
        return address_bits(self.depth) if self.cells.brams else 0

    @property
    def luts(self) -> int:
        """LUTs beside the cells: read multiplexers, write decoders, and the bypasses of block RAMs."""
        cells = self.cells
        decoder = cells.groups if cells.groups > 1 and cells.lut_rams else 0
        bypass = self.width if cells.brams else 0
        return self.copies * (self.width * max(cells.groups - 1, 0) + decoder + bypass)

    @property
    def ffs(self) -> int:
        """Flip-flops beside the cells, without those of addresses that are compared.

        A LUT RAM has them at its output if it reads synchronously; a block RAM for the word written, the word bypassed,
        two flags and the address bits that choose a group.
        """
        cells = self.cells
        if cells.brams:
            written = 1 if self.written_alike else self.copies
            return written * self.width + self.copies * (self.width + _FLAGS + address_bits(cells.groups))
        return self.copies * (cells.registers + (self.width if self.synchronous and cells.lut_rams else 0))

    @property
    def gates(self) -> float:
        """NAND2 equivalents of memories that are registers: a flip-flop and the multiplexer that holds it, per bit."""
        if self.depth > 1:
            return 0
        return self.copies * self.width * _HELD_BIT_TRANSISTORS / NAND2_TRANSISTORS


def address_bits(words: int) -> int:
    """Return the bits of an address of ``words`` words; none for one word.

    Parameters
    ----------
    words : int
        Words.
    """
    return (words - 1).bit_length()


@lru_cache(maxsize=65536)
def _cells(width: int, depth: int, synchronous: bool) -> Cells:
    """Return the cheapest choice, the first of equally cheap ones; like Yosys, compare with whole numbers."""
    best, best_cost = Cells(registers=width * depth), width * depth
    for cells, cost in _choices(width, depth, synchronous):
        if cost < best_cost:
            best, best_cost = cells, int(cost)
    return best


def _choices(width: int, depth: int, synchronous: bool) -> Iterator[tuple[Cells, float]]:
    groups = -(-depth // LUT_RAM_WORDS)
    lut_rams = groups * -(-width // LUT_RAM_BITS)
    yield Cells(lut_rams=lut_rams, groups=groups), _cost(_LUT_RAM_COST * lut_rams, width, groups, _LUT_RAM_EMULATION)
    if synchronous:
        yield _block(width, depth)


def _block(width: int, depth: int) -> tuple[Cells, float]:
    """Return the best shape of block RAM and its cost."""
    best, best_cost = Cells(), float("inf")
    for bits, words in BLOCK_SHAPES.items():
        groups = -(-depth // words)
        byte = min(_BYTE_BITS, bits)
        padded = -(-width // byte) * byte
        brams = -(-groups * padded // bits)
        cost = _cost(_BLOCK_COST * brams, width, groups, _BLOCK_EMULATION)
        if cost < best_cost:
            best, best_cost = Cells(brams=brams, groups=groups), cost
    return best, best_cost


def _cost(cells: float, width: int, groups: int, emulation: int) -> float:
    decoder = groups if groups > 1 else 0
    return cells + _MULTIPLEXER_COST * (groups - 1) * width + _DECODER_COST * decoder + _EMULATION_COST * emulation
