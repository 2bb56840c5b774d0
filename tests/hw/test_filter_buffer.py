"""FilterBuffer against an endless list of rows of words."""

import random

import pytest
from amaranth.sim import Simulator

from hw.config import AcceleratorConfig, preset
from hw.filter_buffer import FilterBuffer


def _config(words: int) -> AcceleratorConfig:
    return preset("tiny").with_fields({"filter_lane_words": words, "filter_spad_words": 64})


def _run(dut: FilterBuffer, testbench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(("words", "seed"), [(8, 0), (11, 1), (16, 2), (29, 3)])
def test_fifo_of_rows(words: int, seed: int) -> None:
    """Random reserving, writing, reading and releasing; data, hold of data and both levels are checked every cycle."""
    config = _config(words)
    dut = FilterBuffer(config=config)
    rng = random.Random(seed)

    async def testbench(ctx):
        stored: list[dict[int, int]] = [{}]  # row of words -> lane -> word; the last one is being written
        released = given = reserved = 0
        expected: list[int | None] = [0] * config.rows
        for _ in range(1200):
            free, level = words + released - reserved, given - released
            assert ctx.get(dut.free) == free
            assert ctx.get(dut.level) == level

            reserve = rng.choice((0, 0, rng.randint(0, min(free, 255))))
            lane, value, advance = rng.randrange(config.rows), rng.getrandbits(64), rng.random() < 0.5
            write = len(stored) <= reserved and rng.random() < 0.7
            complete = len(stored) - 1 + (write and advance)
            give = complete - given if rng.random() < 0.3 else 0
            offset = rng.randrange(level) if level else 0
            read_mask = rng.getrandbits(config.rows) if level and rng.random() < 0.7 else 0
            release = rng.randint(0, level) if rng.random() < 0.2 else 0

            ctx.set(dut.reserve, reserve)
            ctx.set(dut.write_enable, write << lane)
            ctx.set(dut.write_data, value)
            ctx.set(dut.write_advance, write and advance)
            ctx.set(dut.give, give)
            ctx.set(dut.read_enable, read_mask)
            ctx.set(dut.read_offset, offset)
            ctx.set(dut.release, release)
            await ctx.tick()

            for row in range(config.rows):
                if read_mask >> row & 1:
                    expected[row] = stored[released + offset].get(row)
                if expected[row] is not None:  # None: never written, so left from an earlier round
                    assert ctx.get(dut.read_data[row]) == expected[row]
            if write:
                stored[-1][lane] = value
                if advance:
                    stored.append({})
            reserved, given, released = reserved + reserve, given + give, released + release
        assert released > 10 * words

    _run(dut, testbench)


def test_word_is_readable_in_the_cycle_after_its_write() -> None:
    dut = FilterBuffer(config=_config(8))

    async def testbench(ctx):
        for value in range(20):
            ctx.set(dut.write_enable, 0b1111)
            ctx.set(dut.write_data, value)
            ctx.set(dut.write_advance, 1)
            ctx.set(dut.give, 1)
            ctx.set(dut.read_enable, 0)
            ctx.set(dut.release, 0)
            await ctx.tick()
            assert ctx.get(dut.level) == 1
            ctx.set(dut.write_enable, 0)
            ctx.set(dut.write_advance, 0)
            ctx.set(dut.give, 0)
            ctx.set(dut.read_enable, 0b1010)
            ctx.set(dut.release, 1)
            await ctx.tick()
            assert ctx.get(dut.level) == 0
            assert [ctx.get(lane) for lane in dut.read_data] == [0, value, 0, value]

    _run(dut, testbench)
