"""Small cases under Icarus: four-state, so that what is used before it is written or reset shows."""

import shutil

import pytest

from compiler.networks import layer_input, network
from compiler.program import compile_layers
from hw.config import preset
from sim.run import layers_task, run_tasks
from tests.sim.drawing import random_networks
from tests.sim.layers import INPUT, LayerCase, NetworkCase, task

CONFIG = preset("tiny")

#: Of an addition's inputs and of its sum.
SCALING = ((1 << 30, 0), (1 << 30, 0), (1 << 30, -19))

#: (enable, data) of every write into a bank, of residual requests, and of the beats that the adder takes, as paths from
#: the top: both must be known while the enable is not zero.
CHECKS = [
    ("psum_banks__tail_enable", "psum_banks__tail_address"),
    *((f"psum_banks__tail_enable[{c}]", f"psum_banks__tail_psums__{c}") for c in range(CONFIG.cols)),
    ("ifmap_buffer__write_enable", "ifmap_buffer__write_address"),
    *((f"ifmap_buffer__write_enable[{n}]", f"ifmap_buffer__write_data__{n}") for n in range(CONFIG.lanes)),
    ("filter_buffer__write_enable", "filter_buffer__write_data"),
    ("parameter_memory__write_enable", "parameter_memory__write_address"),
    ("parameter_memory__write_enable", "parameter_memory__write_data"),
    ("read_master__residual_request__valid", "read_master__residual_request__payload"),
    ("drain.compute.residual_add.beat_taken", "drain.compute.residual_add.fifo.r_data"),
]


#: Additions that drain takes over and one alone, on ofmaps of several blocks; a concatenation that is added.
RESIDUALS = [
    NetworkCase(
        input_shape=(5, 6, 10),
        zero_point=-3,
        batch=2,
        seed=1,
        layers=(
            LayerCase(kind="conv", filters=10, window=(3, 3), padding=(1, 1, 1, 1), zero_point=-3, seed=2),
            LayerCase(kind="add", inputs=(0, INPUT), scaling=SCALING, zero_point=9, minimum=-90, maximum=100),
            LayerCase(kind="max", window=(3, 3), padding=(1, 1, 1, 1)),
            LayerCase(kind="add", inputs=(1, 2), scaling=SCALING, zero_point=4),
        ),
    ),
    NetworkCase(
        input_shape=(6, 3, 3),
        zero_point=5,
        batch=1,
        seed=2,
        layers=(
            LayerCase(kind="conv", filters=8, zero_point=5, seed=1),
            LayerCase(kind="conv", inputs=(INPUT,), filters=4, zero_point=5, seed=2),
            LayerCase(kind="concat", inputs=(0, 1)),
            LayerCase(kind="conv", filters=12, groups=2, seed=3),
            LayerCase(kind="add", inputs=(2, 3), scaling=SCALING, zero_point=-20),
        ),
    ),
]


@pytest.mark.icarus
def test_icarus_agrees_with_verilator(tmp_path):
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not on this machine: install the package iverilog")
    config, lenet5 = CONFIG, network("lenet5")
    convs = ["conv1", "conv2"]
    program = compile_layers(lenet5, convs, config)
    tasks = [layers_task(program, [layer_input(lenet5, name, 1) for name in convs])]
    tasks += [task(case, config) for case in [*random_networks(4, seed=5, most_steps=1), *RESIDUALS]]
    icarus = run_tasks(config, tasks, work=tmp_path / "icarus", simulator="icarus", unknown_checks=CHECKS)
    verilator = run_tasks(config, tasks, work=tmp_path / "verilator")
    for ours, theirs in zip(icarus, verilator, strict=True):
        assert ours.equal, ours.differences()
        assert ours.cycles == theirs.cycles
