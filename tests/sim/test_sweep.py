import csv
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
import sim.sweep
from compiler.networks import network
from compiler.program import compile_layers, compile_network
from golden.machine import predict
from hw.config import preset
from sim.pictures import PicturePoint, front_line, utilisation_picture
from sim.run import MachineError
from sim.space import Constraint
from sim.sweep import Space, SweepError, Workload, load_space, pareto_front, sweep

DEFAULT = Path(sim.__file__).parent / "spaces" / "default.toml"
CONV = "conv:C=5,M=9,H=10,W=9,R=3,S=3,pad=1"
FC = "fc:C=50,M=10"
PNG = b"\x89PNG\r\n\x1a\n"


def small_space(**changes):
    fields = {"rows": (2, 4), "cols": (4, 6), "ifmap_spad_words": (8, 32)}
    workloads = (Workload("conv", CONV), Workload("fc", FC, batch=2, layers=("fc",)))
    return Space(**({"base": preset("tiny"), "fields": fields, "workloads": workloads} | changes))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return sweep(small_space(), folder, progress=False, jobs=1), folder


def write(tmp_path, text):
    path = tmp_path / "space.toml"
    path.write_text(text)
    return path


def test_the_default_space_is_what_make_sweep_promises():
    space = load_space(DEFAULT)
    candidates = space.candidates()
    assert len(candidates) >= 48 and all(candidate.config is not None for candidate in candidates)
    assert {"rows", "cols"} < set(space.fields)
    assert any(field.endswith("spad_words") for field in space.fields)
    assert len({candidate.config.global_buffer_bytes for candidate in candidates}) > 1
    convs = tuple(f"conv{number}" for number in range(1, 6))
    assert [(item.network, item.layers, item.batch) for item in space.workloads] == [
        ("lenet5", (), 1),
        ("alexnet", convs, 1),
    ]


def test_constraints_are_arithmetic_of_fields_and_derived_values():
    constraint = Constraint.parse("rows * cols <= 12 and not global_buffer_bytes // 2 == 5")
    assert constraint.holds({"rows": 3, "cols": 4, "global_buffer_bytes": 4})
    assert not constraint.holds({"rows": 3, "cols": 5, "global_buffer_bytes": 4})
    assert not constraint.holds({"rows": 3, "cols": 4, "global_buffer_bytes": 11})


@pytest.mark.parametrize("text", ["", "rows <", "__import__('os')", "rows.real < 5", "rows ** 9 < 5", "rows < 1.5", 3])
def test_other_constraints_are_refused(text):
    with pytest.raises(SweepError, match="constraints must be integer arithmetic and comparisons"):
        Constraint.parse(text)


def test_a_constraint_on_an_unknown_name_is_refused():
    with pytest.raises(SweepError, match="constraint 'lines < 4' must use rows, cols, .*, not 'lines'"):
        Constraint.parse("lines < 4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base = 'huge'", "base: config must be one of tiny, small, eyeriss, not 'huge'"),
        ("color = 1", "keys of .* must be some of base, fields, .*, not 'color'"),
        ("rows =", "the space must be a TOML file"),
        ("fields = 3", "fields must be a table, not 3"),
        ("[fields]\nrows = 4", "fields.rows must be a list, not 4"),
        ("[fields]\nlines = [4]\n[[networks]]\nname = 'lenet5'", "fields must be some of rows, .*, not 'lines'"),
        ("[fields]\nrows = []\n[[networks]]\nname = 'lenet5'", r"fields.rows must be a list of different values, not"),
        ("[fields]\nrows = [4, 4]\n[[networks]]\nname = 'lenet5'", r"fields.rows must be a list of different values"),
        ("", r"networks must be at least one, with different labels, not \[\]"),
        ("[[networks]]\nname = 'lenet6'", "networks: network must be one of .*, not 'lenet6'"),
        ("[[networks]]\nname = 'lenet5'\nlayers = ['conv9']", "networks: layer of network lenet5 must be one of"),
        ("[[networks]]\nname = 'lenet5'\nbatch = 0", "networks.batch must be at least 1, not 0"),
        ("[[networks]]\nlayers = ['conv1']", "networks must be tables of name and perhaps batch, layers and label"),
        ("objectives = ['speed']\n[[networks]]\nname = 'lenet5'", "objectives must be some of .*, not 'speed'"),
        ("objectives = []\n[[networks]]\nname = 'lenet5'", "objectives must be some of .*, not an empty list"),
    ],
)
def test_a_space_that_cannot_be_swept_is_refused(tmp_path, text, message):
    with pytest.raises(SweepError, match=message):
        load_space(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SweepError, match="the space must be a TOML file"):
        load_space(tmp_path / "none.toml")


def test_an_impossible_constraint_writes_nothing(tmp_path):
    space = small_space(constraints=(Constraint.parse("rows > 64"),))
    with pytest.raises(SweepError, match="constraints must leave at least one machine, rows > 64 leaves none"):
        sweep(space, tmp_path / "out", progress=False, jobs=1)
    assert not (tmp_path / "out").exists()


