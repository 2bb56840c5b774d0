"""Mappings: how a work is laid over the array, in time, and in the buffers; :mod:`compiler.mapper` chooses one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from compiler.integers import Ints, ceil_div, spread
from compiler.work import Work
from hw import spec
from hw.config import AcceleratorConfig

#: Fields of the execute commands, whose ranges limit what can be mapped.
LAYER_FIELDS = {field.name: field for field in spec.COMMAND["execute.layer"].fields}
PASS_FIELDS = {field.name: field for field in spec.COMMAND["execute.pass"].fields}
#: Strips whose psums may be in the banks at once: what a command's token fields can count.
MAXIMUM_STRIPS = PASS_FIELDS["wait_psum_free"].maximum


@dataclass(frozen=True)
class Mapping:
    """How one kind of work is computed.

    Parameters
    ----------
    filters : int
        p, filters per PE.
    slots : int
        q, the most slots of a pass.
    taps : int
        Filter columns of a pass (S, or a part of it).
    images, rows, columns : int
        Ofmap images, rows and columns of a tile.
    strips : int
        Strips of columns whose psums stay in the banks while the passes visit them.
    resident : bool
        Whether a tile's ifmap stays in the lanes for all passes; otherwise each pass loads its channels.
    """

    filters: int
    slots: int
    taps: int
    images: int
    rows: int
    columns: int
    strips: int
    resident: bool


@dataclass(frozen=True)
class Slice:
    """What the array does in one pass: a run of (channel, filter row) pairs, or depthwise channels, and filter columns.

    Parameters
    ----------
    pair : int
        First pair (channel * R + filter row) within the work; in depthwise work channel * R + first filter row.
    slots, active_rows, last_rows : int
        See ``execute.pass``.
    tap : int
        First filter column.
    fresh_tap : int
        First filter column that earlier slices have not covered (slices overlap where S is no multiple of their taps).
    """

    pair: int
    slots: int
    active_rows: int
    last_rows: int
    tap: int
    fresh_tap: int


@dataclass(frozen=True)
class Unit:
    """Work whose psums belong together: all filters of a convolution, or the channels of one depthwise turn.

    Parameters
    ----------
    channel, channels : int
        Channels within the work that the unit reads.
    psums : int
        Psums per PE column and ofmap column.
    groups : int
        Filter groups (1 if depthwise).
    slices : tuple of Slice
        Passes over each strip.
    """

    channel: int
    channels: int
    psums: int
    groups: int
    slices: tuple[Slice, ...]


def tap_slices(size: int, taps: int) -> list[tuple[int, int]]:
    """Return (first tap, first fresh tap) of slices of ``taps`` filter columns that cover ``size``."""
    return [(min(start, size - taps), start) for start in range(0, size, taps)]


def units(work: Work, mapping: Mapping, config: AcceleratorConfig) -> list[Unit]:
    """Return the units of a work."""
    height, width = work.window
    taps = tap_slices(width, mapping.taps)
    slots = np.array([mapping.slots])
    if not work.depthwise:
        runs = cut(work.channels * height, config.rows, slots)
        slices = [Slice(*run, tap, fresh) for run in runs.each() for tap, fresh in taps]
        return [Unit(0, work.channels, mapping.filters, ceil_div(work.filters, mapping.filters), tuple(slices))]
    result = []
    for channel, channels, _, _ in cut(work.channels, 1, slots).each():
        slices = []
        for row in range(0, height, config.rows):
            active = min(config.rows, height - row)
            slices += [Slice(channel * height + row, channels, active, active, tap, fresh) for tap, fresh in taps]
        result.append(Unit(channel, channels, channels, 1, tuple(slices)))
    return result


@dataclass(frozen=True)
class Runs:
    """Runs of things that the array takes at once, for several numbers of slots: an element of each array for a run.

    ``shape`` says which number of slots, ``first`` the run's first thing; for the others see ``execute.pass``.
    """

    shape: np.ndarray
    first: np.ndarray
    slots: np.ndarray
    active_rows: np.ndarray
    last_rows: np.ndarray

    def each(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield (first, slots, active rows, last rows) of each run."""
        arrays = (self.first, self.slots, self.active_rows, self.last_rows)
        return zip(*(array.tolist() for array in arrays), strict=True)


def cut(things: int, rows: int, slots: np.ndarray) -> Runs:
    """Cut (channel, filter row) pairs, or channels if ``rows`` is 1, into runs that fill ``slots`` slots or less."""
    step = rows * slots
    shape, position = spread(ceil_div(things, step))
    first = position * step[shape]
    count = np.minimum(step[shape], things - first)
    used = ceil_div(count, rows)
    return Runs(shape, first, used, np.where(used > 1, rows, count), count - rows * (used - 1))


@dataclass(frozen=True)
class Delivery:
    """Channel blocks of a slice, counted from ifmap channel 0, and the deliveries for each; or arrays of all these."""

    first_block: Ints
    blocks: Ints
    channel_offset: Ints
    first: Ints
    middle: Ints
    last: Ints

    @property
    def operations(self) -> Ints:
        """Deliveries per window and ifmap column."""
        return self.first + (self.blocks - 2) * self.middle + self.last


def delivery(
    work: Work, pair: Ints, slots: Ints, active_rows: Ints, last_rows: Ints, config: AcceleratorConfig
) -> Delivery:
    """Return the channel blocks that a slice delivers, or each of several; the arguments are a :class:`Slice`'s."""
    height, block = work.window[0], config.channel_block
    channel = work.channel + pair // height
    if work.depthwise:
        low, count, size, rows = channel, slots, block, 1
    else:
        low, count = work.channel * height + pair, active_rows * (slots - 1) + last_rows
        size, rows = block * height, config.rows
    first_block, stop_block = low // size, ceil_div(low + count, size)
    several = stop_block - first_block > 1
    in_first = several * ((first_block + 1) * size - low) + (1 - several) * count
    in_last = several * (low + count - (stop_block - 1) * size)
    middle = (stop_block - first_block > 2) * ceil_div(size, rows)
    return Delivery(
        first_block,
        stop_block - first_block,
        channel % block,
        ceil_div(in_first, rows),
        middle,
        ceil_div(in_last, rows),
    )


def ring_columns(slots: Ints, config: AcceleratorConfig) -> Ints:
    """Ifmap columns per slot in the ifmap scratchpad of so many slots."""
    return np.minimum(config.ifmap_spad_words // slots, LAYER_FIELDS["ring_columns"].maximum)


@dataclass(frozen=True)
class Span:
    """Ifmap rows or columns that a run of ofmap positions needs; ``pad`` is padding before the first resident one."""

    start: int
    stop: int
    pad: int


def span(first: int, count: int, *, stride: int, window: int, padding: int, size: int, align: int = 1) -> Span:
    """Return the resident ifmap rows (or columns) of ``count`` ofmap positions from ``first`` on."""
    origin = first * stride - padding
    start = min(max(origin, 0), size - 1) // align * align
    stop = max(min(origin + (count - 1) * stride + window, size), start + 1)
    return Span(start, stop, start - origin)
