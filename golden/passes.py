"""What follows from the fields of passes alone, for all passes of a program: sections 6 and 7 of docs/timing.md."""

from __future__ import annotations

import numpy as np

from golden.table import Table


def delivered_columns(table: Table) -> np.ndarray:
    """Return the ifmap columns that each pass delivers."""
    taps = table.layer_field("execute.pass", "filter_columns")
    fresh = np.minimum(table.layer_field("execute.pass", "stride_columns"), taps)
    return taps + (table.field("execute.pass", "columns") - 1) * fresh


def ifmap_operations(table: Table, lanes: int) -> np.ndarray:
    """Return the operations that deliver one ifmap column of each pass."""
    names = ("blocks", "first_operations", "middle_operations", "last_operations", "run_rows", "wrap_rows")
    blocks, first, middle, last, run, wrap = (table.field("execute.pass", name) for name in names)
    windows = np.maximum(1, -(-run // lanes) - (-wrap // lanes))
    return windows * (first + np.maximum(0, blocks - 2) * middle + np.where(blocks > 1, last, 0))


def ofmap_operations(table: Table) -> np.ndarray:
    """Return the operations of an ofmap column of each pass: n * S * p."""
    taps, filters = (table.layer_field("execute.pass", name) for name in ("filter_columns", "filters"))
    return table.field("execute.pass", "slots") * taps * filters


def psums_and_spacing(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the psums of an ofmap column of each pass, and the cycles from one that leaves to the next."""
    depthwise = table.layer_field("execute.pass", "depthwise")
    psums = np.where(depthwise, table.field("execute.pass", "slots"), table.layer_field("execute.pass", "filters"))
    return psums, np.where(depthwise, table.layer_field("execute.pass", "filter_columns"), 1)
