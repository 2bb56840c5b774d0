"""Sweeps: costs, front, files, what is skipped, and processes that change nothing or die."""

import argparse
import csv
import multiprocessing
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim.sweep.costs
from compiler.networks import network
from compiler.program import compile_layers, compile_network
from golden.machine import predict
from hw.config import preset
from sim.sweep import SweepError, sweep
from sim.sweep.command import add_parser
from sim.sweep.command import run as run_command
from sim.sweep.constraint import Constraint
from sim.sweep.costs import evaluate, evaluate_layers
from sim.sweep.points import pareto_front
from sim.sweep.pool import Pool, TaskLost
from sim.sweep.space import Search, Workload
from sim.sweep.store import Store
from tests.sim.sweeping import CONV, FC, ROOT, SCRIPT, small_space, write_space

PNG = b"\x89PNG\r\n\x1a\n"
TINY = f"base = 'tiny'\n[fields]\nrows = [2, 4]\n[[networks]]\nname = '{CONV}'\nlabel = 'conv'\n"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return sweep(small_space(), folder, progress=False, jobs=1), folder


def rows_of(folder):
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def command(*arguments):
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return run_command(parser.parse_args(["sweep", *map(str, arguments)]))


@given(st.lists(st.tuples(*[st.integers(0, 5) | st.integers(1 << 60, (1 << 60) + 3)] * 3), max_size=25))
def test_the_front_is_what_nothing_dominates(values):
    """Numbers beyond 2**53 too: a product of energy and cycles is one, and no floating-point number holds it."""

    def dominates(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    assert pareto_front(values) == [not any(dominates(other, own) for other in values) for own in values]


def test_costs_are_what_the_cost_model_says(swept):
    result, _ = swept
    assert len(result.points) == 8
    for point in result.points:
        config = preset("tiny").with_fields(point.candidate.values)
        conv = predict(config, compile_network(network(CONV), config).commands)
        fc = predict(config, compile_layers(network(FC), ["fc"], config, batch=2).commands)
        assert [point.costs[name].cycles for name in ("conv", "fc")] == [conv.cycles, fc.cycles]
        assert point.value("cycles") == conv.cycles + fc.cycles and point.value("cycles.fc") == fc.cycles
        assert point.costs["fc"].macs == 2 * 50 * 10
        read = {name: count for name, count in conv.snapshots[-1].items() if name.startswith("dram.")}
        assert point.costs["conv"].dram_bytes == sum(read.values())
        assert point.costs["conv"].counters == conv.snapshots[-1] | {"cycle.total": conv.cycles}
        assert point.value("edp") == point.value("energy") * point.value("cycles")
        assert point.value("edp.fc") == point.value("energy.fc") * point.value("cycles.fc")


def test_the_layers_of_a_workload_add_up():
    config, workload = preset("small"), Workload("net", "resnet8")
    total, layers = evaluate(config, workload), evaluate_layers(config, workload)
    program = compile_network(network("resnet8"), config)
    assert [layer.name for layer in layers] == [layer.name for layer in program.layers]
    assert any("+" in layer.name for layer in layers), "some steps have an addition fused"
    assert sum(layer.macs for layer in layers) == total.macs
    last = predict(config, program.commands).snapshots[-1]
    assert sum(layer.cycles for layer in layers) == last["cycle.total"] <= total.cycles
    for name, count in last.items():
        assert sum(layer.counters[name] for layer in layers) == count
    assert [layer.mapping for layer in layers] == [layer.mappings for layer in program.layers]


def test_the_table_has_a_line_per_machine(swept):
    result, folder = swept
    rows = rows_of(folder)
    assert len(rows) == 8
    for row, point in zip(rows, result.points, strict=True):
        assert {field: int(row[field]) for field in result.space.fields} == dict(point.candidate.values)
        assert int(row["pes"]) == int(row["rows"]) * int(row["cols"])
        assert int(row["cycles"]) == int(row["conv.cycles"]) + int(row["fc.cycles"])
        assert int(row["energy"]) == sum(point.energies.values())
        assert int(row["luts"]) == point.area.total.luts and int(row["sram_bits"]) == point.area.total.sram_bits
        assert (row["front"], row["verified"], row["skipped"]) == (str(int(point.front)), "", "")
    assert 0 < sum(int(row["front"]) for row in rows) < 8
    assert [path.name for path in result.files] == ["sweep.db", "sweep.csv", "sweep.png"]


def test_another_table_gives_another_energy(tmp_path):
    space = small_space(fields={}, energy_table="pj45")
    (point,) = sweep(space, tmp_path, progress=False, jobs=1).points
    (other,) = sweep(small_space(fields={}), tmp_path, progress=False, jobs=1, fresh=True).points
    assert point.costs == other.costs and point.value("energy") != other.value("energy") > 0


def test_processes_change_nothing(swept, tmp_path):
    sweep(small_space(), tmp_path, progress=False, jobs=2)
    assert (tmp_path / "sweep.csv").read_bytes() == (swept[1] / "sweep.csv").read_bytes()


def test_what_is_stored_is_not_costed_again(swept, tmp_path, monkeypatch):
    added = []
    add = Store.add

    def stop_after_three(self, candidate, outcome):
        if len(added) == 3:
            raise KeyboardInterrupt
        added.append(candidate.id)
        add(self, candidate, outcome)

    monkeypatch.setattr(Store, "add", stop_after_three)
    with pytest.raises(SweepError, match="holds the 3 machines that are done: the same command goes on"):
        sweep(small_space(), tmp_path, progress=False, jobs=1)
    monkeypatch.setattr(Store, "add", lambda *arguments: (added.append(arguments[1].id), add(*arguments)))
    sweep(small_space(), tmp_path, progress=False, jobs=1)
    assert added == list(range(8))
    assert (tmp_path / "sweep.csv").read_bytes() == (swept[1] / "sweep.csv").read_bytes()


def test_an_impossible_constraint_writes_nothing(tmp_path):
    for search in (Search(), Search("random", 5), Search("optuna", 5)):
        space = small_space(constraints=(Constraint.parse("rows > 64"),), search=search)
        with pytest.raises(SweepError, match="constraints must leave at least one machine, rows > 64 leaves none"):
            sweep(space, tmp_path / "out", progress=False, jobs=1)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_built_or_mapped_is_skipped_with_its_reason(tmp_path):
    """A row of 40 taps needs 40 words of a lane; a half of 1,024 weights needs 128 words of a filter lane."""
    wide = Workload("wide", "conv:C=1,M=1,H=4,W=44,R=1,S=40")
    space = small_space(
        fields={"filter_spad_words": (128, 1024), "ifmap_lane_words": (16, 256)},
        workloads=(Workload("fc", FC), wide),
    )
    result = sweep(space, tmp_path, progress=False, jobs=1)
    whole, narrow = result.points[1], result.points[0]
    assert whole.complete and whole.front
    assert set(narrow.costs) == {"fc"} and "must fit the buffers" in narrow.reasons["wide"]
    assert [set(point.reasons) for point in result.points[2:]] == [{""}, {""}]
    assert "filter_lane_words must hold one filter_spad_words half" in result.points[2].reasons[""]
    assert not any(point.front for point in result.points if not point.complete)
    assert [bool(row["cycles"]) for row in rows_of(tmp_path)] == [False, True, False, False], "no sums of a part"
    skipped = [row["skipped"] for row in rows_of(tmp_path)]
    assert skipped[1] == "" and all(reason in skipped[0] for reason in narrow.reasons.values())
    assert result.summary().count("skipped ") == 3 and not result.failed


def fail_on_four_rows(config, workload, **_):
    if config.rows == 4:
        raise IndexError("no such\nplace")
    return evaluate(config, workload)


def test_an_exception_is_its_machines_reason_and_the_exit_status_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sim.sweep.costs, "evaluate", fail_on_four_rows)
    space = write_space(tmp_path, TINY)
    assert command(space, "--jobs", 1, "--out", tmp_path / "out") == 1
    out = capsys.readouterr().out
    assert "skipped rows4, conv: IndexError: no such place" in out
    assert "1 machines were skipped by errors that are not their own" in out
    assert [row["skipped"] for row in rows_of(tmp_path / "out")] == ["", "conv: IndexError: no such place"]


