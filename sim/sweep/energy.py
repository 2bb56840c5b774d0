"""The energy of a workload by the table that a space names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from golden.energy import EnergyTable, energy, load_table
from hw.config import AcceleratorConfig
from sim.sweep.errors import SweepError


@functools.cache
def cached_table(table: str) -> EnergyTable:
    """Return the table of a name or a path, read once per process."""
    return load_table(table)


def energy_by_level(counters: Mapping[str, int], config: AcceleratorConfig, table: str) -> dict[str, float]:
    """Return the energy of each level in the table's unit; whole numbers where the table's costs are."""
    return dict(energy(counters, config, cached_table(table)))


def check_table(table: str, folder: Path) -> str:
    """Return the name of a table, or its path, which is relative to the space's folder.

    Raises
    ------
    SweepError
        If there is no such table.
    """
    if is_path(table):
        table = str((folder / table).resolve())
    try:
        load_table(table)
    except (ValueError, OSError) as error:
        raise SweepError(f"energy_table: {error}") from None
    return table


def table_identity(table: str) -> str:
    """Return what tells a table from others: the name of a built-in one, else its text."""
    return Path(table).read_text(encoding="utf-8") if is_path(table) else table


def is_path(table: str) -> bool:
    """Whether a table is named by a path."""
    return table.endswith(".toml")
