"""The page of a sweep without a browser: what it says, that it is whole, and the same for the same store."""

import argparse
import json
import re
import sys
from types import SimpleNamespace

import pytest

from compiler.program import compile_layers, compile_network
from hw.config import preset
from sim.area.resources import Resources
from sim.page import command, write_page
from sim.page.array import first_pass, step_layers
from sim.page.data import page_data
from sim.page.details import DETAILED, REASONS, detailed_points
from sim.page.html import page
from sim.page.pictures import draw, lower_left
from sim.sweep.costs import cached_network
from sim.sweep.errors import SweepError
from sim.sweep.space import Workload
from sim.sweep.store import read
from tests.sim.page_store import MARKUP, page_space, write_store

PICTURES, KINDS = ("pareto", "energy", "utilisation", "roofline"), ("svg", "png")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("sweep"), page_space())


@pytest.fixture(scope="module")
def written(store, tmp_path_factory):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    return write_page(store, tmp_path_factory.mktemp("report"))


def embedded(text):
    """Return the object that the script draws."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


# The last four: a grouped convolution (two works), depthwise, a pool, and more channels than rows.
@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize(
    ("network", "batch"),
    [
        ("lenet5", 2),
        ("resnet8", 1),
        ("conv:C=8,M=12,H=9,W=9,R=3,S=3,pad=1,groups=2", 2),
        ("conv:C=12,M=12,H=9,W=9,R=3,S=3,pad=1,groups=12,stride=2", 1),
        ("avgpool:C=9,H=8,W=8,R=3,S=3,stride=2", 1),
        ("conv:C=40,M=30,H=6,W=7,R=1,S=1", 1),
    ],
)
def test_the_first_pass_is_that_of_the_program(network, batch, config):
    config = preset(config)
    workload = Workload("", network, batch)
    program = compile_network(cached_network(network), config, batch=batch)
    layers = step_layers(workload)
    assert len(layers) == len(program.layers)
    for index, (layer, compiled) in enumerate(zip(layers, program.layers, strict=True)):
        facts = first_pass(layer, compiled.mappings, config, batch=batch)
        first = first_commands(program, index)
        execute, common, strip = first["execute.pass"], first["execute.layer"], first["drain.layer"]
        for name in ("slots", "active_rows", "last_rows", "strip_columns"):
            assert facts[name] == execute[name], name
        assert facts["taps"] == common["filter_columns"]
        assert (facts["p"], facts["depthwise"]) == (common["filters"], common["depthwise"])
        assert facts["columns"] == execute["columns"]
        assert [facts[name] for name in ("rows", "images", "psums")] == [strip[n] for n in ("rows", "images", "psums")]
        assert facts["pair"] == 0 and facts["stride"][0] == common["stride_rows"]
        groups = {column // (facts["images"] * facts["rows"]) for column in range(facts["strip_columns"])}
        assert len(groups) == (1 if facts["depthwise"] else execute["groups"])


def first_commands(program, layer):
    """Return the fields of the first command of each kind of a layer."""
    found = {}
    for (name, fields), of in zip(program.commands, program.command_layers, strict=True):
        if of == layer:
            found.setdefault(name, fields)
    return found


def test_layers_by_name_are_the_layers_that_are_drawn():
    workload = Workload("", "alexnet", 1, ("conv2", "fc8"))
    program = compile_layers(cached_network("alexnet"), workload.layers, preset("eyeriss"))
    assert [layer.name for layer in step_layers(workload)] == [layer.name for layer in program.layers]


def test_figures_are_the_stores(store):
    data = read(store)
    content = page_data(data)
    points = [point for point in data.points if point.complete]
    assert len(points) == len(data.points) - 1 == len(content["machines"])
    keys = [objective["key"] for objective in content["objectives"]]
    assert [keys[index] for index in content["front"]] == list(data.space.objectives)
    for point, machine in zip(points, content["machines"], strict=True):
        assert machine["figures"] == [point.value(key) for key in keys]
        assert (machine["id"], machine["front"], machine["verified"]) == (
            point.candidate.id, point.front, point.verified,
        )  # fmt: skip
        for workload, (macs, cycles, dram, energy, reasons) in zip(data.space.workloads, machine["costs"], strict=True):
            cost = point.costs[workload.name]
            assert (macs, cycles, dram, sum(energy)) == (
                cost.macs, cost.cycles, cost.dram_bytes, point.energies[workload.name],
            )  # fmt: skip
            assert reasons == [cost.counters[f"cycle.execute.{reason}"] for reason in REASONS]


def test_layers_sum_to_their_workload(store):
    content = page_data(read(store))
    assert content["details"]
    for index, details in content["details"].items():
        machine = content["machines"][int(index)]
        for whole, layers in zip(machine["costs"], details["layers"], strict=True):
            costs = [layer["cost"] for layer in layers]
            assert [sum(cost[k] for cost in costs) for k in (0, 2)] == [whole[0], whole[2]]
            for part in (3, 4):
                assert [sum(values) for values in zip(*(cost[part] for cost in costs), strict=True)] == whole[part]


def test_details_are_of_the_best_the_verified_and_no_more_than_few(store):
    data = read(store)
    assert len(data.front) > DETAILED
    for count in (4, DETAILED, 100):
        chosen = detailed_points(data, count)
        assert len(chosen) == min(count, len(data.front)) == len({id(point) for point in chosen})
        for name in data.space.objectives:
            assert min(point.value(name) for point in chosen) == min(point.value(name) for point in data.front)
        assert {id(point) for point in data.front if point.verified} <= {id(point) for point in chosen}
    assert len(page_data(data)["details"]) == DETAILED


def test_area_by_component_is_shown_where_it_is_known(store, tmp_path):
    data = read(store)
    parts = {"pe": Resources(gates=7, luts=3), "drain": Resources(gates=5)}
    for point in data.points:
        point.area = SimpleNamespace(components=parts, total=parts["pe"] + parts["drain"])
    content = page_data(data)
    gates = [resource["key"] for resource in content["resources"]].index("gates")
    details = next(iter(content["details"].values()))
    assert {name: counts[gates] for name, counts in details["area"].items()} == {"pe": 7, "drain": 5}
    assert "gates" in [objective["key"] for objective in content["objectives"]]
    for point in data.points:
        point.area = None
    content = page_data(data)
    assert {details["area"] for details in content["details"].values()} == {None}
    assert "gates" not in [objective["key"] for objective in content["objectives"]]
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    assert [path.name for path in draw(content, tmp_path)] == [f"{name}.{kind}" for name in PICTURES for kind in KINDS]


def test_one_workload_has_its_figures_once(tmp_path):
    space = page_space(workloads=(Workload("fc", "fc:C=50,M=10"),), fields={"rows": (2, 3)})
    content = page_data(read(write_store(tmp_path, space, broken=0)))
    assert not [objective for objective in content["objectives"] if "." in objective["key"]]
    assert content["fields"] == ["rows"]


def test_the_same_store_gives_the_same_files(store, written, tmp_path):
    again = write_page(store, tmp_path)
    assert [path.name for path in again] == [path.name for path in written]
    pictures = [f"{name}.{kind}" for name in (*PICTURES, "area") for kind in KINDS]
    assert [path.name for path in written] == ["report.html", *pictures]
    for first, second in zip(written, again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in again)


def test_the_page_fetches_nothing_and_names_no_path(store, written):
    text = written[0].read_text()
    assert len(text) < 1 << 20
    assert not re.search(r"\bsrc=|\bhref=|@import|url\(|fetch\(|XMLHttpRequest", text)
    assert "default-src 'none'" in text and set(re.findall(r"https?://[^\"' ]+", text)) == {
        "http://www.w3.org/2000/svg"
    }
    assert str(store.parent) not in text and "/tmp/" not in text


def test_names_are_text(written):
    text = written[0].read_text()
    assert "<b>" not in text and text.count("</script>") == 2
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert not set("<>&") & set(data)
    assert embedded(text)["workloads"][0]["name"] == MARKUP
    assert "layer &lt;/script&gt;&lt;b&gt;&amp;amp; must fit" in text


def test_what_was_skipped_is_listed(store):
    data = read(store)
    text = page(data, page_data(data))
    assert "1 of 20 machines have no cost of every network" in text
    assert data.points[0].candidate.name in text


def test_lower_left_is_what_nothing_beats():
    places = [(4, 1), (1, 9), (2, 5), (2, 4), (3, 4), (9, 1), (1, 9)]
    assert lower_left(places) == [(1, 9), (2, 4), (4, 1)]


def test_pictures_are_left_out_without_matplotlib(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert command.run(argparse.Namespace(database=store, out=tmp_path)) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"wrote {tmp_path / 'report.html'}"
    assert "eyas[plot]" in said and [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_command_writes_beside_the_store(store, monkeypatch, capsys):
    root = argparse.ArgumentParser()
    command.add_parser(root.add_subparsers())
    options = root.parse_args(["report", str(store)])
    monkeypatch.setattr(command, "write_page", lambda database, out: [database, out])
    assert command.run(options) == 0
    assert capsys.readouterr().out == f"wrote {store}\nwrote {store.parent / 'report'}\n"


def test_what_cannot_be_reported_is_said(store, tmp_path):
    with pytest.raises(SweepError, match="must be a file"):
        write_page(tmp_path / "none.db", tmp_path)
    empty = write_store(tmp_path / "empty", page_space(fields={"rows": (2,)}))
    with pytest.raises(SweepError, match="must have a machine with a cost of every network to report, it has none"):
        write_page(empty, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SweepError, match="out must be a folder that can be written, not .*file"):
        write_page(store, tmp_path / "file")
