"""The structures of the array's and the global buffer's components."""

from __future__ import annotations

from amaranth.utils import bits_for

from hw.config import AcceleratorConfig
from hw.pe import filter_address_bits
from sim.area.memories import Memory, address_bits
from sim.area.structure import Structure


def _pe_memories(config: AcceleratorConfig) -> tuple[Memory, ...]:
    half_words = config.filter_spad_words // config.weights_per_word
    return (
        Memory(config.bus_bits, (1 << (filter_address_bits(config) - 1)) + half_words),
        Memory(config.operand_bits, config.ifmap_spad_words),
        Memory(config.psum_bits, config.psum_spad_words, synchronous=False),
    )


def _pe_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    compared = sum(memory.compared_bits for memory in _pe_memories(config))
    return 1, config.psum_bits, config.operand_bits, config.lanes * config.operand_bits, compared


def _pe_luts(config: AcceleratorConfig) -> tuple[float, ...]:
    """The bypass of a filter block RAM merges with the choice of a weight; groups of ifmap LUT RAM want a decoder."""
    filters, ifmaps, _ = _pe_memories(config)
    groups = address_bits(ifmaps.cells.groups) if ifmaps.lut_rams else 0
    return 1, config.psum_bits, config.lanes * config.operand_bits, bool(filters.brams), groups


def _row_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    return 1, config.cols, filter_address_bits(config), bits_for(config.psum_spad_words - 1)


def _row_delivery_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    return 1, config.lanes, config.lanes * config.operand_bits, bits_for(config.ifmap_spad_words - 1)


def _chain_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """Operations go down the rows, the mask of active rows gets shorter; the head looks at the third row's."""
    rows, cols = config.rows, config.cols
    operation = 4 + bits_for(2 * config.filter_spad_words - 1)
    operation += bits_for(config.ifmap_spad_words - 1) + bits_for(config.psum_spad_words - 1)
    return 1, rows, rows * (rows + 1) / 2, rows * operation + (rows < 3), cols, cols * config.psum_bits


def _ifmap_memories(config: AcceleratorConfig) -> tuple[Memory, ...]:
    return (Memory(config.bus_bits, config.ifmap_lane_words, copies=config.lanes),)


def _ifmap_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """Each lane chooses between two addresses; all are written at one."""
    address, lane = address_bits(config.ifmap_lane_words), _ifmap_memories(config)[0]
    return config.lanes * address, config.lanes * lane.compared_bits, lane.compared_bits


def _filter_memories(config: AcceleratorConfig) -> tuple[Memory, ...]:
    return (Memory(config.bus_bits, config.filter_lane_words, copies=config.rows, written_alike=True),)


def _filter_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """Pointers wrap by a subtraction unless the depth is a power of two."""
    words, lane = config.filter_lane_words, _filter_memories(config)[0]
    wrapped = address_bits(words) if words & (words - 1) else 0
    return 1, config.rows, address_bits(words), lane.compared_bits, wrapped


def _psum_memories(config: AcceleratorConfig) -> tuple[Memory, ...]:
    return (Memory(config.psum_bits, config.psum_bank_words, copies=config.cols),)


def _psum_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """The chain's head and drain share the address, which is late where it chooses between two groups of LUT RAM."""
    bank = _psum_memories(config)[0]
    late = config.cols * config.psum_bits * (bank.cells.groups == 2)
    return 1, address_bits(config.psum_bank_words), bank.compared_bits, bool(bank.brams), late


#: By name of the component.
ARRAY: dict[str, Structure] = {
    "array.pe": Structure(_pe_logic, _pe_memories, lambda config: 1, _pe_luts),
    "array.row": Structure(_row_logic),
    "array.row_delivery": Structure(_row_delivery_logic),
    "array.chain": Structure(_chain_logic),
    "global_buffer.ifmap": Structure(_ifmap_logic, _ifmap_memories),
    "global_buffer.filter": Structure(_filter_logic, _filter_memories),
    "global_buffer.psum": Structure(_psum_logic, _psum_memories),
}
