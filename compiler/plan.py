"""The loop nest of one layer, written out: tiles, ifmap regions, strips and passes in the order of execution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from compiler.mapping import Mapping, Slice, Span, Unit, delivery, span, units
from compiler.memory import FeatureMap
from compiler.rings import Place, Ring
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


@dataclass(frozen=True)
class Piece:
    """Part of a region that is loaded at once: channel blocks and tile rows, both without the last."""

    first_block: int
    stop_block: int
    first_row: int
    stop_row: int


@dataclass(eq=False)
class Region:
    """Part of the ifmap lanes that holds some channel blocks of a tile.

    ``pieces`` are what passes need beyond what earlier passes have needed, a list for each of those passes: it is
    loaded, and waited for, in this order.
    """

    work: Work
    tile: Tile
    first_block: int
    block_words: int
    rows: int
    blocks: int = 0
    pieces: list[list[Piece]] = field(default_factory=list)
    passes: int = 0
    place: Place | None = None
    _loaded: list[int] = field(default_factory=list)  # tile rows there are, for each block

    @property
    def row_block_stride(self) -> int:
        """Lane words between groups of `lanes` tile rows."""
        return self.blocks * self.block_words

    @property
    def address(self) -> int:
        """First lane word."""
        assert self.place is not None
        return self.place.address

    def words(self, lanes: int) -> int:
        """Lane words of the whole region."""
        return ceil_div(self.rows, lanes) * self.row_block_stride

    def need(self, first: int, stop: int, rows: int) -> None:
        """Extend the region to tile rows up to ``rows`` of channel blocks ``first`` to ``stop``."""
        self.blocks = max(self.blocks, stop - self.first_block)
        self._loaded += [0] * (self.blocks - len(self._loaded))
        pieces: list[Piece] = []
        for block in range(first, stop):
            have = self._loaded[block - self.first_block]
            if have >= rows:
                continue
            if pieces and pieces[-1].stop_block == block and pieces[-1].first_row == have:
                pieces[-1] = Piece(pieces[-1].first_block, block + 1, have, rows)
            else:
                pieces.append(Piece(block, block + 1, have, rows))
            self._loaded[block - self.first_block] = rows
        if pieces:
            self.pieces.append(pieces)


@dataclass(eq=False)
class Strip:
    """Consecutive (filter group, image, ofmap row) entries on the PE columns."""

    work: Work
    mapping: Mapping
    unit: Unit
    tile: Tile
    start: int
    count: int
    psums: Place

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
    psums, lanes : Ring
        Places in the psum banks and in the ifmap lanes; they go on from nest to nest.
    """

    def __init__(
        self,
        *,
        work: Work,
        mapping: Mapping,
        source: FeatureMap,
        config: AcceleratorConfig,
        psums: Ring,
        lanes: Ring,
    ) -> None:
        self.work = work
        self.mapping = mapping
        self._source = source
        self._config = config
        self._psums = psums
        turns = units(work, mapping, config)
        passes = [entry for tile in self._tiles() for unit in turns for entry in self._unit(tile, unit)]
        for region in {id(entry.region): entry.region for entry in passes}.values():
            region.place = lanes.open(region.words(config.lanes))
        self.passes = tuple(passes)

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

    def _unit(self, tile: Tile, unit: Unit) -> Iterator[Pass]:
        entries = unit.groups * tile.images * tile.rows
        cols = self._config.cols
        starts = range(0, entries, cols)
        region: Region | None = None
        deliveries = [delivery(self.work, piece, self._config) for piece in unit.slices]
        for first in range(0, len(starts), self.mapping.strips):
            strips = self._strips(tile, unit, starts[first : first + self.mapping.strips], entries)
            for index, piece in enumerate(unit.slices):
                blocks = deliveries[index].first_block, deliveries[index].first_block + deliveries[index].blocks
                if region is None or not (self.mapping.resident or _covers(region, blocks)):
                    region = self._open(tile, blocks[0])
                for strip in strips:
                    region.need(*blocks, min(self._rows(strip), region.rows))
                    region.passes += 1
                    last = index == len(unit.slices) - 1
                    yield Pass(strip, piece, index, region, len(region.pieces), index == 0, last)

    def _strips(self, tile: Tile, unit: Unit, starts: range, entries: int) -> list[Strip]:
        words = tile.columns * unit.psums
        self._psums.keep_together(len(starts) * words)
        cols = self._config.cols
        return [
            Strip(self.work, self.mapping, unit, tile, start, min(cols, entries - start), self._psums.open(words))
            for start in starts
        ]

    def _rows(self, strip: Strip) -> int:
        """Tile rows, counted from the first, that a strip needs, a multiple of the rows in a word; padding counts."""
        first_row, _, run_rows, wrap_rows = rows_needed(strip)
        align = self._source.pixels_per_beat
        return ceil_div(max(max(first_row, 0) + run_rows, wrap_rows, 1), align) * align

    def _open(self, tile: Tile, first_block: int) -> Region:
        width = tile.ifmap_columns.stop - tile.ifmap_columns.start
        return Region(self.work, tile, first_block, width, tile.images * tile.image_row_stride)


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
