"""Tests of sim/synth.py."""

import csv
import io
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import preset
from hw.pe_row import PERow
from sim import synth
from sim.synth import Usage

TINY = preset("tiny")


class Inverter(wiring.Component):
    """Half of a loop."""

    i: In(1)
    o: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(~self.i)
        return m


class Loop(wiring.Component):
    """A combinational loop through two components."""

    o: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.a = a = Inverter()
        m.submodules.b = b = Inverter()
        m.d.comb += [a.i.eq(b.o), b.i.eq(a.o), self.o.eq(a.o)]
        return m


class Unmappable(wiring.Component):
    """A memory with two write ports, which ECP5 does not have."""

    address: In(8)
    data: In(8)
    enable: In(2)
    o: Out(8)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=256, init=[])
        read = memory.read_port(domain="comb")
        m.d.comb += [read.addr.eq(self.address), self.o.eq(read.data)]
        for index in range(2):
            write = memory.write_port()
            m.d.comb += [
                write.addr.eq(self.address + index),
                write.data.eq(self.data),
                write.en.eq(self.enable[index]),
            ]
        return m


@pytest.fixture(scope="module")
def row() -> list[Usage]:
    pytest.importorskip("pyosys")
    return synth.synthesise_component(PERow(config=TINY), name="row")


def test_row_of_pes(row: list[Usage]) -> None:
    named = {usage.component: usage for usage in row}
    top, pe = row[0], named["pe"]
    assert (top.depth, top.component, top.instances) == (0, "row", 1)
    assert (pe.depth, pe.instances) == (1, TINY.cols)
    assert pe.resources["DSP"] == TINY.cols, "one multiplier in each PE"
    assert top.resources["DSP"] == TINY.cols, "and none outside"
    assert pe.resources["LUT RAM"] + pe.resources["BRAM"] > 0, "scratchpads are memories"
    for resource in synth.CELLS:
        assert top.resources[resource] >= sum(usage.resources[resource] for usage in row if usage.depth == 1)


def test_tables(row: list[Usage]) -> None:
    lines = synth.table(row).splitlines()
    assert lines[0].split(maxsplit=2)[:2] == ["component", "instances"]
    assert len({len(line) for line in lines}) == 1
    assert any(line.startswith("  pe ") for line in lines)
    rows = list(csv.DictReader(io.StringIO(synth.csv_table(row))))
    assert [int(line["LUT4"]) for line in rows] == [usage.resources["LUT4"] for usage in row]
    assert rows[0].keys() == {"depth", "component", "instances", *synth.CELLS}


def test_finds_loops_through_components() -> None:
    pytest.importorskip("pyosys")
    with pytest.raises(synth.SynthesisError, match="Found 1 problems"):
        synth.synthesise_component(Loop(), name="loop")


def test_refuses_memories_made_of_registers() -> None:
    pytest.importorskip("pyosys")
    with pytest.raises(synth.SynthesisError, match="mem_v2"):
        synth.synthesise_component(Unmappable(), name="unmappable")


def test_one_sentence_without_pyosys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(synth.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(synth.SynthesisError) as caught:
        synth.run_passes(["help"], folder=tmp_path)
    assert str(caught.value) == "synthesis needs the Python package pyosys: install the extra 'synth'"


@pytest.mark.long
@pytest.mark.parametrize("name", ["tiny", "eyeriss"])
def test_machine(name: str) -> None:
    pytest.importorskip("pyosys")
    config = preset(name)
    usages = synth.synthesise(config)
    dsps = {usage.component: usage.resources["DSP"] for usage in usages}
    assert dsps["pe"] == dsps["array"] == config.pes
    assert dsps["drain"] > 0
    assert usages[0].resources["BRAM"] >= config.lanes
    assert sum(usage.resources["DSP"] for usage in usages if usage.depth == 1) == usages[0].resources["DSP"]
