"""The store of a sweep: one SQLite file, written machine by machine, each in one transaction.

SQLite's rollback journal makes a transaction whole or undone whatever moment the process or the computer stops at.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sim.sweep.costs import Outcome
from sim.sweep.errors import SweepError
from sim.sweep.points import Point, SweepData
from sim.sweep.rows import cost_rows, machine_row, stored_data, stored_points
from sim.sweep.schema import FORMAT, points_view, statements
from sim.sweep.sources import sources_hash
from sim.sweep.space import Candidate, Space
from sim.sweep.space_file import from_json, space_hash, to_json

NAME = "sweep.db"
_OTHER = "choose another folder with --out, or begin anew with --fresh"


@dataclass(frozen=True)
class Verification:
    """What a workload did on a machine's RTL; ``text`` says what differs."""

    equal: bool
    cycles: int | None
    text: str


class Store:
    """The store of a space in a folder, open for writing; only one process has it at a time.

    Parameters
    ----------
    space : Space
        What is swept.
    out : Path
        The folder; made if it does not exist.
    fresh : bool
        Whether to begin anew whatever is there.

    Raises
    ------
    SweepError
        If the folder has the store of another space or version, a file that is no store, or another process writes it.
    """

    def __init__(self, space: Space, out: Path, *, fresh: bool = False) -> None:
        self.space = space
        self.path = out / NAME
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(out / ".sweep.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SweepError(f"out must be a folder that can be written, not {out} ({error.strerror})") from None
        try:
            self._connection = self._open(fresh)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, fresh: bool) -> sqlite3.Connection:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SweepError(f"{self.path} must be written by one sweep at a time, another one runs") from None
        if fresh:
            self.path.unlink(missing_ok=True)
            self.path.with_name(f"{NAME}-journal").unlink(missing_ok=True)
        connection = _connect(self.path)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new store; check those of one that exists."""
        with _reading(self.path):
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        labels = [workload.name for workload in self.space.workloads]
        row = (to_json(self.space), space_hash(self.space), sources_hash(), FORMAT)
        if not tables:
            with _transaction(connection):
                for statement in statements(labels):
                    connection.execute(statement)
                connection.execute("INSERT INTO space VALUES (?, ?, ?, ?)", row)
            return
        with _reading(self.path):
            known_hash, sources, version = connection.execute("SELECT hash, sources, version FROM space").fetchone()
        if version != FORMAT:
            raise SweepError(f"{self.path} is of format {version}, this Eyas writes {FORMAT}: {_OTHER}")
        if known_hash != row[1]:
            raise SweepError(f"{self.path} holds the sweep of another space: {_OTHER}")
        if sources != row[2]:
            raise SweepError(f"{self.path} holds the costs of another version of Eyas's models: {_OTHER}")
        with _transaction(connection):
            connection.execute("UPDATE space SET json = ?", row[:1])
            connection.execute("DROP VIEW points")
            connection.execute(points_view(labels))

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        os.close(self._lock)

    def ids(self) -> set[int]:
        """Return the numbers of the machines that are stored."""
        return {number for (number,) in self._connection.execute("SELECT id FROM machines")}

    def add(self, candidate: Candidate, outcome: Outcome) -> None:
        """Store what became of a machine, all at once."""
        machine = machine_row(self.space, candidate, outcome)
        costs = cost_rows(self.space, candidate, outcome)
        with _transaction(self._connection):
            self._insert("machines", machine)
            for row in costs:
                self._insert("costs", row)

    def add_front(self, ids: Iterable[int]) -> None:
        """Store which machines are on the front."""
        with _transaction(self._connection):
            self._connection.execute("UPDATE machines SET front = 0 WHERE front")
            self._connection.executemany("UPDATE machines SET front = 1 WHERE id = ?", [(number,) for number in ids])

    def add_verified(self, number: int, results: Mapping[str, Verification]) -> None:
        """Store what a machine's workloads did on RTL, instead of what was known of them."""
        rows = [(number, label, int(item.equal), item.cycles, item.text) for label, item in results.items()]
        with _transaction(self._connection):
            self._connection.execute("DELETE FROM verified WHERE machine_id = ?", (number,))
            self._connection.executemany("INSERT INTO verified VALUES (?, ?, ?, ?, ?)", rows)

    def data(self) -> SweepData:
        """Return all that is stored."""
        return stored_data(self._connection, self.space)

    def points(self, ids: Sequence[int]) -> dict[int, Point]:
        """Return some machines by number."""
        return stored_points(self._connection, self.space, ids)

    def _insert(self, table: str, row: Mapping[str, object]) -> None:
        places = ", ".join(f":{name}" for name in row)
        self._connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", dict(row))


def read(path: Path) -> SweepData:
    """Return what a store holds.

    Raises
    ------
    SweepError
        If the file does not exist or is no store of this format.
    """
    if not path.is_file():
        raise SweepError(f"the store of a sweep must be a file such as build/sweep/{NAME}, {path} is not there")
    connection = _connect(path)
    try:
        with _reading(path):
            text, version = connection.execute("SELECT json, version FROM space").fetchone()
        if version != FORMAT:
            raise SweepError(f"{path} is of format {version}, this Eyas reads {FORMAT}: sweep again with --fresh")
        return stored_data(connection, from_json(text))
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Open a store; transactions are explicit."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    except sqlite3.Error as error:
        raise SweepError(f"the store of a sweep must be a file that can be written, {path} is not ({error})") from None
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, TypeError):  # no table, or no row in it
        raise SweepError(f"{path} must be the store of a sweep, it is something else: {_OTHER}") from None


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
