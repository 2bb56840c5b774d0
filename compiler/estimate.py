"""Estimates: closed forms for what mappings cost, by which the mapper ranks. Only golden.machine knows the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compiler.candidates import Candidates, Problem
from compiler.integers import Ints, ceil_div, spread
from compiler.mapping import MAXIMUM_STRIPS, ring_columns
from compiler.shapes import ArrayShapes, Turn

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
    """What the mapper thinks each candidate costs."""

    cycles: np.ndarray
    bus_beats: np.ndarray


@dataclass(frozen=True)
class TurnCost:
    """What all strips of one tile and turn cost, for each candidate.

    Members
    -------
    array, drain, beats : array
        Cycles of the array and of drain, beats on the bus.
    ifmap_beats, first_load : array
        Beats of the ifmap, and those that the first pass waits for.
    under_load : array
        Cycles of the strips during which the ifmap must come.
    tail : array
        Cycles of drain after the last pass.
    """

    array: np.ndarray
    drain: np.ndarray
    beats: np.ndarray
    ifmap_beats: np.ndarray
    first_load: np.ndarray
    under_load: np.ndarray
    tail: np.ndarray


class Estimator:
    """Estimates the candidates for one work.

    Parameters
    ----------
    problem : Problem
        What is to be mapped.
    shapes : ArrayShapes
        Of the work.
    candidates : Candidates
        At least one.
    """

    def __init__(self, problem: Problem, shapes: ArrayShapes, candidates: Candidates) -> None:
        self._problem = problem
        self._shapes = shapes
        self._candidates = candidates
        self._pixels = candidates.images * candidates.rows  # entries of one filter group in each tile

    def costs(self) -> Estimate:
        """Return the costs of all candidates."""
        problem, candidates, config = self._problem, self._candidates, self._problem.config
        tiles = ceil_div(problem.images, candidates.images) * ceil_div(len(problem.work.rows), candidates.rows)
        tiles = (tiles * ceil_div(len(problem.work.columns), candidates.columns))[candidates.tile]
        shape = candidates.shape[candidates.tile]
        turns = [(turn.repeats[shape], self._turn(turn)) for turn in self._shapes.turns]
        array = sum(repeats * cost.array for repeats, cost in turns)
        drain = sum(repeats * cost.drain for repeats, cost in turns)
        beats = sum(repeats * cost.beats for repeats, cost in turns)
        first, last = turns[0][1], turns[-1][1]
        start = first.first_load + START_CYCLES
        # If two tiles do not fit the lanes, a tile's ifmap moves in when the one before has left.
        late = candidates.resident * np.maximum(0, first.ifmap_beats - first.under_load)
        array = array + (2 * candidates.words > config.ifmap_lane_words) * (start + late)
        most = np.maximum(np.maximum(array, beats), drain)
        hindered = (array + beats + drain - most) // HINDRANCE
        return Estimate((most + hindered) * tiles + start + last.tail, beats * tiles)

    def _turn(self, turn: Turn) -> TurnCost:
        config, candidates, tile = self._problem.config, self._candidates, self._candidates.tile
        columns, shape = candidates.columns, candidates.shape
        psums, slices = turn.psums[shape], turn.slices[shape]
        entries = turn.groups[shape] * self._pixels
        strips = ceil_div(entries, config.cols)
        # Strips whose psums are in the banks together, groups of them, and strips of the last group.
        groups = ceil_div(strips[tile], candidates.strips)
        together = strips[tile] - (groups - 1) * candidates.strips
        passes, last_pass = self._passes(turn)
        drain = columns * self._drain(entries, psums) + strips * RESIDUAL_CYCLES * self._problem.residual
        strip_drain = ceil_div(drain, strips)
        tail = strip_drain[tile] + np.maximum(0, (together - 1) * (strip_drain - last_pass)[tile])
        drain += (slices - 1) * strips * columns * psums  # the chain's head reads first
        bubble = self._psum_bubble(psums, last_pass, strip_drain)
        array = (strips * passes + psums)[tile] + groups * bubble
        ifmap_beats, first_load = self._ifmap(turn, groups)
        filter_beats, filter_idle = self._filters(turn, entries)
        array = np.maximum(array, filter_beats + filter_idle)
        commands = strips * (PASS_COMMANDS * slices + STRIP_COMMANDS)
        ofmap_beats = entries * columns * ceil_div(psums, config.channel_block)
        beats = ifmap_beats + filter_beats
        beats += (COMMAND_BEATS * commands + ofmap_beats * (1 + self._problem.residual))[tile]
        return TurnCost(array, drain[tile], beats, ifmap_beats, first_load[tile], array // groups, tail)

    def _passes(self, turn: Turn) -> tuple[np.ndarray, np.ndarray]:
        """Return for each tile the cycles of the passes over one strip, and those of the last kind of pass."""
        work, config, candidates, pixels = self._problem.work, self._problem.config, self._candidates, self._pixels
        kinds, taps, cols = turn.kinds, self._shapes.taps, config.cols
        shape = candidates.shape
        groups, slices = turn.groups[shape], turn.slices[shape]
        groups_in_strip = np.minimum(groups, (cols - 2) // pixels + 2)
        windows = ceil_div((np.minimum(cols, pixels) - 1) * work.stride[0] + work.window[0], config.lanes)
        windows += (groups > 1) & (pixels % cols != 0) & (pixels > cols)
        new = min(work.stride[1], taps)
        staged = np.where((slices == 1) & (pixels >= cols), 0, groups_in_strip)
        no_room = ring_columns(self._shapes.slots, config) < 2 * taps  # for the next pass
        alone = no_room[shape] | (candidates.columns == 1)

        number = np.diff(kinds.starts, append=len(kinds.shape))[shape]
        tile, position = spread(number)
        kind = kinds.starts[shape][tile] + position
        operations = (kinds.slots * taps * self._shapes.filters[kinds.shape])[kind]
        stage_one = ceil_div(operations, config.weights_per_word) + 2
        column = kinds.deliveries[kind] * windows[tile]
        compute = candidates.columns[tile] * np.maximum(operations, column * new) + alone[tile] * column * taps
        setup = column * taps + max(config.rows, cols)
        cycles = np.maximum(np.maximum(compute, staged[tile] * stage_one), np.maximum(setup, config.rows + 2))
        stops = np.cumsum(number)
        return np.add.reduceat(cycles * kinds.number[kind], stops - number), cycles[stops - 1]

    def _drain(self, entries: np.ndarray, psums: np.ndarray) -> np.ndarray:
        """Return for each tile the cycles that drain takes for one ofmap column of all entries."""
        config, rows = self._problem.config, self._candidates.rows
        block = config.channel_block
        key = (entries * (rows.max() + 1) + rows) * (psums.max() + 1) + psums
        _, first, case = np.unique(key, return_index=True, return_inverse=True)  # few of the tiles differ in these
        entries, rows, psums = entries[first], rows[first], psums[first]
        cycles = np.maximum(psums // block, 1) * drain_cycles(
            entries, rows, config.cols, config.drain_width, np.minimum(psums, block)
        )
        rest = (psums > block) * (psums % block)
        if rest.any():
            cycles += (rest > 0) * drain_cycles(entries, rows, config.cols, config.drain_width, rest)
        return cycles[case]

    def _psum_bubble(self, psums: np.ndarray, last_pass: np.ndarray, strip_drain: np.ndarray) -> np.ndarray:
        """Return the cycles that a group of strips waits for the psum banks."""
        config, candidates, tile = self._problem.config, self._candidates, self._candidates.tile
        places = np.minimum(config.psum_bank_words // (candidates.columns * psums), MAXIMUM_STRIPS)
        waiting = (strip_drain + 2 * config.rows)[tile] - (candidates.strips - 1) * last_pass[tile]
        return (places[tile] <= candidates.strips) * np.maximum(0, waiting)

    def _filters(self, turn: Turn, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the beats of filters, and cycles without any because the filter buffer holds one group only."""
        config, kinds, candidates = self._problem.config, turn.kinds, self._candidates
        tile, pixels, cols = candidates.tile, self._pixels, config.cols
        shape = candidates.shape[tile]
        words = ceil_div(kinds.slots * self._shapes.taps * self._shapes.filters[kinds.shape], config.weights_per_word)
        alone = 2 * words > config.filter_lane_words
        borders = _borders_within(entries[tile], candidates.strips * cols, pixels[tile])
        loads = turn.groups[shape] + (turn.slices[shape] > 1) * borders
        # Two strips share the filter group across their border, if it can stay in the filter buffer.
        shared = (_borders_within(entries, cols, pixels) * np.where(pixels > cols, 2, 1))[tile]
        beats = loads * kinds.total(kinds.active_rows * words)[shape]
        beats += shared * kinds.total(kinds.active_rows * words * alone)[shape]
        return beats, (loads + shared) * kinds.total((words + REQUEST_CYCLES) * alone)[shape]

    def _ifmap(self, turn: Turn, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return beats of the ifmap by candidate, and those that the first pass waits for by tile."""
        work, block, align = self._problem.work, self._problem.config.channel_block, self._problem.align
        candidates, (height, width, _) = self._candidates, self._problem.input_shape
        rows = np.minimum((candidates.rows - 1) * work.stride[0] + work.window[0], height)
        columns = np.minimum((candidates.columns - 1) * work.stride[1] + work.window[1], width)
        strip_rows = np.minimum(self._problem.config.cols, candidates.rows)
        first_rows = np.minimum(rows, (strip_rows - 1) * work.stride[0] + work.window[0])
        first_blocks = turn.kinds.blocks[turn.kinds.starts]
        first_load = first_blocks[candidates.shape] * columns * ceil_div(first_rows, align)
        column_beats = candidates.images * columns * ceil_div(rows, align)
        first = work.channel + turn.channel
        unit_blocks = ceil_div(first + turn.channels, block) - first // block
        shape = candidates.shape[candidates.tile]
        once, each = unit_blocks[shape], turn.kinds.total(turn.kinds.blocks)[shape]
        return np.where(candidates.resident, once, groups * each) * column_beats[candidates.tile], first_load


def _borders_within(entries: np.ndarray, step: Ints, pixels: np.ndarray) -> np.ndarray:
    """Return how many multiples of ``step`` below ``entries`` are not multiples of ``pixels``."""
    borders = ceil_div(entries, step) - 1
    return borders - borders // (pixels // np.gcd(pixels, step))


def drain_cycles(entries: Ints, rows: Ints, cols: int, width: int, channels: Ints) -> np.ndarray:
    """Return the cycles that drain takes for one ofmap column of ``entries`` entries in strips of ``cols``.

    Segments end at multiples of ``rows`` and of ``cols``. Here the lesser of the two cuts first; then each multiple of
    the greater one cuts a piece into two, at a place that comes again after as many cuts as a piece has entries.

    Parameters
    ----------
    entries : int or array
        (Filter group, image, ofmap row) entries, at least one.
    rows : int or array
        Entries after which a segment ends.
    cols, width : int
        PE columns, and how many of them drain takes at once.
    channels : int or array
        Psums of an entry that share a word.
    """

    def cycles(length: Ints, channels: Ints) -> np.ndarray:
        rest = length % width
        return length // width * np.maximum(channels, width) + (rest > 0) * np.maximum(channels, rest)

    def more(place: Ints, length: Ints, channels: Ints) -> np.ndarray:
        """Cycles that a cut at ``place`` adds to those of a piece."""
        return cycles(place, channels) + cycles(length - place, channels) - cycles(length, channels)

    entries, rows, channels = (np.asarray(value)[..., np.newaxis] for value in (entries, rows, channels))
    lesser, greater = np.minimum(rows, cols), np.maximum(rows, cols)
    pieces, tail = entries // lesser, entries % lesser
    cuts = (entries - 1) // greater
    cut = np.arange(1, max(2, int(lesser.max())))
    times = np.maximum(0, (cuts - cut) // lesser + 1) * (cut < lesser)
    total = (times * more(cut * greater % lesser, lesser, channels)).sum(axis=-1, keepdims=True)
    in_tail = np.maximum(0, cuts * greater - pieces * lesser)  # place of the last cut if it is there, in no whole piece
    total += more(in_tail, tail, channels) - more(in_tail, lesser, channels)
    return (total + pieces * cycles(lesser, channels) + cycles(tail, channels))[..., 0]
