"""Tests of sim/rtlil.py and sim/verilog.py on a small nested design, and of the real machines' Verilog."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amaranth.back import rtlil as amaranth_rtlil
from amaranth.hdl import Module, ResetInserter, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import preset
from hw.eyas import Eyas
from sim import synth, verilog

ROOT = Path(__file__).parents[2]
OPERATION = data.StructLayout({"valid": 1, "first": 1, "address": 2})
_CYCLES = 5


class Unit(wiring.Component):
    """A processing element in small; ``spare`` is read by nobody in some places."""

    def __init__(self, *, step: int = 1) -> None:
        self._step = step
        super().__init__(
            {
                "operation": In(OPERATION),
                "word": In(signed(3)),
                "chain": In(signed(5)),
                "psum": Out(signed(5)),
                "spare": Out(3),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = Memory(shape=3, depth=4, init=[5, 5, 5, 5])
        read, write = words.read_port(domain="comb"), words.write_port()
        m.d.comb += [
            read.addr.eq(self.operation.address),
            write.addr.eq(self.operation.address),
            write.data.eq(self.word + self._step),
            write.en.eq(self.operation.first),
            self.spare.eq(read.data),
        ]
        following = Signal(signed(5))
        m.d.comb += following.eq(self.psum + read.data.as_signed() + self.chain)
        with m.If(self.operation.valid):
            m.d.sync += self.psum.eq(following)
        return m


class Line(wiring.Component):
    """Two units and the operation's way to the next line."""

    def __init__(self) -> None:
        super().__init__(
            {
                "operation": In(OPERATION),
                "next_operation": Out(OPERATION),
                "word": In(3),
                "chain": In(signed(5)).array(2),
                "psums": Out(signed(5)).array(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.next_operation.eq(self.operation)
        for index in range(2):
            m.submodules[f"unit_{index}"] = unit = Unit()
            m.d.comb += [
                unit.operation.eq(self.operation),
                unit.word.eq(self.word),
                unit.chain.eq(self.chain[index]),
                self.psums[index].eq(unit.psum),
            ]
        return m


class Tokens(wiring.Component):
    """A counter, instantiated under different names."""

    give: In(1)
    level: Out(2)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.level.eq(self.level + self.give)
        return m


class Machine(wiring.Component):
    """Two lines with different surroundings, a unit of another make, counters and a FIFO, some of it reset apart."""

    operation: In(OPERATION)
    word: In(3)
    restart: In(1)
    pop: In(1)
    out: Out(signed(5))
    spare: Out(3)
    levels: Out(4)
    queued: Out(4)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lines = [Line(), Line()]
        for index, line in enumerate(lines):
            m.submodules[f"line_{index}"] = ResetInserter(self.restart)(line)
            m.d.comb += line.word.eq(self.word if index else 2)
        m.submodules.extra = extra = Unit(step=2)
        m.submodules.free_tokens = free = Tokens()
        m.submodules.used_tokens = used = Tokens()
        m.submodules.queue = queue = SyncFIFO(width=3, depth=2)
        m.d.comb += [
            lines[0].operation.valid.eq(self.operation.valid),
            lines[0].operation.first.eq(self.operation.first & ~self.pop),
            lines[0].operation.address.eq(self.operation.address),
            lines[1].operation.eq(lines[0].next_operation),
            lines[1].chain[0].eq(lines[0].psums[0]),
            lines[1].chain[1].eq(lines[0].psums[1]),
            extra.operation.eq(self.operation),
            extra.word.eq(lines[1].psums[1][1:4]),
            self.out.eq(lines[1].psums[0] + extra.psum),
            self.spare.eq(extra.spare),
            free.give.eq(self.pop),
            used.give.eq(self.operation.valid),
            self.levels[:2].eq(free.level),
            self.levels[2:].eq(used.level),
            queue.w_data.eq(self.word),
            queue.w_en.eq(self.operation.valid),
            queue.r_en.eq(self.pop),
            self.queued[:3].eq(queue.r_data),
            self.queued[3].eq(queue.r_rdy),
        ]
        return m


@pytest.fixture(scope="module")
def text() -> str:
    return verilog.generate(Machine())


@pytest.fixture(scope="module")
def eyeriss() -> tuple[str, float]:
    """Verilog of the largest preset and the processor seconds it took, Yosys aside."""
    begin = time.process_time()
    text = verilog.generate(Eyas(config=preset("eyeriss")))
    return text, time.process_time() - begin


def _modules(text: str) -> list[str]:
    return re.findall(r"^module (\S+?) ?\(", text, re.MULTILINE)


def _equivalence(gate: str, folder: Path) -> None:
    """Let Yosys prove that Verilog does what Amaranth has converted, in all runs of some cycles."""
    pytest.importorskip("pyosys")
    (folder / "gold.il").write_text(amaranth_rtlil.convert(Machine(), name="gold", emit_src=False))
    (folder / "gate.v").write_text(re.sub(r"^module eyas", "module gate", gate, flags=re.MULTILINE))
    synth.run_passes(
        (
            "read_rtlil gold.il",
            "read_verilog -sv gate.v",
            *("setattr -mod -unset top gold", "proc", "flatten", "memory", "opt"),
            *("miter -equiv -flatten gold gate miter", "hierarchy -top miter", "opt"),
            f"sat -verify -prove trigger 0 -tempinduct -tempinduct-baseonly -maxsteps {_CYCLES} miter",
        ),
        folder=folder,
    )


def test_names_are_kinds(text: str) -> None:
    assert sorted(_modules(text)) == ["extra", "eyas", "line", "queue", "tokens", "unit"]
    assert len(re.findall(r"^  unit unit_\d \(", text, re.MULTILINE)) == 2
    assert len(re.findall(r"^  line line_\d \(", text, re.MULTILINE)) == 2
    assert len(re.findall(r"^  tokens (free|used)_tokens \(", text, re.MULTILINE)) == 2


def test_ports_are_the_signature_wherever_it_is_used(text: str) -> None:
    ports = re.search(r"^module unit\((.*)\);$", text, re.MULTILINE)
    assert ports is not None
    assert set(ports[1].split(", ")) == {"clk", "rst", "restart", "operation", "word", "chain", "psum", "spare"}
    assert ".word(3'h2)" in text


class Counted(wiring.Component):
    """A part that keeps a signal for itself, of one of two sizes."""

    o: Out(2)

    def __init__(self, *, width: int = 2) -> None:
        super().__init__()
        self.private = Signal(width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.private.eq(self.private + 1)
        m.d.comb += self.o.eq(self.private)
        return m


class Holder(wiring.Component):
    """Parts whose names say nothing, or the same of different things."""

    o: Out(2)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.left = left = Counted()
        m.submodules.right = right = Counted()
        m.submodules += Counted(width=3)
        m.submodules.part_0 = Counted(width=4)
        m.submodules.part_1 = Counted(width=5)
        m.d.comb += self.o.eq(left.private + right.private)
        return m


def test_names_without_a_common_word_and_clashing_ones() -> None:
    text = verilog.generate(Holder(), name="holder")
    assert sorted(_modules(text)) == ["counted", "counted_1", "holder", "part", "part_1"]
    assert len(re.findall(r"^  counted (left|right) \(", text, re.MULTILINE)) == 2


def test_signals_that_are_no_members_become_ports() -> None:
    text = verilog.generate(Holder(), name="holder")
    assert re.search(r"^  output \[1:0\] private;$", text, re.MULTILINE)
    assert ".private(left__private)" in text
    assert ".private(right__private)" in text


def test_does_what_amaranth_says(text: str, tmp_path: Path) -> None:
    _equivalence(text, tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [("psum <= 5'h00", "psum <= 5'h01"), ("3'h2)", "3'h3)"), ("= 3'h5;", "= 3'h4;"), ("i < 4", "i < 3")],
)
def test_equivalence_would_fail(text: str, tmp_path: Path, old: str, new: str) -> None:
    assert old in text
    with pytest.raises(synth.SynthesisError, match="proof did fail"):
        _equivalence(text.replace(old, new, 1), tmp_path)


def test_same_text_whatever_the_hash_seed() -> None:
    code = "from tests.sim.test_verilog import Machine, verilog; print(verilog.generate(Machine()), end='')"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, folder in (("1", "/"), ("2", ROOT))
    }
    assert texts == {verilog.generate(Machine())}


def test_no_paths(text: str) -> None:
    assert ".py" not in text
    assert str(ROOT) not in text
    assert "src" not in text


def test_compacts_only_equal_words() -> None:
    text = "  initial begin\n    m[0] = 8'h01;\n    m[1] = 8'h02;\n    m[2] = 8'h02;\n    m[3] = 8'h02;\n  end\n"
    assert verilog._compact(text).splitlines()[2:] == [
        "  initial begin",
        "    m[0] = 8'h01;",
        "    for (int i = 1; i < 4; i = i + 1) m[i] = 8'h02;",
        "  end",
    ]


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("{ a[7], a[7], a[7], a[7], a }", "{ {4{a[7]}}, a }"),
        ("{ b, a, a, a, a, a }", "{ b, {5{a}} }"),
        ("{ a, a, a, ab }", "{ a, a, a, ab }"),
        ("{ a[1], a[1], a[1], a[1:0] }", "{ a[1], a[1], a[1], a[1:0] }"),
        ("{ ba, a, a, a, a, ab }", "{ ba, {4{a}}, ab }"),
    ],
)
def test_compacts_sign_extensions(long: str, short: str) -> None:
    assert verilog._compact(f"  assign x = {long};\n").splitlines()[2:] == [f"  assign x = {short};"]


def test_writes_all_files(tmp_path: Path) -> None:
    verilog.write(preset("tiny"), tmp_path / "tiny")
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["eyas.h", "eyas.json", "eyas.v"]
    described = json.loads((tmp_path / "tiny" / "eyas.json").read_text())["ports"]
    declared = re.search(r"^module eyas\(([^)]*)\);$", (tmp_path / "tiny" / "eyas.v").read_text(), re.MULTILINE)
    assert declared is not None
    assert sorted(port["name"] for port in described) == sorted(re.findall(r"\w+", declared[1]))


def test_writes_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilog, "generate", lambda component: "new")
    verilog.write(preset("tiny"), tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert before["eyas.v"] == "new"
    monkeypatch.setattr(verilog, "generate", lambda component: "newer")
    monkeypatch.setattr(verilog, "c_header", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        verilog.write(preset("tiny"), tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_lint_refuses_what_is_not_on_the_list(tmp_path: Path) -> None:
    path = tmp_path / "eyas.v"
    path.write_text(
        "module eyas(input a, output b);\n  reg c;\n  always @* if (a) c = 1;\n  assign b = c;\nendmodule\n"
    )
    with pytest.raises(verilog.LintError, match="LATCH"):
        verilog.lint(path)


def test_no_combinational_loops() -> None:
    """Amaranth's own conversion looks for loops through all components; ours converts them one by one."""
    amaranth_rtlil.convert(Eyas(config=preset("tiny")), emit_src=False)


def test_eyeriss_lints_clean(tmp_path: Path, eyeriss: tuple[str, float]) -> None:
    (tmp_path / "eyas.v").write_text(eyeriss[0])
    verilog.lint(tmp_path / "eyas.v")


def test_eyeriss_is_small_and_fast(eyeriss: tuple[str, float]) -> None:
    text, seconds = eyeriss
    assert text.count("\n") <= 15_000
    assert seconds < 15
    modules = _modules(text)
    assert len(modules) == len(set(modules))
    assert {"eyas", "pe", "row", "array", "fetch", "load", "stage", "deliver", "mac", "drain", "queue"} <= set(modules)
    assert len(re.findall(r"^  pe pe_\d+ \(", text, re.MULTILINE)) == 14
    assert len(re.findall(r"^  row row_\d+ \(", text, re.MULTILINE)) == 12
