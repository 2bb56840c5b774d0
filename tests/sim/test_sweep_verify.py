"""Proof of machines of the front on their Verilog."""

import re
from types import SimpleNamespace

import pytest

import sim.sweep.verify
from golden.machine import predict
from sim.run import MachineError
from sim.sweep import sweep
from sim.sweep.points import Point
from sim.sweep.space import Candidate
from sim.sweep.store import read
from sim.sweep.verify import chosen_workloads
from tests.sim.sweeping import small_space


def test_a_machine_of_the_front_is_equal_on_rtl(tmp_path):
    result = sweep(small_space(fields={}), tmp_path, progress=False, verify=2, jobs=1)
    assert [point.verified for point in result.points] == ["conv, fc equal"] and result.verified
    assert "conv, fc equal" in (tmp_path / "sweep.csv").read_text() and "conv, fc equal" in result.summary()
    assert read(tmp_path / "sweep.db").points[0].verified == "conv, fc equal"


def equal(config, task):
    """Return the outcome of a task on a machine that does as predicted."""
    prediction = predict(config, task.program.commands)
    return SimpleNamespace(
        equal=True, cycles=prediction.cycles, snapshots=list(prediction.snapshots), differences=lambda: ""
    )


def test_the_first_and_equidistant_machines_of_the_front_are_verified(tmp_path, monkeypatch):
    ran = []

    def run_tasks(config, tasks, *, work):
        ran.append(config.pes)
        return [equal(config, task) for task in tasks]

    monkeypatch.setattr(sim.sweep.verify, "run_tasks", run_tasks)
    result = sweep(small_space(), tmp_path, progress=False, verify=2, jobs=1)
    front = [point.value("pes") for point in result.front]
    assert ran == [front[0], front[len(front) // 2]] and result.verified


def other_cycles(config, tasks, *, work):
    outcomes = [equal(config, task) for task in tasks]
    outcomes[0].cycles = 1
    return outcomes


def other_counter(config, tasks, *, work):
    outcomes = [equal(config, task) for task in tasks]
    outcomes[1].snapshots[-1]["mac.done"] += 1
    return outcomes


def other_bytes(config, tasks, *, work):
    outcomes = [equal(config, task) for task in tasks]
    outcomes[0].equal, outcomes[0].differences = False, lambda: "layer conv: 1 of 810 bytes differ"
    return outcomes


def machine_error(config, tasks, *, work):
    raise MachineError("the machine stopped with error illegal_command")


@pytest.mark.parametrize(
    ("run_tasks", "message"),
    [
        (other_cycles, r"DIFFERS in conv: 1 cycles, \d+ in the store$"),
        (other_counter, r"DIFFERS in fc: mac.done is \d+, \d+ in the store$"),
        (other_bytes, r"DIFFERS in conv: layer conv: 1 of 810 bytes differ$"),
        (machine_error, "DIFFERS in conv: the machine stopped with error illegal_command; DIFFERS in fc"),
    ],
)
def test_a_difference_on_rtl_fails_the_sweep(tmp_path, monkeypatch, run_tasks, message):
    monkeypatch.setattr(sim.sweep.verify, "run_tasks", run_tasks)
    result = sweep(small_space(fields={}), tmp_path, progress=False, verify=1, jobs=1)
    assert not result.verified
    assert re.match(message, result.points[0].verified)


def test_workloads_within_the_budget_run_else_the_shortest(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sim.sweep.verify, "run_tasks", lambda config, tasks, *, work: [equal(config, task) for task in tasks]
    )
    space = small_space(fields={})
    cycles = {"conv": 300, "fc": 200}
    costs = {label: SimpleNamespace(cycles=count) for label, count in cycles.items()}
    point = Point(Candidate("tiny", {}, space.base), costs=costs)

    def chosen(budget):
        return [workload.name for workload in chosen_workloads(space, point, budget)]

    assert [chosen(budget) for budget in (300, 299, 199)] == [["conv", "fc"], ["fc"], ["fc"]]
    result = sweep(space, tmp_path, progress=False, verify=1, verify_cycles=1, jobs=1)
    assert result.points[0].verified == "fc equal (not run: conv)"
