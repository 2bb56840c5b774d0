"""Ifmap regions of a nest: their loads, spread over the passes before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.emitter import Emitter, Written
from compiler.integers import ceil_div
from compiler.memory import FeatureMap
from compiler.passes import Pass, Piece, Region
from golden.engine_model import Fields

#: Longest load command, so that filters can come between the parts of a large ifmap tile.
LOAD_BEATS = 512


@dataclass(eq=False, slots=True)
class Loading:
    """A region on its way into the lanes.

    Members
    -------
    loads : deque of Fields or None
        Commands not emitted yet, None if they are not known yet.
    total : int
        Commands in all.
    loaded, waited : int
        Pieces whose loads are emitted, and pieces that passes have waited for.
    """

    region: Region
    loads: deque[Fields] | None = None
    total: int = 0
    loaded: int = 0
    waited: int = 0


class RegionSchedule:
    """Loads regions in the order in which the passes use them.

    Parameters
    ----------
    emitter : Emitter
        Takes the commands.
    passes : sequence of Pass
        The nest's passes.
    source : FeatureMap
        The ifmap.
    written : Written or None
        The strips that make the ifmap, None if it is there from the start.
    """

    def __init__(
        self, *, emitter: Emitter, passes: Sequence[Pass], source: FeatureMap, written: Written | None
    ) -> None:
        self._emitter = emitter
        self._source = source
        self._image_stride, self._block_stride = source.image_stride, source.block_stride
        self._column_stride, self._pixels_per_beat = source.column_stride, source.pixels_per_beat
        self._pixels_log2 = self._pixels_per_beat.bit_length() - 1
        self._written = written
        self._order = deque(Loading(region) for region in {id(entry.region): entry.region for entry in passes}.values())

    def wait(self, entry: Pass) -> int:
        """Return how many pieces of its region a pass is the first to need, and must wait for."""
        current = self._order[0]
        wait = entry.pieces_needed - current.waited
        current.waited = entry.pieces_needed
        return wait

    def load(self, entry: Pass) -> None:
        """Load what a pass needs of its region."""
        while self._order[0].region is not entry.region:
            assert not self._order.popleft().loads
        current = self._order[0]
        if current.loaded < entry.pieces_needed:
            loads = self._open(current)
            while current.loaded < entry.pieces_needed:
                self._emit(current, loads)

    def prefetch(self, entry: Pass, position: int) -> None:
        """Spread the next region's loads over the passes of this one, if there is room for both at once."""
        if self._order[0].loads or len(self._order) < 2:
            return
        region, following = entry.region, self._order[1]
        assert following.region.place is not None and region.place is not None
        if following.region.place.after > region.place.number:
            return
        loads = self._open(following)
        goal = ceil_div(following.total * position, region.passes)
        while loads and following.total - len(loads) < goal:
            self._emit(following, loads)

    def _emit(self, loading: Loading, loads: deque[Fields]) -> None:
        fields = loads.popleft()
        loading.loaded += fields["signal_ifmap_ready"]
        self._emitter.emit("load.ifmap", fields)

    def _open(self, loading: Loading) -> deque[Fields]:
        if loading.loads is None:
            region = loading.region
            assert region.place is not None
            loading.loads = deque(self._commands(region))
            loading.loads[0]["wait_ifmap_free"] = region.place.wait
            loading.total = len(loading.loads)
        return loading.loads

    def _commands(self, region: Region) -> list[Fields]:
        """Return the loads of a region; the last of what a pass waits for gives a token."""
        commands: list[Fields] = []
        for pieces in region.pieces:
            for piece in pieces:
                for image in range(region.tile.images):
                    commands += self._image_commands(region, piece, image)
            commands[-1]["signal_ifmap_ready"] = 1
        return commands

    def _image_commands(self, region: Region, piece: Piece, image: int) -> Iterator[Fields]:
        """Yield the loads of one image's share of a piece, in one command unless it is long or made piecemeal."""
        tile = region.tile
        start = max(0, piece.first_row - image * tile.image_row_stride)
        stop = min(tile.ifmap_rows.stop - tile.ifmap_rows.start, piece.stop_row - image * tile.image_row_stride)
        if start >= stop:
            return
        beats = ceil_div(stop - start, self._pixels_per_beat)
        width = tile.ifmap_columns.stop - tile.ifmap_columns.start
        step = max(1, LOAD_BEATS // beats)
        rows = range(tile.ifmap_rows.start + start, tile.ifmap_rows.start + stop)
        for first, after in self._written_together(piece.first_block, piece.stop_block, tile.image + image, rows):
            if (after - first) * width <= step:
                yield from self._block_commands(region, image, (start, beats), rows, range(first, after), width)
                continue
            for block in range(first, after):
                yield from self._block_commands(region, image, (start, beats), rows, range(block, block + 1), step)

    def _written_together(self, first: int, stop: int, image: int, rows: range) -> Iterator[tuple[int, int]]:
        """Yield runs of channel blocks: the later half alone if it is written later, and so on."""
        if stop - first > 1:
            middle = (first + stop) // 2
            sooner = self._needed(image, range(first, middle), rows)
            if self._needed(image, range(middle, stop), rows) > max(sooner, self._emitter.written_waited):
                yield first, middle
                yield from self._written_together(middle, stop, image, rows)
                return
        yield first, stop

    def _needed(self, image: int, blocks: range, rows: range) -> int:
        """Return the token to wait for before these rows of these blocks are read, 0 if none is known to be missing."""
        if self._written is None or self._written.latest <= self._emitter.written_waited:
            return 0
        return self._written.needed(image, blocks, rows)

    def _block_commands(
        self, region: Region, image: int, place: tuple[int, int], rows: range, blocks: range, step: int
    ) -> Iterator[Fields]:
        """Yield loads of ``step`` columns each of some channel blocks.

        ``place`` is the first tile row of the image and the beats of a column, ``rows`` are the ifmap's.
        """
        source, tile = self._source, region.tile
        width = tile.ifmap_columns.stop - tile.ifmap_columns.start
        address = (
            source.address
            + (tile.image + image) * self._image_stride
            + tile.ifmap_columns.start * self._column_stride
            + rows.start // self._pixels_per_beat * source.bus_bytes
            + blocks.start * self._block_stride
        )
        bank = region.address + (blocks.start - region.first_block) * region.block_words
        row = image * tile.image_row_stride + place[0]
        needed = self._needed(tile.image + image, blocks, rows)
        for column in range(0, width, step):
            yield {
                "wait_ifmap_free": 0,
                "wait_written": self._emitter.wait_written(needed),
                "signal_ifmap_ready": 0,
                "dram_address": address + column * self._column_stride,
                "block_stride": self._block_stride,
                "column_stride": self._column_stride,
                "blocks": len(blocks),
                "columns": min(step, width - column),
                "column_beats": place[1],
                "pixels_log2": self._pixels_log2,
                "row": row,
                "bank_address": bank + column,
                "row_block_stride": region.row_block_stride,
                "block_words": region.block_words,
            }
