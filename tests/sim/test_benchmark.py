"""The benchmark: steps on RTL that resume, bars that are missed and reported, and the page made from the results."""

from __future__ import annotations

import dataclasses
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import sim.benchmark.run as benchmark
from golden.eyeriss import ALEXNET, PUBLISHED, VGG16
from hw.config import ConfigError
from sim.benchmark.checks import checks, missed
from sim.benchmark.items import ITEMS, Item, steps_of
from sim.benchmark.pictures import draw
from sim.benchmark.report import document, summary
from sim.benchmark.results import ItemResult, Measured, collected, find, load_collected, lower_bound_bytes
from sim.benchmark.run import run_bench
from sim.build import SimulationError
from sim.files import write_text

DOCS = Path(__file__).parents[2] / "docs"
LAYER = Item(name="layer", title="a layer", network="conv:C=3,M=4,H=8,W=8,R=3,S=3", config="tiny")
LENET = Item(name="lenet", title="LeNet-5", network="lenet5", config="tiny", part="conv", split=True, per_layer=True)


class Runs:
    """Stands in for ``run_tasks`` and counts; raises at the run called ``broken``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broken: int | None = None) -> None:
        self.layers: list[str] = []
        self._broken = broken
        self._real = benchmark.run_tasks
        monkeypatch.setattr(benchmark, "run_tasks", self)

    def __call__(self, config, tasks, **options):
        if len(self.layers) == self._broken:
            raise SimulationError("stopped")
        self.layers += [layer.name for task in tasks for layer in task.program.layers]
        return self._real(config, tasks, **options)


@pytest.fixture(scope="module")
def results() -> list[ItemResult]:
    """The results in the repository."""
    return load_collected((DOCS / "performance.json").read_text(), ITEMS)


def changed(results: list[ItemResult], name: str, **step: object) -> list[ItemResult]:
    """Return results in which the first step of an item has other fields."""
    old = find(results, name)
    new = ItemResult(old.item, [{**old.steps[0], **step}, *old.steps[1:]])
    return [new if result is old else result for result in results]


def slower(results: list[ItemResult], name: str, factor: int, counter: str = "cycle.total") -> list[ItemResult]:
    """Return results in which the first layer of an item has ``factor`` times as much of a counter."""
    first, *rest = find(results, name).steps[0]["layers"]
    counters = {**first["counters"], counter: factor * first["counters"][counter]}
    return changed(results, name, layers=[{**first, "counters": counters}, *rest])


def test_a_finished_step_is_not_run_again_until_what_it_depends_on_changes(tmp_path, monkeypatch):
    runs = Runs(monkeypatch)
    assert run_bench(tmp_path, items=[LAYER]) == 0
    before = (tmp_path / "layer" / "whole.json").read_text()
    assert run_bench(tmp_path, items=[LAYER]) == 0
    assert len(runs.layers) == 1
    assert (tmp_path / "layer" / "whole.json").read_text() == before
    monkeypatch.setattr(benchmark, "LATENCY_CYCLES", 90)
    assert run_bench(tmp_path, items=[LAYER]) == 0
    assert len(runs.layers) == 2
    old, new = json.loads(before), json.loads((tmp_path / "layer" / "whole.json").read_text())
    assert new["key"] != old["key"]
    assert new["layers"][0]["counters"]["cycle.total"] > old["layers"][0]["counters"]["cycle.total"]
    bigger = dataclasses.replace(LAYER, batch=2)
    assert run_bench(tmp_path, items=[bigger]) == 0
    assert len(runs.layers) == 3


def test_an_interrupted_run_goes_on_at_the_next_layer(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as context:
        Runs(context, broken=1)
        with pytest.raises(SimulationError, match="stopped"):
            run_bench(tmp_path, items=[LENET])
    assert [path.name for path in (tmp_path / "lenet").glob("*.json")] == ["conv1.json"]
    runs = Runs(monkeypatch)
    assert run_bench(tmp_path, items=[LENET]) == 0
    assert runs.layers == ["conv2"]
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("step 2 of 2, lenet/conv2: ") and line.endswith(" min left") for line in lines)


def test_a_killed_write_leaves_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "layer" / "whole.json"

    def kill(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(os, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            write_text(path, "half")
    assert not list(path.parent.iterdir())
    path.with_name(f".{path.name}.writing").write_text("half")  # what a kill leaves that nobody can catch
    assert run_bench(tmp_path, items=[LAYER]) == 0
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == [path.name]


def test_a_missed_bar_is_reported_and_status_1(tmp_path, capsys):
    item = dataclasses.replace(LAYER, least_utilisation=0.99, most_dram_mb=1)
    assert run_bench(tmp_path, items=[item]) == 1
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.endswith("| **no** |")]
    assert line.startswith("| layer | utilisation | ") and "| >= 99% |" in line
    assert "1 of 3 bars missed" in out


def test_a_difference_is_reported_and_status_1(tmp_path, capsys, monkeypatch):
    real = benchmark.run_tasks

    def one_more(*arguments, **options):
        return [dataclasses.replace(outcome, cycles=outcome.cycles + 1) for outcome in real(*arguments, **options)]

    monkeypatch.setattr(benchmark, "run_tasks", one_more)
    assert run_bench(tmp_path, items=[LAYER]) == 1
    output = capsys.readouterr()
    assert "| layer | bytes, counters and cycles | differ | equal | **no** |" in output.out
    cycles = json.loads((tmp_path / "layer" / "whole.json").read_text())["layers"][0]["counters"]["cycle.total"]
    assert f"{cycles} cycles, predicted {cycles - 1}" in output.err


def test_the_model_alone_gives_what_rtl_gives(tmp_path):
    model = dataclasses.replace(LENET, rtl=False)
    assert run_bench(tmp_path / "rtl", items=[LENET]) == run_bench(tmp_path / "model", items=[model]) == 0
    for name in ("conv1.json", "conv2.json"):
        measured, predicted = (json.loads((tmp_path / kind / "lenet" / name).read_text()) for kind in ("rtl", "model"))
        assert measured["layers"] == predicted["layers"]
        assert measured["wall_seconds"] > predicted["wall_seconds"] == 0


def test_what_cannot_be_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match="item must be one of layer, lenet, not 'alexnet'"):
        run_bench(tmp_path, only=["alexnet"], items=[LAYER, LENET])
    with pytest.raises(ConfigError, match="the document needs every item, not only lenet"):
        run_bench(tmp_path, only=["lenet"], items=[LAYER, LENET], documents=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "shapes"), [("alexnet_b4", ALEXNET), ("vgg16_b3", VGG16)])
def test_the_layers_are_those_that_eyeriss_ran(results, name, shapes):
    result = find(results, name)
    assert {layer.name.upper(): layer.shape for layer in result.layers} == shapes
    total = PUBLISHED[result.item.network].total
    assert result.item.batch == total.batch
    assert result.total.macs == sum(step.macs for step in steps_of(result.item)) == total.macs


def test_no_traffic_is_below_its_bounds(results):
    for name in ("alexnet_b4", "vgg16_b1", "vgg16_b3"):
        result = find(results, name)
        for layer in result.layers:
            assert layer.once_bytes is not None
            assert layer.dram_bytes >= max(layer.once_bytes, lower_bound_bytes(result, layer)), layer.name
            assert layer.cycles >= max(layer.bounds.values()), layer.name


def test_what_binds_a_layer():
    counters = {"cycle.total": 120, "cycle.execute.busy": 70, "dram.ifmap.read_bytes": 793, "parameter.read": 99}
    layer = Measured("layer", 1, counters)
    assert layer.bounds == {"array": 70, "DRAM beats": 100, "lane reads": 0, "drain": 99}
    assert layer.binding == ("DRAM beats", 1.2)


def test_global_buffer_accesses_are_those_by_execute():
    counters = {"glb.ifmap.read": 1, "glb.filter.read": 10, "glb.psum.read": 100, "glb.psum.write": 1000}
    others = {"glb.ifmap.write": 7, "glb.filter.write": 7, "glb.psum.drain": 7}
    layer = Measured("layer", 1, {**counters, **others})
    assert (layer.glb_accesses, layer.glb_bytes) == (1111, 8 * 11 + 4 * 1100)


def test_the_page_is_what_the_results_say(results):
    assert [result.item for result in results] == list(ITEMS)
    assert (DOCS / "performance.md").read_text() == document(results), "stale: run make bench"
    assert load_collected(collected(results), ITEMS) == results


def test_the_page_says_what_is_missed_and_why(results):
    assert not missed(results)
    page = document(slower(results, "alexnet_b4", 3))
    (line,) = [line for line in page.splitlines() if line.endswith("| **no** |")]
    assert line.startswith("| alexnet_b4 | utilisation | ")
    assert "- `alexnet_b4`: " in page and "what binds it: array" in page
    page = document(changed(results, "resnet50", cycles_equal=False))
    assert "| resnet50 | bytes, counters and cycles | differ | equal | **no** |" in page


@pytest.mark.parametrize(
    ("name", "counter", "what"),
    [
        ("alexnet_b4", "dram.filter.read_bytes", "DRAM"),
        ("alexnet_b4", "glb.ifmap.read", "global-buffer accesses"),
        ("vgg16_b3", "dram.ofmap.write_bytes", "DRAM"),
    ],
)
def test_more_traffic_misses_its_bar(results, name, counter, what):
    assert [check.what for check in missed(slower(results, name, 20, counter))] == [what]


def test_each_depthwise_layer_has_a_bar(results):
    result = find(results, "mobilenet_v1")
    assert [layer.name for layer in result.depthwise] == [f"dw{number}" for number in range(1, 14)]
    layers = [
        {**layer, "counters": {**layer["counters"], "cycle.total": 2 * layer["counters"]["cycle.total"]}}
        if layer["name"] == "dw5"
        else layer
        for layer in result.steps[0]["layers"]
    ]
    assert [check.what for check in missed(changed(results, "mobilenet_v1", layers=layers))] == ["cycles of dw5"]


def test_the_terminal_shows_every_bar(results):
    text = summary(results)
    for check in (check for result in results for check in checks(result)):
        assert f"| {check.item.name} | {check.what} | {check.value} | {check.bar} | yes |" in text


def test_pictures_are_the_same_every_time_and_stand_alone(results, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    for folder in ("first", "second"):
        draw(results, tmp_path / folder)
    pictures = sorted((tmp_path / "first").iterdir())
    named = {f"performance_{name}.svg" for name in ("utilisation", "alexnet", "vgg16", "cycles")}
    assert {picture.name for picture in pictures} == named
    for picture in pictures:
        assert picture.read_bytes() == (tmp_path / "second" / picture.name).read_bytes()
        root = ET.parse(picture).getroot()
        assert not [name for node in root.iter() for name in node.attrib if name.endswith("href")]
        words = {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}
        assert words & {"Eyas", "busy"}
