"""Tests of sim/area: the model against its measured points."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from hw.config import PRESETS, AcceleratorConfig, preset
from sim.area import document
from sim.area.components import BY_NAME, COMPONENTS
from sim.area.fit import FITTED, FitError, Miss, exact, fit, laws, leave_one_out, predict_unseen, structure_of, summary
from sim.area.memories import Memory
from sim.area.model import Area, area
from sim.area.points import load_machines, load_points
from sim.area.resources import NAMES, Resources

ROOT = Path(__file__).parents[2]
POINTS = load_points()
EXACT = ("dsps", "brams", "lut_rams", "sram_bits")
#: Another value of each field that decides the hardware, allowed beside those of ``small``.
CHANGES = {
    "rows": 8,
    "cols": 20,
    "lanes": 8,
    "ifmap_lane_words": 600,
    "psum_bank_words": 1500,
    "filter_lane_words": 42,
    "filter_spad_words": 128,
    "ifmap_spad_words": 24,
    "psum_spad_words": 16,
    "parameter_words": 1024,
    "activation_bits": 16,
    "psum_bits": 24,
    "drain_width": 4,
    "drain_fifo_beats": 64,
    "residual_fifo_beats": 64,
    "queue_depth": 32,
    "burst_beats": 32,
    "outstanding_reads": 8,
    "outstanding_writes": 8,
    "counters": False,
}


def label(point):
    return f"{point.component.name}-{'-'.join(map(str, point.component.key(point.config)))}"


@pytest.mark.parametrize("point", POINTS, ids=label)
def test_memories_and_multipliers_are_exact(point):
    expected = {name: getattr(point.resources, name) for name in EXACT}
    predicted = next(law for law in laws() if law.component is point.component).resources(point.config)
    assert {name: getattr(predicted, name) for name in EXACT} == expected
    if structure_of(point.component).memories(point.config) or point.resources.dsps:
        assert exact(point.component, point.config) == expected


def test_flip_flops_of_points_left_out_are_exact():
    misses = [miss for miss in leave_one_out() if miss.resource == "ffs"]
    assert len(misses) > 200
    assert all(miss.predicted == miss.measured for miss in misses)


def test_leave_one_out_leaves_the_point_out():
    points = [point for point in POINTS if point.component.name == "drain.walker"]
    wrong = dataclasses.replace(points[0].resources, gates=3 * points[0].resources.gates)
    spoilt = [dataclasses.replace(points[0], resources=wrong), *points[1:]]
    honest = [miss for miss in leave_one_out(_with(points)) if miss.component == "drain.walker"]
    misled = [miss for miss in leave_one_out(_with(spoilt)) if miss.component == "drain.walker"]
    gates = FITTED.index("gates")
    assert misled[gates].predicted == honest[gates].predicted, "what is left out does not matter for its prediction"
    assert misled[gates].measured == wrong.gates
    assert misled[gates + len(FITTED)].predicted != honest[gates + len(FITTED)].predicted, "but it does for the others"


def _with(points):
    """All points, those of one component replaced."""
    component = points[0].component
    return [*(point for point in POINTS if point.component is not component), *points]


def test_errors_of_a_few_numbers():
    misses = [Miss("x", "luts", 90, 100), Miss("x", "luts", 102, 100), Miss("x", "luts", 1, 0)]
    assert summary(misses) == (0.1, 1)


def test_document_has_the_tables_of_these_points():
    text = (ROOT / "docs" / "area.md").read_text(encoding="utf-8")
    assert document.document(text) == text, "make the tables again: python -m sim.area.document docs/area.md"


def test_document_needs_its_marks():
    with pytest.raises(ValueError, match="must have the marks"):
        document.document("# Area\n")


def test_too_few_points_are_refused():
    walker = [point for point in POINTS if point.component.name == "drain.walker"]
    with pytest.raises(FitError, match="drain.walker has too few points for 4 coefficients"):
        fit(BY_NAME["drain.walker"], walker[:3])


def test_parts_make_up_the_machine():
    """Components synthesised one by one are what the whole machine has; only logic depends on the netlist's order."""
    machines = [machine for machine in load_machines() if machine.whole]
    assert {machine.config.name for machine in machines} == {"tiny", "small"}
    for machine in machines:
        assert machine.config == preset(machine.config.name)
        for name in ("ffs", "dsps", "brams", "lut_rams"):
            assert getattr(machine.summed, name) == getattr(machine.whole, name)
        assert abs(machine.summed.luts - machine.whole.luts) < 0.01 * machine.whole.luts


