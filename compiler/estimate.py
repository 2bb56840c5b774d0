"""Estimates: closed forms for what a mapping costs, by which the mapper ranks. Only golden.machine knows the truth."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from compiler.mapping import MAXIMUM_STRIPS, ArrayShape, Mapping, Turn, region_words, ring_columns
from compiler.work import Work
from golden.execute_model import ceil_div
from hw.config import AcceleratorConfig

#: Cycles from a dependency to the first operation: DRAM latency, set-up, pipelines.
START_CYCLES = 120
#: Cycles from a filter group's last read to the first beat of the next group, if that waits for it.
REQUEST_CYCLES = 50
#: Cycles from a strip's start to the first read, if drain adds a second feature map.
RESIDUAL_CYCLES = 60
#: One cycle in so many is lost where array, bus and drain, busy at the same time, wait for each other.
HINDRANCE = 64
#: Beats of one command, and commands a pass and a strip take on average.
COMMAND_BEATS, PASS_COMMANDS, STRIP_COMMANDS = 4, 2, 2


@dataclass(frozen=True)
class Estimate:
    """What the mapper thinks a mapping costs."""

    cycles: int
    bus_beats: int


@dataclass(frozen=True)
class TurnCost:
    """What all strips of one tile and turn cost.

    Members
    -------
    array, drain, beats : int
        Cycles of the array and of drain, beats on the bus.
    ifmap_beats, first_load : int
        Beats of the ifmap, and those that the first pass waits for.
    under_load : int
        Cycles of the strips during which the ifmap must come.
    tail : int
        Cycles of drain after the last pass.
    """

    array: int
    drain: int
    beats: int
    ifmap_beats: int
    first_load: int
    under_load: int
    tail: int


class Estimator:
    """Estimates the mappings of one work.

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

    def __init__(
        self,
        *,
        config: AcceleratorConfig,
        work: Work,
        images: int,
        input_shape: tuple[int, int, int],
        align: int,
        residual: bool = False,
    ) -> None:
        self._config = config
        self._work = work
        self._images = images
        self._input_shape = input_shape
        self._align = align
        self._residual = residual

    def cost(self, shape: ArrayShape, mapping: Mapping) -> Estimate:
        """Return the cost of a mapping; its array shape is ``shape``."""
        work, config = self._work, self._config
        tiles = ceil_div(self._images, mapping.images) * ceil_div(len(work.rows), mapping.rows)
        tiles *= ceil_div(len(work.columns), mapping.columns)
        costs = [(turn.repeats, self._turn(turn, mapping)) for turn in shape.turns]
        array, drain, beats = (
            sum(repeats * getattr(cost, name) for repeats, cost in costs) for name in ("array", "drain", "beats")
        )
        first = costs[0][1]
        words = region_words(work, mapping, shape.blocks(mapping), self._input_shape, self._align, config)
        start = first.first_load + START_CYCLES
        if 2 * words > config.ifmap_lane_words:  # a tile's ifmap moves in when the one before has left
            late = max(0, first.ifmap_beats - first.under_load) if mapping.resident else 0
            array += start + late
        most = max(array, beats, drain)
        hindered = (array + beats + drain - most) // HINDRANCE
        cycles = (most + hindered) * tiles + start + costs[-1][1].tail
        return Estimate(cycles, beats * tiles)

    def _turn(self, turn: Turn, mapping: Mapping) -> TurnCost:
        config, unit = self._config, turn.unit
        pixels = mapping.images * mapping.rows
        entries = unit.groups * pixels
        strips = ceil_div(entries, config.cols)
        groups = ceil_div(strips, mapping.strips)  # of strips whose psums are in the banks together
        passes = self._passes(turn, mapping, pixels)
        drain = mapping.columns * sum(
            drain_cycles(entries, mapping.rows, config.cols, config.drain_width, channels)
            for channels in _chunks(unit.psums, config.channel_block)
        )
        drain += strips * RESIDUAL_CYCLES * self._residual
        strip_drain = ceil_div(drain, strips)
        together = strips - (groups - 1) * mapping.strips
        tail = strip_drain + max(0, (together - 1) * (strip_drain - passes[-1][0]))
        drain += (len(unit.slices) - 1) * strips * mapping.columns * unit.psums  # the chain's head reads first
        bubble = self._psum_bubble(mapping, unit.psums, passes[-1][0], strip_drain)
        array = strips * sum(cycles * count for cycles, count in passes) + groups * bubble + unit.psums
        ifmap_beats, first_load = self._ifmap(turn, mapping, groups)
        filter_beats, filter_idle = self._filters(turn, mapping, pixels)
        array = max(array, filter_beats + filter_idle)
        beats = ifmap_beats + filter_beats
        beats += COMMAND_BEATS * strips * (PASS_COMMANDS * len(unit.slices) + STRIP_COMMANDS)
        ofmap_beats = entries * mapping.columns * ceil_div(unit.psums, config.channel_block)
        beats += ofmap_beats * (2 if self._residual else 1)
        return TurnCost(array, drain, beats, ifmap_beats, first_load, array // groups, tail)

    def _passes(self, turn: Turn, mapping: Mapping, pixels: int) -> list[tuple[int, int]]:
        """Return (cycles, count) of the passes over one strip, those alike together."""
        work, config, unit = self._work, self._config, turn.unit
        groups_in_strip = min(unit.groups, (config.cols - 2) // pixels + 2) if unit.groups > 1 else 1
        windows = ceil_div((min(config.cols, pixels) - 1) * work.stride[0] + work.window[0], config.lanes)
        if unit.groups > 1 and pixels % config.cols and pixels > config.cols:
            windows += 1
        new = min(work.stride[1], mapping.taps)
        reuse = len(unit.slices) == 1 and pixels >= config.cols
        alone = ring_columns(mapping, config) < 2 * mapping.taps or mapping.columns == 1  # no room for the next pass
        passes = []
        for (slots, _, deliveries, _), count in turn.slices.items():
            operations = slots * mapping.taps * mapping.filters
            column = deliveries * windows
            first = column * mapping.taps if alone else 0
            stage = 0 if reuse else groups_in_strip * (ceil_div(operations, config.weights_per_word) + 2)
            compute = mapping.columns * max(operations, column * new) + first
            setup = column * mapping.taps + max(config.rows, config.cols)
            passes.append((max(compute, stage, config.rows + 2, setup), count))
        return passes

    def _psum_bubble(self, mapping: Mapping, psums: int, last_pass: int, drain: int) -> int:
        """Cycles that a group of strips waits for the psum banks."""
        places = min(self._config.psum_bank_words // (mapping.columns * psums), MAXIMUM_STRIPS)
        if places > mapping.strips:
            return 0
        return max(0, drain + 2 * self._config.rows - (mapping.strips - 1) * last_pass)

    def _filters(self, turn: Turn, mapping: Mapping, pixels: int) -> tuple[int, int]:
        """Return the beats of filters, and cycles without any because the filter buffer holds one group only."""
        unit, config = turn.unit, self._config
        entries = unit.groups * pixels
        loads = unit.groups
        if len(unit.slices) > 1:
            loads += _borders_within(entries, mapping.strips * config.cols, pixels)
        # Two strips share the filter group across their border, if it can stay in the filter buffer.
        shared = _borders_within(entries, config.cols, pixels) * (2 if pixels > config.cols else 1)
        beats = idle = 0
        for (slots, active_rows, _, _), count in turn.slices.items():
            words = ceil_div(slots * mapping.taps * mapping.filters, config.weights_per_word)
            alone = 2 * words > config.filter_lane_words
            items = (loads + shared * alone) * count
            beats += items * active_rows * words
            idle += items * (words + REQUEST_CYCLES) * alone
        return beats, idle

    def _ifmap(self, turn: Turn, mapping: Mapping, groups: int) -> tuple[int, int]:
        """Return beats of the ifmap, and those that the first pass waits for."""
        work, block = self._work, self._config.channel_block
        height, width, _ = self._input_shape
        rows = min((mapping.rows - 1) * work.stride[0] + work.window[0], height)
        columns = min((mapping.columns - 1) * work.stride[1] + work.window[1], width)
        first_rows = min(rows, (min(self._config.cols, mapping.rows) - 1) * work.stride[0] + work.window[0])
        first_load = next(iter(turn.slices))[3] * columns * ceil_div(first_rows, self._align)
        column_beats = mapping.images * columns * ceil_div(rows, self._align)
        if mapping.resident:
            first = work.channel + turn.unit.channel
            blocks = ceil_div(first + turn.unit.channels, block) - first // block
        else:
            blocks = groups * sum(count * slice_blocks for (_, _, _, slice_blocks), count in turn.slices.items())
        return blocks * column_beats, first_load


def _borders_within(entries: int, step: int, pixels: int) -> int:
    """Return how many multiples of ``step`` below ``entries`` are not multiples of ``pixels``."""
    borders = ceil_div(entries, step) - 1
    return borders - borders // (pixels // math.gcd(pixels, step))


def _chunks(psums: int, block: int) -> list[int]:
    return [min(block, psums - first) for first in range(0, psums, block)]


@functools.lru_cache(maxsize=4096)
def drain_cycles(entries: int, rows: int, cols: int, width: int, channels: int) -> int:
    """Return the cycles that drain takes for one ofmap column of ``entries`` entries in strips of ``cols``.

    Parameters
    ----------
    entries : int
        (Filter group, image, ofmap row) entries.
    rows : int
        Entries after which a segment ends.
    cols, width : int
        PE columns, and how many of them drain takes at once.
    channels : int
        Psums of an entry that share a word.
    """
    period = math.lcm(rows, cols)
    if entries > period:
        rest = drain_cycles(entries % period, rows, cols, width, channels) if entries % period else 0
        return entries // period * drain_cycles(period, rows, cols, width, channels) + rest
    cycles = position = 0
    while position < entries:
        length = min(width, rows - position % rows, cols - position % cols, entries - position)
        cycles += max(channels, length)
        position += length
    return cycles
