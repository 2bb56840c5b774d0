import pytest

from golden.energy import COSTS, energy, words
from hw import spec
from hw.config import preset

#: Chen, Emer, Sze, ISCA 2016, Table IV: energy of one word, normalised to a MAC.
ISCA_2016_TABLE_IV = {"mac": 1, "rf": 1, "array": 2, "glb": 6, "dram": 200}

#: What one count of each counter costs at int8 on a 64-bit bus, where a bus or bank word is 8 operands.
ONE_COUNT = {
    "mac.done": {"mac": 1},
    "pool.done": {"mac": 1},
    "pe.filter.read": {"rf": 1},
    "pe.ifmap.read": {"rf": 1},
    "pe.psum.read": {"rf": 1},
    "pe.psum.write": {"rf": 1},
    "pe.ifmap.write": {"rf": 1, "array": 2},
    "pe.filter.write": {"rf": 8, "array": 16},
    "array.psum.hop": {"array": 2},
    "glb.ifmap.read": {"glb": 48},
    "glb.ifmap.write": {"glb": 48},
    "glb.filter.read": {"glb": 48},
    "glb.filter.write": {"glb": 48},
    "glb.psum.read": {"glb": 6},
    "glb.psum.write": {"glb": 6},
    "glb.psum.drain": {"glb": 6},
    "dram.ifmap.read_bytes": {"dram": 200},
    "dram.filter.read_bytes": {"dram": 200},
    "dram.parameter.read_bytes": {"dram": 200},
    "dram.command.read_bytes": {"dram": 200},
    "dram.residual.read_bytes": {"dram": 200},
    "dram.ofmap.write_bytes": {"dram": 200},
    "dram.mark.write_bytes": {"dram": 200},
}


def test_the_table_is_the_published_one():
    assert ISCA_2016_TABLE_IV == COSTS


@pytest.mark.parametrize("name", spec.COUNTER_NAMES)
def test_one_count_costs_what_its_operands_cost(name):
    counters = dict.fromkeys(spec.COUNTER_NAMES, 0) | {name: 1}
    assert energy(counters, preset("small")) == dict.fromkeys(COSTS, 0) | ONE_COUNT.get(name, {})


def test_wider_activations_are_fewer_words():
    """At int16 a bus word holds 4 activations and a DRAM word has 2 bytes; weights stay at 8 bits."""
    config = preset("small").with_fields({"activation_bits": 16})
    counters = dict.fromkeys(spec.COUNTER_NAMES, 0) | {
        "glb.ifmap.read": 10,
        "glb.filter.read": 10,
        "dram.ifmap.read_bytes": 80,
        "dram.filter.read_bytes": 80,
    }
    assert words(counters, config) == {"mac": 0, "rf": 0, "array": 0, "glb": 40 + 80, "dram": 40 + 80}
