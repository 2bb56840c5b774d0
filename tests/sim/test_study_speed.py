"""The comparison of speed, with stand-ins for the other tools."""

import json
import sys
from pathlib import Path

import pytest

from compiler.networks import network
from hw.config import preset
from sim.cli import main
from sim.study import speed
from sim.study.speed import Comparison, StudyError, compare, layers, rivals, table

ECHO = """
import json, sys
request = json.load(sys.stdin)
json.dump({"seconds": 3.0, "version": str(request["batch"])}, sys.stdout)
"""


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("nn_dataflow_driver.py", "zigzag_driver.py"):
        assert (speed.DRIVERS / name).is_file()
        (tmp_path / name).write_text(ECHO)
    monkeypatch.setattr(speed, "DRIVERS", tmp_path)
    monkeypatch.setattr(speed, "NETWORK", "lenet5")
    monkeypatch.setattr(speed, "MACHINES", [preset("small"), preset("tiny")])
    return tmp_path


def test_layers_are_alexnets():
    found = layers()
    assert [layer["name"] for layer in found] == [*(f"conv{n}" for n in range(1, 6)), "fc6", "fc7", "fc8"]
    macs = sum(
        layer["groups"] * layer["channels"] * layer["filters"] * layer["window"] ** 2 * layer["ofmap_rows"] ** 2
        for layer in found
    )
    assert macs == sum(layer.macs for layer in network("alexnet").layers)


def test_rivals_are_those_with_an_interpreter():
    assert rivals(None, None, 1) == []
    assert [rival.title for rival in rivals(Path("p"), Path("q"), 4)] == [
        "nn_dataflow, analytic solver",
        "nn_dataflow, exhaustive search",
        "ZigZag",
    ]
    assert {rival.request["batch"] for rival in rivals(Path("p"), Path("q"), 4)} == {4}


def test_compare_runs_each_rival_between_turns_of_eyas(standins):
    told = []
    found = compare(rivals(Path(sys.executable), Path(sys.executable), 2), 2, told.append)
    assert [(item.rival_seconds, item.version, item.batch) for item in found] == [(3.0, "2", 2)] * 3
    assert all(0 < item.eyas_seconds < 3 for item in found)
    assert len([text for text in told if text == "Eyas: 2 machines"]) == 4


def test_ratio_and_table():
    item = Comparison("somebody", "1.0", 16, rival_seconds=10.0, eyas_seconds=0.4)
    assert item.ratio == 25
    assert table([item]).splitlines()[1].split() == ["somebody", "(1.0)", "16", "10.00", "0.400", "25.0"]


def test_what_cannot_be_compared_is_said_in_one_sentence(standins, tmp_path, capsys):
    with pytest.raises(StudyError, match="must have a Python interpreter, .*nowhere is none"):
        compare(rivals(tmp_path / "nowhere", None, 1), 1, lambda _: None)
    (standins / "zigzag_driver.py").write_text("import sys; sys.exit('no mapping')")
    with pytest.raises(StudyError, match="^ZigZag has failed: no mapping$"):
        compare(rivals(None, Path(sys.executable), 1), 1, lambda _: None)
    assert main(["study", "speed"]) == 2
    assert "give --nn-dataflow or --zigzag" in capsys.readouterr().err
    assert main(["study", "speed", "--batch", "0"]) == 2
    assert "--batch must be at least 1, not 0" in capsys.readouterr().err


def test_requests_are_plain_json():
    for rival in rivals(Path("p"), Path("q"), 1):
        assert json.loads(json.dumps(rival.request)) == rival.request
