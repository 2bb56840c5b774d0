"""ReadMaster against a model of section 3 of the cycle contract, alone and under fetch and load together."""

import random
from collections import deque
from dataclasses import dataclass, field
from math import inf

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw import spec
from hw.axi import axi_read_signature
from hw.config import AcceleratorConfig, preset
from hw.fetch import Fetch
from hw.layouts import QUEUED_COMMAND
from hw.load import LoadEngine
from hw.read_master import ReadMaster

FETCH, LOAD, RESIDUAL = 0, 1, 2
PRIORITY = (FETCH, RESIDUAL, LOAD)
WINDOW = 0x1000, 0x2_0000
WINDOW_CODE, RESPONSE_CODE = spec.ERROR_CODE["address_window"], spec.ERROR_CODE["read_response"]


@dataclass
class Burst:
    """A request, and what the slave does with it."""

    address: int
    beats: int
    index: int
    failing: frozenset[int] = frozenset()  # beats with an error response


def inside(burst: Burst) -> bool:
    return WINDOW[0] <= burst.address and burst.address + 8 * burst.beats <= WINDOW[1]


@dataclass
class Bench:
    """Three requesters and an AXI slave around the master, the model beside it; each cycle everything is compared."""

    requests: tuple[deque, deque, deque]  # by ID
    seed: int = 0
    outstanding: int = 4
    latency: int = 3
    interleave: bool = False
    rates: dict[str, float] = field(default_factory=dict)
    halts: range = range(0)
    busy: range = range(0)  # cycles in which no AR is accepted
    late: tuple[int, int, int] = (0, 0, 0)  # cycle from which each requester asks
    ars: list[tuple[int, int, int]] = field(default_factory=list)  # cycle, ID, address
    errors: list[tuple[int, int, int, int]] = field(default_factory=list)  # cycle, code, index, address
    last_beats: list[tuple[int, int]] = field(default_factory=list)  # cycle, ID

    def _chance(self, what: str) -> bool:
        return self.rng.random() < self.rates.get(what, 1.0)

    def run(self) -> "Bench":
        self.dut = dut = ReadMaster(config=preset("tiny").with_fields({"outstanding_reads": self.outstanding}))
        self.request_ports = (dut.fetch_request, dut.load_request, dut.residual_request)
        self.data_ports = (dut.fetch_data, dut.load_data, dut.residual_data)
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self.testbench)
        simulator.run()
        return self

    async def testbench(self, ctx) -> None:
        self.rng, self.now = random.Random(self.seed), 0
        self.shown: list[Burst | None] = [None, None, None]  # a request once shown stays until it is taken
        self.stuck: int | None = None  # ID of an AR that was not accepted yet
        self.in_flight: list[list] = []  # [ready cycle, ID, burst, next beat, reported]
        ctx.set(self.dut.window_base, WINDOW[0])
        ctx.set(self.dut.window_limit, WINDOW[1])
        idle_cycles = 0
        while idle_cycles < 3:
            for rid in PRIORITY:
                if not self.shown[rid] and self.requests[rid] and self.now >= self.late[rid] and self._chance("ask"):
                    self.shown[rid] = self.requests[rid].popleft()
            await self._cycle(ctx)
            idle_cycles = 0 if any(self.requests) or any(self.shown) or self.in_flight else idle_cycles + 1

    async def _cycle(self, ctx) -> None:
        dut, axi, now = self.dut, self.dut.axi, self.now
        halt, arready = now in self.halts, self._chance("arready") and now not in self.busy
        takes = [self._chance("take") for _ in PRIORITY]
        beat = self._choose_beat()
        ctx.set(dut.halt, halt)
        ctx.set(axi.arready, arready)
        for port, burst in zip(self.request_ports, self.shown, strict=True):
            ctx.set(port.valid, burst is not None)
            for name in ("address", "beats", "index"):
                ctx.set(getattr(port.payload, name), getattr(burst, name) if burst else 0)
        for port, take in zip(self.data_ports, takes, strict=True):
            ctx.set(port.ready, take)
        self._drive_beat(ctx, beat)

        chosen, refused = self._model_arbitration(halt)
        assert ctx.get(axi.arvalid) == (chosen is not None and not refused)
        assert ctx.get(dut.idle) == (not self.in_flight and self.stuck is None)
        if ctx.get(axi.arvalid):
            burst = self.shown[chosen]
            fields = [ctx.get(getattr(axi, name)) for name in ("araddr", "arlen", "arid", "arsize", "arburst")]
            assert fields == [burst.address, burst.beats - 1, chosen, 3, 1]
        taken = chosen is not None and (refused or arready)
        ready = [ctx.get(port.ready) for port in self.request_ports]
        assert [r and b is not None for r, b in zip(ready, self.shown, strict=True)] == [
            taken and chosen == rid for rid in sorted(PRIORITY)
        ]
        received = beat is not None and takes[beat[1]]
        self._check_beat(ctx, beat, takes)
        self._check_error(ctx, beat if received else None, self.shown[chosen] if refused else None)
        await ctx.tick()

        self.stuck = chosen if chosen is not None and not taken else None
        if received:
            beat[3] += 1
            if beat[3] == beat[2].beats:
                self.in_flight.remove(beat)
                self.last_beats.append((now, beat[1]))
        if taken:
            if not refused:
                self.ars.append((now, chosen, self.shown[chosen].address))
                self.in_flight.append([now + self.latency, chosen, self.shown[chosen], 0, False])
            self.shown[chosen] = None
        self.now += 1

    def _model_arbitration(self, halt: bool) -> tuple[int | None, bool]:
        """Whose request is looked at in this cycle, and whether it is refused."""
        chosen = self.stuck
        if chosen is None and not halt and len(self.in_flight) < self.outstanding:
            chosen = next((rid for rid in PRIORITY if self.shown[rid]), None)
        return chosen, chosen is not None and not inside(self.shown[chosen])

    def _choose_beat(self) -> list | None:
        if not self._chance("beat"):
            return None
        candidates = self.in_flight[:1]
        if self.interleave:
            candidates = [next((b for b in self.in_flight if b[1] == rid), None) for rid in PRIORITY]
            self.rng.shuffle(candidates)
        return next((b for b in candidates if b and self.now >= b[0]), None)

    def _drive_beat(self, ctx, beat: list | None) -> None:
        axi = self.dut.axi
        ctx.set(axi.rvalid, beat is not None)
        self.word = self.rng.getrandbits(64)
        ctx.set(axi.rdata, self.word)
        ctx.set(axi.rid, beat[1] if beat else 0)
        ctx.set(axi.rlast, beat is None or beat[3] == beat[2].beats - 1)
        bad = beat is None or beat[3] in beat[2].failing
        ctx.set(axi.rresp, self.rng.choice((2, 3)) if bad else self.rng.choice((0, 1)))

    def _check_beat(self, ctx, beat: list | None, takes: list[bool]) -> None:
        ports = self.data_ports
        assert [ctx.get(port.valid) for port in ports] == [beat is not None and beat[1] == rid for rid in (0, 1, 2)]
        if beat:
            assert ctx.get(ports[beat[1]].payload) == self.word
            assert ctx.get(self.dut.axi.rready) == takes[beat[1]]

    def _check_error(self, ctx, beat: list | None, refused: Burst | None) -> None:
        expected = (WINDOW_CODE, refused.index, refused.address) if refused else None
        if beat and beat[3] in beat[2].failing and not beat[4]:
            beat[4] = True
            expected = (RESPONSE_CODE, beat[2].index, beat[2].address)
        error = self.dut.error
        got = (ctx.get(error.code), ctx.get(error.index), ctx.get(error.address)) if ctx.get(error.valid) else None
        assert got == expected
        if got:
            self.errors.append((self.now, *got))