def test_machines_come_in_the_order_of_their_values():
    space = small_space(constraints=(Constraint.parse("rows * cols != 16"), Constraint.parse("pes < 24")))
    found = [tuple(candidate.values.values()) for candidate in space.candidates()]
    assert found == [(2, 4, 8), (2, 4, 32), (2, 6, 8), (2, 6, 32)]


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=25))
def test_the_front_is_what_nothing_dominates(values):
    def dominates(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    assert pareto_front(values) == [not any(dominates(other, own) for other in values) for own in values]
    front = {own for own, chosen in zip(values, pareto_front(values), strict=True) if chosen}
    assert all(own in front or any(dominates(best, own) for best in front) for own in values)


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


def test_the_table_has_a_line_per_machine(swept):
    result, folder = swept
    with (folder / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for row, point in zip(rows, result.points, strict=True):
        assert {field: int(row[field]) for field in result.space.fields} == dict(point.candidate.values)
        assert int(row["pes"]) == int(row["rows"]) * int(row["cols"])
        assert int(row["cycles"]) == int(row["conv.cycles"]) + int(row["fc.cycles"])
        assert int(row["energy"]) == sum(sum(cost.energy.values()) for cost in point.costs.values())
        assert (row["front"], row["verified"], row["skipped"]) == (str(int(point.front)), "", "")
    assert 0 < sum(int(row["front"]) for row in rows) < 8
    machines = json.loads((folder / "sweep.json").read_text())["machines"]
    assert [machine["costs"]["conv"]["cycles"] for machine in machines] == [int(row["conv.cycles"]) for row in rows]


def test_processes_change_nothing(swept, tmp_path):
    sweep(small_space(), tmp_path, progress=False, jobs=2)
    for name in ("sweep.csv", "sweep.json"):
        assert (tmp_path / name).read_bytes() == (swept[1] / name).read_bytes()


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
    with (tmp_path / "sweep.csv").open(newline="") as file:
        skipped = [row["skipped"] for row in csv.DictReader(file)]
    assert skipped[1] == "" and all(reason in skipped[0] for reason in narrow.reasons.values())
    assert result.summary().count("skipped ") == 3


def test_without_matplotlib_the_table_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = sweep(small_space(fields={}), tmp_path, progress=False, jobs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.csv", "sweep.json"]
    assert "install the extra plot" in result.summary()


def test_the_pictures_are_png_files(swept, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    sweep(small_space(fields={"rows": (2, 4)}), tmp_path, progress=False, jobs=1)
    assert (tmp_path / "sweep.png").read_bytes().startswith(PNG)
    layers = [{"name": name, "utilisation": part} for name, part in (("conv1", 0.5), ("fc", 0.25))]
    report = {"network": "n", "config": "tiny", "batch": 1, "layers": layers, "total": {"utilisation": 0.4}}
    utilisation_picture(report, tmp_path / "layers" / "utilisation.png")
    assert [path.name for path in (tmp_path / "layers").iterdir()] == ["utilisation.png"]
    assert (tmp_path / "layers" / "utilisation.png").read_bytes().startswith(PNG)


def test_the_line_of_the_front_falls():
    points = [PicturePoint(pes, cycles, 1.0) for pes, cycles in ((8, 50), (4, 90), (8, 40), (6, 95), (12, 40))]
    assert front_line(points) == [(4, 90), (8, 40)]


def test_a_machine_of_the_front_is_equal_on_rtl(tmp_path):
    result = sweep(small_space(fields={}), tmp_path, progress=False, verify=2, jobs=1)
    assert [point.verified for point in result.points] == ["conv, fc equal"] and result.verified
    assert "conv, fc equal" in (tmp_path / "sweep.csv").read_text()


def test_the_first_and_an_equidistant_machine_of_the_front_are_verified(tmp_path, monkeypatch):
    ran = []

    def run_tasks(config, tasks, *, work):
        ran.append(config.pes)
        return [SimpleNamespace(equal=True, cycles=predict(config, task.program.commands).cycles) for task in tasks]

    monkeypatch.setattr(sim.sweep, "run_tasks", run_tasks)
    result = sweep(small_space(), tmp_path, progress=False, verify=2, jobs=1)
    front = [point.value("pes") for point in result.front]
    assert ran == [front[0], front[len(front) // 2]] and result.verified


def different_cycles(config, tasks, *, work):
    return [SimpleNamespace(equal=True, cycles=1, differences=lambda: "") for _ in tasks]


def machine_error(config, tasks, *, work):
    raise MachineError("the machine stopped with error illegal_command")


@pytest.mark.parametrize(
    ("run_tasks", "message"),
    [(different_cycles, r"DIFFERS in conv: 1 cycles; \d+ cycles in the table"), (machine_error, "DIFFERS: .*stopped")],
)
def test_a_difference_on_rtl_fails_the_sweep(tmp_path, monkeypatch, run_tasks, message):
    monkeypatch.setattr(sim.sweep, "run_tasks", run_tasks)
    result = sweep(small_space(fields={}), tmp_path, progress=False, verify=1, jobs=1)
    assert not result.verified
    assert re.match(message, result.points[0].verified)


def test_verify_must_not_be_negative(tmp_path):
    with pytest.raises(SweepError, match="verify must be at least 0, not -1"):
        sweep(small_space(), tmp_path, progress=False, verify=-1)
