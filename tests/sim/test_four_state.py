"""Small cases under Icarus: four-state, so that what is used before it is written or reset shows."""

import shutil

import pytest

from compiler.networks import layer_input, network
from compiler.program import compile_layers
from hw.config import preset
from sim.run import layers_task, run_tasks
from tests.sim.layers import examples, network_cases, task

CONFIG = preset("tiny")

#: (enable, data) of every write into a bank, as paths from the top: both must be known while the enable is not zero.
BANK_WRITES = [
    ("psum_banks__tail_enable", "psum_banks__tail_address"),
    *((f"psum_banks__tail_enable[{c}]", f"psum_banks__tail_psums__{c}") for c in range(CONFIG.cols)),
    ("ifmap_buffer__write_enable", "ifmap_buffer__write_address"),
    *((f"ifmap_buffer__write_enable[{n}]", f"ifmap_buffer__write_data__{n}") for n in range(CONFIG.lanes)),
    ("filter_buffer__write_enable", "filter_buffer__write_data"),
    ("parameter_memory__write_enable", "parameter_memory__write_address"),
    ("parameter_memory__write_enable", "parameter_memory__write_data"),
]


@pytest.mark.icarus
def test_icarus_agrees_with_verilator(tmp_path):
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not on this machine: install the package iverilog")
    config, lenet5 = CONFIG, network("lenet5")
    convs = ["conv1", "conv2"]
    program = compile_layers(lenet5, convs, config)
    tasks = [layers_task(program, [layer_input(lenet5, name, 1) for name in convs])]
    tasks += [task(case, config) for case in examples(network_cases(most_layers=1), 8, seed=5)]
    icarus = run_tasks(config, tasks, work=tmp_path / "icarus", simulator="icarus", unknown_checks=BANK_WRITES)
    verilator = run_tasks(config, tasks, work=tmp_path / "verilator")
    for ours, theirs in zip(icarus, verilator, strict=True):
        assert ours.equal, ours.differences()
        assert ours.cycles == theirs.cycles