def random_bursts(rng: random.Random, count: int) -> deque:
    """Bursts near the window's edges and within it, some with error responses."""
    bursts = deque()
    for _ in range(count):
        beats = rng.choice((1, 4, rng.randint(1, 16), 256 if rng.random() < 0.04 else 2))
        edge = rng.choice((0xFF8, 0x1000, 0x2_0000 - 8 * beats, 0x2_0008 - 8 * beats, 0xFFFF_FFF8))
        address = edge if rng.random() < 0.3 else rng.randrange(0x1000, 0x1_F000, 8)
        failing = frozenset(rng.sample(range(beats), min(beats, 3))) if rng.random() < 0.2 else frozenset()
        bursts.append(Burst(address, beats, rng.getrandbits(24), failing))
    return bursts


@pytest.mark.parametrize(
    ("seed", "changes"),
    [
        (0, {}),
        (1, {"outstanding": 1, "latency": 1, "rates": {"ask": 0.5}}),
        (2, {"outstanding": 3, "rates": {"arready": 0.4, "ask": 0.6}, "halts": range(40, 80)}),
        (3, {"outstanding": 16, "rates": {"take": 0.6, "beat": 0.7}, "interleave": True}),
        (4, {"rates": {"arready": 0.2, "ask": 0.3}, "interleave": True, "latency": 9}),
    ],
)
def test_random_traffic(seed: int, changes: dict) -> None:
    rng = random.Random(seed)
    requests = (random_bursts(rng, 25), random_bursts(rng, 40), random_bursts(rng, 30))
    bench = Bench(requests, seed=seed, **changes).run()
    assert bench.errors and {rid for _, rid, _ in bench.ars} == {FETCH, LOAD, RESIDUAL}


