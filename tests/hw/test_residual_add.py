"""ResidualAdd against TFLite's int8 ADD in exact integers, and its six cycles."""

import random
from collections import deque
from dataclasses import dataclass, replace

import pytest
from amaranth.sim import Simulator

from hw.config import PRESETS, AcceleratorConfig
from hw.residual_add import RESIDUAL_LATENCY, ResidualAdd
from tests.hw.drain_model import add

TINY = PRESETS["tiny"]
CONFIGS = {"int8": TINY, "int16": replace(TINY, activation_bits=16, residual_fifo_beats=16)}
GREATEST = (1 << 31) - 1
MULTIPLIERS = (0, 1, 1 << 30, (1 << 30) + 1, GREATEST - 1, GREATEST)


def random_settings(rng: random.Random, bits: int) -> dict[str, int]:
    """Any settings, often at the ends of their ranges."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def zero_point() -> int:
        return rng.choice((low, 0, high, rng.randint(low, high)))

    def multiplier() -> int:
        return rng.choice((*MULTIPLIERS, *(rng.randint(1 << 30, GREATEST) for _ in MULTIPLIERS)))

    minimum, maximum = rng.choice(((low, high), (low, high), (low, high), (0, 6), (-1, -1)))
    return {
        "enable": 1,
        "address_offset": rng.getrandbits(32),
        "multiplier": multiplier(),
        "shift": rng.choice((0, 1, 2, 3, rng.randint(0, 31), 31)),
        "residual_zero_point": zero_point(),
        "residual_multiplier": multiplier(),
        "residual_shift": rng.choice((0, 1, 2, 3, rng.randint(0, 31), 31)),
        "sum_multiplier": multiplier(),
        "sum_shift": rng.choice((0, 19, 20, 21, rng.randint(0, 31), 31)),
        "sum_zero_point": zero_point(),
        "sum_minimum": minimum,
        "sum_maximum": maximum,
    }


def half_settings(shift: int, sum_shift: int) -> dict[str, int]:
    """Scales that are powers of two, so that quotients lie halfway between integers."""
    zero = dict.fromkeys(("address_offset", "residual_zero_point", "sum_zero_point"), 0)
    multipliers = dict.fromkeys(("multiplier", "residual_multiplier", "sum_multiplier"), 1 << 30)
    limits = {"sum_minimum": -128, "sum_maximum": 127}
    return zero | multipliers | limits | {"enable": 1, "shift": shift, "residual_shift": 31, "sum_shift": sum_shift}


def lanes_of(word: int, bits: int) -> list[int]:
    """The signed values in a bus word."""
    values = [word >> i & (1 << bits) - 1 for i in range(0, 64, bits)]
    return [value - (value >> bits - 1 << bits) for value in values]


def random_word(rng: random.Random, bits: int) -> int:
    """A bus word whose lanes are often extreme."""
    values = ((1 << bits - 1), (1 << bits - 1) - 1, (1 << bits) - 1, 0, rng.getrandbits(bits), rng.getrandbits(bits))
    return sum(rng.choice(values) << i for i in range(0, 64, bits))


@dataclass
class Item:
    """A beat in, by cycle; ``complete`` announces in the same cycle the zero point of the beats from the next on."""

    beat: tuple[int, int, int] | None  # data, strobe, last
    residual: int
    complete: bool
    zero_point: int


def random_items(rng: random.Random, bits: int, count: int) -> list[Item]:
    """A complete block first, then beats with and without gaps, and some more complete blocks."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    items = []
    for number in range(count):
        beat = (
            (random_word(rng, bits), rng.getrandbits(8), rng.getrandbits(1)) if number and rng.random() < 0.9 else None
        )
        zero_point = rng.choice((low, high, rng.randint(low, high)))
        items.append(Item(beat, random_word(rng, bits), not number or rng.random() < 0.2, zero_point))
    return items


