"""The ``eyas`` command as a user meets it."""

import json
import math
import re

import pytest

from compiler.networks import NETWORKS
from hw import spec
from hw.config import PRESETS
from sim import cli

LAYER = "conv:C=3,M=4,H=6,W=6,R=3,S=3,pad=1"


def refusal(capsys, *arguments):
    """Run a command that must be refused; return the sentence."""
    assert cli.main(arguments) == cli.BAD_INPUT
    out, err = capsys.readouterr()
    assert not out and err.startswith("eyas: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "lenet6"], "network must be one of .*lenet5.*, not 'lenet6'"),
        (["run", "conv:C=3"], "M"),
        (["run", "lenet5", "--config", "huge"], "config must be one of tiny, small, eyeriss, not 'huge'"),
        (["run", "lenet5", "--set", "rows=1"], "rows must be an integer from 2 to 64, not 1"),
        (["run", "lenet5", "--set", "rows"], "--set must be FIELD=VALUE, not 'rows'"),
        (["run", "lenet5", "--set", "colour=3"], "config has no field 'colour'"),
        (["run", "lenet5", "--batch", "0"], "--batch must be at least 1, not 0"),
        (["run", "lenet5", "--batch", "4", "--images", "6"], "--images must be a multiple of --batch 4, not 6"),
        (["run", "lenet5", "--latency", "0"], "--latency must be at least 1, not 0"),
        (["run", "lenet5", "--layers", "conv9"], "layer of network lenet5 must be one of .*, not 'conv9'"),
        (["run", "maxpool:C=1,H=300,W=3,R=300,S=1"], "window height of layer .* must be at most 255"),
        (["describe", "huge"], "config must be one of"),
        (["verilog", "small", "--set", "lanes=12"], "lanes must be a power of two, not 12"),
        (["sweep", "no-such-file.toml"], "no-such-file.toml"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(sentence, refusal(capsys, *arguments))
    assert not list(tmp_path.iterdir()), "nothing half-written is left"


def test_missing_tools_are_named_before_anything_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "iverilog" in refusal(capsys, "run", LAYER, "--config", "tiny", "--simulator", "icarus")
    assert not list(tmp_path.iterdir())


def test_a_run_writes_the_report_that_other_tools_read(capsys, tmp_path):
    assert cli.main(["run", LAYER, "--config", "tiny", "--batch", "2", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["config"], report["batch"], report["simulator"]) == ("tiny", 2, "verilator")
    assert report["bit_exact"] is report["counters_equal"] is report["cycles_equal"] is True
    total, (layer,) = report["total"], report["layers"]
    assert total["macs"] == 2 * 6 * 6 * 4 * 3 * 3 * 3
    assert math.isclose(total["utilisation"], total["macs"] / (PRESETS["tiny"].pes * total["cycles"]))
    assert total["counters"] == total["predicted"] == layer["counters"]
    assert list(total["counters"]) == list(spec.COUNTER_NAMES)
    assert report["simulated_cycles_per_second"] > 0
    out = capsys.readouterr().out
    assert "output bytes equal, counters equal, cycles equal" in out and f"{total['cycles']:,}" in out


def test_layers_run_with_inputs_of_their_own(tmp_path):
    arguments = ["run", "lenet5", "--config", "tiny", "--layers", "conv2,fc3", "--out", str(tmp_path)]
    assert cli.main(arguments) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [layer["name"] for layer in report["layers"]] == ["conv2", "fc3"]
    assert report["bit_exact"] and "accuracy" not in report


def test_presets_are_listed_and_described(capsys):
    assert cli.main(["configs"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PRESETS)
    assert cli.main(["describe", "eyeriss"]) == 0
    out = capsys.readouterr().out
    assert "12 x 14 = 168" in out and "159.938 KiB" in out


def test_help_names_every_network():
    assert all(name in cli.parser().format_help() + _run_help() for name in NETWORKS)


def _run_help():
    actions = cli.parser()._subparsers._group_actions[0]
    return actions.choices["run"].format_help()
