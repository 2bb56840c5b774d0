"""The counters at each mark: those that do not depend on time come from the commands before it alone."""

from __future__ import annotations

import numpy as np

from golden.drain_state import BEATS_ADDED, CHANNELS_READ, PSUMS_ADDED, PSUMS_READ, TOTAL
from golden.load_model import PARAMETER_BEATS
from golden.mac_model import COUNTED
from golden.passes import delivered_columns, ifmap_operations, ofmap_operations, psums_and_spacing
from golden.table import Table
from hw import spec
from hw.config import AcceleratorConfig

Increments = dict[str, np.ndarray]


def snapshots(
    config: AcceleratorConfig, table: Table, mac: np.ndarray, drain: np.ndarray
) -> tuple[dict[str, int], ...]:
    """Return every counter at each mark, by counter name.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    table : Table
        The program.
    mac, drain : array
        What the timeline counted: :data:`golden.mac_model.COUNTED`, and :mod:`golden.drain_model`'s.
    """
    marks = table.places("mark")
    counters = dict.fromkeys(spec.COUNTER_NAMES, np.zeros(len(marks), np.int64))
    for command, increments in (
        ("load.ifmap", _ifmaps(config, table)),
        ("load.filter", _filters(config, table)),
        ("load.parameter", _parameters(config, table)),
        ("execute.pass", _staging(table) | _delivery(config, table) | _operations(table)),
        ("execute.pass", _emissions(config, table)),
    ):
        before = np.searchsorted(table.places(command), marks)
        for name, values in increments.items():
            counters[name] = counters[name] + np.concatenate([[0], np.cumsum(values)])[before]
    counters["dram.command.read_bytes"] = (marks + 1) * spec.COMMAND_BYTES
    counters["dram.mark.write_bytes"] = np.arange(len(marks)) * spec.SNAPSHOT_BYTES
    counters |= _of_timeline(config, mac, drain)
    columns = (counters[name].tolist() for name in spec.COUNTER_NAMES)
    return tuple(dict(zip(spec.COUNTER_NAMES, values, strict=True)) for values in zip(*columns, strict=True))


def _of_timeline(config: AcceleratorConfig, mac: np.ndarray, drain: np.ndarray) -> Increments:
    counters = {f"cycle.execute.{name}": mac[:, column] for column, name in enumerate(COUNTED)}
    counters["glb.psum.drain"] = drain[:, PSUMS_READ]
    counters["parameter.read"] = drain[:, CHANNELS_READ]
    counters["dram.ofmap.write_bytes"] = drain[:, PSUMS_READ] * config.activation_bytes
    counters["add.done"] = drain[:, PSUMS_ADDED]
    counters["dram.residual.read_bytes"] = drain[:, BEATS_ADDED] * config.bus_bytes
    counters["cycle.total"] = drain[:, TOTAL]
    return counters


def _ifmaps(config: AcceleratorConfig, table: Table) -> Increments:
    names = ("blocks", "columns", "column_beats", "pixels_log2")
    blocks, columns, beats, pixels_log2 = (table.field("load.ifmap", name) for name in names)
    beats = blocks * columns * beats
    return {"dram.ifmap.read_bytes": beats * config.bus_bytes, "glb.ifmap.write": beats << pixels_log2}


def _filters(config: AcceleratorConfig, table: Table) -> Increments:
    items, words, lanes = (table.field("load.filter", name) for name in ("items", "words", "lanes"))
    beats = items * words * lanes
    return {"dram.filter.read_bytes": beats * config.bus_bytes, "glb.filter.write": beats}


def _parameters(config: AcceleratorConfig, table: Table) -> Increments:
    channels = table.field("load.parameter", "channels")
    return {"dram.parameter.read_bytes": PARAMETER_BEATS * channels * config.bus_bytes, "parameter.write": channels}


def _passes(table: Table, *names: str) -> list[np.ndarray]:
    return [table.field("execute.pass", name) for name in names]


def _layers(table: Table, *names: str) -> list[np.ndarray]:
    return [table.layer_field("execute.pass", name) for name in names]


def _staging(table: Table) -> Increments:
    reuse, rows, words, groups, columns = _passes(
        table, "reuse_filters", "active_rows", "filter_words", "groups", "strip_columns"
    )
    words = np.where(reuse, 0, rows * words)
    return {"glb.filter.read": words * groups, "pe.filter.write": words * columns}


def _delivery(config: AcceleratorConfig, table: Table) -> Increments:
    blocks, run, wrap, strip = _passes(table, "blocks", "run_rows", "wrap_rows", "strip_columns")
    columns = delivered_columns(table)
    return {
        "glb.ifmap.read": _resident_columns(table) * blocks * (run + wrap),
        "array.ifmap.multicast": columns * ifmap_operations(table, config.lanes),
        "pe.ifmap.write": columns * _pairs(table) * strip,
    }


def _pairs(table: Table) -> np.ndarray:
    """Return the (slot, PE row) pairs with work of each pass."""
    slots, rows, last_rows = _passes(table, "slots", "active_rows", "last_rows")
    return (slots - 1) * rows + last_rows


def _resident_columns(table: Table) -> np.ndarray:
    """Return how many of the ifmap columns that each pass delivers are not padding."""
    first, columns = _passes(table, "ifmap_column", "columns")
    taps, stride, resident = _layers(table, "filter_columns", "stride_columns", "ifmap_columns")
    last = first + delivered_columns(table) - 1
    contiguous = np.maximum(0, np.minimum(last, resident - 1) - np.maximum(first, 0) + 1)
    apart = np.zeros_like(first)
    for tap in range(taps[stride > taps].max(initial=0)):
        begin, end = -((first + tap) // stride), -((first + tap - resident) // stride)  # rounded up
        apart += np.where(tap < taps, np.maximum(0, np.minimum(end, columns) - np.maximum(begin, 0)), 0)
    return np.where(stride > taps, apart, contiguous)


def _operations(table: Table) -> Increments:
    rows, strip, columns, flush = _passes(table, "active_rows", "strip_columns", "columns", "flush")
    taps, filters, depthwise, pool = _layers(table, "filter_columns", "filters", "depthwise", "pool")
    pairs, psums = _pairs(table), psums_and_spacing(table)[0]
    done = columns * pairs * taps * filters * strip
    first_taps = columns * np.where(depthwise, pairs, rows) * filters * strip
    return {
        "mac.done": np.where(pool, 0, done),
        "pool.done": np.where(pool, done, 0),
        "pe.filter.read": done,
        "pe.psum.write": done,
        "pe.ifmap.read": columns * pairs * taps * strip,
        "pe.psum.read": done - first_taps,
        "cycle.execute.busy": columns * ofmap_operations(table),
        "cycle.execute.flush": np.where(flush, psums, 0),
    }


def _emissions(config: AcceleratorConfig, table: Table) -> Increments:
    """Count what leaves while each pass runs: its own columns, and the one that the pass before left pending."""
    rows, strip, columns, first, flush = _passes(table, "active_rows", "strip_columns", "columns", "first", "flush")
    psums, own = psums_and_spacing(table)[0], columns - 1 + flush

    def leaving(values: np.ndarray) -> np.ndarray:
        pending = np.where(flush, 0, values)
        return psums * (own * values + np.concatenate([[0], pending[:-1]])[: len(values)])

    return {
        "array.psum.hop": leaving(strip) * config.rows,
        "glb.psum.write": leaving(strip),
        "glb.psum.read": leaving(np.where(first, 0, strip)),
        "pe.psum.read": leaving(rows * strip),
    }
