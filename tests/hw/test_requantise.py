"""Requantise against exact integers, for random values and those at which roundings and limits turn."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from amaranth.hdl import Cat
from amaranth.sim import Simulator

from hw.config import PRESETS, AcceleratorConfig
from hw.requantise import LATENCY, Requantise
from tests.hw.drain_model import requantise

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "wide": replace(TINY, cols=7, drain_width=8),
    "int16": replace(TINY, cols=6, drain_width=2, activation_bits=16, psum_bits=24),
    "one_column": replace(TINY, cols=1, drain_width=1),
}
LEAST, GREATEST = -(1 << 31), (1 << 31) - 1


def _parameters(rng: random.Random) -> Iterator[dict[str, int]]:
    for multiplier in (LEAST, -1, 0, 1, 1 << 30, GREATEST):
        for shift in (-31, -1, 0, 1):
            for bias in (LEAST, -1, 0, GREATEST):
                yield {"bias": bias, "multiplier": multiplier, "shift": shift}
    for shift in range(-31, 32):
        yield {"bias": rng.randint(-9, 9), "multiplier": rng.randint(1 << 30, GREATEST), "shift": shift}
    for shift in range(-12, 0):  # halves: the multiplier divides by two exactly
        yield {"bias": rng.randint(-1, 1), "multiplier": 1 << 30, "shift": shift}
    for _ in range(60):
        yield {"bias": rng.randint(LEAST, GREATEST), "multiplier": rng.randint(LEAST, GREATEST), "shift": -24}


def _psum(rng: random.Random, bits: int, shift: int) -> int:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    near_half = rng.randint(-255, 255) << max(-shift, 0)
    return min(
        max(rng.choice((low, high, 0, -1, near_half, rng.randint(-500, 500), rng.randint(low, high))), low), high
    )


def _stimuli(rng: random.Random, config: AcceleratorConfig) -> list[dict]:
    size = config.activation_bits
    limits = [(-(1 << size - 1), (1 << size - 1) - 1), (0, 6), (-1, -1)]
    stimuli = []
    for parameter in _parameters(rng):
        minimum, maximum = rng.choice(limits[:1] * 4 + limits[1:])
        zero_point = rng.choice((0, rng.randint(-128, 127)))
        psums = [_psum(rng, config.psum_bits, parameter["shift"]) for _ in range(config.cols)]
        output = {"zero_point": zero_point, "minimum": minimum, "maximum": maximum}
        stimuli.append({"parameter": parameter, "psums": psums, "first": rng.randrange(config.cols), "output": output})
    return stimuli


@pytest.mark.parametrize("name", CONFIGS)
def test_equals_the_reference_four_cycles_later(name: str) -> None:
    config = CONFIGS[name]
    stimuli = _stimuli(random.Random(name), config)
    dut = Requantise(config=config)
    mask = (1 << config.psum_bits) - 1

    async def testbench(ctx) -> None:
        for cycle, stimulus in enumerate(stimuli + stimuli[:LATENCY]):
            ctx.set(dut.parameter, stimulus["parameter"])
            ctx.set(dut.output, stimulus["output"])
            ctx.set(dut.first_column, stimulus["first"])
            packed = sum((psum & mask) << i * config.psum_bits for i, psum in enumerate(stimulus["psums"]))
            ctx.set(Cat(dut.psums), packed)
            if cycle >= LATENCY:
                past = stimuli[cycle - LATENCY]
                taken = past["psums"][past["first"] :][: config.drain_width]
                expected = [requantise(psum, past["parameter"], past["output"]) for psum in taken]
                assert [ctx.get(lane) for lane in dut.activations][: len(taken)] == expected, past
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def test_reference_by_hand() -> None:
    """The corner values, from TFLite's definition and not from any code."""
    output = {"zero_point": 0, "minimum": LEAST, "maximum": GREATEST}

    def scaled(psum: int, multiplier: int, shift: int) -> int:
        return requantise(psum, {"bias": 0, "multiplier": multiplier, "shift": shift}, output)

    assert scaled(LEAST, LEAST, 0) == GREATEST
    assert scaled(3, 1 << 30, 0) == 2 and scaled(-3, 1 << 30, 0) == -1
    assert scaled(6, 1 << 30, -1) == 2 and scaled(-6, 1 << 30, -1) == -2
    assert scaled(10, 1 << 30, -1) == 3 and scaled(-10, 1 << 30, -1) == -3
