"""Mappings: how a work is laid over the array, in time, and in the buffers; :mod:`compiler.mapper` chooses one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from compiler.work import Work
from golden.execute_model import ceil_div
from hw import spec
from hw.config import AcceleratorConfig

#: Fields of the execute commands, whose ranges limit what can be mapped.
LAYER_FIELDS = {field.name: field for field in spec.COMMAND["execute.layer"].fields}
PASS_FIELDS = {field.name: field for field in spec.COMMAND["execute.pass"].fields}
#: Strips whose psums may be in the banks at once: what a command's token fields can count.
MAXIMUM_STRIPS = PASS_FIELDS["wait_psum_free"].maximum


@dataclass(frozen=True)
class Mapping:
    """How one kind of work is computed.

    Parameters
    ----------
    filters : int
        p, filters per PE.
    slots : int
        q, the most slots of a pass.
    taps : int
        Filter columns of a pass (S, or a part of it).
    images, rows, columns : int
        Ofmap images, rows and columns of a tile.
    strips : int
        Strips of columns whose psums stay in the banks while the passes visit them.
    resident : bool
        Whether a tile's ifmap stays in the lanes for all passes; otherwise each pass loads its channels.
    """

    filters: int
    slots: int
    taps: int
    images: int
    rows: int
    columns: int
    strips: int
    resident: bool


@dataclass(frozen=True)
class Slice:
    """What the array does in one pass: a run of (channel, filter row) pairs, or depthwise channels, and filter columns.

    Parameters
    ----------
    pair : int
        First pair (channel * R + filter row) within the work; in depthwise work channel * R + first filter row.
    slots, active_rows, last_rows : int
        See ``execute.pass``.
    tap : int
        First filter column.
    fresh_tap : int
        First filter column that earlier slices have not covered (slices overlap where S is no multiple of their taps).
    """

    pair: int
    slots: int
    active_rows: int
    last_rows: int
    tap: int
    fresh_tap: int


@dataclass(frozen=True)
class Unit:
    """Work whose psums belong together: all filters of a convolution, or the channels of one depthwise turn.

    Parameters
    ----------
    channel, channels : int
        Channels within the work that the unit reads.
    psums : int
        Psums per PE column and ofmap column.
    groups : int
        Filter groups (1 if depthwise).
    slices : tuple of Slice
        Passes over each strip.
    """

    channel: int
    channels: int
    psums: int
    groups: int
    slices: tuple[Slice, ...]


def tap_slices(size: int, taps: int) -> list[tuple[int, int]]:
    """Return (first tap, first fresh tap) of slices of ``taps`` filter columns that cover ``size``."""
    return [(min(start, size - taps), start) for start in range(0, size, taps)]


def units(work: Work, mapping: Mapping, config: AcceleratorConfig) -> list[Unit]:
    """Return the units of a work."""
    height, width = work.window
    taps = tap_slices(width, mapping.taps)
    if not work.depthwise:
        pairs, step = work.channels * height, config.rows * mapping.slots
        slices = []
        for base in range(0, pairs, step):
            count = min(step, pairs - base)
            slots = ceil_div(count, config.rows)
            active = config.rows if slots > 1 else count
            last = count - config.rows * (slots - 1)
            slices += [Slice(base, slots, active, last, tap, fresh) for tap, fresh in taps]
        return [Unit(0, work.channels, mapping.filters, ceil_div(work.filters, mapping.filters), tuple(slices))]
    result = []
    for channel in range(0, work.channels, mapping.slots):
        slots = min(mapping.slots, work.channels - channel)
        slices = []
        for row in range(0, height, config.rows):
            active = min(config.rows, height - row)
            slices += [Slice(channel * height + row, slots, active, active, tap, fresh) for tap, fresh in taps]
        result.append(Unit(channel, slots, slots, 1, tuple(slices)))
    return result


@dataclass(frozen=True)
class Delivery:
    """Channel blocks of a slice and the deliveries for each."""

    first_block: int
    blocks: int
    channel_offset: int
    first: int
    middle: int
    last: int

    @property
    def operations(self) -> int:
        """Deliveries per window and ifmap column."""
        return self.first + max(0, self.blocks - 2) * self.middle + (self.last if self.blocks > 1 else 0)


def delivery(work: Work, piece: Slice, config: AcceleratorConfig) -> Delivery:
    """Return the channel blocks that a slice delivers; blocks are counted from ifmap channel 0."""
    height, block = work.window[0], config.channel_block
    if work.depthwise:
        start = work.channel + piece.pair // height
        end = start + piece.slots
        counts = [
            min(end, (b + 1) * block) - max(start, b * block) for b in range(start // block, ceil_div(end, block))
        ]
    else:
        pairs = piece.active_rows * (piece.slots - 1) + piece.last_rows
        start = work.channel + piece.pair // height
        low = work.channel * height + piece.pair
        high = low + pairs
        size = block * height
        runs = [min(high, (b + 1) * size) - max(low, b * size) for b in range(low // size, ceil_div(high, size))]
        counts = [ceil_div(run, config.rows) for run in runs]
    middle = counts[1] if len(counts) > 2 else 0
    last = counts[-1] if len(counts) > 1 else 0
    return Delivery(start // block, len(counts), start % block, counts[0], middle, last)


def ring_columns(mapping: Mapping, config: AcceleratorConfig) -> int:
    """Ifmap columns per slot in the ifmap scratchpad."""
    return min(config.ifmap_spad_words // mapping.slots, LAYER_FIELDS["ring_columns"].maximum)


@dataclass(frozen=True)
class Span:
    """Ifmap rows or columns that a run of ofmap positions needs; ``pad`` is padding before the first resident one."""

    start: int
    stop: int
    pad: int


def span(first: int, count: int, *, stride: int, window: int, padding: int, size: int, align: int = 1) -> Span:
    """Return the resident ifmap rows (or columns) of ``count`` ofmap positions from ``first`` on."""
    origin = first * stride - padding
    start = min(max(origin, 0), size - 1) // align * align
    stop = max(min(origin + (count - 1) * stride + window, size), start + 1)
    return Span(start, stop, start - origin)


def region_words(
    work: Work, mapping: Mapping, blocks: int, input_shape: tuple[int, int, int], align: int, config: AcceleratorConfig
) -> int:
    """Lane words that the largest ifmap tile of ``blocks`` channel blocks needs."""
    rows = min((mapping.rows - 1) * work.stride[0] + work.window[0], input_shape[0])
    rows = ceil_div(rows + (align - 1 if rows < input_shape[0] else 0), align) * align
    columns = min((mapping.columns - 1) * work.stride[1] + work.window[1], input_shape[1])
    return ceil_div(mapping.images * rows, config.lanes) * blocks * columns


@dataclass(frozen=True)
class Turn:
    """Units that are alike: how many there are, and their slices, counted by what they cost.

    ``slices`` maps (slots, active rows, deliveries per window and column, channel blocks) to how many are so, the
    first slice first.
    """

    unit: Unit
    repeats: int
    slices: dict[tuple[int, int, int, int], int]


class ArrayShape:
    """What filters per PE, slots and taps decide, whatever the tile: the same for many candidates."""

    def __init__(self, work: Work, mapping: Mapping, config: AcceleratorConfig) -> None:
        everything = units(work, mapping, config)
        deliveries = [[delivery(work, piece, config) for piece in unit.slices] for unit in everything]
        self.single = all(len(unit.slices) == 1 for unit in everything)
        self.resident_blocks = max(_block_span(pieces) for pieces in deliveries)
        self.slice_blocks = max(piece.blocks for pieces in deliveries for piece in pieces)
        self.fields_fit = all(
            piece.first <= PASS_FIELDS["first_operations"].maximum
            and piece.middle <= PASS_FIELDS["middle_operations"].maximum
            and piece.last <= PASS_FIELDS["last_operations"].maximum
            and piece.blocks <= PASS_FIELDS["blocks"].maximum
            for pieces in deliveries
            for piece in pieces
        )
        # Depthwise turns are alike but for the last.
        chosen = [(0, 1), (1, 1)][: len(everything)] if len(everything) <= 2 else [(0, len(everything) - 1), (-1, 1)]
        self.turns = [
            Turn(everything[index], repeats, _count_slices(everything[index], deliveries[index]))
            for index, repeats in chosen
        ]

    def blocks(self, mapping: Mapping) -> int:
        """Channel blocks of the largest ifmap region: of a unit if resident, else of a slice."""
        return self.resident_blocks if mapping.resident else self.slice_blocks


def _block_span(pieces: list[Delivery]) -> int:
    return max(piece.first_block + piece.blocks for piece in pieces) - min(piece.first_block for piece in pieces)


def _count_slices(unit: Unit, deliveries: list[Delivery]) -> dict[tuple[int, int, int, int], int]:
    return Counter(
        (piece.slots, piece.active_rows, moves.operations, moves.blocks)
        for piece, moves in zip(unit.slices, deliveries, strict=True)
    )


def region_blocks(work: Work, mapping: Mapping, config: AcceleratorConfig) -> int:
    """Channel blocks of the largest ifmap region: of a unit if resident, else of a slice."""
    return ArrayShape(work, mapping, config).blocks(mapping)
