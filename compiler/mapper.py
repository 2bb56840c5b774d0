"""The mapper: it chooses how a work is laid over the array, in time, and in the buffers.

It enumerates mappings, estimates each with a few closed forms per pass, and takes the best by cycles, then bus beats,
then the order of enumeration, so the same work always gets the same mapping. The exact cost of what it chose comes
from :func:`golden.machine.predict`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from compiler.estimate import Estimator
from compiler.graph import NetworkError
from compiler.mapping import LAYER_FIELDS, MAXIMUM_STRIPS, PASS_FIELDS, ArrayShape, Mapping, region_words
from compiler.work import Work
from golden.execute_model import ceil_div
from hw.config import AcceleratorConfig

#: Tile widths tried for each array shape, from the largest that fits downwards; of smaller ones each so-manyth.
WIDTH_CHOICES = 6
#: Tile sizes tried for each width, from the largest that fits downwards: a smaller first tile starts sooner.
TILE_CHOICES = 4
MAXIMUM_RUN_ROWS = PASS_FIELDS["run_rows"].maximum
#: Bus beats that are worth one cycle: an idle bus costs nothing, yet partial words are not worth a per mille.
BEATS_PER_CYCLE_SAVED = 8


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

    def choose(
        self,
        name: str,
        work: Work,
        *,
        images: int,
        input_shape: tuple[int, int, int],
        align: int,
        residual: bool = False,
    ) -> Mapping:
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
        residual : bool
            Whether drain adds a second feature map.

        Raises
        ------
        NetworkError
            If nothing fits the machine.
        """
        key = (work.shape, images, input_shape, align, residual)
        if key not in self._known:
            best = None
            tried = set()
            estimator = Estimator(
                config=self._config,
                work=work,
                images=images,
                input_shape=input_shape,
                align=align,
                residual=residual,
            )
            for shape, mapping in self._candidates(name, work, images, input_shape, align):
                if mapping in tried:
                    continue
                tried.add(mapping)
                cost = estimator.cost(shape, mapping)
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
        for size, bound, field in (
            (work.window[0], "filter_rows", "window height"),
            (max(work.stride), "stride_rows", "stride"),
            (max(work.padding), "pad_top", "padding"),
        ):
            limit = LAYER_FIELDS[bound].maximum
            if size > limit:
                raise NetworkError(f"{field} of layer {name} must be at most {limit} on this machine, not {size}")
        taps = min(
            work.window[1], config.ifmap_spad_words, config.filter_spad_words, LAYER_FIELDS["filter_columns"].maximum
        )
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
                block = config.channel_block
                yield from ((filters, slots) for slots in (range(block, most + 1, block) if most >= block else [most]))
                continue
            total = ceil_div(work.channels * work.window[0], config.rows)
            most = min(most, total)
            if most < 1:
                continue
            fewest = ceil_div(total, most)
            yield from ((filters, slots) for slots in {min(most, ceil_div(total, fewest + more)) for more in range(4)})

    def _widths(self, work: Work, psums: int) -> list[int]:
        """Ofmap columns of a tile: the largest even shares that fit a psum bank, and small ones."""
        full, depth = len(work.columns), self._config.psum_bank_words
        shares = [width for width in _shares(full, full) if width * psums <= depth]
        return sorted({*shares[:WIDTH_CHOICES], *shares[WIDTH_CHOICES::WIDTH_CHOICES], 1}, reverse=True)

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
        sizes = [(count, len(work.rows)) for count in _shares(images, 1 if below else LAYER_FIELDS["images"].maximum)]
        sizes += [(1, height) for height in _shares(len(work.rows), LAYER_FIELDS["rows"].maximum)[1:]]
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


def _shares(count: int, limit: int) -> list[int]:
    """Return sizes into which ``count`` things can be cut evenly, largest first."""
    sizes = {ceil_div(count, parts) for parts in range(1, count + 1)}
    return sorted((size for size in sizes if size <= limit), reverse=True)
