"""Tests of sim/area that elaborate or synthesise components."""

import re
from pathlib import Path

import pytest

from hw.config import AcceleratorConfig, preset
from sim.area import measure, points
from sim.area.components import BY_NAME, COMPONENTS, INSTANCE
from sim.area.resources import Resources
from sim.synth import SynthesisError

#: Differs from the smallest machine in every field.
OTHER = AcceleratorConfig(
    name="other",
    rows=3,
    cols=2,
    lanes=16,
    ifmap_lane_words=48,
    psum_bank_words=40,
    filter_lane_words=20,
    filter_spad_words=96,
    ifmap_spad_words=20,
    psum_spad_words=7,
    parameter_words=33,
    activation_bits=16,
    psum_bits=27,
    drain_width=3,
    drain_fifo_beats=32,
    residual_fifo_beats=64,
    queue_depth=4,
    burst_beats=8,
    outstanding_reads=5,
    outstanding_writes=6,
    counters=False,
)
#: Points that are synthesised again, quick ones of every kind: logic, LUT RAM, block RAM, multipliers.
AGAIN = {
    "array.pe": (256, 64, 32, 32, 8, 16),
    "array.row_delivery": (4, 8, 8),
    "global_buffer.filter": (12, 42),
    "global_buffer.psum": (7, 512, 32),
    "control.queues": (16,),
    "mac": (6, 7, 256, 64, 32),
    "drain.control": (8, 1),
    "drain.requantise": (4, 32, 8, 2),
}


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Not by way of the environment: Amaranth's Yosys keeps its compiled code in the same place."""
    monkeypatch.setattr(measure, "cache_folder", lambda: tmp_path)
    return tmp_path


def needs_yosys_of_the_points() -> None:
    pytest.importorskip("pyosys")
    if measure.yosys_version() != points.points_version():
        pytest.skip(f"the points were measured with Yosys {points.points_version()}, not {measure.yosys_version()}")


def point(name: str, key: tuple[int, ...]) -> points.Point:
    return next(
        each for each in points.load_points() if each.component.name == name and each.component.key(each.config) == key
    )


def test_synthesises_a_component_once(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_yosys_of_the_points()
    row, small = BY_NAME["array.row"], preset("small")
    taken = measure.measure(row, small)
    assert taken == point("array.row", (7, 256, 32)).resources
    assert len(list(empty_cache.iterdir())) == 1

    def fail(*_: object, **__: object) -> str:
        raise AssertionError("this component has been synthesised")

    monkeypatch.setattr(measure, "run_passes", fail)
    assert measure.measure(row, small) == taken
    assert measure.measure(row, small.with_fields({"rows": 5, "lanes": 32, "psum_bits": 24})) == taken, "same row"
    with pytest.raises(AssertionError, match="has been synthesised"):
        measure.measure(row, small.with_fields({"cols": 6}))


def test_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert measure.cache_folder() == Path("/somewhere/eyas/area")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert measure.cache_folder() == Path.home() / ".cache" / "eyas" / "area"


def test_another_yosys_synthesises_again(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyosys")
    runs = []
    monkeypatch.setattr(measure, "_synthesise", lambda component, text: runs.append(text) or Resources(luts=1))
    tokens = BY_NAME["control.tokens"]
    for version in ("1", "2", "1"):
        monkeypatch.setattr(measure, "yosys_version", lambda version=version: version)
        measure.measure(tokens, OTHER)
    assert len(runs) == 2 == len(list(empty_cache.iterdir()))


@pytest.mark.long
@pytest.mark.parametrize(("name", "key"), AGAIN.items())
def test_points_come_out_again(name: str, key: tuple[int, ...]) -> None:
    needs_yosys_of_the_points()
    recorded = point(name, key)
    assert measure.measure(recorded.component, recorded.config) == recorded.resources


@pytest.mark.long
def test_initial_zeros_change_no_cell_but_luts(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_yosys_of_the_points()
    recorded = point("array.pe", (128, 32, 16, 32, 8, 8))
    monkeypatch.setattr(measure, "_ZEROING", re.compile("(?!)"))
    assert "for (int i" in measure._verilog(recorded.component, recorded.config)
    again = measure.measure(recorded.component, recorded.config)
    assert (again.ffs, again.dsps, again.brams, again.lut_rams, again.sram_bits) == (122, 1, 0, 46, 2848)
    assert again.gates == recorded.resources.gates


def test_one_sentence_without_pyosys(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise measure.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(measure.importlib.metadata, "version", missing)
    with pytest.raises(SynthesisError) as caught:
        measure.measure(BY_NAME["control.tokens"], OTHER)
    assert str(caught.value) == "synthesis needs the Python package pyosys: install the extra 'synth'"


def test_gates_without_known_transistors_are_refused() -> None:
    with pytest.raises(SynthesisError, match=r"not \$_SDFF_PP0_"):
        measure._check_gates({"$_NAND_": 1, "$_DFF_P_": 2, "$_SDFF_PP0_": 3})
    measure._check_gates({"$_NAND_": 1, "$_DFF_P_": 2, "$mem_v2": 1})


def own_text(name: str, config: AcceleratorConfig) -> str:
    """Verilog of a component without what is counted apart, and without declarations, whose widths follow others."""
    component = BY_NAME[name]
    modules = {
        text.split("(")[0]: text for text in re.split(r"^module ", measure._verilog(component, config), flags=re.M)[1:]
    }
    wanted = {component.inside} if component.inside else set(modules) - set(component.apart) - {"frame"}
    if component.apart == ("*",):
        wanted = {INSTANCE}
    lines = "".join(modules[module] for module in sorted(wanted)).splitlines()
    return "\n".join(
        line for line in lines if not line.lstrip().startswith(("input", "output", "wire", ",", "row(", "part("))
    )


#: Components whose Verilog is quick to write; all the others are tried in the long tests.
QUICK = ("array.pe", "array.row_delivery", "global_buffer.psum", "drain.reader")
MARKED = [each.name if each.name in QUICK else pytest.param(each.name, marks=pytest.mark.long) for each in COMPONENTS]


@pytest.mark.parametrize("name", MARKED)
def test_other_fields_do_not_matter(name: str) -> None:
    """A component's Verilog depends on no field but its own, so that one measurement serves many machines."""
    assert own_text(name, OTHER) == own_text(name, measure.reduced(BY_NAME[name], OTHER))


@pytest.mark.parametrize("name", MARKED)
def test_own_fields_matter(name: str) -> None:
    component = BY_NAME[name]
    text = measure._verilog(component, OTHER)
    for field in component.fields:
        value = 5 if field == "drain_width" else getattr(measure.SMALLEST, field)
        assert measure._verilog(component, OTHER.with_fields({field: value})) != text, field
