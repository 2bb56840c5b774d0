"""DrainTransposer: beats of blocks that follow each other as closely as its contract allows."""

import random
from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from hw.config import PRESETS, AcceleratorConfig
from hw.drain_transposer import DrainTransposer

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "odd": replace(TINY, drain_width=3),
    "narrow": replace(TINY, drain_width=1),
    "int16": replace(TINY, drain_width=8, activation_bits=16),
}


def _schedule(rng: random.Random, config: AcceleratorConfig) -> tuple[dict, dict, set]:
    """Reads by cycle, and the beats and completions they must give by cycle."""
    size = config.activation_bits
    reads, beats, completions = {}, {}, set()
    cycle, busy_until = 0, 0
    for _ in range(120):
        columns, lane = rng.randint(1, config.drain_width), rng.randrange(config.channel_block)
        channels, split = rng.randint(1, config.channel_block - lane), rng.randint(1, columns)
        words = [0] * columns
        cycle = max(cycle + rng.choice((0, 0, 1, 5)), busy_until - channels)
        for k in range(channels):
            activations = [rng.getrandbits(size) for _ in range(config.drain_width)]
            words = [word | a << (lane + k) * size for word, a in zip(words, activations, strict=False)]
            record = {"first": k == 0, "last": k == channels - 1, "lane": lane + k, "columns": columns, "split": split}
            cycle += rng.choice((0, 0, 3)) if k else 0
            reads[cycle] = ({"valid": 1} | record, activations)
            cycle += 1
        completions.add(cycle)
        mask = ((1 << channels * size) - 1) << lane * size
        strobe = ((1 << channels * size // 8) - 1) << lane * size // 8
        for j, word in enumerate(words):
            beats[cycle + 1 + j] = (word & mask, mask, strobe, j in (split - 1, columns - 1))
        busy_until = cycle + columns
    return reads, beats, completions


@pytest.mark.parametrize("name", CONFIGS)
def test_beats_in_their_cycles(name: str) -> None:
    config = CONFIGS[name]
    reads, beats, completions = _schedule(random.Random(name), config)
    dut = DrainTransposer(config=config)

    async def testbench(ctx) -> None:
        for cycle in range(max(beats) + 3):
            record, activations = reads.get(cycle, ({"valid": 0}, []))
            ctx.set(dut.read, record)
            for lane, activation in enumerate(activations):
                ctx.set(dut.activations[lane], activation)
            assert ctx.get(dut.complete) == (cycle in completions)
            assert ctx.get(dut.beat_valid) == (cycle in beats)
            if cycle in beats:
                word, mask, strobe, last = beats[cycle]
                beat = ctx.get(dut.beat)
                assert (beat.data & mask, beat.strobe, beat.last) == (word, strobe, last)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
