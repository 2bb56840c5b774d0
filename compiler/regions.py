"""Ifmap regions of a nest: their loads, spread over the passes before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from compiler.emitter import Emitter, Written
from compiler.memory import FeatureMap
from compiler.plan import Pass, Piece, Region
from golden.engine_model import Fields
from golden.execute_model import ceil_div

#: Longest load command, so that filters can come between the parts of a large ifmap tile.
LOAD_BEATS = 512


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
        self._written = written
        self._order = deque({id(entry.region): entry.region for entry in passes}.values())
        self._loads: dict[int, deque[Fields]] = {}
        self._totals: dict[int, int] = {}
        self._waited: dict[int, int] = {}

    def wait(self, entry: Pass) -> int:
        """Return how many pieces of its region a pass is the first to need, and must wait for."""
        waited = self._waited.get(id(entry.region), 0)
        self._waited[id(entry.region)] = max(waited, entry.pieces_needed)
        return max(0, entry.pieces_needed - waited)

    def load(self, entry: Pass) -> None:
        """Load what a pass needs of its region."""
        while self._order[0] is not entry.region:
            left = self._loads[id(self._order.popleft())]
            assert not left
        loads = self._open(entry.region)
        while self._pieces_left(entry.region, entry.pieces_needed):
            self._emitter.emit("load.ifmap", **loads.popleft())

    def _pieces_left(self, region: Region, needed: int) -> bool:
        left = sum(load["signal_ifmap_ready"] for load in self._loads[id(region)])
        return len(region.pieces) - left < needed

    def prefetch(self, entry: Pass, position: int) -> None:
        """Spread the next region's loads over the passes of this one, if there is room for both at once."""
        region = entry.region
        if self._loads[id(region)] or len(self._order) < 2:
            return
        following = self._order[1]
        assert following.place is not None and region.place is not None
        if following.place.after > region.place.number:
            return
        loads = self._open(following)
        goal = ceil_div(self._totals[id(following)] * position, region.passes)
        while loads and self._totals[id(following)] - len(loads) < goal:
            self._emitter.emit("load.ifmap", **loads.popleft())

    def _open(self, region: Region) -> deque[Fields]:
        key = id(region)
        if key not in self._loads:
            assert region.place is not None
            loads = deque(self._commands(region))
            loads[0]["wait_ifmap_free"] = region.place.wait
            self._loads[key] = loads
            self._totals[key] = len(loads)
        return self._loads[key]

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
        beats = ceil_div(stop - start, self._source.pixels_per_beat)
        width = tile.ifmap_columns.stop - tile.ifmap_columns.start
        step = max(1, LOAD_BEATS // beats)
        rows = range(tile.ifmap_rows.start + start, tile.ifmap_rows.start + stop)
        for first, after in self._written_together(piece.first_block, piece.stop_block, tile.image + image, rows):
            whole = (after - first) * width <= step
            parts = [(first, 0)] if whole else [(b, c) for b in range(first, after) for c in range(0, width, step)]
            for block, column in parts:
                blocks, columns = (after - first, width) if whole else (1, min(step, width - column))
                yield self._command(region, image, (start, beats), (block, blocks), (column, columns))

    def _written_together(self, first: int, stop: int, image: int, rows: range) -> Iterator[tuple[int, int]]:
        """Yield runs of channel blocks: the later half alone if it is written later, and so on."""
        if self._written is not None and stop - first > 1:
            middle = (first + stop) // 2
            sooner = self._written.needed(image, range(first, middle), rows)
            if self._written.needed(image, range(middle, stop), rows) > max(sooner, self._emitter.written_waited):
                yield first, middle
                yield from self._written_together(middle, stop, image, rows)
                return
        yield first, stop

    def _command(
        self,
        region: Region,
        image: int,
        rows: tuple[int, int],
        blocks: tuple[int, int],
        columns: tuple[int, int],
    ) -> Fields:
        """Return a load: (first tile row of the image, beats), (first, count) of channel blocks and of columns."""
        source, tile = self._source, region.tile
        row = tile.ifmap_rows.start + rows[0]
        address = (
            source.address
            + (tile.image + image) * source.image_stride
            + (tile.ifmap_columns.start + columns[0]) * source.column_stride
            + row // source.pixels_per_beat * source.bus_bytes
            + blocks[0] * source.block_stride
        )
        needed = 0
        if self._written is not None:
            resident = range(row, min(row + rows[1] * source.pixels_per_beat, source.shape[0]))
            needed = self._written.needed(tile.image + image, range(blocks[0], sum(blocks)), resident)
        return {
            "wait_ifmap_free": 0,
            "wait_written": self._emitter.wait_written(needed),
            "signal_ifmap_ready": 0,
            "dram_address": address,
            "block_stride": source.block_stride,
            "column_stride": source.column_stride,
            "blocks": blocks[1],
            "columns": columns[1],
            "column_beats": rows[1],
            "pixels_log2": source.pixels_per_beat.bit_length() - 1,
            "row": image * tile.image_row_stride + rows[0],
            "bank_address": region.address + (blocks[0] - region.first_block) * region.block_words + columns[0],
            "row_block_stride": region.row_block_stride,
            "block_words": region.block_words,
        }
