"""What stops the machine, what it says then, and that it goes on afterwards."""

import dataclasses

import pytest

from compiler.networks import network, network_input
from compiler.program import compile_network
from hw import spec
from hw.config import preset
from hw.eyas import Eyas
from sim.run import describe_error, network_task
from sim.simulator import Job, run_jobs
from sim.verilog import generate

CONFIG = preset("tiny")
LAYERS = "conv:C=3,M=4,H=6,W=6,R=3,S=3,pad=1"


@pytest.fixture(scope="module")
def program():
    return compile_network(network(LAYERS), CONFIG)


@pytest.fixture(scope="module")
def good(program):
    task = network_task(program, network_input(program.network, 1))
    return Job(
        image=program.image(task.inputs),
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
    beyond = program.memory_bytes
    bad = {
        ("illegal_command", 5): with_word(good, program, 5, 0xFF),
        ("address_window", load): with_field(good, program, load, dram_address=beyond),
        ("address_window", strip): with_field(good, program, strip, start_address=beyond, group_address=beyond),
        ("read_response", load): dataclasses.replace(
            with_field(good, program, load, dram_address=beyond), window_limit=2 * beyond
        ),
        ("write_response", strip): dataclasses.replace(
            with_field(good, program, strip, start_address=beyond, group_address=beyond), window_limit=2 * beyond
        ),
    }
    jobs = [good]
    for job in bad.values():
        jobs += [job, good]
    first, *results = run_jobs(generate(Eyas(config=CONFIG)), jobs, work=tmp_path)
    assert first.done
    for ((error, index), _), failed, after in zip(bad.items(), results[::2], results[1::2], strict=True):
        assert not failed.done and not failed.timed_out
        assert failed.error_code == spec.ERROR_CODE[error]
        assert failed.error_command == index
        text = describe_error(program, failed)
        assert f"error {error} at command {index} ({program.commands[index][0]}) of layer " in text
        assert after.done and after.cycles == first.cycles and after.dump == first.dump
