"""The loop nest of one layer, written out: tiles, ifmap regions, strips and passes in the order of execution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.integers import ceil_div
from compiler.mapping import Mapping, Span, Unit, delivery, span, units
from compiler.memory import FeatureMap
from compiler.packing import filter_words
from compiler.passes import Entries, Pass, Region, Strip, Tile, UnitSlice, entries_of
from compiler.rings import Ring
from compiler.work import Work
from hw.config import AcceleratorConfig


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
        self._entries: dict[tuple[int, ...], list[Entries]] = {}
        self._regions: list[Region] = []
        unit_slices = [(unit, self._slices(unit)) for unit in units(work, mapping, config)]
        self.passes = tuple(
            entry for tile in self._tiles() for unit, slices in unit_slices for entry in self._unit(tile, unit, slices)
        )
        for region in self._regions:
            region.place = lanes.open(region.words(config.lanes))

    def _slices(self, unit: Unit) -> list[UnitSlice]:
        slices, last = unit.slices, len(unit.slices) - 1
        return [
            UnitSlice(
                piece,
                delivery(self.work, piece.pair, piece.slots, piece.active_rows, piece.last_rows, self._config),
                filter_words(piece, self.mapping, self._config),
                int(index == 0),
                int(index == last),
            )
            for index, piece in enumerate(slices)
        ]

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

    def _unit(self, tile: Tile, unit: Unit, slices: Sequence[UnitSlice]) -> Iterator[Pass]:
        entries, together = self._tile_entries(tile, unit.groups), self.mapping.strips
        region: Region | None = None
        for first in range(0, len(entries), together):
            strips = self._strips(tile, unit, entries[first : first + together])
            for part in slices:
                start, stop = part.moves.first_block, part.moves.first_block + part.moves.blocks
                if region is None or not (self.mapping.resident or _covers(region, start, stop)):
                    region = self._open(tile, start)
                for strip in strips:
                    region.need(start, stop, min(strip.entries.tile_rows, region.rows))
                    yield Pass(strip, part, region, len(region.pieces))
                region.passes += len(strips)

    def _tile_entries(self, tile: Tile, groups: int) -> list[Entries]:
        """Return the entries of all strips; tiles that differ in their place only have the same."""
        resident = tile.ifmap_rows.stop - tile.ifmap_rows.start
        key = (tile.images, tile.rows, tile.ifmap_rows.pad, resident, tile.image_row_stride)
        if key not in self._entries:
            total, cols, align = groups * tile.images * tile.rows, self._config.cols, self._source.pixels_per_beat
            self._entries[key] = [
                entries_of(self.work, tile, start, min(cols, total - start), align) for start in range(0, total, cols)
            ]
        return self._entries[key]

    def _strips(self, tile: Tile, unit: Unit, entries: Sequence[Entries]) -> list[Strip]:
        words, work = tile.columns * unit.psums, self.work
        exist, base = work.filters, work.ofmap_channel
        if work.depthwise:
            exist, base = unit.channels, base + unit.channel
        self._psums.keep_together(len(entries) * words)
        strips = []
        for some in entries:
            first = some.group * unit.psums
            channels = min(exist - first, (some.last_group - some.group + 1) * unit.psums)
            strips.append(Strip(unit, tile, some, self._psums.open(words), base + first, channels))
        return strips

    def _open(self, tile: Tile, first_block: int) -> Region:
        width = tile.ifmap_columns.stop - tile.ifmap_columns.start
        region = Region(tile, first_block, width, tile.images * tile.image_row_stride)
        self._regions.append(region)
        return region


def _covers(region: Region, first: int, stop: int) -> bool:
    return region.first_block == first and region.first_block + region.blocks == stop
