"""What the sources say of each component: memories and multipliers exactly, and what its logic grows with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from amaranth.utils import bits_for, exact_log2

from hw import spec
from hw.config import AcceleratorConfig
from hw.drain_reader import read_layout
from hw.drain_transposer import beat_layout
from hw.drain_walker import block_layout
from hw.fetch import FIFO_COMMANDS as FETCH_COMMANDS
from hw.layouts import PARAMETER, QUEUED_COMMAND, command_layout
from hw.load_write import FIFO_COMMANDS as LOAD_COMMANDS
from hw.pe import filter_address_bits
from hw.read_master import READERS
from hw.residual_request import BLOCKS_AHEAD
from hw.write_master import WRITE
from sim.area.memories import Memory, address_bits

_PASS = command_layout("execute.pass")
#: Bits of a lane word's address in ``load.ifmap``, which ``load_write`` stores beside the command.
_LANE_ADDRESS_BITS = 12
#: What ``read_master`` remembers of a burst: command and address.
_BURST_BITS = spec.COMMAND_INDEX_BITS + 32


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


def _lane_bits(config: AcceleratorConfig) -> int:
    return exact_log2(config.lanes)


def _channel_bits(config: AcceleratorConfig) -> int:
    return bits_for(config.channel_block - 1)


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
    wrapped = 0 if _is_power_of_two(words) else address_bits(words)
    return 1, config.rows, address_bits(words), lane.compared_bits, wrapped


def _psum_memories(config: AcceleratorConfig) -> tuple[Memory, ...]:
    return (Memory(config.psum_bits, config.psum_bank_words, copies=config.cols),)


def _psum_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """The chain's head and drain share the address, which is late where it chooses between two groups of LUT RAM."""
    bank = _psum_memories(config)[0]
    late = config.cols * config.psum_bits * (bank.cells.groups == 2)
    return 1, address_bits(config.psum_bank_words), bank.compared_bits, bool(bank.brams), late


def _fifo_logic(entries: int) -> tuple[float, ...]:
    """A FIFO's level and its two pointers."""
    return 1, bits_for(entries), address_bits(entries)


def _load_write_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    return 1, config.lanes, _lane_bits(config), config.rows, config.channel_block


def _deliver_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """The lanes to read are a mask that is rotated; counters go up to the sizes of the array."""
    lanes, rows, cols = config.lanes, config.rows, config.cols
    counters = bits_for(rows) + bits_for(cols) + bits_for(max(rows, cols) - 1)
    return 1, lanes, lanes * _lane_bits(config), rows, counters, bits_for(config.ifmap_spad_words - 1)


def _stage_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """The counter of words is as wide as the command's field, however long the scratchpads are."""
    return 1, config.rows, config.cols, min(filter_address_bits(config), 1 + _PASS["filter_words"].width)


def _odd_part(value: int) -> int:
    return value // (value & -value)


def _is_power_of_two(value: int) -> bool:
    return _odd_part(value) == 1


def _mac_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """Stages that follow the rows, counters as wide as the scratchpads' addresses, a multiplication by the rows.

    The product has the bits of the rows' odd part beside those of the columns; without odd part it is a shift.
    """
    rows, columns_bits = config.rows, _PASS["strip_columns"].width
    product = 0 if _is_power_of_two(rows) else columns_bits + bits_for(_odd_part(rows))
    addresses = (2 * config.filter_spad_words - 1, config.ifmap_spad_words - 1, config.psum_spad_words - 1)
    return 1, rows, config.cols, product, bits_for(rows + 1), sum(map(bits_for, addresses))