async def run_items(ctx, dut: ResidualAdd, settings: dict[str, int], items: list[Item], bits: int) -> None:
    """Put residual beats in as early as the FIFO allows, then one item a cycle; compare every output."""
    latency = RESIDUAL_LATENCY if settings["enable"] else 0
    ctx.set(dut.settings, settings)
    residuals = deque(item.residual for item in items if item.beat and settings["enable"])
    expected, zero_point, ahead = {}, 0, 0
    for cycle in range(-4, len(items) + latency + 2):
        item = items[cycle] if 0 <= cycle < len(items) else Item(None, 0, False, 0)
        put = bool(residuals) and ahead < 12
        ctx.set(dut.residual_data.valid, put)
        ctx.set(dut.residual_data.payload, residuals.popleft() if put else 0)
        ctx.set(dut.complete, item.complete)
        ctx.set(dut.zero_point, item.zero_point)
        ctx.set(dut.beat_valid, item.beat is not None)
        if item.beat:
            ctx.set(dut.beat, dict(zip(("data", "strobe", "last"), item.beat, strict=True)))
        data = None
        if item.beat:
            data = lanes_of(item.beat[0], bits)
            if settings["enable"]:
                pairs = zip(data, lanes_of(item.residual, bits), strict=True)
                data = [add(own, other, zero_point, settings) for own, other in pairs]
        expected[cycle + latency] = (item.complete, data, item.beat)
        if item.complete:
            zero_point = item.zero_point
        taken = ctx.get(dut.beat_taken)
        assert taken == (item.beat is not None and bool(settings["enable"]))
        assert ctx.get(dut.residual_data.ready)
        ahead += put - taken
        complete, data, beat = expected.get(cycle, (False, None, None))
        assert (ctx.get(dut.sum_complete), ctx.get(dut.sum_valid)) == (complete, beat is not None), cycle
        if beat:
            seen = ctx.get(dut.sum)
            assert lanes_of(seen.data, bits) == data, (settings, cycle)
            assert (seen.strobe, seen.last) == beat[1:]
        await ctx.tick()


def run_all(config: AcceleratorConfig, runs: list[tuple[dict[str, int], list[Item]]]) -> None:
    dut = ResidualAdd(config=config)

    async def testbench(ctx) -> None:
        for settings, items in runs:
            await run_items(ctx, dut, settings, items, config.activation_bits)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("name", CONFIGS)
def test_equals_the_reference_six_cycles_later_or_at_once(name: str) -> None:
    """Settings follow each other as closely as drain lets them: the last beat has left."""
    rng, config = random.Random(name), CONFIGS[name]
    bits = config.activation_bits
    runs = []
    for number in range(60):
        settings = random_settings(rng, bits) | {"enable": number % 4 != 3}
        runs.append((settings, random_items(rng, bits, 20)))
    run_all(config, runs)


def test_halves() -> None:
    """Every activation, in quotients of which half lie halfway between two integers."""
    runs = []
    for shift, sum_shift in ((0, 19), (1, 18), (2, 18), (20, 0), (21, 0)):
        words = [sum((8 * i + lane) << 8 * lane for lane in range(8)) for i in range(32)]
        beats = [Item((word, 0xFF, 0), 0, False, 0) for word in words]
        runs.append((half_settings(shift, sum_shift), [Item(None, 0, True, 0), *beats]))
    run_all(TINY, runs)


def test_reference_by_hand() -> None:
    """Values from TFLite's definition, calculated by hand, and not from any code."""
    settings = half_settings(0, 18)  # (own << 20) / 2, divided by 2 and by 2**18: own
    assert [add(own, 99, 0, settings) for own in (-128, -1, 0, 1, 127)] == [-128, -1, 0, 1, 127]
    assert [add(own, 0, 0, half_settings(0, 19)) for own in (-3, -1, 1, 3, 5)] == [-2, -1, 1, 2, 3]
    both = settings | {"residual_shift": 0, "residual_zero_point": -2, "sum_zero_point": 10, "sum_maximum": 40}
    assert [add(own, 5, 1, both) for own in (-9, 0, 24, 25)] == [7, 16, 40, 40]
