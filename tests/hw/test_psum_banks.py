"""PsumBanks against a list of words per bank."""

import random
from dataclasses import replace

from amaranth.sim import Simulator

from hw.config import PRESETS
from hw.psum_banks import PsumBanks

CONFIG = replace(PRESETS["tiny"], cols=3, psum_bank_words=16, psum_bits=24)


def test_head_reads_first_and_reads_see_earlier_writes_only() -> None:
    rng = random.Random(1)
    dut = PsumBanks(config=CONFIG)
    banks = [[0] * CONFIG.psum_bank_words for _ in range(CONFIG.cols)]

    def address() -> int:
        return rng.choice((3, CONFIG.psum_bank_words - 1, rng.randrange(CONFIG.psum_bank_words)))

    async def testbench(ctx) -> None:
        expected = [0] * CONFIG.cols
        for _ in range(600):
            head, drain, tail = rng.random() < 0.4, rng.random() < 0.6, rng.getrandbits(CONFIG.cols)
            head_address, drain_address, tail_address = address(), address(), address()
            psums = [rng.randint(-(1 << 23), (1 << 23) - 1) for _ in range(CONFIG.cols)]
            ctx.set(dut.head_enable, head)
            ctx.set(dut.head_address, head_address)
            ctx.set(dut.drain_request, drain)
            ctx.set(dut.drain_address, drain_address)
            ctx.set(dut.tail_enable, tail)
            ctx.set(dut.tail_address, tail_address)
            for column, psum in enumerate(psums):
                ctx.set(dut.tail_psums[column], psum)
            assert ctx.get(dut.drain_ready) == (not head)
            if head or drain:
                expected = [bank[head_address if head else drain_address] for bank in banks]
            for column, bank in enumerate(banks):
                if tail >> column & 1:
                    bank[tail_address] = psums[column]
            await ctx.tick()
            assert [ctx.get(word) for word in dut.data] == expected

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
