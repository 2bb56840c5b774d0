"""The tables of a store."""

from __future__ import annotations

from collections.abc import Sequence

from sim.sweep.constraint import FIELDS
from sim.sweep.machine_area import AREA_COLUMNS
from sim.sweep.objectives import MACHINE_OBJECTIVES

#: Of the tables below; a store of another format is refused.
FORMAT = 1

MACHINE_COLUMNS = (*FIELDS, *MACHINE_OBJECTIVES, *AREA_COLUMNS)
COST_COLUMNS = ("macs", "cycles", "dram_bytes", "energy", "utilisation")
_TYPES = {"energy": "NUMERIC", "utilisation": "REAL"}


def identifier(name: str) -> str:
    """Return a name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL quotes it."""
    return "'" + text.replace("'", "''") + "'"


def statements(workloads: Sequence[str]) -> list[str]:
    """Return the statements that make the tables, and the view ``points`` of these workloads."""
    machine = ", ".join(f"{name} INTEGER" for name in MACHINE_COLUMNS)
    cost = ", ".join(f"{name} {_TYPES.get(name, 'INTEGER')}" for name in COST_COLUMNS)
    key = "machine_id INTEGER NOT NULL REFERENCES machines (id), workload TEXT NOT NULL"
    return [
        "CREATE TABLE space (json TEXT NOT NULL, hash TEXT NOT NULL, sources TEXT NOT NULL, version INTEGER NOT NULL)",
        f"CREATE TABLE machines (id INTEGER PRIMARY KEY, name TEXT NOT NULL, {machine}, area TEXT, "
        "front INTEGER NOT NULL DEFAULT 0, reason TEXT, unexpected INTEGER NOT NULL DEFAULT 0)",
        f"CREATE TABLE costs ({key}, {cost}, counters TEXT, reason TEXT, unexpected INTEGER NOT NULL DEFAULT 0, "
        "PRIMARY KEY (machine_id, workload))",
        f"CREATE TABLE verified ({key}, equal INTEGER NOT NULL, cycles INTEGER, text TEXT NOT NULL, "
        "PRIMARY KEY (machine_id, workload))",
        points_view(workloads),
    ]


def points_view(workloads: Sequence[str]) -> str:
    """Return the statement of the view: a row per machine, its figures summed over workloads and for each.

    What is missing for one workload is missing in the sum (NULL), so incomplete machines do not look cheap.
    """
    columns = [f"m.{name}" for name in ("id", "name", *MACHINE_COLUMNS)]
    tables = [f"w{index}" for index in range(len(workloads))]
    for name in ("macs", "cycles", "dram_bytes", "energy"):
        columns.append(f"{_sum(name, tables)} AS {name}")
    columns.append(f"CAST({_sum('energy', tables)} AS REAL) * ({_sum('cycles', tables)}) AS edp")
    for table, workload in zip(tables, workloads, strict=True):
        for name in COST_COLUMNS:
            columns.append(f"{table}.{name} AS {identifier(f'{name}.{workload}')}")
        columns.append(f"CAST({table}.energy AS REAL) * {table}.cycles AS {identifier(f'edp.{workload}')}")
    columns += ["m.front", f"{_reasons(tables, workloads)} AS skipped"]
    joins = " ".join(
        f"LEFT JOIN costs {table} ON {table}.machine_id = m.id AND {table}.workload = {literal(workload)}"
        for table, workload in zip(tables, workloads, strict=True)
    )
    return f"CREATE VIEW points AS SELECT {', '.join(columns)} FROM machines m {joins}"


def _sum(column: str, tables: Sequence[str]) -> str:
    return " + ".join(f"{table}.{column}" for table in tables)


def _reasons(tables: Sequence[str], workloads: Sequence[str]) -> str:
    parts = ["COALESCE(m.reason || '; ', '')"]
    parts += [
        f"COALESCE({literal(workload + ': ')} || {table}.reason || '; ', '')"
        for table, workload in zip(tables, workloads, strict=True)
    ]
    return f"NULLIF(RTRIM({' || '.join(parts)}, '; '), '')"
