"""The mappings that the mapper ranks: every one that it may choose for a work, all together as arrays."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from compiler.integers import ceil_div
from compiler.mapping import LAYER_FIELDS, MAXIMUM_STRIPS, PASS_FIELDS, Mapping
from compiler.shapes import ArrayShapes
from compiler.work import Work
from hw.config import AcceleratorConfig

#: Tile widths tried for each array shape, from the largest that fits downwards; of smaller ones each so-manyth.
WIDTH_CHOICES = 6
#: Tile sizes tried for each width, from the largest that fits downwards: a smaller first tile starts sooner.
TILE_CHOICES = 4
MAXIMUM_RUN_ROWS = PASS_FIELDS["run_rows"].maximum


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is to be mapped, and onto which machine.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
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
    """

    config: AcceleratorConfig
    work: Work
    images: int
    input_shape: tuple[int, int, int]
    align: int
    residual: bool = False

    @property
    def taps(self) -> int:
        """Filter columns of a pass: all, or as many as scratchpads and fields hold."""
        config, most = self.config, LAYER_FIELDS["filter_columns"].maximum
        return min(self.work.window[1], config.ifmap_spad_words, config.filter_spad_words, most)


class Candidates:
    """Mappings in the order of enumeration: array shapes, widths, residence, tiles that fit the lanes twice, then once.

    Parameters
    ----------
    problem : Problem
        What is to be mapped.
    shapes : ArrayShapes
        Of the work.

    Members
    -------
    shape, columns, images, rows : array
        Of each tile: array shape, ofmap columns, images and rows.
    tile, resident, strips, words : array
        Of each candidate: tile, whether its ifmap is resident, strips of a group, lane words of the largest ifmap tile.
    """

    def __init__(self, problem: Problem, shapes: ArrayShapes) -> None:
        self._problem = problem
        self._shapes = shapes
        sizes = np.array(_sizes(problem))
        widths, wide = self._widths()
        words, fits = self._fits(sizes, widths)
        fits &= (wide & shapes.fit[:, np.newaxis])[:, :, np.newaxis, np.newaxis, np.newaxis]
        tiles = fits.any(axis=(2, 3))
        self.shape, width, size = np.nonzero(tiles)
        self.columns, (self.images, self.rows) = widths[width], sizes[size].T
        number = np.cumsum(tiles).reshape(tiles.shape) - 1
        shape, width, late, _, size = np.nonzero(fits)
        places = np.minimum(problem.config.psum_bank_words // (widths[width] * shapes.psums[shape]), MAXIMUM_STRIPS)
        choices = _STRIP_CHOICES[np.where(shapes.single[shape], 1, places)]
        place, choice = np.nonzero(choices)
        self.strips = choices[place, choice]
        self.tile = number[shape, width, size][place]
        self.resident = late[place] == 0
        self.words = words[shape, width, late, size][place]

    def __len__(self) -> int:
        return len(self.tile)

    def mapping(self, index: int) -> Mapping:
        """Return one candidate."""
        tile, shapes = self.tile[index], self._shapes
        shape = self.shape[tile]
        return Mapping(
            filters=int(shapes.filters[shape]),
            slots=int(shapes.slots[shape]),
            taps=shapes.taps,
            images=int(self.images[tile]),
            rows=int(self.rows[tile]),
            columns=int(self.columns[tile]),
            strips=int(self.strips[index]),
            resident=bool(self.resident[index]),
        )

    def _widths(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ofmap columns, and which each shape tries: the largest even shares that fit a bank, and others."""
        full, depth = len(self._problem.work.columns), self._problem.config.psum_bank_words
        chosen = []
        for psums in self._shapes.psums.tolist():
            shares = [width for width in _shares(full) if width * psums <= depth]
            chosen.append({*shares[:WIDTH_CHOICES], *shares[WIDTH_CHOICES::WIDTH_CHOICES], *shares[-1:]})
        widths = sorted(set().union(*chosen), reverse=True)
        return np.array(widths, np.int64), np.array([[width in own for width in widths] for own in chosen], bool)

    def _fits(self, sizes: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return lane words (shape, width, late, size), and which sizes are tried (shape, width, late, once, size).

        ``late`` is 0 for a resident ifmap, ``once`` is 0 for tiles that fit the lanes twice; of these and of those
        that fit once the largest are tried.
        """
        problem, config, work = self._problem, self._problem.config, self._problem.work
        (height, width, _), align = problem.input_shape, problem.align
        images, ofmap_rows = sizes.T
        rows = np.minimum((ofmap_rows - 1) * work.stride[0] + work.window[0], height)
        rows = ceil_div(rows + np.where(rows < height, align - 1, 0), align) * align
        columns = np.minimum((widths - 1) * work.stride[1] + work.window[1], width)
        blocks = self._shapes.blocks[:, np.newaxis, ::-1, np.newaxis]
        words = ceil_div(images * rows, config.lanes) * blocks * columns[:, np.newaxis, np.newaxis]
        run = images * ceil_div((ofmap_rows - 1) * work.stride[0] + work.window[0] + align, align) * align
        copies = np.array([2, 1])[:, np.newaxis]
        fits = (copies * words[:, :, :, np.newaxis] <= config.ifmap_lane_words) & (run <= MAXIMUM_RUN_ROWS)
        fits &= np.cumsum(fits, axis=-1) <= TILE_CHOICES
        fits[:, :, :, 1] &= ~fits[:, :, :, 0]
        return words, fits


def _sizes(problem: Problem) -> list[tuple[int, int]]:
    """Return (images, rows) of tiles, largest first: whole images, or parts of one."""
    work = problem.work
    # A strip may start with windows wholly below an image, but not beyond the first row of the image that follows.
    below = work.rows[-1] * work.stride[0] - work.padding[0] > problem.input_shape[0]
    most_images = 1 if below else LAYER_FIELDS["images"].maximum
    sizes = [(count, len(work.rows)) for count in _shares(problem.images) if count <= most_images]
    heights = [height for height in _shares(len(work.rows)) if height <= LAYER_FIELDS["rows"].maximum]
    return sizes + [(1, height) for height in heights[1:]]


@functools.lru_cache(maxsize=1024)
def _shares(count: int) -> tuple[int, ...]:
    """Return sizes into which ``count`` things can be cut evenly, largest first."""
    return tuple(sorted({ceil_div(count, parts) for parts in range(1, count + 1)}, reverse=True))


def _strip_choices(places: int) -> list[int]:
    choices = sorted({1, max(1, places // 2), max(1, places - 1), max(1, places)}, reverse=True)
    return choices + [0] * (4 - len(choices))


#: Strips of a group that are tried, by how many there is room for.
_STRIP_CHOICES = np.array([_strip_choices(places) for places in range(MAXIMUM_STRIPS + 1)])