def test_outstanding_limit_counts_until_the_last_beat() -> None:
    """Two in flight at most: the third AR comes in the cycle after the first burst's last beat."""
    bursts = deque(Burst(0x1000 + 32 * i, 4, i) for i in range(5))
    bench = Bench((deque(), bursts, deque()), outstanding=2, latency=6).run()
    # Beats 6..9, 10..13, then 10 + 6 = 16..19, 20..23, 20 + 6 = 26..29.
    assert [cycle for cycle, *_ in bench.ars] == [0, 1, 10, 14, 20]
    assert [cycle for cycle, _ in bench.last_beats] == [9, 13, 19, 23, 29]


def test_fetch_goes_before_residuals_before_load() -> None:
    requests = tuple(deque(Burst(0x1000, 1, i) for i in range(count)) for count in (1, 4, 2))
    bench = Bench(requests, late=(3, 0, 2), outstanding=16).run()
    assert [rid for _, rid, _ in bench.ars] == [LOAD, LOAD, RESIDUAL, FETCH, RESIDUAL, LOAD, LOAD]


@pytest.mark.parametrize("first", [LOAD, RESIDUAL])
def test_an_ar_once_shown_is_not_changed_by_others_or_halt(first: int) -> None:
    requests = tuple(deque([Burst(address, 1, address)]) for address in (0x1000, 0x1800, 0x2000))
    late = tuple(0 if rid == first else 1 for rid in (FETCH, LOAD, RESIDUAL))
    bench = Bench(requests, late=late, busy=range(10), halts=range(2, 40)).run()
    assert bench.ars[:2] == [(10, first, 0x1000 + 0x800 * first), (40, FETCH, 0x1000)]


@pytest.mark.parametrize("reader", [FETCH, LOAD, RESIDUAL])
@pytest.mark.parametrize(
    ("address", "beats", "accepted"),
    [
        (0x1000, 1, True),
        (0xFF8, 1, False),
        (0xFF8, 4, False),
        (0x1FFF8, 1, True),
        (0x1FFF8, 2, False),
        (0x20000, 1, False),
    ],
)
def test_window(reader: int, address: int, beats: int, accepted: bool) -> None:
    """A refused request is gone, reported, and does not hold up the next one."""
    bursts = deque([Burst(address, beats, 7), Burst(0x1000, 1, 8)])
    bench = Bench(tuple(bursts if rid == reader else deque() for rid in (FETCH, LOAD, RESIDUAL))).run()
    assert bench.ars == ([(0, reader, address)] if accepted else []) + [(1, reader, 0x1000)]
    assert bench.errors == ([] if accepted else [(0, WINDOW_CODE, 7, address)])


def test_error_responses_are_reported_once_per_burst() -> None:
    bursts = deque(
        [Burst(0x1000, 4, 1, frozenset({1, 2, 3})), Burst(0x1100, 2, 2, frozenset({0})), Burst(0x1200, 1, 3)]
    )
    bench = Bench((bursts, deque(), deque()), latency=5).run()
    assert bench.errors == [(6, RESPONSE_CODE, 1, 0x1000), (9, RESPONSE_CODE, 2, 0x1100)]


