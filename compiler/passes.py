"""What a loop nest is made of: tiles, ifmap regions, strips of entries, slices, and passes, one slice on one strip."""

from __future__ import annotations

from dataclasses import dataclass, field

from compiler.integers import ceil_div
from compiler.mapping import Delivery, Slice, Span, Unit
from compiler.rings import Place
from compiler.work import Work


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

    tile: Tile
    first_block: int
    block_words: int
    rows: int
    blocks: int = 0
    pieces: list[list[Piece]] = field(default_factory=list)
    passes: int = 0
    place: Place | None = None
    _loaded: list[int] = field(default_factory=list)  # tile rows there are, for each block
    _asked: dict[tuple[int, int], int] = field(default_factory=dict)  # most rows of (first, stop) blocks

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
        if self._asked.get((first, stop), 0) >= rows:
            return
        self._asked[first, stop] = rows
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


@dataclass(frozen=True, eq=False, slots=True)
class Entries:
    """Consecutive (filter group, image, ofmap row) entries of a tile: what the PE columns of a strip compute.

    Members
    -------
    start, count : int
        The first one, counted from group 0, image 0, row 0 of the tile, and how many.
    group, last_group : int
        First and last filter group.
    image, row : int
        Of PE column 0, within the tile.
    first_row, image_row, run_rows, wrap_rows : int
        See ``execute.pass``.
    first_group_columns : int
        PE columns that belong to the first filter group.
    tile_rows : int
        Tile rows, counted from the first, that are needed, a multiple of the rows in a word; padding counts.
    """

    start: int
    count: int
    group: int
    last_group: int
    image: int
    row: int
    first_row: int
    image_row: int
    run_rows: int
    wrap_rows: int
    first_group_columns: int
    tile_rows: int


@dataclass(eq=False, slots=True)
class Strip:
    """Entries on the PE columns, their place in the psum banks, first ofmap channel and how many of them exist."""

    unit: Unit
    tile: Tile
    entries: Entries
    psums: Place
    first_channel: int
    channels: int


@dataclass(frozen=True, eq=False, slots=True)
class UnitSlice:
    """A slice of a unit with what all its passes have in common.

    Members
    -------
    piece : Slice
        What the array does.
    moves : Delivery
        The channel blocks.
    words : int
        Bus words per filter lane and filter group.
    first, last : int
        1 if it is the first one of its unit, or the last.
    """

    piece: Slice
    moves: Delivery
    words: int
    first: int
    last: int


@dataclass(eq=False, slots=True)
class Pass:
    """One slice on one strip; :class:`compiler.filters.FilterSchedule` decides the last three members.

    Members
    -------
    part : UnitSlice
        The slice.
    pieces_needed : int
        Pieces of the region that must be there.
    reuse_filters, keep_last_group, release_filters : int
        See ``execute.pass``.
    """

    strip: Strip
    part: UnitSlice
    region: Region
    pieces_needed: int
    reuse_filters: int = 0
    keep_last_group: int = 0
    release_filters: int = 1


def entries_of(work: Work, tile: Tile, start: int, count: int, align: int) -> Entries:
    """Return ``count`` entries of a tile from number ``start`` on, with ``align`` ifmap rows in a word."""
    stride, height = work.stride[0], work.window[0]
    resident = tile.ifmap_rows.stop - tile.ifmap_rows.start
    step, pad, rows = tile.image_row_stride, tile.ifmap_rows.pad, tile.rows
    per_group = tile.images * rows
    group, entry = divmod(start, per_group)
    image, row = divmod(entry, rows)
    image_row = row * stride - pad
    first_row = image * step + image_row

    def end(entry: int) -> int:
        """Tile row after the last one that an entry of a filter group needs."""
        image, row = divmod(entry, rows)
        return image * step + max(0, min(resident, row * stride - pad + height))

    top = max(first_row, 0)
    before_wrap = min(count, per_group - entry)
    run_rows = max(0, end(entry + before_wrap - 1) - top)
    wrapped = min(count - before_wrap, per_group)
    wrap_rows = end(wrapped - 1) if wrapped else 0
    if top == 0 and wrapped:
        run_rows, wrap_rows = max(run_rows, wrap_rows), 0
    return Entries(
        start=start,
        count=count,
        group=group,
        last_group=(start + count - 1) // per_group,
        image=image,
        row=row,
        first_row=first_row,
        image_row=image_row,
        run_rows=run_rows,
        wrap_rows=wrap_rows,
        first_group_columns=before_wrap,
        tile_rows=ceil_div(max(top + run_rows, wrap_rows, 1), align) * align,
    )
