"""LeNet-5 on `small`; the bars are those of the project's first issue, which cites what they are compared with."""

import pytest

from compiler.networks import digits, network, network_input
from compiler.program import compile_network
from hw.config import preset
from sim.report import make_report
from sim.run import network_task, run_tasks

BATCH = 15


def run(batch, count, work):
    config, lenet5 = preset("small"), network("lenet5")
    program = compile_network(lenet5, config, batch=batch)
    inputs = network_input(lenet5, count)
    tasks = [network_task(program, inputs[start : start + batch]) for start in range(0, count, batch)]
    outcomes = run_tasks(config, tasks, work=work)
    return make_report(config, outcomes, simulator="verilator", labels=digits()[1][:count])


def check(report):
    assert report["bit_exact"] and report["counters_equal"] and report["cycles_equal"]
    assert report["accuracy"] == report["golden_accuracy"]


def test_one_digit_takes_at_most_24000_cycles(tmp_path):
    report = run(1, 1, tmp_path)
    check(report)
    assert report["total"]["macs"] == 416_520
    assert report["total"]["cycles"] <= 24_000  # NNgen 1.3.4, same shapes, 100 multipliers: 38,721


def test_a_batch_keeps_the_array_busy(tmp_path):
    report = run(BATCH, BATCH, tmp_path)
    check(report)
    assert report["total"]["utilisation"] >= 0.80
    assert sum(layer["cycles"] for layer in report["layers"]) == report["total"]["cycles"]
    assert sum(layer["macs"] for layer in report["layers"]) == report["total"]["macs"]


@pytest.mark.long
def test_all_digits(tmp_path):
    report = run(BATCH, 450, tmp_path)
    check(report)
    assert report["accuracy"] >= 0.975
