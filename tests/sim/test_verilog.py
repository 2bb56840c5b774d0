"""Tests of sim/rtlil.py and sim/verilog.py on a small nested design, and of the real machines' Verilog."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amaranth._toolchain.yosys import find_yosys
from amaranth.back import rtlil as amaranth_rtlil
from amaranth.hdl import Module, ResetInserter, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import PRESETS, preset
from hw.eyas import Eyas
from sim import rtlil, verilog

ROOT = Path(__file__).parents[2]
OPERATION = data.StructLayout({"valid": 1, "first": 1, "address": 2})
_EQUIVALENCE_CYCLES = 8


class Cell(wiring.Component):
    """A processing element in small; ``spare`` is read by nobody in some places."""

    def __init__(self, *, step: int = 1) -> None:
        self._step = step
        super().__init__(
            {"operation": In(OPERATION), "word": In(signed(3)), "chain": In(signed(5)), "psum": Out(signed(5)), "spare": Out(3)}
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
    """Two cells and the operation's way to the next line."""

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
            m.submodules[f"cell_{index}"] = cell = Cell()
            m.d.comb += [
                cell.operation.eq(self.operation),
                cell.word.eq(self.word),
                cell.chain.eq(self.chain[index]),
                self.psums[index].eq(cell.psum),
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
    """Two lines with different surroundings, a cell of another make, counters and a FIFO, some of it reset apart."""

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
        m.submodules.extra = extra = Cell(step=2)
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


def _equivalence(gate: str) -> None:
    """Let Yosys prove that a text does what Amaranth's own conversion does, in all runs of some cycles from power-up."""
    gold = amaranth_rtlil.convert(Machine(), name="gold", emit_src=False)
    script = f"""read_rtlil <<end_of_rtlil
{gold}
end_of_rtlil
read_verilog -sv <<end_of_verilog
{re.sub(r"^module eyas", "module gate", gate, flags=re.MULTILINE)}
end_of_verilog
hierarchy -check
proc
flatten
memory
opt
miter -equiv -flatten gold gate miter
hierarchy -top miter
opt
sat -verify -prove trigger 0 -set-init-def -seq 1 -prove-skip 1 -maxsteps {_EQUIVALENCE_CYCLES} -tempinduct -tempinduct-baseonly miter
"""
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    find_yosys(lambda version: version >= (0, 40)).run(["-q", "-"], script, ignore_warnings=True)


def test_names_are_kinds(text: str) -> None:
    assert sorted(_modules(text)) == ["cell", "extra", "eyas", "line", "queue", "tokens"]
    assert len(re.findall(r"^  cell cell_\d \(", text, re.MULTILINE)) == 2
    assert len(re.findall(r"^  line line_\d \(", text, re.MULTILINE)) == 2
    assert len(re.findall(r"^  tokens (free|used)_tokens \(", text, re.MULTILINE)) == 2


def test_ports_are_the_signature_wherever_it_is_used(text: str) -> None:
    ports = re.search(r"^module cell\((.*)\);$", text, re.MULTILINE)
    assert ports is not None
    assert set(ports[1].split(", ")) == {"clk", "rst", "restart", "operation", "word", "chain", "psum", "spare"}
    assert ".word(3'h2)" in text


def test_does_what_amaranth_says(text: str) -> None:
    _equivalence(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [("5'h00", "5'h01"), ("3'h2)", "3'h3)"), ("= 3'h5;", "= 3'h4;"), ("if (restart)", "if (rst)")],
)
def test_the_equivalence_check_finds_faults(text: str, old: str, new: str) -> None:
    assert old in text
    with pytest.raises(Exception, match="proof did fail"):
        _equivalence(text.replace(old, new, 1))
