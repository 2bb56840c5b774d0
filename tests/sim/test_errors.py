"""What stops the machine, what it says then, and that it goes on afterwards."""

import dataclasses

import pytest

from compiler.program import compile_network
from hw import spec
from hw.config import preset
from hw.eyas import Eyas
from sim.run import describe_error
from sim.simulator import Job, run_jobs
from sim.verilog import generate
from tests.sim.layers import INPUT, LayerCase, NetworkCase, build, task

CONFIG = preset("tiny")

#: A convolution, and an addition of its ifmap that drain takes over.
RESIDUAL = NetworkCase(
    input_shape=(6, 6, 8),
    zero_point=0,
    batch=1,
    seed=1,
    layers=(
        LayerCase(kind="conv", filters=8, window=(3, 3), padding=(1, 1, 1, 1)),
        LayerCase(kind="add", inputs=(0, INPUT), scaling=((1 << 30, 0), (1 << 30, 0), (1 << 30, -19))),
    ),
)


@pytest.fixture(scope="module")
def program():
    return compile_network(build(RESIDUAL), CONFIG)


@pytest.fixture(scope="module")
def good(program):
    inputs = task(RESIDUAL, CONFIG).inputs
    return Job(
        image=program.image(inputs),
        memory_bytes=program.memory_bytes,
        program_address=program.program_address,
        program_commands=len(program.commands),
        window_base=0,
        window_limit=program.memory_bytes,
        dump_base=0,
        dump_limit=program.memory_bytes,
        timeout_cycles=20_000,
        reset=False,
    )


def index_of(program, command):
    return next(index for index, (name, _) in enumerate(program.commands) if name == command)


def with_word(good, program, index, word):
    image = bytearray(good.image)
    start = program.program_address + spec.COMMAND_BYTES * index
    image[start : start + spec.COMMAND_BYTES] = word.to_bytes(spec.COMMAND_BYTES, "little")
    return dataclasses.replace(good, image=bytes(image))


def with_field(good, program, index, **fields):
    name, values = program.commands[index]
    return with_word(good, program, index, spec.COMMAND[name].encode({**values, **fields}))


def test_errors_are_named_and_the_next_program_runs(program, good, tmp_path):
    load, strip = index_of(program, "load.ifmap"), index_of(program, "drain.strip")
    residual, beyond = index_of(program, "drain.residual"), program.memory_bytes
    ifmap = with_field(good, program, load, dram_address=beyond)
    ofmap = with_field(good, program, strip, start_address=beyond, group_address=beyond)
    added = with_field(good, program, residual, address_offset=beyond)
    bad = [
        ("illegal_command", 5, with_word(good, program, 5, 0xFF)),
        ("address_window", load, ifmap),
        ("address_window", strip, ofmap),
        ("address_window", strip, added),
        ("read_response", load, dataclasses.replace(ifmap, window_limit=2 * beyond)),
        ("read_response", strip, dataclasses.replace(added, window_limit=2 * beyond)),
        ("write_response", strip, dataclasses.replace(ofmap, window_limit=2 * beyond)),
    ]
    jobs = [good]
    for _, _, job in bad:
        jobs += [job, good]
    first, *results = run_jobs(generate(Eyas(config=CONFIG)), jobs, work=tmp_path)
    assert first.done
    for (error, index, _), failed, after in zip(bad, results[::2], results[1::2], strict=True):
        assert not failed.done and not failed.timed_out
        assert failed.error_code == spec.ERROR_CODE[error]
        assert failed.error_command == index
        text = describe_error(program, failed)
        assert f"error {error} at command {index} ({program.commands[index][0]}) of layer " in text
        assert after.done and after.cycles == first.cycles and after.dump == first.dump
