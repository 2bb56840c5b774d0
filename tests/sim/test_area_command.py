"""Tests of ``eyas area``."""

import argparse
import dataclasses
import json

import pytest

from hw.config import ConfigError, preset
from sim.area import command, points
from sim.area.components import COMPONENTS
from sim.area.model import Area, area
from sim.area.points import POINTS, load_machines, load_points, refit
from sim.area.resources import NAMES, Resources
from sim.synth import CELLS, Usage


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(dest="command", required=True))
    return command.run(parser.parse_args(["area", *arguments]))


def numbers(line: str) -> list[int]:
    return [int(cell.replace(",", "")) for cell in line.split()[-len(NAMES) :]]


def test_table_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("small", "--set", "rows=8") == 0
    out = capsys.readouterr().out
    table, _, note = out.partition("\n\n")
    _, *lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert numbers(lines[-1]) == [sum(column) for column in zip(*map(numbers, lines[:-1]), strict=True)]
    assert numbers(lines[-1]) == list(dataclasses.astuple(area(preset("small").with_fields({"rows": 8})).total))
    assert "eyas synth CONFIG --place" in note


def test_measured_beside_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model = area(preset("tiny"))
    pe = dataclasses.replace(model.components["array.pe"], luts=2 * model.components["array.pe"].luts)
    measured = Area({**model.components, "array.pe": pe, "top": Resources(gates=model.components["top"].gates)})
    monkeypatch.setattr(command, "measured_area", lambda config: measured)
    assert run("tiny", "--synthesise") == 0
    lines = {
        line.split()[0]: line
        for line in capsys.readouterr().out.split("measured (model's error)")[1].splitlines()
        if line
    }
    assert f"{pe.luts:,} (-50.0 %)" in lines["array.pe"]
    assert f"0 (+{model.components['top'].luts})" in lines["top"]
    assert "%" not in lines["mac"], "no difference, no error"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "config must be one of tiny, small, eyeriss, or --refit must be given"),
        (["huge"], "config must be one of tiny, small, eyeriss, not 'huge'"),
        (["tiny", "--set", "rows"], "--set must be FIELD=VALUE, not 'rows'"),
        (["tiny", "--set", "rows=1"], "rows must be an integer from 2 to 64, not 1"),
    ],
)
def test_refusals(arguments: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(*arguments)
    assert str(caught.value) == sentence


def test_refit_measures_every_point_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With measurements that give what was measured before, the file stays as it is."""
    recorded = {(each.component.name, each.component.key(each.config)): each.resources for each in load_points()}
    wholes = {each.config: each.whole for each in load_machines()}

    def measure(component, config):
        return recorded.get((component.name, component.key(config)), Resources(luts=1))

    def synthesise(config):
        whole = wholes[config]
        cells = (whole.luts, 0, whole.ffs, whole.dsps, whole.brams, whole.lut_rams)
        return [Usage(0, "eyas", 1, dict(zip(CELLS, cells, strict=True)))]

    monkeypatch.setattr(points, "measure", measure)
    monkeypatch.setattr(points, "synthesise", synthesise)
    monkeypatch.setattr(points, "yosys_version", points.points_version)
    told = []
    text = refit(told.append)
    before = POINTS.read_text(encoding="utf-8")
    assert text.partition('"machines"')[0] == before.partition('"machines"')[0]
    assert len(told) == len(recorded) + len(wholes) + 2
    for machine, entry in zip(load_machines(), json.loads(text)["machines"], strict=True):
        parts = [dataclasses.astuple(measure(c, machine.config) * c.count(machine.config)) for c in COMPONENTS]
        assert list(entry["summed"].values()) == [sum(column) for column in zip(*parts, strict=True)]
    assert text.count('"whole": null') == before.count('"whole": null') == len(wholes) - 2
