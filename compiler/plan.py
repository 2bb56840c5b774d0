"""The loop nest of one layer, written out: tiles, ifmap regions, strips and passes in the order of execution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from compiler.mapping import (
    MAXIMUM_STRIPS,
    Mapping,
    Slice,
    Span,
    Unit,
    delivery,
    region_blocks,
    region_words,
    span,
    units,
)
from compiler.memory import FeatureMap
from compiler.work import Work
from golden.execute_model import ceil_div
from hw.config import AcceleratorConfig


@dataclass(frozen=True)
class Tile:
    """Ofmap rows and columns of some images, and the ifmap rows and columns they need."""

    image: int
    images: int
    row: int
    rows: int
    column: int
    columns: int
    ifmap_rows: Span
    ifmap_columns: Span
    image_row_stride: int


@dataclass(eq=False)
class Region:
    """Part of the ifmap lanes that holds some channel blocks of a tile.

    ``pieces`` are runs of channel blocks that are loaded, and waited for, one after the other.
    """

    work: Work
    tile: Tile
    first_block: int
    address: int
    block_words: int
    blocks: int = 0
    pieces: list[tuple[int, int]] = field(default_factory=list)
    passes: int = 0

    @property
    def row_block_stride(self) -> int:
        """Lane words between groups of `lanes` tile rows."""
        return self.blocks * self.block_words

    def need(self, first: int, stop: int) -> None:
        """Extend the region to channel blocks ``first`` to ``stop``."""
        end = self.first_block + self.blocks
        if stop > end:
            self.pieces.append((max(first, end), stop))
            self.blocks = stop - self.first_block


@dataclass(eq=False)
class Strip:
    """Consecutive (filter group, image, ofmap row) entries on the PE columns."""

    work: Work
    mapping: Mapping
    unit: Unit
    tile: Tile
    start: int
    count: int
    psum_address: int
    flush: bool = False

    @property
    def entries_per_group(self) -> int:
        """Entries of one filter group."""
        return self.tile.images * self.tile.rows

    @property
    def position(self) -> tuple[int, int, int]:
        """Filter group, image and row of PE column 0 within the tile."""
        group, entry = divmod(self.start, self.entries_per_group)
        return group, *divmod(entry, self.tile.rows)

    @property
    def groups(self) -> range:
        """Filter groups on the columns."""
        per_group = self.entries_per_group
        return range(self.start // per_group, (self.start + self.count - 1) // per_group + 1)

    @property
    def channels(self) -> tuple[int, int]:
        """First ofmap channel of the layer, and how many exist."""
        first = self.groups[0] * self.unit.psums
        exist = self.unit.channels if self.work.depthwise else self.work.filters
        base = self.work.ofmap_channel + (self.unit.channel if self.work.depthwise else 0)
        return base + first, min(exist - first, len(self.groups) * self.unit.psums)


@dataclass(eq=False)
class Pass:
    """One slice on one strip."""

    strip: Strip
    piece: Slice
    piece_index: int
    region: Region
    pieces_needed: int
    first: bool
    last: bool


@dataclass(frozen=True)
class PsumSlots:
    """How the psum banks are divided while strips of one kind are computed."""

    words: int
    count: int


class Nest:
    """All passes of one work with one mapping.

    Parameters
    ----------
    work : Work
        What to compute.
    mapping : Mapping
        How.
    source : FeatureMap
        The ifmap in DRAM.
    config : AcceleratorConfig
        The machine.
    strips_before : int
        Strips opened before; the places in the psum banks take turns beyond nests.
    regions_before : int
        Ifmap regions opened before; the halves of the lanes take turns beyond layers.
    """

    def __init__(
        self,
        *,
        work: Work,
        mapping: Mapping,
        source: FeatureMap,
        config: AcceleratorConfig,
        strips_before: int,
        regions_before: int,
    ) -> None:
        self.work = work
        self.mapping = mapping
        self._source = source
        self._config = config
        self._units = units(work, mapping, config)
        blocks = region_blocks(work, mapping, config)
        words = region_words(work, mapping, blocks, source.shape, source.pixels_per_beat, config)
        self.regions_at_once = 2 if 2 * words <= config.ifmap_lane_words else 1
        self._region_step = config.ifmap_lane_words // 2
        self._regions = regions_before
        psums = max(unit.psums for unit in self._units)
        slot = mapping.columns * psums
        self.psum_slots = PsumSlots(slot, min(config.psum_bank_words // slot, MAXIMUM_STRIPS))
        self._strips = strips_before

    def passes(self) -> Iterator[Pass]:
        """Yield the passes in order."""
        for tile in self._tiles():
            for unit in self._units:
                yield from self._unit_passes(tile, unit)

    def _tiles(self) -> Iterator[Tile]:
        work, mapping, source = self.work, self.mapping, self._source
        for image in range(0, source.images, mapping.images):
            for row in range(work.rows.start, work.rows.stop, mapping.rows):
                rows = min(mapping.rows, work.rows.stop - row)
                for column in range(work.columns.start, work.columns.stop, mapping.columns):
                    columns = min(mapping.columns, work.columns.stop - column)
                    yield self._tile(image, row, rows, column, columns)

    def _tile(self, image: int, row: int, rows: int, column: int, columns: int) -> Tile:
        align = self._source.pixels_per_beat
        ifmap_rows = self._span(0, row, rows, align)
        stride = ceil_div(ifmap_rows.stop - ifmap_rows.start, align) * align
        images = min(self.mapping.images, self._source.images - image)
        ifmap_columns = self._span(1, column, columns, 1)
        return Tile(image, images, row, rows, column, columns, ifmap_rows, ifmap_columns, stride)

    def _span(self, axis: int, first: int, count: int, align: int) -> Span:
        work = self.work
        return span(
            first,
            count,
            stride=work.stride[axis],
            window=work.window[axis],
            padding=work.padding[axis],
            size=self._source.shape[axis],
            align=align,
        )

    def _unit_passes(self, tile: Tile, unit: Unit) -> Iterator[Pass]:
        entries = unit.groups * tile.images * tile.rows
        cols = self._config.cols
        starts = range(0, entries, cols)
        region: Region | None = None
        deliveries = [delivery(self.work, piece, self._config) for piece in unit.slices]
        for first in range(0, len(starts), self.mapping.strips):
            strips = []
            for start in starts[first : first + self.mapping.strips]:
                slot = self._strips % self.psum_slots.count
                address = slot * self.psum_slots.words
                strips.append(Strip(self.work, self.mapping, unit, tile, start, min(cols, entries - start), address))
                self._strips += 1
            for index, piece in enumerate(unit.slices):
                blocks = deliveries[index].first_block, deliveries[index].first_block + deliveries[index].blocks
                if region is None or not (self.mapping.resident or _covers(region, blocks)):
                    region = self._open(tile, blocks[0])
                region.need(*blocks)
                for strip in strips:
                    region.passes += 1
                    last = index == len(unit.slices) - 1
                    yield Pass(strip, piece, index, region, len(region.pieces), index == 0, last)

    def _open(self, tile: Tile, first_block: int) -> Region:
        address = (self._regions % self.regions_at_once) * self._region_step
        self._regions += 1
        width = tile.ifmap_columns.stop - tile.ifmap_columns.start
        return Region(self.work, tile, first_block, address, width)


def _covers(region: Region, blocks: tuple[int, int]) -> bool:
    return region.first_block == blocks[0] and region.first_block + region.blocks == blocks[1]


def rows_needed(strip: Strip) -> tuple[int, int, int, int]:
    """Return (first_row, image_row, run_rows, wrap_rows) of ``execute.pass`` for a strip."""
    work, tile = strip.work, strip.tile
    stride, height = work.stride[0], work.window[0]
    resident = tile.ifmap_rows.stop - tile.ifmap_rows.start
    step = tile.image_row_stride
    pad = tile.ifmap_rows.pad
    _, image, row = strip.position
    image_row = row * stride - pad
    first_row = image * step + image_row

    def end(entry: int) -> int:
        """Tile row after the last one that an entry of a filter group needs."""
        image, row = divmod(entry, tile.rows)
        return image * step + max(0, min(resident, row * stride - pad + height))

    start = max(first_row, 0)
    entry = image * tile.rows + row
    before_wrap = min(strip.count, strip.entries_per_group - entry)
    run_rows = max(0, end(entry + before_wrap - 1) - start)
    wrapped = min(strip.count - before_wrap, strip.entries_per_group)
    wrap_rows = end(wrapped - 1) if wrapped else 0
    if start == 0 and wrapped:
        return first_row, image_row, max(run_rows, wrap_rows), 0
    return first_row, image_row, run_rows, wrap_rows
