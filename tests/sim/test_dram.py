"""The DRAM model of ``sim/dram.sv`` alone, cycle by cycle, against section 9 of ``docs/timing.md``."""

from __future__ import annotations

import os
import random
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotb_tools.check_results import get_results

from sim.build import ROOT, build, runner

WORDS = 2048
PHASES = ((0.02, 0.02, 1.0), (0.5, 0.005, 1.0), (0.1, 0.005, 0.6), (0.1, 0.5, 0.9), (0.0, 0.0, 1.0))
"""Chances, in each cycle of 500, of a read request, of a write request, and that the master moves a beat."""
INPUTS = (
    *("rst", "words", "job", "load", "dump", "dump_base", "dump_limit", "axi__rready", "axi__bready"),
    *(f"axi__a{channel}{name}" for channel in "rw" for name in ("addr", "len", "size", "burst", "id", "valid")),
    *("axi__wdata", "axi__wstrb", "axi__wlast", "axi__wvalid"),
)


@dataclass
class Burst:
    """A burst: ``since`` is the cycle of its acceptance, or of its last write beat."""

    address: int
    beats: int
    ident: int
    since: int = 0
    failed: bool = False
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.beats


@dataclass
class Model:
    """Section 9, with bytes for words."""

    latency: int
    limit: int
    memory: bytearray
    reads: deque[Burst] = field(default_factory=deque)
    writes: deque[Burst] = field(default_factory=deque)
    answers: deque[Burst] = field(default_factory=deque)
    current: Burst | None = None
    writing: bool = False

    def outputs(self, now: int) -> dict[str, int]:
        """Begin cycle ``now`` and return what must be seen in it."""
        if self.current is None:
            self.writing = bool(self.writes) and self.writes[0].since < now
            if self.writing:
                self.current = self.writes.popleft()
            elif self.reads and self.reads[0].since + self.latency <= now:
                self.current = self.reads.popleft()
        expected = {"arready": 1, "awready": 1, "wready": 0, "rvalid": 0, "bvalid": 0}
        if self.current and self.writing:
            expected["wready"] = 1
        elif self.current:
            address = self.current.address
            inside = address < self.limit
            data = int.from_bytes(self.memory[address : address + 8], "little") if inside else 0
            last = int(self.current.left == 1)
            expected |= {
                "rvalid": 1,
                "rid": self.current.ident,
                "rlast": last,
                "rdata": data,
                "rresp": 0 if inside else 2,
            }
        if self.answers and self.answers[0].since + self.latency <= now:
            answer = self.answers[0]
            expected |= {"bvalid": 1, "bid": answer.ident, "bresp": 2 if answer.failed else 0}
        return expected

    def beat(self, now: int, data: int = 0, strobe: int = 0) -> None:
        """Transfer a beat in cycle ``now``."""
        burst = self.current
        assert burst is not None
        if self.writing and burst.address < self.limit:
            for lane in range(8):
                if strobe >> lane & 1:
                    self.memory[burst.address + lane] = data >> 8 * lane & 0xFF
        burst.failed |= burst.address >= self.limit
        burst.address += 8
        burst.left -= 1
        if not burst.left:
            self.current = None
            if self.writing:
                burst.since = now
                self.answers.append(burst)


