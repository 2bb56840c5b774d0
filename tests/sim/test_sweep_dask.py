"""The same sweep on a Dask cluster: a real scheduler and real workers, one of them killed halfway."""

import json
import subprocess
import sys
import time

import pytest

from sim.sweep import SweepError, cluster, load_space, sweep
from sim.sweep.store import Store
from tests.sim.sweeping import ROOT, write_space

pytest.importorskip("distributed", reason="needs the extra dask")

SPACE = """
base = "tiny"
[fields]
rows = { from = 2, to = 5 }
cols = { from = 3, to = 8 }
[[networks]]
name = "conv:C=8,M=12,H=12,W=12,R=3,S=3,pad=1"
label = "conv"
"""
MACHINES = 24
START_SECONDS = 60


class Processes:
    """A scheduler and two workers on 127.0.0.1."""

    def __init__(self, folder):
        self._file = folder / "scheduler.json"
        self._log = (folder / "log.txt").open("wb")
        self.scheduler = self._start("scheduler", "--port", "0", "--no-show")
        until = time.monotonic() + START_SECONDS
        while not self._file.exists() or not self._file.read_text():
            assert self.scheduler.poll() is None and time.monotonic() < until, "no scheduler"
            time.sleep(0.05)
        self.address = json.loads(self._file.read_text())["address"]
        self.workers = [self._start("worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]

    def _start(self, kind, *options):
        common = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(self._file))
        command = [sys.executable, "-m", "dask", kind, *options, *common]
        return subprocess.Popen(command, cwd=ROOT, stdout=self._log, stderr=subprocess.STDOUT)

    def stop(self):
        """End what still runs."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(START_SECONDS)
        self._log.close()


@pytest.fixture
def processes(tmp_path):
    started = Processes(tmp_path)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The space, and the table of a sweep in this process."""
    folder = tmp_path_factory.mktemp("local")
    space = load_space(write_space(folder, SPACE))
    sweep(space, folder, progress=False, jobs=1)
    return space, (folder / "sweep.csv").read_bytes()


def after(monkeypatch, count, action):
    """Do something when so many machines are stored; return their numbers."""
    add, added = Store.add, []

    def add_and_act(self, candidate, outcome):
        add(self, candidate, outcome)
        added.append(candidate.id)
        if len(added) == count:
            action()

    monkeypatch.setattr(Store, "add", add_and_act)
    return added


def test_a_worker_killed_halfway_loses_no_point(processes, local, tmp_path, monkeypatch):
    space, table = local
    added = after(monkeypatch, MACHINES // 2, processes.workers[0].kill)
    result = sweep(space, tmp_path / "out", progress=False, scheduler=processes.address)
    assert processes.workers[0].poll() is not None and processes.workers[1].poll() is None
    assert sorted(added) == list(range(MACHINES)), "no point lost, none double"
    assert not result.failed and (tmp_path / "out" / "sweep.csv").read_bytes() == table


def test_a_scheduler_that_is_gone_leaves_a_store_that_goes_on(processes, local, tmp_path, monkeypatch):
    space, table = local
    added = after(monkeypatch, 3, processes.scheduler.kill)
    with pytest.raises(SweepError, match="the scheduler tcp://127.0.0.1:.* is gone: start it again and repeat"):
        sweep(space, tmp_path / "out", progress=False, scheduler=processes.address)
    monkeypatch.undo()
    assert 3 <= len(added) < MACHINES
    sweep(space, tmp_path / "out", progress=False, jobs=1)
    assert (tmp_path / "out" / "sweep.csv").read_bytes() == table


def test_an_address_where_nothing_answers_is_refused(local, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(
            SweepError, match=f"scheduler must be the address of a running dask scheduler, not {address}"
        ):
            sweep(local[0], tmp_path, progress=False, scheduler=address)


def test_workers_of_another_version_are_refused(processes, local, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "sources_hash", lambda: "another")
    with pytest.raises(SweepError, match="the workers of tcp://.* must have "):
        sweep(local[0], tmp_path, progress=False, scheduler=processes.address)
