"""The structures of drain's components."""

from __future__ import annotations

from functools import lru_cache

from amaranth.utils import bits_for

from hw.config import AcceleratorConfig
from hw.drain_reader import read_layout
from hw.drain_transposer import beat_layout
from hw.drain_walker import block_layout
from hw.layouts import PARAMETER
from hw.residual_request import BLOCKS_AHEAD
from hw.write_master import WRITE
from sim.area.memories import Memory
from sim.area.structure import Structure, fifo_logic


def _channel_bits(config: AcceleratorConfig) -> int:
    return bits_for(config.channel_block - 1)


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


def _requantise_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    width = _requantised(config)
    return 1, width, _skipping(config.cols, width) * config.psum_bits, width * config.activation_bits


def _transposer_logic(config: AcceleratorConfig) -> tuple[float, ...]:
    return 1, config.drain_width, bits_for(config.drain_width), config.channel_block


#: By name of the component.
DRAIN: dict[str, Structure] = {
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
    "drain.requantise": Structure(
        _requantise_logic,
        dsps=lambda config: 4 * _requantised(config),
        luts=lambda config: _requantise_logic(config)[:3],
    ),
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
        lambda config: fifo_logic(config.outstanding_writes),
        lambda config: (Memory(WRITE.size, config.outstanding_writes, False),),
    ),
}
