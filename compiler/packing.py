"""Bytes of filters and parameters, in the order in which load wants them."""

from __future__ import annotations

import numpy as np

from compiler.integers import ceil_div
from compiler.mapping import Mapping, Slice, Unit
from compiler.work import Work
from hw.config import AcceleratorConfig


def filter_words(piece: Slice, mapping: Mapping, config: AcceleratorConfig) -> int:
    """Bus words per filter lane of one filter group of a slice."""
    return ceil_div(piece.slots * mapping.taps * mapping.filters, config.weights_per_word)


def filters_size_bytes(unit: Unit, piece: Slice, mapping: Mapping, config: AcceleratorConfig) -> int:
    """Bytes of all filter groups of a slice."""
    return unit.groups * piece.active_rows * filter_words(piece, mapping, config) * config.bus_bytes


def pack_filters(work: Work, unit: Unit, piece: Slice, mapping: Mapping, config: AcceleratorConfig) -> bytes:
    """Return the filter groups of a slice, group after group, each [word][lane][weight].

    A PE row's weights follow the order of its operations: slots, taps, filters innermost. Pairs and filters that do
    not exist, and taps that an earlier slice has covered (unless maxima are taken), weigh nothing.
    """
    height = work.window[0]
    weights = work.weights()
    fresh = piece.tap if work.maximum else piece.fresh_tap
    p, rows = mapping.filters, piece.active_rows
    taps = np.zeros((unit.groups, rows, piece.slots, mapping.taps, p), np.int8)
    used = slice(fresh - piece.tap, mapping.taps)
    columns = slice(fresh, piece.tap + mapping.taps)
    for slot in range(piece.slots):
        for row in range(rows if slot < piece.slots - 1 else piece.last_rows):
            if work.depthwise:
                channel, filter_row = piece.pair // height + slot, piece.pair % height + row
                taps[0, row, slot, used, 0] = weights[channel, filter_row, columns]
                continue
            channel, filter_row = divmod(piece.pair + slot * config.rows + row, height)
            column = np.zeros((unit.groups * p, columns.stop - columns.start), np.int8)
            column[: work.filters] = weights[:, filter_row, columns, channel]
            taps[:, row, slot, used, :] = column.reshape(unit.groups, p, -1).transpose(0, 2, 1)
    words = filter_words(piece, mapping, config)
    flat = np.zeros((unit.groups, rows, words * config.weights_per_word), np.int8)
    flat[:, :, : taps[0, 0].size] = taps.reshape(unit.groups, rows, -1)
    lanes = flat.reshape(unit.groups, rows, words, config.weights_per_word).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(lanes).tobytes()


def pack_parameters(parameters: np.ndarray) -> bytes:
    """Return 16 bytes per channel: bias, multiplier, shift, zero."""
    table = np.zeros((len(parameters), 4), np.int32)
    table[:, :3] = parameters
    return table.tobytes()
