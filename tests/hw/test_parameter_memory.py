"""ParameterMemory against a list."""

import random

import pytest
from amaranth.sim import Simulator

from hw.config import preset
from hw.parameter_memory import ParameterMemory


@pytest.mark.parametrize("seed", range(3))
def test_reads_and_writes(seed: int) -> None:
    config = preset("tiny").with_fields({"parameter_words": 9})
    dut = ParameterMemory(config=config)
    rng = random.Random(seed)

    async def testbench(ctx):
        entries = [{"bias": 0, "multiplier": 0, "shift": 0}] * config.parameter_words
        expected = entries[0]
        for _ in range(400):
            write, read = rng.random() < 0.5, rng.random() < 0.5
            write_address, read_address = rng.randrange(9), rng.randrange(9)
            entry = {
                "bias": rng.randrange(-(2**31), 2**31),
                "multiplier": rng.randrange(-(2**31), 2**31),
                "shift": rng.randrange(-128, 128),
            }
            ctx.set(dut.write_enable, write)
            ctx.set(dut.write_address, write_address)
            ctx.set(dut.write_data, entry)
            ctx.set(dut.read_enable, read)
            ctx.set(dut.read_address, read_address)
            await ctx.tick()
            if read:
                expected = entries[read_address]
            if write:
                entries[write_address] = entry
            got = {field: ctx.get(getattr(dut.read_data, field)) for field in entry}
            assert got == expected

    simulate(dut, testbench)


def simulate(dut, testbench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
