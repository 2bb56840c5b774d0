"""The structures of the engines' components, drain aside."""

from __future__ import annotations

from amaranth.utils import bits_for, exact_log2

from hw import spec
from hw.config import AcceleratorConfig
from hw.fetch import FIFO_COMMANDS as FETCH_COMMANDS
from hw.layouts import QUEUED_COMMAND, command_layout
from hw.load_write import FIFO_COMMANDS as LOAD_COMMANDS
from hw.pe import filter_address_bits
from hw.read_master import READERS
from sim.area.memories import Memory
from sim.area.structure import Structure, fifo_logic

_PASS = command_layout("execute.pass")
#: Bits of a lane word's address in ``load.ifmap``, which ``load_write`` stores beside the command.
_LANE_ADDRESS_BITS = 12
#: What ``read_master`` remembers of a burst: command and address.
_BURST_BITS = spec.COMMAND_INDEX_BITS + 32


def _lane_bits(config: AcceleratorConfig) -> int:
    return exact_log2(config.lanes)


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


def _multiplied_strip(config: AcceleratorConfig) -> int:
    """Mac's products with a number of PE columns; that with ``rows`` is a shift for a power of two."""
    return 3 if _is_power_of_two(config.rows) else 4


#: By name of the component.
ENGINES: dict[str, Structure] = {
    "control.fetch": Structure(memories=lambda config: (Memory(spec.COMMAND_BITS, FETCH_COMMANDS, False),)),
    "control.queues": Structure(memories=lambda config: (Memory(QUEUED_COMMAND.size, config.queue_depth, False),)),
    "control.read_master": Structure(
        lambda config: fifo_logic(config.outstanding_reads),
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
}
