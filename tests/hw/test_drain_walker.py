"""DrainWalker against the list of a strip's blocks."""

import random
from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from hw.config import PRESETS
from hw.drain_walker import DrainWalker
from tests.hw.drain_model import Block, blocks

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "wide": replace(TINY, cols=14, drain_width=8),
    "narrow": replace(TINY, cols=5, drain_width=1),
    "int16": replace(TINY, cols=9, drain_width=4, activation_bits=16),
}
OUTPUT = {"zero_point": 0, "minimum": 0, "maximum": 0}
TOKENS = dict.fromkeys(
    ("wait_psum_ready", "wait_parameter_ready", "signal_psum_free", "signal_parameter_free", "signal_written"), 0
)


def _random_command(rng: random.Random, cols: int, block: int) -> tuple[dict[str, int], dict[str, int]]:
    """Any strides and addresses: the walker does not care whether words overlap."""
    layer = OUTPUT | {
        "column_stride": 8 * rng.getrandbits(17),
        "block_stride": 8 * rng.getrandbits(20),
        "image_stride": 8 * rng.getrandbits(20),
        "rows": rng.choice((1, 2, rng.randint(1, cols), 4000)),
        "images": rng.choice((1, 2, 255)),
        "psums": rng.choice((1, 2, 3, 8, 12, 32)),
    }
    row, image = rng.randrange(layer["rows"]), rng.choice((0, layer["images"] - 1))
    group_address = 8 * rng.getrandbits(26)
    strip = TOKENS | {
        "group_address": group_address,
        "start_address": group_address + image * layer["image_stride"] + row * 8,
        "row": row,
        "image": image,
        "strip_columns": rng.randint(1, cols),
        "columns": rng.randint(1, 3),
        "psum_address": rng.randrange(100),
        "channel_offset": rng.randrange(block),
        "parameter": rng.randrange(100),
    }
    groups = (image * layer["rows"] + row + strip["strip_columns"] - 1) // (layer["rows"] * layer["images"]) + 1
    return layer, strip | {"channels": (groups - 1) * layer["psums"] + rng.randint(1, layer["psums"] + 9)}


def _seen(payload) -> Block:
    reads = [(payload.psum_address + k, payload.parameter_address + k) for k in range(payload.channels)]
    return Block(payload.first_column, payload.columns, payload.lane, reads, payload.address)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("ready", [1.0, 0.4])
def test_blocks_in_order_and_without_gaps(name: str, ready: float) -> None:
    rng, config = random.Random(name), CONFIGS[name]
    dut = DrainWalker(config=config)

    async def walk(ctx) -> None:
        layer, strip = _random_command(rng, config.cols, config.channel_block)
        ctx.set(dut.layer, layer)
        ctx.set(dut.strip, strip)
        ctx.set(dut.start, 1)
        assert not ctx.get(dut.blocks.valid)
        await ctx.tick()
        ctx.set(dut.start, 0)
        expected = blocks(config, layer, strip)
        for number, block in enumerate(expected):
            while True:
                assert ctx.get(dut.blocks.valid)
                payload = ctx.get(dut.blocks.payload)
                taken = rng.random() < ready
                ctx.set(dut.blocks.ready, taken)
                await ctx.tick()
                if taken:
                    break
            wanted = replace(block, address=block.address % (1 << 32))
            assert _seen(payload) == wanted, number
            assert payload.last == (number == len(expected) - 1)
        ctx.set(dut.blocks.ready, 0)
        assert not ctx.get(dut.blocks.valid)

    async def testbench(ctx) -> None:
        for _ in range(25):
            await walk(ctx)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
