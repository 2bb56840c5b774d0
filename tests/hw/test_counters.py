"""CounterBank against a model that adds up in Python."""

import random

import pytest
from amaranth.sim import Simulator

from hw import spec
from hw.config import PRESETS
from hw.counters import COUNTING, WAITING, CounterBank

TINY = PRESETS["tiny"]
MASK = (1 << spec.COUNTER_BITS) - 1


class Model:
    """What the counter bank promises, one method call a cycle."""

    def __init__(self, *, counters: bool) -> None:
        self.built = {c.name for c in spec.COUNTERS if counters or c.name == "cycle.total"}
        self.live = dict.fromkeys(spec.COUNTER_NAMES, 0)
        self.snapshot = dict.fromkeys(spec.COUNTER_NAMES, 0)
        self.pending: set[str] = set()

    def cycle(self, counts: dict[str, int], captures: set[str], *, clear: bool, running: bool, marked: bool) -> None:
        for counter in spec.COUNTERS:
            name = counter.name
            after = self.live[name] + (running if name == "cycle.total" else counts[name])
            if counter.engine in captures and name in self.built:
                self.snapshot[name] = (self.live[name] if name == "cycle.total" else after) & MASK
            self.live[name] = after & MASK if name in self.built and not clear else 0
        self.pending = set() if marked or clear else self.pending | (captures - {"drain"})


def _random_cycle(rng: random.Random) -> dict:
    return {
        "counts": {name: rng.choice((0, 1, rng.getrandbits(24))) for name in spec.COUNTER_NAMES},
        "captures": {engine for engine in COUNTING if rng.random() < 0.2},
        "clear": rng.random() < 0.02,
        "running": rng.random() < 0.8,
        "marked": rng.random() < 0.1,
    }


def _drive(ctx, dut: CounterBank, stimulus: dict) -> None:
    for counter in spec.COUNTERS:
        ctx.set(
            getattr(dut, f"counts_{counter.engine}")[counter.name.replace(".", "_")], stimulus["counts"][counter.name]
        )
    for engine in COUNTING:
        ctx.set(getattr(dut, f"capture_{engine}"), engine in stimulus["captures"])
    for name in ("clear", "running", "marked"):
        ctx.set(getattr(dut, name), stimulus[name])


def _check(ctx, dut: CounterBank, model: Model, rng: random.Random) -> None:
    for engine in WAITING:
        assert ctx.get(getattr(dut, f"mark_free_{engine}")) == (engine not in model.pending)
    assert ctx.get(dut.all_captured) == (model.pending == set(WAITING))
    assert ctx.get(dut.total) == model.live["cycle.total"]
    for index in (rng.randrange(64), rng.randrange(spec.SNAPSHOT_BEATS), spec.SNAPSHOT_BEATS - 1):
        ctx.set(dut.live_index, index)
        ctx.set(dut.snapshot_index, spec.SNAPSHOT_BEATS - 1 - index if index < spec.SNAPSHOT_BEATS else index)
        names = dict(enumerate(spec.COUNTER_NAMES))
        assert ctx.get(dut.live) == model.live.get(names.get(index), 0)
        assert ctx.get(dut.snapshot) == model.snapshot.get(names.get(ctx.get(dut.snapshot_index)), 0)


@pytest.mark.parametrize("counters", (True, False))
def test_matches_model(counters: bool) -> None:
    rng = random.Random(1)
    dut = CounterBank(config=TINY.with_fields({"counters": counters}))
    model = Model(counters=counters)

    async def bench(ctx) -> None:
        for _ in range(400):
            stimulus = _random_cycle(rng)
            _drive(ctx, dut, stimulus)
            _check(ctx, dut, model, rng)
            await ctx.tick()
            model.cycle(**stimulus)

    _run(dut, bench)


def test_counts_are_48_bits_wide() -> None:
    dut = CounterBank(config=TINY)
    index = spec.COUNTER_NAMES.index("dram.ofmap.write_bytes")

    async def bench(ctx) -> None:
        ctx.set(dut.counts_drain.dram_ofmap_write_bytes, (1 << 24) - 1)
        ctx.set(dut.live_index, index)
        await ctx.tick().repeat(1000)
        assert ctx.get(dut.live) == 1000 * ((1 << 24) - 1)

    _run(dut, bench)


def test_total_is_the_distance_from_clear() -> None:
    """Clear in t0 - 1, running from t0: the snapshot of a mark in s holds s - t0, the final value is b + 1 - t0."""
    dut = CounterBank(config=TINY)
    index = spec.COUNTER_NAMES.index("cycle.total")

    async def bench(ctx) -> None:
        ctx.set(dut.snapshot_index, index)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        for cycle in range(20):  # cycle 0 is t0
            assert ctx.get(dut.total) == cycle
            ctx.set(dut.running, 1)
            ctx.set(dut.capture_drain, cycle == 7)
            await ctx.tick()
        ctx.set(dut.running, 0)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.snapshot) == 7
        assert ctx.get(dut.total) == 20  # the last running cycle was b = 19

    _run(dut, bench)


def test_refuses_other_configurations() -> None:
    with pytest.raises(TypeError, match="config must be an AcceleratorConfig, not 'tiny'"):
        CounterBank(config="tiny")  # type: ignore[arg-type]


def _run(dut: CounterBank, bench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
