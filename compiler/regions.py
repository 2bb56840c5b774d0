"""Ifmap regions of a nest: their loads, spread over the passes before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from compiler.emitter import Emitter, Written
from compiler.memory import FeatureMap
from compiler.plan import Pass, Region
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
    at_once : int
        Regions that the lanes hold at once.
    """

    def __init__(
        self,
        *,
        emitter: Emitter,
        passes: Sequence[Pass],
        source: FeatureMap,
        written: Written | None,
        at_once: int,
    ) -> None:
        self._emitter = emitter
        self._source = source
        self._written = written
        self._at_once = at_once
        self._regions = {id(entry.region): entry.region for entry in passes}
        self._order = list(self._regions)
        self._loads: dict[int, deque[Fields]] = {}
        self._totals: dict[int, int] = {}
        self._waited: dict[int, int] = {}

    def wait(self, entry: Pass) -> int:
        """Return how many pieces of its region a pass is the first to need, and must wait for."""
        waited = self._waited.get(id(entry.region), 0)
        self._waited[id(entry.region)] = max(waited, entry.pieces_needed)
        return max(0, entry.pieces_needed - waited)

    def load(self, entry: Pass) -> None:
        """Load what a pass needs of its region, after all of the regions before."""
        for key in self._order:
            loads = self._open(self._regions[key])
            if key == id(entry.region):
                while self._pieces_left(key, entry.pieces_needed):
                    self._emitter.emit("load.ifmap", **loads.popleft())
                return
            while loads:
                self._emitter.emit("load.ifmap", **loads.popleft())

    def _pieces_left(self, key: int, needed: int) -> bool:
        region = self._regions[key]
        left = sum(load["signal_ifmap_ready"] for load in self._loads[key])
        return len(region.pieces) - left < needed

    def prefetch(self, entry: Pass, position: int) -> None:
        """Spread the next region's loads over the passes of this one."""
        key = id(entry.region)
        order = self._order
        if order[0] != key:
            order.remove(order[0])
        loads = self._loads[key]
        last = position == entry.region.passes
        if loads and not last:
            return
        if len(order) < 2 or (self._at_once == 1 and not last):
            return
        following = self._open(self._regions[order[1]])
        total = self._totals[order[1]]
        goal = ceil_div(total * position, entry.region.passes)
        while following and total - len(following) < goal:
            self._emitter.emit("load.ifmap", **following.popleft())

    def _open(self, region: Region) -> deque[Fields]:
        key = id(region)
        if key not in self._loads:
            wait_free = self._emitter.open_region(self._at_once)
            loads = deque(self._commands(region))
            loads[0]["wait_ifmap_free"] = wait_free
            self._loads[key] = loads
            self._totals[key] = len(loads)
        return self._loads[key]

    def _commands(self, region: Region) -> list[Fields]:
        """Return the loads of a region; the last of each piece gives a token."""
        tile = region.tile
        commands: list[Fields] = []
        for first, stop in region.pieces:
            for image in range(tile.images):
                commands += self._piece_commands(region, first, stop, image)
            commands[-1]["signal_ifmap_ready"] = 1
        return commands

    def _piece_commands(self, region: Region, first: int, stop: int, image: int) -> Iterator[Fields]:
        """Yield the loads of channel blocks ``first`` to ``stop`` of one image, in one piece unless they are long."""
        source, tile = self._source, region.tile
        rows, columns = tile.ifmap_rows, tile.ifmap_columns
        beats = ceil_div(rows.stop - rows.start, source.pixels_per_beat)
        width = columns.stop - columns.start
        step = max(1, LOAD_BEATS // beats)
        base = source.address + (tile.image + image) * source.image_stride + columns.start * source.column_stride
        base += rows.start // source.pixels_per_beat * source.bus_bytes
        whole = (stop - first) * width <= step
        parts = [(first, 0)] if whole else [(b, c) for b in range(first, stop) for c in range(0, width, step)]
        for block, column in parts:
            yield {
                "wait_ifmap_free": 0,
                "wait_written": self._wait_written(tile.image + image, rows.start, rows.stop),
                "signal_ifmap_ready": 0,
                "dram_address": base + block * source.block_stride + column * source.column_stride,
                "block_stride": source.block_stride,
                "column_stride": source.column_stride,
                "blocks": stop - first if whole else 1,
                "columns": width if whole else min(step, width - column),
                "column_beats": beats,
                "pixels_log2": source.pixels_per_beat.bit_length() - 1,
                "row": image * tile.image_row_stride,
                "bank_address": region.address + (block - region.first_block) * width + column,
                "row_block_stride": region.row_block_stride,
                "block_words": width,
            }

    def _wait_written(self, image: int, start: int, stop: int) -> int:
        if self._written is None:
            return 0
        return self._emitter.wait_written(self._written.needed(range(image, image + 1), range(start, stop)))