def test_the_command_says_the_front_and_writes_parquet(tmp_path, capsys, monkeypatch):
    pandas = pytest.importorskip("pandas", reason="needs the extra sweep")
    monkeypatch.chdir(tmp_path)
    assert command(write_space(tmp_path, TINY), "--jobs", 1, "--export", "parquet") == 0
    captured = capsys.readouterr()
    assert "2 machines, 2 on the front of cycles, pes:" in captured.out
    folder = tmp_path / "build/sweep/space"
    assert "wrote build/sweep/space/sweep.parquet" in captured.out and "costed 2 of 2 machines" in captured.err
    table = pandas.read_parquet(folder / "sweep.parquet")
    assert list(table["cycles"]) == [int(row["cycles"]) for row in rows_of(folder)]


def test_without_matplotlib_the_table_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = sweep(small_space(fields={}), tmp_path, progress=False, jobs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".sweep.lock", "sweep.csv", "sweep.db"]
    assert "install the extra plot" in result.summary()


@pytest.mark.parametrize(
    ("module", "options", "changes", "message"),
    [
        ("pandas", {"export": "parquet"}, {}, "--export parquet needs pandas and pyarrow"),
        ("optuna", {}, {"search": Search("optuna", 5)}, "search.method = 'optuna' needs optuna"),
        ("distributed", {"scheduler": "tcp://127.0.0.1:1"}, {}, "--scheduler needs dask"),
    ],
)
def test_an_extra_that_is_missing_is_named(tmp_path, monkeypatch, module, options, changes, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SweepError, match=f"{message}.*pip install 'eyas"):
        sweep(small_space(**changes), tmp_path, progress=False, jobs=1, **options)