def _walker_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    """The PE column is counted by carry cells of two bits."""
    return 1, -(-bits_for(config.cols - 1) // 2), _channel_bits(config), bits_for(config.drain_width)


def _request_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    return 1, bits_for(config.residual_fifo_beats), bits_for(config.drain_width)


def _reader_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    fifos = bits_for(config.drain_fifo_beats), bits_for(config.residual_fifo_beats)
    return 1, *fifos, bits_for(config.drain_width), _channel_bits(config)


def _compute_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    read = read_layout(config).size
    return 1, read, config.activation_bits, bits_for(max(2, config.cols) - 1)


def _requantise_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    width = _requantised(config)
    return 1, width, _skipping(config.cols, width) * config.psum_bits


def _requantised(config: AcceleratorConfig) -> int:
    """Different psums requantised in a cycle: Yosys merges the lanes beyond the last PE column, which do the same."""
    return min(config.drain_width, config.cols)


@lru_cache(maxsize=4096)
def _skipping(cols: int, lanes: int) -> int:
    """Multiplexers that skip the PE columns before the first one wanted: the levels from the last to the first."""
    last = cols - 1
    wanted, multiplexers = set(range(lanes)), 0
    for level in reversed(range(last.bit_length())):
        multiplexers += len(wanted - {last})
        wanted |= {min(column + (1 << level), last) for column in wanted}
    return multiplexers


def _transposer_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    return 1, config.drain_width, bits_for(config.drain_width), config.channel_block


def _multiplied_strip(config: AcceleratorConfig) -> int:
    """Mac's products with a number of PE columns; that with ``rows`` is a shift for a power of two."""
    return 3 if _is_power_of_two(config.rows) else 4


#: By name of the component. Without ``logic`` every value that its fields may have has been measured.
STRUCTURES: dict[str, Structure] = {
    "array.pe": Structure(_pe_logic, _pe_memories, lambda config: 1, _pe_luts),
    "array.row": Structure(_row_logic),
    "array.row_delivery": Structure(_row_delivery_logic),
    "array.chain": Structure(_chain_logic),
    "global_buffer.ifmap": Structure(_ifmap_logic, _ifmap_memories),
    "global_buffer.filter": Structure(_filter_logic, _filter_memories),
    "global_buffer.psum": Structure(_psum_logic, _psum_memories),
    "control.fetch": Structure(memories=lambda config: (Memory(spec.COMMAND_BITS, FETCH_COMMANDS, False),)),
    "control.queues": Structure(memories=lambda config: (Memory(QUEUED_COMMAND.size, config.queue_depth, False),)),
    "control.read_master": Structure(
        lambda config: _fifo_logic(config.outstanding_reads),
        lambda config: (Memory(_BURST_BITS, config.outstanding_reads, False, copies=len(READERS)),),
    ),
    "load.request": Structure(dsps=lambda config: 1),
    "load.write": Structure(
        _load_write_logic,
        lambda config: (Memory(spec.COMMAND_BITS + _LANE_ADDRESS_BITS, LOAD_COMMANDS, False),),
        lambda config: 1,
        lambda config: (1, config.lanes, config.channel_block),
    ),
    "deliver": Structure(_deliver_logic, dsps=lambda config: 1),
    "stage": Structure(_stage_logic, luts=lambda config: (1, config.rows, config.cols), dsps=lambda config: 2),
    "mac": Structure(_mac_logic, dsps=_multiplied_strip, luts=lambda config: (1, config.rows, config.cols)),
    "drain.control": Structure(
        lambda config: (1, bits_for(config.drain_width), bits_for(config.channel_block)),
        dsps=lambda config: int(config.drain_width > 1),
    ),
    "drain.walker": Structure(_walker_logic),
    "drain.residual_request": Structure(
        _request_logic, lambda config: (Memory(block_layout(config).size, BLOCKS_AHEAD, False),)
    ),
    "drain.reader": Structure(
        _reader_logic, luts=lambda config: (1, sum(_reader_logic(config)[1:3]), bits_for(config.drain_width))
    ),
    "drain.parameters": Structure(
        lambda config: (Memory(PARAMETER.size, config.parameter_words).compared_bits,),
        lambda config: (Memory(PARAMETER.size, config.parameter_words),),
    ),
    "drain.compute": Structure(_compute_logic),
    "drain.requantise": Structure(_requantise_logic, dsps=lambda config: 4 * _requantised(config)),
    "drain.transposer": Structure(_transposer_logic),
    "drain.residual_add": Structure(dsps=lambda config: {8: 64, 16: 40}[config.activation_bits]),
    "drain.residual_fifo": Structure(
        memories=lambda config: (Memory(config.bus_bits, config.residual_fifo_beats, False),)
    ),
    "drain.sender": Structure(
        memories=lambda config: tuple(
            Memory(width, config.drain_fifo_beats, False) for width in (beat_layout(config).size, WRITE.size)
        )
    ),
    "drain.write_master": Structure(
        lambda config: _fifo_logic(config.outstanding_writes),
        lambda config: (Memory(WRITE.size, config.outstanding_writes, False),),
    ),
}