@pytest.mark.parametrize("machine", load_machines(), ids=lambda machine: machine.config.name)
def test_machines_not_seen_in_the_fit(machine):
    predicted = predict_unseen(machine.config)
    for name in (*EXACT, "ffs"):
        assert getattr(predicted, name) == getattr(machine.summed, name)
    assert abs(predicted.gates - machine.summed.gates) < 0.01 * machine.summed.gates
    assert abs(predicted.luts - machine.summed.luts) < 0.1 * machine.summed.luts


def test_sum_of_components():
    small = area(preset("small"))
    assert set(small.components) == set(BY_NAME)
    assert small.components["array.pe"].dsps == small.components["array.pe"].luts // area_of_one_pe().luts == 42
    for name in NAMES:
        total = sum(getattr(each, name) for each in small.components.values())
        assert getattr(small.total, name) == total == sum(getattr(each, name) for each in small.groups.values())
    assert list(small.groups) == [
        "array",
        "global_buffer",
        "control",
        "load",
        "deliver",
        "stage",
        "mac",
        "drain",
        "top",
    ]


def area_of_one_pe() -> Resources:
    return next(law for law in laws() if law.component.name == "array.pe").resources(preset("small"))


@pytest.mark.parametrize("name", PRESETS)
def test_global_buffer_holds_what_the_configuration_says(name):
    buffers = area(preset(name)).groups["global_buffer"]
    assert buffers.sram_bits == 8 * preset(name).global_buffer_bytes


@pytest.mark.parametrize("field", CHANGES)
def test_model_reacts_to_a_field_where_it_decides(field):
    small = preset("small")
    before, after = area(small), area(small.with_fields({field: CHANGES[field]}))
    changed = {name for name in before.components if before.components[name] != after.components[name]}
    decided = {component.name for component in COMPONENTS if field in component.fields}
    counted = {c.name for c in COMPONENTS if c.count(small) != c.count(small.with_fields({field: CHANGES[field]}))}
    assert changed == decided | counted
    assert decided


def test_every_field_of_the_hardware_is_covered():
    fixed = {"name", "weight_bits", "bus_bits", "address_bits"}
    assert set(CHANGES) == {field.name for field in dataclasses.fields(AcceleratorConfig)} - fixed


def test_name_does_not_matter():
    small = preset("small")
    assert area(small) == area(dataclasses.replace(small, name="other"))


def test_more_of_a_memory_is_more_bits():
    small = preset("small")
    bits = [area(small.with_fields({"ifmap_lane_words": words})).total.sram_bits for words in (256, 257)]
    assert bits[1] - bits[0] == small.lanes * small.bus_bits


@pytest.mark.parametrize(
    ("memory", "brams", "lut_rams"),
    [
        # A block RAM holds 512 words of 36 bits, a LUT RAM 16 of 4; costs 128 and 4 decide (Yosys's brams_16kd.txt).
        (Memory(36, 512), 1, 0),
        (Memory(37, 512), 2, 0),
        (Memory(36, 513), 2, 0),
        (Memory(4, 16), 0, 1),
        (Memory(64, 42), 0, 48),
        (Memory(64, 512, synchronous=False), 0, 512),
        (Memory(32, 1, synchronous=False), 0, 0),
    ],
)
def test_cells_of_a_memory(memory, brams, lut_rams):
    assert (memory.brams, memory.lut_rams) == (brams, lut_rams)
    assert Memory(memory.width, memory.depth, memory.synchronous, copies=3).brams == 3 * brams


def test_a_single_word_is_a_register():
    memory = Memory(32, 1, synchronous=False)
    assert (memory.sram_bits, memory.ffs, memory.luts) == (0, 32, 0)
    assert memory.gates == 32 * 26 / 4


def test_area_is_fast_enough_to_sweep():
    area(preset("small"))
    seconds = []
    for rows in range(2, 64):
        config = preset("eyeriss").with_fields({"rows": rows, "cols": 65 - rows, "psum_bits": 24 + rows % 9})
        start = time.perf_counter()
        area(config)
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 0.005, "a millisecond on an idle core; the bound leaves room for busy ones"


def test_empty_area():
    assert Area({}).total == Resources()
