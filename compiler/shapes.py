"""Array shapes: what filters per PE and slots decide, whatever the tile, for all of a work's at once."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.integers import ceil_div
from compiler.mapping import PASS_FIELDS, Delivery, Runs, cut, delivery, tap_slices
from compiler.work import Work
from hw.config import AcceleratorConfig


@dataclass(frozen=True)
class Kinds:
    """Slices that cost the same: an element of each array for a kind; those of a shape together, as they come first.

    Members
    -------
    shape : array
        Which array shape.
    slots, active_rows : array
        Of the pass.
    deliveries, blocks : array
        Deliveries per window and column, channel blocks.
    number : array
        Slices that are so.
    """

    shape: np.ndarray
    slots: np.ndarray
    active_rows: np.ndarray
    deliveries: np.ndarray
    blocks: np.ndarray
    number: np.ndarray

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """First kind of each shape."""
        return np.searchsorted(self.shape, np.arange(self.shape[-1] + 1))

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return for each shape the sum over its slices."""
        return np.add.reduceat(values * self.number, self.starts)


@dataclass(frozen=True)
class Turn:
    """Units that are alike: for each array shape how many there are, one of them, and its slices.

    ``repeats`` is 0 where a shape has no such units. The other members are those of :class:`compiler.mapping.Unit`.
    """

    repeats: np.ndarray
    channel: np.ndarray
    channels: np.ndarray
    psums: np.ndarray
    groups: np.ndarray
    kinds: Kinds

    @functools.cached_property
    def slices(self) -> np.ndarray:
        """Passes over each strip."""
        return self.kinds.total(np.ones_like(self.kinds.number))


def array_pairs(work: Work, taps: int, config: AcceleratorConfig) -> Iterator[tuple[int, int]]:
    """Yield (p, q) that fit the scratchpads, the parameter memory and the command fields."""
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


class ArrayShapes:
    """What (p, q) decide: filters per PE and slots.

    Parameters
    ----------
    work : Work
        What to compute.
    taps : int
        Filter columns of a pass.
    pairs : sequence of (p, q)
        At least one, see :func:`array_pairs`.
    config : AcceleratorConfig
        The machine.

    Members
    -------
    filters, slots, psums : array
        p, q, and the most psums per PE column and ofmap column.
    fit : bool array
        Whether the fields of ``execute.pass`` can say it.
    single : bool array
        Whether there is only one pass over each strip.
    blocks : array (shapes, 2)
        Channel blocks of the largest ifmap region: of a slice, and, if it is resident, of a unit.
    turns : list of Turn
        Depthwise turns are alike but for the last.
    """

    def __init__(self, work: Work, taps: int, pairs: Sequence[tuple[int, int]], config: AcceleratorConfig) -> None:
        self._work = work
        self._config = config
        self.taps = taps
        self.filters, self.slots = np.array(pairs).T
        self.psums = self.slots if work.depthwise else self.filters
        height = work.window[0]
        if work.depthwise:
            runs = cut(work.channels, 1, self.slots)
            moves = delivery(work, runs.first * height, runs.slots, runs.active_rows, runs.last_rows, config)
        else:
            runs = cut(work.channels * height, config.rows, self.slots)
            moves = delivery(work, runs.first, runs.slots, runs.active_rows, runs.last_rows, config)
        starts = np.searchsorted(runs.shape, np.arange(len(pairs)))
        self.fit = np.logical_and.reduceat(_fields_fit(moves), starts)
        slice_blocks = np.maximum.reduceat(moves.blocks, starts)
        self.turns = self._depthwise(runs, moves, starts) if work.depthwise else [self._dense(runs, moves)]
        self.single = np.all([turn.slices == 1 for turn in self.turns], axis=0)
        every = ceil_div(work.channel + work.channels, config.channel_block) - work.channel // config.channel_block
        unit_blocks = slice_blocks if work.depthwise else np.full_like(slice_blocks, every)
        self.blocks = np.stack([slice_blocks, unit_blocks], axis=1)

    def __len__(self) -> int:
        return len(self.filters)

    def _dense(self, runs: Runs, moves: Delivery) -> Turn:
        """Return the one unit of each shape, all channels and filters."""
        work, like = self._work, self.filters
        columns = (runs.shape, runs.slots, runs.active_rows, moves.operations, moves.blocks)
        kinds = _count(columns, len(tap_slices(work.window[1], self.taps)))
        whole = np.full_like(like, work.channels)
        groups = ceil_div(work.filters, self.filters)
        return Turn(np.ones_like(like), np.zeros_like(like), whole, self.filters, groups, kinds)

    def _depthwise(self, runs: Runs, moves: Delivery, starts: np.ndarray) -> list[Turn]:
        """Return the first unit of each shape, which stands for all but the last one, and that if there is another."""
        work, rows = self._work, self._config.rows
        units = np.diff(starts, append=len(runs.shape))
        active = [min(rows, work.window[0] - row) for row in range(0, work.window[0], rows)]
        alike = [(size, active.count(size)) for size in dict.fromkeys(active)]
        taps = len(tap_slices(work.window[1], self.taps))
        shape = np.repeat(np.arange(len(self)), len(alike))
        turns = []
        for unit, repeats in ((starts, np.maximum(units - 1, 1)), (starts + units - 1, np.minimum(units - 1, 1))):
            of_kind = unit[shape]
            kinds = Kinds(
                shape,
                runs.slots[of_kind],
                np.tile([size for size, _ in alike], len(self)),
                moves.operations[of_kind],
                moves.blocks[of_kind],
                np.tile([count * taps for _, count in alike], len(self)),
            )
            channels = runs.slots[unit]
            turns.append(Turn(repeats, runs.first[unit], channels, channels, np.ones_like(channels), kinds))
        return turns if (units > 1).any() else turns[:1]


def _count(columns: Sequence[np.ndarray], times: int) -> Kinds:
    """Return the kinds of slices with these (shape, slots, active rows, deliveries, blocks), as they come first."""
    key = np.zeros_like(columns[0])
    for column in columns:
        key = key * (column.max(initial=0) + 1) + column
    _, first, number = np.unique(key, return_index=True, return_counts=True)
    order = np.argsort(first)
    first = first[order]
    shape, slots, active_rows, deliveries, blocks = (column[first] for column in columns)
    return Kinds(shape, slots, active_rows, deliveries, blocks, number[order] * times)


def _fields_fit(moves: Delivery) -> np.ndarray:
    fits = np.ones_like(moves.blocks, bool)
    for values, field in (
        (moves.first, "first_operations"),
        (moves.middle, "middle_operations"),
        (moves.last, "last_operations"),
        (moves.blocks, "blocks"),
    ):
        fits &= values <= PASS_FIELDS[field].maximum
    return fits