def test_the_picture_is_a_png_file(swept):
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    assert (swept[1] / "sweep.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"verify": -1}, "verify must be at least 0, not -1"),
        ({"verify_cycles": 0}, "verify_cycles must be at least 1, not 0"),
        ({"jobs": 0}, "jobs must be at least 1, not 0"),
        ({"export": "json"}, "export must be one of csv, parquet, not 'json'"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(SweepError, match=message):
        sweep(small_space(), tmp_path / "out", progress=False, **options)
    assert not (tmp_path / "out").exists()


def test_a_process_that_dies_costs_its_task_a_try():
    """A task that ends its process is tried twice and then given up; all others are done."""
    tasks = [
        "1 + 1",
        "__import__('os')._exit(3)",
        "'a' * 3",
        "__import__('os').kill(__import__('os').getpid(), 9)",
        "4",
    ]
    with Pool(2, eval) as pool:
        results = dict(pool.run(tasks))
    assert [results[task] for task in (tasks[0], tasks[2], tasks[4])] == [2, "aaa", 4]
    assert isinstance(results[tasks[1]], TaskLost) and isinstance(results[tasks[3]], TaskLost)
    assert str(results[tasks[1]]) == "its process died 2 times, the last time with status 3"
    assert str(results[tasks[3]]) == "its process died 2 times, the last time by signal SIGKILL"


def test_a_second_try_counts(tmp_path):
    """The first try leaves a file and dies; the second one finds it."""
    path = tmp_path / "tried"
    task = (
        f"1 if __import__('os').path.exists({str(path)!r}) else open({str(path)!r}, 'x') and __import__('os')._exit(1)"
    )
    with Pool(2, eval) as pool:
        assert list(pool.run([task])) == [(task, 1)]


class DeadlyToImport:
    """A function that ends the process which takes it over."""

    def __reduce__(self):
        return os._exit, (3,)


def test_processes_that_cannot_start_are_said():
    with Pool(2, DeadlyToImport()) as pool, pytest.raises(SweepError, match="ended with status 3: try --jobs 1"):
        list(pool.run([1, 2]))


def test_a_worker_that_is_killed_loses_no_point(swept, tmp_path, monkeypatch):
    add, added = Store.add, []

    def kill_a_worker(self, candidate, outcome):
        add(self, candidate, outcome)
        added.append(candidate.id)
        if len(added) in (2, 5):
            multiprocessing.active_children()[0].kill()

    monkeypatch.setattr(Store, "add", kill_a_worker)
    result = sweep(small_space(), tmp_path, progress=False, jobs=2)
    assert sorted(added) == list(range(8)) and not result.failed
    assert (tmp_path / "sweep.csv").read_bytes() == (swept[1] / "sweep.csv").read_bytes()


def test_progress_goes_to_standard_error(tmp_path):
    command = [sys.executable, "-c", SCRIPT, write_space(tmp_path, TINY), tmp_path / "out", "1", "0", "shown"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"costed 2 of 2 machines, [\d.e+]+ machines/s, about 0 s left\n", done.stderr)