def random_burst(rng: random.Random, idents: int) -> Burst:
    """Return a burst that stays in its 4 KiB, in or a little behind the memory."""
    beats = rng.choice((1, 1, 2, 4, rng.randint(1, 16), rng.randint(1, 256)))
    page = rng.randrange(WORDS * 8 // 4096 + 1)
    return Burst(page * 4096 + 8 * rng.randint(0, 512 - beats), beats, rng.randrange(idents))


async def start(dut: Any) -> None:
    """Start the clock, reset, and load image 0."""
    for name in INPUTS:
        getattr(dut, name).value = 0
    dut.axi__arsize.value = dut.axi__awsize.value = 3
    dut.axi__arburst.value = dut.axi__awburst.value = 1
    dut.axi__bready.value = 1
    dut.rst.value = 1
    dut.words.value = WORDS
    Clock(dut.clk, 10, unit="ns", impl="gpi").start()
    await RisingEdge(dut.clk)
    await pulse(dut, "load", 0)
    dut.rst.value = 0


async def pulse(dut: Any, name: str, job: int) -> None:
    """Load the image or dump to the file of a job."""
    dut.job.value = job
    getattr(dut, name).value = 1
    await RisingEdge(dut.clk)
    getattr(dut, name).value = 0
    await RisingEdge(dut.clk)


@cocotb.test()
async def traffic(dut: Any) -> None:
    """Random bursts in phases of different density; then dump, reload and dump again."""
    rng = random.Random(os.environ["DRAM_SEED"])
    folder = Path(os.environ["DRAM_FOLDER"])
    image = (folder / "0.image").read_bytes()
    model = Model(int(os.environ["DRAM_LATENCY"]), WORDS * 8, bytearray(image.ljust(WORDS * 8, b"\0")))
    beats: deque[tuple[int, int, int]] = deque()
    seen = dict.fromkeys(("rvalid", "wready", "bvalid"), 0)
    await start(dut)
    for now in range(2500):
        read_density, write_density, pace = PHASES[now // 500]
        reads, writes = rng.random() < read_density, rng.random() < write_density
        offered = {"r": random_burst(rng, 4) if reads else None, "w": random_burst(rng, 2) if writes else None}
        in_flight = {"r": len(model.reads), "w": len(model.writes) + len(model.answers)}
        for channel, burst in offered.items():
            if in_flight[channel] >= 64:
                offered[channel] = burst = None
            getattr(dut, f"axi__a{channel}valid").value = burst is not None
            if burst:
                getattr(dut, f"axi__a{channel}addr").value = burst.address
                getattr(dut, f"axi__a{channel}len").value = burst.beats - 1
                getattr(dut, f"axi__a{channel}id").value = burst.ident
        if offered["w"]:
            count = offered["w"].beats
            beats.extend((rng.getrandbits(64), rng.getrandbits(8), int(n == count - 1)) for n in range(count))
        holds = dut.axi__wvalid.value == 1 and not model.writing
        send = bool(beats) and (holds or rng.random() < pace)
        take, accept = rng.random() < pace, rng.random() < 0.9
        dut.axi__wvalid.value, dut.axi__rready.value, dut.axi__bready.value = send, take, accept
        if send:
            dut.axi__wdata.value, dut.axi__wstrb.value, dut.axi__wlast.value = beats[0]
        await RisingEdge(dut.clk)
        for name, value in model.outputs(now).items():
            assert getattr(dut, f"axi__{name}").value == value, f"cycle {now}: {name} must be {value:#x}"
            if name in seen:
                seen[name] += value
        for channel, burst in offered.items():
            if burst:
                burst.since = now
                (model.reads if channel == "r" else model.writes).append(burst)
        if dut.axi__bvalid.value == 1 and accept:
            model.answers.popleft()
        if model.current and model.writing and send:
            data, strobe, _ = beats.popleft()
            model.beat(now, data, strobe)
        elif model.current and not model.writing and take:
            model.beat(now)
    assert dut.violation.value == 0
    assert all(count > 40 for count in seen.values()), f"little has happened: {seen}"
    dut.axi__wvalid.value = 0
    await dumps(dut, folder, bytes(model.memory))


async def dumps(dut: Any, folder: Path, contents: bytes) -> None:
    """Dump everything, then a part; after loading a shorter image nothing of the old contents may remain."""
    dut.dump_limit.value = WORDS * 8
    await pulse(dut, "dump", 0)
    assert (folder / "0.dump").read_bytes() == contents
    dut.dump_base.value, dut.dump_limit.value = 1003, 2050
    await pulse(dut, "dump", 1)
    assert (folder / "1.dump").read_bytes() == contents[1000:2056]
    await pulse(dut, "load", 2)
    dut.dump_base.value, dut.dump_limit.value = 0, WORDS * 8
    await pulse(dut, "dump", 2)
    assert (folder / "2.dump").read_bytes() == (folder / "2.image").read_bytes().ljust(WORDS * 8, b"\0")


async def refused(dut: Any, *beats: tuple[int, int] | None, **request: int) -> bool:
    """Send a write burst after a reset; return whether the model reports a violation.

    The first of the beats, (data, last), is offered with the request, the others one a cycle when WREADY is high.
    """
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    for name, value in ({"addr": 0, "len": 1, "size": 3, "burst": 1} | request).items():
        getattr(dut, f"axi__aw{name}").value = value
    for cycle, beat in enumerate(beats):
        dut.axi__awvalid.value = cycle == 0
        dut.axi__wvalid.value = beat is not None
        if beat:
            dut.axi__wdata.value, dut.axi__wlast.value = beat
        await RisingEdge(dut.clk)
    dut.axi__wvalid.value = 0
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    return dut.violation.value == 1


@cocotb.test()
async def violations(dut: Any) -> None:
    """Each broken rule must be noticed, and correct bursts at the limits accepted."""
    await start(dut)
    good = (None, (1, 0), (2, 1))
    most = (None, *[(3, 0)] * 255, (3, 1))
    assert not await refused(dut, *good)
    assert not await refused(dut, *good, addr=0xFF0)
    assert await refused(dut, *good, addr=0xFF8)
    assert not await refused(dut, *most, addr=0x800, len=255)
    assert await refused(dut, *most, addr=0x808, len=255)
    assert await refused(dut, None, *[(3, 0)] * 256, addr=0x800, len=255)
    assert await refused(dut, None, (1, 1), (2, 0))
    assert await refused(dut, None, (1, 0), (2, 0))
    assert await refused(dut, None, (1, 1), (2, 1))
    assert not await refused(dut, (1, 0), (1, 0), (2, 1))
    assert await refused(dut, (0, 0), (1, 0), (2, 1))
    assert await refused(dut, (1, 0), None, (1, 0), (2, 1))
    assert await refused(dut, *good, addr=4)
    assert await refused(dut, *good, size=2)
    assert await refused(dut, *good, burst=0)


def simulate(simulator: str, testcase: str, folder: Path, latency: int, seed: int) -> tuple[int, int]:
    """Run one of the cocotb tests; return the numbers of tests and of failures."""
    target = build(
        {"dram.sv": (ROOT / "sim" / "dram.sv").read_text()},
        simulator=simulator,
        toplevel="dram",
        parameters={"WORDS": WORDS},
        flags=["--public-flat-rw"] if simulator == "verilator" else [],
    )
    rng = random.Random(seed)
    (folder / "0.image").write_bytes(rng.randbytes(8 * 1500))
    (folder / "2.image").write_bytes(rng.randbytes(8 * 100))
    environment = {"DRAM_SEED": str(seed), "DRAM_FOLDER": str(folder), "DRAM_LATENCY": str(latency)}
    results = folder / "results.xml"
    errors = ["+verilator+error+limit+1000"] if testcase == "violations" else []
    try:
        runner(simulator).test(
            test_module="tests.sim.test_dram",
            testcase=testcase,
            hdl_toplevel="dram",
            hdl_toplevel_lang="verilog",
            build_dir=target,
            test_dir=folder,
            results_xml=str(results),
            plusargs=[f"+latency={latency}", f"+directory={folder}", *errors],
            extra_env=environment,
            log_file=folder / "log",
        )
    except RuntimeError:
        assert errors, (folder / "log").read_text()
    return get_results(results)


@pytest.mark.parametrize(("latency", "seed"), [(1, 0), (7, 1), (40, 2)])
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_traffic(simulator: str, latency: int, seed: int, tmp_path: Path) -> None:
    assert simulate(simulator, "traffic", tmp_path, latency, seed) == (1, 0)


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_violations(simulator: str, tmp_path: Path) -> None:
    assert simulate(simulator, "violations", tmp_path, 3, 0) == (1, 0)
