"""Sweeps that are stopped: whatever the moment, going on gives the table of an uninterrupted sweep, byte by byte."""

import os
import random
import signal
import sqlite3
import time
from contextlib import closing, suppress

import pytest

from sim.sweep import load_space, sweep
from sim.sweep.command import INTERRUPTED
from sim.sweep.store import read
from tests.sim.sweeping import start_sweep, write_space

#: Before each of the 32 machines is stored, so that a sweep is as long on a fast machine, and most of it no start.
PAUSE_SECONDS = 0.05
MACHINES = 32
SPACE = """
base = "tiny"
objectives = ["cycles", "pes", "edp"]
[fields]
rows = { from = 2, to = 5 }
cols = { from = 3, to = 6 }
ifmap_spad_words = [8, 32]
[[networks]]
name = "conv:C=2,M=4,H=6,W=6,R=3,S=3"
label = "conv"
[[networks]]
name = "fc:C=8,M=4"
label = "fc"
"""
SEED = 4
STOP_SECONDS = 60


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The space's file, the seconds a process takes from when it begins to its end, and the table."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    path = write_space(folder, SPACE)
    process = start_sweep(path, folder / "out", 2, PAUSE_SECONDS)
    started = time.monotonic()
    _, errors = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0, errors
    return path, time.monotonic() - started, (folder / "out" / "sweep.csv").read_bytes()


def kill_at(process, seconds):
    """Kill a sweep and its workers so many seconds after it began; return whether it still ran."""
    with suppress(Exception):
        process.wait(seconds)
    running = process.poll() is None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=STOP_SECONDS)
    return running


def stored(out):
    """Return how many machines are stored; each must have all its costs."""
    if not (out / "sweep.db").exists():
        return 0
    with closing(sqlite3.connect(out / "sweep.db")) as connection:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return 0
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM costs WHERE machine_id = id AND counters IS NOT NULL) FROM machines"
        ).fetchall()
    assert all(count == (2,) for count in counts)
    return len(counts)


def killed_and_resumed(uninterrupted, folder, moments):
    """Kill a sweep of its own at each moment, a share of the whole time, and go on; return what was stored by then."""
    path, seconds, table = uninterrupted
    found = []
    for index, moment in enumerate(moments):
        out = folder / str(index)
        kill_at(start_sweep(path, out, 2, PAUSE_SECONDS), moment * seconds)
        found.append(stored(out))
        sweep(load_space(path), out, jobs=1, progress=False)
        assert (out / "sweep.csv").read_bytes() == table, f"killed after {moment:.2f} of {seconds:.1f} s"
    return found


def test_a_sweep_killed_at_any_moment_goes_on(uninterrupted, tmp_path):
    killed_and_resumed(uninterrupted, tmp_path, (0.2, 0.6, 0.9))


@pytest.mark.long
def test_a_sweep_killed_at_twenty_random_moments_goes_on(uninterrupted, tmp_path):
    """One random moment in each twentieth of the whole time (issue 4)."""
    generator = random.Random(SEED)
    moments = [(index + generator.random()) / 20 for index in range(20)]
    found = killed_and_resumed(uninterrupted, tmp_path, moments)
    assert len({count for count in found if 0 < count < MACHINES}) > 3, (
        f"the moments are spread over the sweep: {found}"
    )


def test_a_sweep_killed_again_and_again_goes_on(uninterrupted, tmp_path):
    """The same sweep is killed each time that some more machines are stored."""
    path, _, table = uninterrupted
    before, kills = 0, 0
    for _ in range(3):
        process = start_sweep(path, tmp_path, 2, PAUSE_SECONDS)
        until = time.monotonic() + STOP_SECONDS
        while process.poll() is None and stored_now(tmp_path) < before + 6 and time.monotonic() < until:
            time.sleep(0.01)
        kills += kill_at(process, 0)
        assert stored(tmp_path) >= before
        before = stored(tmp_path)
    assert kills > 0 and before > 0
    process = start_sweep(path, tmp_path, 2, PAUSE_SECONDS)
    _, errors = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0, errors
    assert (tmp_path / "sweep.csv").read_bytes() == table


def stored_now(out):
    """Return how many machines a running sweep has stored."""
    if not (out / "sweep.db").exists():
        return 0
    with closing(sqlite3.connect(f"file:{out / 'sweep.db'}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM machines").fetchone()[0]
        except sqlite3.OperationalError:  # the tables are not there yet, or are being written
            return 0


def test_ctrl_c_leaves_a_store_that_goes_on_and_says_so(uninterrupted, tmp_path):
    path, _, table = uninterrupted
    process = start_sweep(path, tmp_path, 2, PAUSE_SECONDS)
    until = time.monotonic() + STOP_SECONDS
    while stored_now(tmp_path) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    _, errors = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == INTERRUPTED
    count = len(read(tmp_path / "sweep.db").points)
    assert errors.splitlines() == [
        f"the sweep was interrupted, {tmp_path}/sweep.db holds the {count} machines that are done: "
        "the same command goes on from there"
    ]
    assert 3 <= count < MACHINES
    sweep(load_space(path), tmp_path, jobs=1, progress=False)
    assert (tmp_path / "sweep.csv").read_bytes() == table
