"""Spaces: what a file may say, which machines belong to it, and which of them a search takes."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from hw.config import preset
from sim.sweep.constraint import FIELDS, Constraint
from sim.sweep.space import Search, Space, SweepError, Workload, load_space
from sim.sweep.space_file import from_json, space_hash, to_json
from tests.sim.sweeping import CONV, small_space, write_space

SPACES = Path(sim.__file__).parent / "spaces"
NETWORK = "\n[[networks]]\nname = 'lenet5'"


def test_the_default_space_is_what_make_sweep_promises():
    space = load_space(SPACES / "default.toml")
    candidates = space.candidates()
    assert len(candidates) >= 48 and all(candidate.config is not None for candidate in candidates)
    assert {"rows", "cols"} < set(space.fields)
    assert any(field.endswith("spad_words") for field in space.fields)
    assert len({candidate.config.global_buffer_bytes for candidate in candidates}) > 1
    convs = tuple(f"conv{number}" for number in range(1, 6))
    assert [(item.network, item.layers, item.batch) for item in space.workloads] == [
        ("lenet5", (), 1),
        ("alexnet", convs, 1),
    ]


def test_the_space_of_a_thousand_machines_has_so_many():
    """Issue 4: 1,000 configurations x AlexNet, ResNet-50 and MobileNetV1."""
    space = load_space(SPACES / "thousand.toml")
    candidates = space.candidates()
    assert len(candidates) == 1000 and all(candidate.config is not None for candidate in candidates)
    assert [(item.network, item.layers) for item in space.workloads] == [
        ("alexnet", ()),
        ("resnet50", ()),
        ("mobilenet_v1", ()),
    ]
    pes = sorted(candidate.config.pes for candidate in candidates)
    assert pes[0] < preset("eyeriss").pes < pes[-1]


def test_constraints_are_arithmetic_of_fields_and_derived_values():
    constraint = Constraint.parse("rows * cols <= 12 and not global_buffer_bytes // 2 == 5")
    assert constraint.holds({"rows": 3, "cols": 4, "global_buffer_bytes": 4})
    assert not constraint.holds({"rows": 3, "cols": 5, "global_buffer_bytes": 4})
    assert not constraint.holds({"rows": 3, "cols": 4, "global_buffer_bytes": 11})


@pytest.mark.parametrize("text", ["", "rows <", "__import__('os')", "rows.real < 5", "rows ** 9 < 5", "rows < 1.5", 3])
def test_other_constraints_are_refused(text):
    with pytest.raises(SweepError, match="constraints must be integer arithmetic and comparisons"):
        Constraint.parse(text)


def test_a_constraint_on_an_unknown_name_is_refused():
    with pytest.raises(SweepError, match="constraint 'lines < 4' must use rows, cols, .*, not 'lines'"):
        Constraint.parse("lines < 4")


def test_a_constraint_that_divides_by_zero_is_refused():
    with pytest.raises(SweepError, match=r"constraint 'rows // \(cols - cols\) < 4' must not divide by zero"):
        small_space(constraints=(Constraint.parse("rows // (cols - cols) < 4"),)).candidates()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base = 'huge'", "base: config must be one of tiny, small, eyeriss, not 'huge'"),
        ("base = 3", "base must be a text, not 3"),
        ("color = 1", "keys of .* must be some of base, fields, .*, not 'color'"),
        ("rows =", "the space must be a TOML file"),
        ("fields = 3", "fields must be a table, not 3"),
        ("[fields]\nrows = 4", "fields.rows must be a list of different values or a range .*, not 4"),
        ("[fields]\nlines = [4]" + NETWORK, "fields must be some of rows, .*, not 'lines'"),
        ("[fields]\nname = ['a']" + NETWORK, "fields must be some of rows, .*, not 'name'"),
        ("[fields]\nrows = []" + NETWORK, r"fields.rows must be a list of different values, not \[\]"),
        ("[fields]\nrows = [4, 4]" + NETWORK, r"fields.rows must be a list of different values, not \[4, 4\]"),
        ("[fields]\nrows = [4, '6']" + NETWORK, "values of fields.rows must be integers, not '6'"),
        ("[fields]\nrows = [4, [6]]" + NETWORK, r"values of fields.rows must be integers, not \[6\]"),
        ("[fields]\nrows = [true]" + NETWORK, "values of fields.rows must be integers, not True"),
        ("[fields]\ncounters = [1]" + NETWORK, "values of fields.counters must be true and false, not 1"),
        ("[fields]\nrows = {from = 4}", "fields.rows.to must be an integer, not None"),
        ("[fields]\nrows = {from = 4, to = 6.5}", "fields.rows.to must be an integer, not 6.5"),
        ("[fields]\nrows = {from = 4, to = 6, by = 2}", "keys of fields.rows must be some of from, to, .*, not 'by'"),
        ("[fields]\nrows = {from = 6, to = 4}", "fields.rows must go from a value .*, not from 6 to 4"),
        ("[fields]\nrows = {from = 4, to = 6, step = 0}", "fields.rows.step must be at least 1, not 0"),
        ("[fields]\nrows = {from = 4, to = 6, factor = 1}", "fields.rows.factor must be at least 2, not 1"),
        ("[fields]\nrows = {from = 0, to = 6, factor = 2}", "fields.rows.from must be at least 1 with a factor, not 0"),
        ("[fields]\nrows = {from = 4, to = 6, step = 1, factor = 2}", "fields.rows must have step or factor, not both"),
        ("[fields]\nrows = {from = 1, to = 100001}", "fields.rows must have at most 100000 values, not more"),
        ("", r"networks must be at least one, with different labels, not \[\]"),
        ("[[networks]]\nname = 'lenet6'", "networks: network must be one of .*, not 'lenet6'"),
        ("[[networks]]\nname = 'lenet5'\nlayers = ['conv9']", "networks: layer of network lenet5 must be one of"),
        ("[[networks]]\nname = 'lenet5'\nlayers = [1]", r"networks.layers must be a list of texts, not \[1\]"),
        ("[[networks]]\nname = 'lenet5'\nbatch = 0", "networks.batch must be at least 1, not 0"),
        ("[[networks]]\nname = 'lenet5'\nbatch = '2'", "networks.batch must be an integer, not '2'"),
        ("[[networks]]\nlayers = ['conv1']", "networks must be tables of name and perhaps batch, layers and label"),
        (NETWORK + NETWORK, r"networks must be at least one, with different labels, not \['lenet5', 'lenet5'\]"),
        ("objectives = ['speed']" + NETWORK, "objectives must be some of .*, not 'speed'"),
        ("objectives = ['cycles.alexnet']" + NETWORK, "objectives must be some of .*, not 'cycles.alexnet'"),
        ("objectives = [3]" + NETWORK, r"objectives must be a list of texts, not \[3\]"),
        ("objectives = []" + NETWORK, "objectives must be different ones of .*, not an empty list"),
        ("objectives = ['pes', 'pes']" + NETWORK, r"objectives must be different ones of .*, not \['pes', 'pes'\]"),
        ("energy_table = 'none'" + NETWORK, "energy_table: .*'none'"),
        ("energy_table = 'none.toml'" + NETWORK, "energy_table: .*none.toml"),
        ("search = {method = 'luck'}" + NETWORK, "search.method must be one of grid, random, optuna, not 'luck'"),
        ("search = {kind = 'grid'}" + NETWORK, "keys of search must be some of method, points, seed, sampler, not"),
        ("search = {method = 'random'}" + NETWORK, "search.points must be at least 1 for method 'random', not 0"),
        (
            "search = {points = 3}" + NETWORK,
            "search.points must go with method 'random' or 'optuna', not 3 with 'grid'",
        ),
        ("search = {seed = -1}" + NETWORK, "search.seed must be from 0 to 4294967295, not -1"),
        ("search = {sampler = 'x'}" + NETWORK, "search.sampler must be one of tpe, nsga2, not 'x'"),
    ],
)
def test_a_space_that_cannot_be_swept_is_refused(tmp_path, text, message):
    with pytest.raises(SweepError, match=message) as refusal:
        load_space(write_space(tmp_path, text))
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SweepError, match="the space must be a TOML file"):
        load_space(tmp_path / "none.toml")


def test_lists_and_ranges_give_the_values(tmp_path):
    text = """
        objectives = ["edp", "cycles.net", "luts"]
        search = { method = "random", points = 3, seed = 7 }
        [fields]
        rows = [12, 4]
        cols = { from = 4, to = 9, step = 2 }
        lanes = { from = 8, to = 40, factor = 2 }
        counters = [true, false]
        outstanding_reads = { from = 1, to = 3 }
        [[networks]]
        name = "lenet5"
        label = "net"
        batch = 3
    """
    space = load_space(write_space(tmp_path, text))
    assert space.base == preset("eyeriss") and space.workloads == (Workload("net", "lenet5", 3),)
    assert dict(space.fields) == {
        "rows": (12, 4),
        "cols": (4, 6, 8),
        "lanes": (8, 16, 32),
        "counters": (True, False),
        "outstanding_reads": (1, 2, 3),
    }
    assert space.objectives == ("edp", "cycles.net", "luts") and space.search == Search("random", 3, 7)


def test_every_field_can_be_swept():
    assert set(FIELDS) == set(vars(preset("tiny"))) - {"name"}
    for field in FIELDS:
        (candidate,) = small_space(fields={field: (getattr(preset("eyeriss"), field),)}).candidates()
        assert candidate.values == {field: getattr(preset("eyeriss"), field)}


def test_machines_come_in_the_order_of_their_values():
    space = small_space(constraints=(Constraint.parse("rows * cols != 16"), Constraint.parse("pes < 24")))
    found = [tuple(candidate.values.values()) for candidate in space.candidates()]
    assert found == [(2, 4, 8), (2, 4, 32), (2, 6, 8), (2, 6, 32)]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4).filter(lambda sizes: sizes))
def test_numbers_and_combinations_are_one_to_one(sizes):
    names = ("rows", "cols", "lanes", "ifmap_lane_words")
    space = small_space(fields={name: tuple(range(size)) for name, size in zip(names, sizes, strict=False)})
    combinations = [tuple(space.combination(index).values()) for index in range(space.size)]
    assert combinations == sorted(set(combinations)) and len(combinations) == space.size


def test_an_impossible_constraint_is_said():
    space = small_space(constraints=(Constraint.parse("rows > 64"),))
    with pytest.raises(SweepError, match="constraints must leave at least one machine, rows > 64 leaves none"):
        space.candidates()


def test_a_grid_that_is_too_big_names_the_way_out():
    fields = {"rows": tuple(range(2, 65)), "cols": tuple(range(1, 65)), "parameter_words": tuple(range(8, 4096))}
    with pytest.raises(SweepError, match="at most 1000000 combinations for a grid, not .*set method = 'random'"):
        small_space(fields=fields)


def test_a_random_search_takes_different_machines_of_a_huge_space_by_its_seed():
    fields = {name: tuple(range(8, 4097)) for name in ("ifmap_lane_words", "psum_bank_words", "parameter_words")}
    constraint = Constraint.parse("ifmap_lane_words < psum_bank_words")

    def drawn(seed):
        search = Search("random", 50, seed)
        return small_space(fields=fields, constraints=(constraint,), search=search).candidates()

    first = drawn(1)
    ids = [candidate.id for candidate in first]
    assert len(set(ids)) == 50 and ids == sorted(ids) and ids == [candidate.id for candidate in drawn(1)]
    assert all(item.values["ifmap_lane_words"] < item.values["psum_bank_words"] for item in first)
    assert len(set(ids) & {candidate.id for candidate in drawn(2)}) < 5


def test_a_random_search_finds_all_of_a_small_space():
    space = small_space(search=Search("random", 100, 3))
    assert [item.id for item in space.candidates()] == list(range(8))
    assert len(set(space.shuffled())) == 8 and list(space.shuffled()) != list(range(8))


def test_a_random_search_gives_up_where_nothing_is_found():
    fields = {name: tuple(range(8, 4097)) for name in ("ifmap_lane_words", "psum_bank_words", "parameter_words")}
    space = small_space(fields=fields, constraints=(Constraint.parse("rows > 64"),), search=Search("random", 5))
    with pytest.raises(SweepError, match="rows > 64 leaves none"):
        space.candidates()


def test_json_gives_the_same_space_and_its_hash_tells_spaces_apart():
    space = small_space(constraints=(Constraint.parse("pes < 24"),), search=Search("random", 5, 1))
    assert from_json(to_json(space)) == space
    others = [
        small_space(search=space.search),
        small_space(constraints=space.constraints),
        small_space(constraints=space.constraints, search=Search("random", 5, 2)),
        small_space(constraints=space.constraints, search=space.search, energy_table="pj45"),
        small_space(constraints=space.constraints, search=space.search, base=preset("small")),
        small_space(constraints=space.constraints, search=space.search, fields={"rows": (2, 4)}),
        small_space(constraints=space.constraints, search=space.search, workloads=(Workload("conv", CONV),)),
    ]
    assert len({space_hash(item) for item in [space, *others]}) == 1 + len(others)


def test_only_a_tuned_space_depends_on_its_objectives():
    assert space_hash(small_space()) == space_hash(small_space(objectives=("energy",)))
    tuned = Search("optuna", 5)
    assert space_hash(small_space(search=tuned)) != space_hash(small_space(search=tuned, objectives=("energy",)))


def test_a_table_of_ones_own_is_part_of_the_space(tmp_path):
    costs = "mac = 1\nrf = 1\narray = 2\nglb = 6\n"
    text = f"energy_table = 'mine.toml'{NETWORK}"

    def hash_with(dram):
        table = f"unit = 'MAC'\nsource = 'a test'\n[costs]\n{costs}dram = {dram}"
        (tmp_path / "mine.toml").write_text(table)
        return space_hash(load_space(write_space(tmp_path, text)))

    assert hash_with(200) == hash_with(200) != hash_with(100)


def test_a_space_must_be_small_enough_to_number():
    words = tuple(range(8, 4097))
    fields = {name: words for name in FIELDS if name.endswith("_words")}
    with pytest.raises(SweepError, match=re.escape("fields must have fewer than 2**63 combinations")):
        Space(base=preset("tiny"), fields=fields, workloads=(Workload("conv", CONV),), search=Search("random", 1))
