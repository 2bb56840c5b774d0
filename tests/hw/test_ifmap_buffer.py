"""IfmapBuffer against a list per lane."""

import random

import pytest
from amaranth.sim import Simulator

from hw.config import preset
from hw.ifmap_buffer import IfmapBuffer


@pytest.mark.parametrize("words", [16, 19])
def test_lanes_are_read_and_written_independently(words: int) -> None:
    config = preset("tiny").with_fields({"ifmap_lane_words": words})
    lanes = range(config.lanes)
    dut = IfmapBuffer(config=config)
    rng = random.Random(words)

    async def testbench(ctx):
        contents = [[0] * words for _ in lanes]
        expected = [0 for _ in lanes]
        for _ in range(300):
            write_mask, read_mask, next_mask = (rng.getrandbits(config.lanes) for _ in range(3))
            write_address, address, address_next = (rng.randrange(words) for _ in range(3))
            values = [rng.getrandbits(64) for _ in lanes]
            ctx.set(dut.write_enable, write_mask)
            ctx.set(dut.write_address, write_address)
            for lane in lanes:
                ctx.set(dut.write_data[lane], values[lane])
            ctx.set(dut.read_enable, read_mask)
            ctx.set(dut.read_next, next_mask)
            ctx.set(dut.read_address, address)
            ctx.set(dut.read_address_next, address_next)
            await ctx.tick()
            for lane in lanes:
                if read_mask >> lane & 1:
                    expected[lane] = contents[lane][address_next if next_mask >> lane & 1 else address]
                if write_mask >> lane & 1:
                    contents[lane][write_address] = values[lane]
            assert [ctx.get(dut.read_data[lane]) for lane in lanes] == expected

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
