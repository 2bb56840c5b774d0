"""WriteMaster: bursts, beats and responses against a bus that does whatever AXI4 allows, and its refusals."""

import random
from dataclasses import dataclass, field, replace

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.sim import Simulator

from hw import spec
from hw.config import PRESETS
from hw.write_master import WRITE, WriteMaster, inside_window

TINY = PRESETS["tiny"]
AW = ("awaddr", "awlen", "awsize", "awburst", "awid")
W = ("wdata", "wstrb", "wlast")
SLVERR = 2


@dataclass
class Write:
    """One write, and what its bursts are by AXI's 4 KiB rule."""

    address: int
    beats: int
    written: int
    index: int
    window: tuple[int, int] = (0, 0xFFFF_FFFF)
    bursts: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        end = self.address + 8 * self.beats
        border = (self.address // 4096 + 1) * 4096
        cuts = [self.address, border, end] if end > border else [self.address, end]
        self.bursts = [(low, (high - low) // 8) for low, high in zip(cuts, cuts[1:], strict=False)]

    @property
    def payload(self) -> dict[str, int]:
        """The request."""
        base, limit = self.window
        kept = [base <= low and low + 8 * beats <= limit for low, beats in self.bursts]
        return {
            "address": self.address,
            "beats": self.beats,
            "split": self.bursts[0][1],
            "written": self.written,
            "index": self.index,
            "first_inside": kept[0],
            "inside": all(kept),
        }


class Bus:
    """A write slave with random patience; it notes what it took and what it answered."""

    def __init__(self, dut: WriteMaster, rng: random.Random, patience: tuple[float, float, float]) -> None:
        self.axi, self.rng, self.patience = dut.axi, rng, patience
        self.aw, self.w, self.answered, self.in_flight = [], [], [], 0
        self.held = {}
        self.errors: set[int] = set()

    def inputs(self, ctx) -> None:
        """Set this cycle's inputs; a response only for a burst that is here with all its beats."""
        axi, rng, (aw, w, b) = self.axi, self.rng, self.patience
        whole = min(len(self.aw), sum(beat[2] for beat in self.w))
        ctx.set(axi.awready, rng.random() < aw)
        ctx.set(axi.wready, rng.random() < w)
        answer = len(self.answered) < whole and rng.random() < b
        ctx.set(axi.bvalid, answer)
        ctx.set(axi.bresp, SLVERR if len(self.answered) in self.errors else 0)

    def outputs(self, ctx) -> None:
        """Note the transfers of this cycle and check that nothing shown was withdrawn."""
        axi = self.axi
        for channel, names, taken in (("aw", AW, self.aw), ("w", W, self.w)):
            shown = tuple(ctx.get(getattr(axi, name)) for name in names)
            valid, ready = ctx.get(getattr(axi, f"{channel}valid")), ctx.get(getattr(axi, f"{channel}ready"))
            if channel in self.held:
                assert valid and shown == self.held.pop(channel)
            if valid and ready:
                taken.append(shown)
            elif valid:
                self.held[channel] = shown
        assert ctx.get(axi.bready)
        if ctx.get(axi.bvalid):
            self.answered.append(ctx.get(axi.bresp))


def _random_writes(rng: random.Random, count: int) -> list[Write]:
    def address() -> int:
        return 4096 * rng.randint(1, 999) - 8 * rng.choice((0, 1, 2, rng.randrange(512)))

    return [Write(address(), rng.randint(1, 4), rng.randrange(16), rng.getrandbits(24)) for _ in range(count)]


def _run(dut: WriteMaster, testbench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def _offer(ctx, dut: WriteMaster, writes: list[Write], beats: list[tuple[int, int, int]], valid: bool) -> None:
    ctx.set(dut.writes.valid, valid and bool(writes))
    ctx.set(dut.beats.valid, bool(beats))
    if writes:
        ctx.set(dut.writes.payload, writes[0].payload)
    if beats:
        ctx.set(dut.beats.payload, dict(zip(("data", "strobe", "last"), beats[0], strict=True)))


def _take(ctx, dut: WriteMaster, writes: list[Write], beats: list[tuple[int, int, int]]) -> None:
    if ctx.get(dut.writes.valid) and ctx.get(dut.writes.ready):
        writes.pop(0)
    if ctx.get(dut.beats.valid) and ctx.get(dut.beats.ready):
        beats.pop(0)


def test_what_is_inside_the_window() -> None:
    """Of writes that cross a 4 KiB border and others, around both ends of the window."""
    rng = random.Random(5)
    window = tuple(8 * rng.randrange(1 << 16) + end for end in (0, 1 << 20))
    write, base, limit = Signal(WRITE), Signal(32), Signal(32)
    found = Signal(2)
    m = Module()
    m.d.comb += found.eq(Cat(inside_window(write, base, limit).values()))

    async def testbench(ctx) -> None:
        ctx.set(base, window[0])
        ctx.set(limit, window[1])
        for end in (*window, 4096 * (window[0] // 4096), 4096 * (window[1] // 4096)):
            for offset in range(-80, 88, 8):
                expected = Write(end + offset, rng.randint(1, 8), 0, 0, window)
                ctx.set(write.address, expected.address)
                ctx.set(write.beats, expected.beats)
                first, whole = expected.payload["first_inside"], expected.payload["inside"]
                assert ctx.get(found) == first + 2 * whole, (expected, window)

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("outstanding", [1, 3])
@pytest.mark.parametrize("patience", [(1, 1, 1), (0.3, 0.9, 0.3), (0.05, 1, 1), (0.9, 0.3, 0.1)])
def test_any_bus(outstanding: int, patience: tuple[float, float, float]) -> None:
    rng = random.Random(f"{outstanding} {patience}")
    dut = WriteMaster(config=replace(TINY, outstanding_writes=outstanding))
    writes = _random_writes(rng, 60)
    bursts = [(*burst, write) for write in writes for burst in write.bursts]
    beats = [(rng.getrandbits(64), rng.getrandbits(8), j == n - 1) for _, n, _ in bursts for j in range(n)]
    due = [write.written if burst == write.bursts[-1] else 0 for write in writes for burst in write.bursts]
    bus = Bus(dut, rng, patience)
    bus.errors = set(rng.sample(range(len(bursts)), 5))

    async def testbench(ctx) -> None:
        left, beats_left = list(writes), list(beats)
        valid = False
        while len(bus.answered) < len(bursts):
            valid = bool(left) and (ctx.get(dut.axi.awvalid) or rng.random() < 0.8)
            _offer(ctx, dut, left, beats_left, valid)
            bus.inputs(ctx)
            answered = len(bus.answered)
            in_flight = len(bus.aw) - answered
            bus.outputs(ctx)
            assert ctx.get(dut.acknowledged) == len(bus.answered) - answered
            assert ctx.get(dut.written_give) == (due[answered] if ctx.get(dut.acknowledged) else 0)
            assert ctx.get(dut.idle) == (in_flight == 0 and not ctx.get(dut.axi.awvalid))
            assert in_flight < outstanding or not ctx.get(dut.axi.awvalid)
            assert sum(beat[2] for beat in bus.w) <= len(bus.aw) + 1
            is_error = len(bus.answered) > answered and bus.answered[-1] == SLVERR
            error = ctx.get(dut.error)
            assert error.valid == is_error
            if is_error:
                address, _, write = bursts[answered]
                code = spec.ERROR_CODE["write_response"]
                assert (error.code, error.index, error.address) == (code, write.index, address)
            _take(ctx, dut, left, beats_left)
            await ctx.tick()

    _run(dut, testbench)
    assert bus.aw == [(address, n - 1, 3, 1, 0) for address, n, _ in bursts]
    assert bus.w == beats


@pytest.mark.parametrize(
    ("address", "beats", "refused"),
    [
        (0x2000, 4, None),
        (0x3FE0, 4, None),
        (0x1FF8, 1, 0x1FF8),
        (0x1FF8, 4, 0x1FF8),
        (0x3FE8, 4, 0x4000),
        (0x4000, 1, 0x4000),
        (0xFFFF_FFF8, 2, 0xFFFF_FFF8),
    ],
)
def test_a_burst_outside_the_window_is_reported_once_and_stops_all(address: int, beats: int, refused) -> None:
    dut = WriteMaster(config=TINY)
    window = (0x2000, 0x4000)
    write, good = Write(address, beats, 0, 77, window), Write(0x2000, 1, 0, 78, window)
    expected = [*write.bursts, *good.bursts]
    if refused is not None:
        expected = expected[: [burst[0] for burst in expected].index(refused)]
    bus = Bus(dut, random.Random(1), (0.5, 1, 1))
    errors = []

    async def testbench(ctx) -> None:
        left = [write, good]
        beats_left = [(i, 0xFF, i == n - 1) for _, n in (*write.bursts, *good.bursts) for i in range(n)]
        for _ in range(60):
            _offer(ctx, dut, left, beats_left, True)
            bus.inputs(ctx)
            bus.outputs(ctx)
            error = ctx.get(dut.error)
            if error.valid:
                errors.append((error.code, error.index, error.address))
            _take(ctx, dut, left, beats_left)
            await ctx.tick()
        assert ctx.get(dut.idle)

    _run(dut, testbench)
    assert errors == ([] if refused is None else [(spec.ERROR_CODE["address_window"], 77, refused)])
    assert [burst[:2] for burst in bus.aw] == [(low, n - 1) for low, n in expected]
    assert len(bus.w) == sum(n for _, n in expected) and len(bus.answered) == len(expected)


def test_a_bus_may_want_the_beats_before_it_accepts_the_command() -> None:
    dut = WriteMaster(config=TINY)
    writes = _random_writes(random.Random(3), 10)
    bursts = [burst for write in writes for burst in write.bursts]
    bus = Bus(dut, random.Random(3), (0, 1, 1))

    async def testbench(ctx) -> None:
        left, beats = list(writes), [(0, 0xFF, j == n - 1) for _, n in bursts for j in range(n)]
        for _ in range(100):
            bus.patience = (sum(beat[2] for beat in bus.w) > len(bus.aw), 1, 1)
            _offer(ctx, dut, left, beats, True)
            bus.inputs(ctx)
            bus.outputs(ctx)
            _take(ctx, dut, left, beats)
            await ctx.tick()

    _run(dut, testbench)
    assert len(bus.answered) == len(bursts)


def test_an_error_response_goes_before_a_burst_outside_the_window() -> None:
    dut = WriteMaster(config=TINY)
    errors = []

    async def testbench(ctx) -> None:
        window = (0, 0x2000)
        left, beats = [Write(0, 1, 0, 1, window), Write(0x3000, 1, 0, 2, window)], [(0, 0xFF, 1)]
        bus = Bus(dut, random.Random(1), (1, 1, 1))
        bus.errors = {0}
        for _ in range(10):
            bus.inputs(ctx)
            _offer(ctx, dut, left, beats, len(left) == 2 or ctx.get(dut.axi.bvalid) or bool(bus.answered))
            bus.outputs(ctx)
            error = ctx.get(dut.error)
            if error.valid:
                errors.append((error.code, error.index, error.address))
            _take(ctx, dut, left, beats)
            await ctx.tick()

    _run(dut, testbench)
    code = spec.ERROR_CODE
    assert errors == [(code["write_response"], 1, 0), (code["address_window"], 2, 0x3000)]


def test_halt_ends_what_was_shown_and_shows_no_more() -> None:
    dut = WriteMaster(config=TINY)

    async def testbench(ctx) -> None:
        left, beats = [Write(64 * i, 1, 0, i) for i in range(3)], [(i, 0xFF, 1) for i in range(3)]
        bus = Bus(dut, random.Random(1), (0, 1, 1))
        for cycle in range(20):
            if cycle == 5:
                ctx.set(dut.halt, 1)
            if cycle == 9:
                bus.patience = (1, 1, 1)
            _offer(ctx, dut, left, beats, True)
            bus.inputs(ctx)
            bus.outputs(ctx)
            assert ctx.get(dut.axi.awvalid) == (cycle < 10)
            assert not ctx.get(dut.error.valid)
            _take(ctx, dut, left, beats)
            await ctx.tick()
        assert ctx.get(dut.idle)
        assert (len(bus.aw), len(bus.w), len(bus.answered)) == (1, 1, 1)

    _run(dut, testbench)