class Readers(wiring.Component):
    """Fetch and load on one read master, with load's command queue; all other queues take everything."""

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({"axi": Out(axi_read_signature(config)), "start": In(1), "started": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.master = master = ReadMaster(config=self._config)
        m.submodules.fetch = fetch = Fetch(config=self._config)
        m.submodules.load = load = LoadEngine(config=self._config)
        m.submodules.queue = queue = SyncFIFO(width=QUEUED_COMMAND.size, depth=self._config.queue_depth)
        wiring.connect(m, master.axi, wiring.flipped(self.axi))
        for reader, request, data in (
            (fetch, master.fetch_request, master.fetch_data),
            (load, master.load_request, master.load_data),
        ):
            wiring.connect(m, reader.request, request)
            wiring.connect(m, data, reader.data)
        m.d.comb += [
            master.window_limit.eq(0xFFFF_FFFF),
            fetch.start.eq(self.start),
            fetch.program_address.eq(PROGRAM),
            fetch.program_commands.eq(COMMANDS),
            fetch.load.ready.eq(queue.w_rdy),
            queue.w_en.eq(fetch.load.valid),
            queue.w_data.eq(fetch.load.payload),
            load.command.payload.eq(queue.r_data),
            load.command.valid.eq(queue.r_rdy),
            queue.r_en.eq(load.command.ready),
            self.started.eq(queue.r_rdy & load.command.ready),
        ]
        return m


PROGRAM, DATA, COMMANDS, LATENCY = 0x1000, 0x8000, 14, 10


@pytest.mark.parametrize("outstanding", [1, 2, 3, 16])
def test_fetch_and_load_share_the_bus(outstanding: int) -> None:
    """Start in cycle 0; every AR, and every start of a load, against times added up from the contract."""
    config = preset("tiny").with_fields({"outstanding_reads": outstanding})
    command = spec.COMMAND["load.ifmap"]
    fields = dict.fromkeys((f.name for f in command.fields), 0) | {"blocks": 1, "columns": 1, "column_beats": 40}
    words = [command.encode(fields | {"dram_address": DATA + 0x200 * i}) for i in range(COMMANDS)]
    dut = Readers(config=config)
    ars: list[tuple[int, int, int]] = []
    starts: list[int] = []

    async def testbench(ctx):
        bursts: deque[list] = deque()  # [ready cycle, ID, address, beats left]
        ctx.set(dut.axi.arready, 1)
        for now in range(1100):
            ctx.set(dut.start, now == 0)
            beat = bursts[0] if bursts and now >= bursts[0][0] else None
            ctx.set(dut.axi.rvalid, beat is not None)
            if beat:
                offset = beat[2] - PROGRAM
                data = words[offset // 32] >> offset % 32 * 8 & (1 << 64) - 1 if beat[1] == FETCH else 0
                ctx.set(dut.axi.rdata, data)
                ctx.set(dut.axi.rid, beat[1])
                ctx.set(dut.axi.rlast, beat[3] == 1)
                if ctx.get(dut.axi.rready):
                    beat[2], beat[3] = beat[2] + 8, beat[3] - 1
                    if not beat[3]:
                        bursts.popleft()
            if ctx.get(dut.axi.arvalid):
                address, rid = ctx.get(dut.axi.araddr), ctx.get(dut.axi.arid)
                ars.append((now, rid, address))
                bursts.append([now + LATENCY, rid, address, ctx.get(dut.axi.arlen) + 1])
            if ctx.get(dut.started):
                starts.append(now)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert len(starts) == COMMANDS
    assert [address for _, rid, address in ars if rid == FETCH] == list(range(PROGRAM, PROGRAM + 32 * COMMANDS, 128))
    assert (ars, starts) == predicted_cycles(config, bursts=[(0, 16), (128, 16), (256, 8)])


def predicted_cycles(config: AcceleratorConfig, bursts: list[tuple[int, int]]) -> tuple[list, list]:
    """Cycles of every AR and of every load's start, each from the events it waits for; ``inf``: not known yet."""

    def after(events: list[int], i: int) -> float:
        return 0 if i < 0 else events[i] + 1 if i < len(events) else inf

    ars: list[tuple[int, int, int]] = []
    ends, arrived, dispatched, starts, last_ars, last_beats = ([] for _ in range(6))
    fetched = parts = 0
    while fetched < COMMANDS or parts < COMMANDS * len(bursts):
        for _ in range(COMMANDS):  # as far as it is known by now
            c = len(dispatched)
            dispatch = max(after(arrived, c), after(dispatched, c - 1), after(starts, c - config.queue_depth))
            dispatched += [dispatch] if dispatch < inf else []
            c = len(starts)
            start = max(after(dispatched, c), after(last_ars, c - 1), after(last_beats, c - 4))
            starts += [start] if start < inf else []
        commands = min(4, COMMANDS - fetched)
        command, part = divmod(parts, len(bursts))
        ask_fetch = max(1, after(dispatched, fetched + commands - 9)) if commands else inf
        ask_load = after(starts, command) if part == 0 else 0
        slot = max(after([cycle for cycle, *_ in ars], len(ars) - 1), after(ends, len(ars) - config.outstanding_reads))
        now = max(slot, min(ask_fetch, ask_load))
        first_beat = max(now + LATENCY, after(ends, len(ends) - 1))
        if ask_fetch <= now:
            ars.append((now, FETCH, PROGRAM + 32 * fetched))
            ends.append(first_beat + 4 * commands - 1)
            arrived += [first_beat + 4 * i + 3 for i in range(commands)]
            fetched += commands
        else:
            offset, beats = bursts[part]
            ars.append((now, LOAD, DATA + 0x200 * command + offset))
            ends.append(first_beat + beats - 1)
            parts += 1
            if part == len(bursts) - 1:
                last_ars.append(now)
                last_beats.append(ends[-1])
    return ars, starts
