import math
import re

import pytest

from golden.energy import EYERISS, LEVELS, EnergyError, energy, load_table, words
from hw import spec
from hw.config import preset

#: Chen, Emer, Sze, ISCA 2016, Table IV: energy of one word, normalised to a MAC.
ISCA_2016_TABLE_IV = {"mac": 1, "rf": 1, "array": 2, "glb": 6, "dram": 200}

#: Horowitz, ISSCC 2014, Figure 1.1.9, in pJ: arithmetic, and memories by size in KB, per 64 bits.
ISSCC_2014_MULTIPLY_8, ISSCC_2014_ADD_32 = 0.2, 0.1
ISSCC_2014_CACHE = {8: 10, 32: 20, 1024: 100}
ISSCC_2014_DRAM = (1300, 2600)

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
NOTHING = dict.fromkeys(spec.COUNTER_NAMES, 0)
#: A whole table, for the tests to spoil.
TABLE = """\
unit = "pJ"
source = "made up"
word_bits = 8
[costs]
mac = 2
rf = 3
array = 5
glb = 7
dram = 11
"""


def test_the_default_table_is_the_published_one():
    assert EYERISS.costs == ISCA_2016_TABLE_IV
    assert load_table("eyeriss") == EYERISS


def test_pj45_follows_from_its_source():
    """As the file says: what is interpolated, what extrapolated, what borrowed; rounded to two or three figures."""
    table = load_table("pj45")
    slope = math.log(ISSCC_2014_CACHE[1024] / ISSCC_2014_CACHE[32]) / math.log(1024 / 32)
    buffer = ISSCC_2014_CACHE[32] * (128 / 32) ** slope / 8
    rf = ISSCC_2014_CACHE[8] * math.sqrt(0.5 / 8) / 8
    expected = {
        "mac": ISSCC_2014_MULTIPLY_8 + ISSCC_2014_ADD_32,
        "rf": round(rf, 2),
        "array": 2 * round(rf, 2),
        "glb": round(buffer, 1),
        "dram": round(sum(ISSCC_2014_DRAM) / 2 / 8),
    }
    assert table.costs == pytest.approx(expected, rel=1e-12)
    assert (table.unit, table.word_bits) == ("pJ", 8)


@pytest.mark.parametrize("name", spec.COUNTER_NAMES)
def test_one_count_costs_what_its_operands_cost(name):
    spent = energy(NOTHING | {name: 1}, preset("small"))
    assert spent == dict.fromkeys(LEVELS, 0) | ONE_COUNT.get(name, {})
    assert all(type(value) is int for value in spent.values())


def test_wider_activations_are_fewer_words():
    """At int16 a bus word holds 4 activations and a DRAM word has 2 bytes; weights stay at 8 bits."""
    config = preset("small").with_fields({"activation_bits": 16})
    counters = NOTHING | {
        "glb.ifmap.read": 10,
        "glb.filter.read": 10,
        "dram.ifmap.read_bytes": 80,
        "dram.filter.read_bytes": 80,
    }
    assert words(counters, config) == {"mac": 0, "rf": 0, "array": 0, "glb": 40 + 80, "dram": 40 + 80}


def test_with_word_bits_an_operand_costs_by_its_width(tmp_path):
    """A psum has 32 bits, four words of 8; activations of 16 bits are two; a MAC is one whatever the width."""
    (tmp_path / "own.toml").write_text(TABLE)
    config = preset("small").with_fields({"activation_bits": 16})
    counters = NOTHING | {"mac.done": 1, "pe.psum.read": 1, "pe.ifmap.read": 1, "pe.filter.read": 1}
    counters |= {"array.psum.hop": 1, "glb.ifmap.read": 1, "glb.psum.read": 1, "dram.ofmap.write_bytes": 6}
    assert energy(counters, config, load_table(tmp_path / "own.toml")) == {
        "mac": 2,
        "rf": 3 * (4 + 2 + 1),
        "array": 5 * 4,
        "glb": 7 * (8 + 4),
        "dram": 11 * 6,
    }


def test_a_table_is_called_by_its_files_name(tmp_path):
    (tmp_path / "own.toml").write_text(TABLE)
    table = load_table(str(tmp_path / "own.toml"))
    assert (table.name, table.unit, table.source) == ("own", "pJ", "made up")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mac = 2\n", "", "costs.mac is missing"),
        ("glb = 7", "glb = -7", "costs.glb must be a number that is not negative, not -7"),
        ("glb = 7", "glb = nan", "costs.glb must be a number that is not negative, not nan"),
        ("rf = 3", 'rf = "3"', "costs.rf must be a number that is not negative, not '3'"),
        ("rf = 3", "rf = true", "costs.rf must be a number that is not negative, not True"),
        ("dram = 11", "dram = 11\nsram = 1", "costs.sram is unknown; levels are mac, rf, array, glb, dram"),
        ('unit = "pJ"', 'units = "pJ"', "units is unknown; keys are unit, source, word_bits, costs"),
        ('unit = "pJ"\n', "", "unit is missing"),
        ("word_bits = 8", "word_bits = 0", "word_bits must be at least 1, not 0"),
        ("word_bits = 8", "word_bits = 8.5", "word_bits must be an integer, not 8.5"),
        ("[costs]", "[cost]", "cost is unknown; keys are unit, source, word_bits, costs"),
        ("mac = 2", "mac =", "is not TOML: "),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence(tmp_path, old, new, message):
    path = tmp_path / "own.toml"
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(EnergyError, match=re.escape(message)) as caught:
        load_table(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_is_named():
    with pytest.raises(EnergyError, match=re.escape("must be eyeriss, pj45 or a TOML file, not 'eyerris'")):
        load_table("eyerris")
