"""The mapper: how one kind of work is laid over the array, in time, and in the buffers.

It enumerates mappings, estimates each with a few closed forms per pass, and takes the best by cycles, then bus beats,
then the order of enumeration, so the same work always gets the same mapping. The exact cost of what it chose comes
from :func:`golden.machine.predict`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from compiler.graph import NetworkError
from compiler.work import Work
from golden.execute_model import ceil_div
from hw.config import AcceleratorConfig

#: Strips whose psums may be in the banks at once: what the 4-bit token fields of a command can count.
MAXIMUM_STRIPS = 15
MAXIMUM_OPERATIONS = {"first": 63, "middle": 15, "last": 63}
MAXIMUM_BLOCKS = 63
#: Tile sizes tried for each width, from the largest that fits downwards: a smaller first tile starts sooner.
TILE_CHOICES = 4
MAXIMUM_RUN_ROWS = 2047
#: Estimated cycles from a dependency to the first operation: DRAM latency, set-up, pipelines.
START_CYCLES = 120
#: Bus beats that are worth one cycle: an idle bus costs nothing, yet partial words are not worth a per mille.
BEATS_PER_CYCLE_SAVED = 16


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
    return min(config.ifmap_spad_words // mapping.slots, 127)


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
            piece.first <= MAXIMUM_OPERATIONS["first"]
            and piece.middle <= MAXIMUM_OPERATIONS["middle"]
            and piece.last <= MAXIMUM_OPERATIONS["last"]
            and piece.blocks <= MAXIMUM_BLOCKS
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


@dataclass(frozen=True)
class Estimate:
    """What the mapper thinks a mapping costs."""

    cycles: int
    bus_beats: int


class Mapper:
    """Chooses mappings for one machine.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        self._known: dict[object, Mapping] = {}

    def choose(self, name: str, work: Work, *, images: int, input_shape: tuple[int, int, int], align: int) -> Mapping:
        """Return the best mapping.

        Parameters
        ----------
        name : str
            Layer name, for the error.
        work : Work
            What to compute.
        images : int
            Batch size N.
        input_shape : (H, W, C)
            Shape of the ifmap.
        align : int
            Ifmap rows that share a DRAM word (1 unless the input is stored packed).

        Raises
        ------
        NetworkError
            If nothing fits the machine.
        """
        key = (work.shape, images, input_shape, align)
        if key not in self._known:
            best = None
            tried = set()
            for shape, mapping in self._candidates(name, work, images, input_shape, align):
                if mapping in tried:
                    continue
                tried.add(mapping)
                cost = self._estimate(work, shape, mapping, images, input_shape, align)
                rank = (cost.cycles + cost.bus_beats // BEATS_PER_CYCLE_SAVED, cost.bus_beats)
                if best is None or rank < best[0]:
                    best = (rank, mapping)
            if best is None:
                raise NetworkError(
                    f"layer {name} must fit the buffers of config {self._config.name} with one ofmap position "
                    f"per tile, its {work.window[0]} x {work.window[1]} window does not"
                )
            self._known[key] = best[1]
        return self._known[key]

    def _candidates(
        self, name: str, work: Work, images: int, input_shape: tuple[int, int, int], align: int
    ) -> Iterator[tuple[ArrayShape, Mapping]]:
        config = self._config
        for size, limit, field in (
            (work.window[0], 255, "window height"),
            (max(work.stride), 31, "stride"),
            (max(work.padding), 255, "padding"),
        ):
            if size > limit:
                raise NetworkError(f"{field} of layer {name} must be at most {limit} on this machine, not {size}")
        taps = min(work.window[1], config.ifmap_spad_words, config.filter_spad_words, 255)
        for filters, slots in self._array_shapes(work, taps):
            psums = slots if work.depthwise else filters
            shape = ArrayShape(work, Mapping(filters, slots, taps, 1, 1, 1, 1, True), config)
            if not shape.fields_fit:
                continue
            for width in self._widths(work, psums):
                for resident in (True, False):
                    row = Mapping(filters, slots, taps, 1, 1, width, 1, resident)
                    for tile in self._tiles(work, shape, row, images, input_shape, align):
                        for strips in self._strip_choices(shape, tile, psums):
                            yield shape, dataclasses.replace(tile, strips=strips)

    def _array_shapes(self, work: Work, taps: int) -> Iterator[tuple[int, int]]:
        """Yield (p, q) that fit the scratchpads, the parameter memory and the command fields."""
        config = self._config
        sizes = [1] if work.depthwise else [1, 2, 4, *range(8, config.psum_spad_words + 1, 8)]
        for filters in sizes:
            if filters > 1 and filters >= work.filters + 8 or filters > config.psum_spad_words:
                continue
            if filters * min(config.cols, ceil_div(work.filters, filters)) > config.parameter_words // 2:
                continue
            most = min(config.ifmap_spad_words // taps, config.filter_spad_words // (filters * taps), 63)
            if work.depthwise:
                most = min(most, config.psum_spad_words, work.channels, config.parameter_words // 2)
                if most > config.channel_block:
                    most -= most % config.channel_block
            else:
                most = min(most, ceil_div(work.channels * work.window[0], config.rows))
            total = work.channels if work.depthwise else ceil_div(work.channels * work.window[0], config.rows)
            if most < 1:
                continue
            fewest = ceil_div(total, most)
            yield from ((filters, slots) for slots in {min(most, ceil_div(total, fewest + more)) for more in range(4)})

    def _widths(self, work: Work, psums: int) -> list[int]:
        """Ofmap columns of a tile: all, or even shares of which one or two fit a psum bank, and small ones."""
        full, depth = len(work.columns), self._config.psum_bank_words
        shares = {ceil_div(full, ceil_div(full * psums * copies, depth)) for copies in (1, 2, 4)}
        shares |= {ceil_div(width, 4) for width in shares} | {1}
        return sorted((width for width in shares if width * psums <= depth), reverse=True)

    def _tiles(
        self,
        work: Work,
        shape: ArrayShape,
        row: Mapping,
        images: int,
        input_shape: tuple[int, int, int],
        align: int,
    ) -> Iterator[Mapping]:
        """Yield the largest (images, rows) whose ifmap fits the lanes, once and twice."""
        config = self._config
        blocks = shape.blocks(row)
        # A strip may start with windows wholly below an image, but not beyond the first row of the image that follows.
        below = work.rows[-1] * work.stride[0] - work.padding[0] > input_shape[0]
        sizes = [(count, len(work.rows)) for count in _shares(images, 1 if below else 255)]
        sizes += [(1, height) for height in _shares(len(work.rows), 4095)[1:]]
        for copies in (2, 1):
            found = 0
            for count, height in sizes:
                tile = dataclasses.replace(row, images=count, rows=height)
                rows = count * ceil_div((height - 1) * work.stride[0] + work.window[0] + align, align) * align
                words = region_words(work, tile, blocks, input_shape, align, config)
                if rows <= MAXIMUM_RUN_ROWS and copies * words <= config.ifmap_lane_words:
                    yield tile
                    found += 1
                    if found == TILE_CHOICES:
                        break

    def _strip_choices(self, shape: ArrayShape, mapping: Mapping, psums: int) -> Iterator[int]:
        slots = min(self._config.psum_bank_words // (mapping.columns * psums), MAXIMUM_STRIPS)
        yield from (1,) if shape.single else sorted({1, max(1, slots // 2), max(1, slots - 1), slots}, reverse=True)

    def _estimate(
        self,
        work: Work,
        shape: ArrayShape,
        mapping: Mapping,
        images: int,
        input_shape: tuple[int, int, int],
        align: int,
    ) -> Estimate:
        config = self._config
        tiles_n, tiles_e = ceil_div(images, mapping.images), ceil_div(len(work.rows), mapping.rows)
        tiles_f = ceil_div(len(work.columns), mapping.columns)
        tiles = tiles_n * tiles_e * tiles_f
        pixels = mapping.images * mapping.rows
        ring = ring_columns(mapping, config)
        new = min(work.stride[1], mapping.taps)
        align_bytes = config.bus_bytes // align
        tile_rows = min((mapping.rows - 1) * work.stride[0] + work.window[0], input_shape[0])
        tile_columns = min((mapping.columns - 1) * work.stride[1] + work.window[1], input_shape[1])
        column_beats = ceil_div(tile_rows * align_bytes, config.bus_bytes)
        array = beats = drain = first_load = 0
        for turn in shape.turns:
            unit, repeats = turn.unit, turn.repeats
            entries = unit.groups * pixels
            strips = ceil_div(entries, config.cols)
            groups_in_strip = min(unit.groups, (config.cols - 2) // pixels + 2) if unit.groups > 1 else 1
            span_rows = min(config.cols, pixels)
            windows = ceil_div((span_rows - 1) * work.stride[0] + work.window[0], config.lanes)
            if unit.groups > 1 and pixels % config.cols and pixels > config.cols:
                windows += 1
            reuse = len(unit.slices) == 1 and pixels >= config.cols
            psum_tiles = ceil_div(strips, mapping.strips)
            filter_beats = 0
            passes = 0
            for (slots, active_rows, deliveries, slice_blocks), count in turn.slices.items():
                operations = slots * mapping.taps * mapping.filters
                column = deliveries * windows
                words = ceil_div(operations, config.weights_per_word)
                first = column * mapping.taps if ring < mapping.taps * 2 or mapping.columns == 1 else 0
                steady = max(operations, column * new)
                stage = 0 if reuse else groups_in_strip * (words + 2)
                cycles = max(
                    mapping.columns * steady + first, stage, config.rows + 2, column * mapping.taps + config.cols
                )
                passes += count * cycles
                loads = unit.groups + (psum_tiles - 1) if unit.groups > 1 else (psum_tiles if not reuse else 1)
                filter_beats += count * loads * active_rows * words
                if not mapping.resident:
                    blocks = slice_blocks * mapping.images * tile_columns
                    beats += count * repeats * psum_tiles * blocks * column_beats
            flush = unit.psums
            array += repeats * (strips * passes + flush)
            piece_columns = min(config.cols, mapping.rows, config.drain_width)
            block_cycles = max(min(unit.psums, config.channel_block), piece_columns)
            pieces = ceil_div(config.cols, piece_columns)
            drain += (
                repeats * strips * mapping.columns * pieces * ceil_div(unit.psums, config.channel_block) * block_cycles
            )
            beats += repeats * (filter_beats + strips * (4 * len(unit.slices) + 8))
            beats += repeats * unit.groups * pixels * mapping.columns * ceil_div(unit.psums, config.channel_block)
            if mapping.resident:
                first_block = (work.channel + unit.channel) // config.channel_block
                blocks = ceil_div(work.channel + unit.channel + unit.channels, config.channel_block) - first_block
                beats += repeats * blocks * mapping.images * tile_columns * column_beats
            if not first_load:
                first_blocks = next(iter(turn.slices))[3]
                first_load = first_blocks * mapping.images * tile_columns * column_beats
        words = region_words(work, mapping, shape.blocks(mapping), input_shape, align, config)
        serial = tiles - 1 if 2 * words > config.ifmap_lane_words else 0
        cycles = max(array * tiles, beats * tiles, drain * tiles) + (first_load + START_CYCLES) * (1 + serial)
        return Estimate(cycles, beats * tiles)


def _shares(count: int, limit: int) -> list[int]:
    """Return sizes into which ``count`` things can be cut evenly, largest first."""
    sizes = {ceil_div(count, parts) for parts in range(1, count + 1)}
    return sorted((size for size in sizes if size <= limit), reverse=True)
