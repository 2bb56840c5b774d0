"""Vectorised command words and checks against those of a single command."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.emitter import Emitter
from compiler.encoding import check, encode
from compiler.networks import network
from compiler.program import compile_network
from hw import spec
from hw.config import preset


def values(command, draw):
    """Return fields of a command, each drawn from its least and greatest value."""
    return {field.name: draw(field.minimum, field.maximum) for field in command.fields}


@st.composite
def programs(draw):
    """Any commands in any order; extreme values are what Hypothesis prefers."""
    names = draw(st.lists(st.sampled_from(sorted(spec.COMMAND)), max_size=12))
    return [(name, values(spec.COMMAND[name], lambda *bounds: draw(st.integers(*bounds)))) for name in names]


@given(programs())
def test_words_are_those_of_the_commands(program):
    words = [spec.COMMAND[name].encode(fields).to_bytes(spec.COMMAND_BYTES, "little") for name, fields in program]
    check(program)
    assert encode(program) == b"".join(words)


FIELDS = [(command.name, field.name) for command in spec.COMMANDS for field in command.fields]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_each_field_is_checked_at_both_ends(name, field):
    command = spec.COMMAND[name]
    bounds = next((each.minimum, each.maximum) for each in command.fields if each.name == field)
    good = values(command, lambda low, _: low)
    for bound in bounds:
        check([(name, good), (name, good | {field: bound})])
    for beyond in (bounds[0] - 1, bounds[1] + 1, -(1 << 70), 1 << 70):
        with pytest.raises(spec.SpecError) as refusal:
            check([(name, good), (name, good | {field: beyond}), (name, good)])
        assert str(refusal.value) == f"{name}.{field} must be from {bounds[0]} to {bounds[1]}, not {beyond}"


def test_the_first_command_that_does_not_fit_is_named():
    good = {name: values(command, lambda low, _: low) for name, command in spec.COMMAND.items()}
    program = [
        ("mark", good["mark"]),
        ("load.filter", good["load.filter"] | {"words": 256}),
        ("execute.pass", good["execute.pass"] | {"slots": 64}),
        ("mark", good["mark"] | {"last": 2}),
    ]
    for expected in ("load.filter.words", "execute.pass.slots", "mark.last"):
        with pytest.raises(spec.SpecError, match=f"^{expected} must be "):
            check(program)
        del program[1]


def test_missing_and_unknown_fields_are_refused():
    good = {"dram_address": 0, "last": 0}
    with pytest.raises(spec.SpecError, match="^command mark needs field 'last'$"):
        check([("mark", good), ("mark", {"dram_address": 0})])
    with pytest.raises(spec.SpecError, match="^command mark has no field 'first'$"):
        check([("mark", good), ("mark", good | {"first": 1})])


def test_the_order_of_fields_does_not_matter():
    fields = {"dram_address": 512, "last": 1}
    assert encode([("mark", fields)]) == encode([("mark", dict(reversed(fields.items())))])


def test_a_mark_checks_the_commands_before_it_and_no_others():
    emitter = Emitter(config=preset("tiny"))
    fields = {"wait_parameter_free": 0, "dram_address": 0, "channels": 1, "entry": 0}
    emitter.emit("load.parameter", fields)
    emitter.mark(512, last=False)
    emitter.emit("load.parameter", fields | {"wait_parameter_free": 16})
    with pytest.raises(spec.SpecError, match=r"^load\.parameter\.wait_parameter_free must be from 0 to 15, not 16$"):
        emitter.mark(1024, last=True)
    assert emitter.command_layers == (0, 0, 1, 1)


def test_a_network_beyond_the_commands_is_refused():
    """A column of 2**17 pixels is one byte longer than 20 bits can say."""
    message = r"^load\.ifmap\.column_stride must be from 0 to 1048575, not 1048576$"
    with pytest.raises(spec.SpecError, match=message):
        compile_network(network(f"conv:C=8,M=1,H={1 << 17},W=1,R=1,S=1"), preset("eyeriss"))


def test_the_machine_finds_the_commands_in_memory():
    net = network("lenet5")
    program = compile_network(net, preset("tiny"))
    image = program.image([np.zeros((1, *net.input_shape), np.int8)])
    for index, (name, fields) in enumerate(program.commands):
        start = program.program_address + index * spec.COMMAND_BYTES
        word = int.from_bytes(image[start : start + spec.COMMAND_BYTES], "little")
        command = spec.BY_OPCODE[word & 0xFF]
        assert (command.name, command.decode(word)) == (name, fields)
