"""PEArray against numpy: passes of operations and the psum chain, in the cycles of docs/timing.md (sections 5 to 7)."""

import random

import numpy as np
import pytest
from amaranth.sim import SimulatorContext

from hw.config import AcceleratorConfig
from hw.pe_array import PEArray
from tests.hw.pe_array_model import TINY, WIDE, ArrayDriver, least, simulate


async def fill_ifmaps(array: ArrayDriver, rng: np.random.Generator) -> None:
    """Deliver a random word to each ifmap scratchpad address: one slot, one row of ifmap per PE column."""
    config, ctx, dut = array.config, array.ctx, array.dut
    rows = [{"filter_row": row, "channel": 0, "slots": 63} for row in range(config.rows)]
    await array.fill_tables(rows, [{"first_row": c, "bottom": 256, "valid": 1} for c in range(config.cols)])
    ctx.set(dut.layer, {"filter_rows": 255})
    for address in range(config.ifmap_spad_words):
        values = rng.integers(least(config), -least(config), config.lanes)
        for lane, value in enumerate(values):
            ctx.set(dut.lane_words[lane], int(value) % (1 << config.activation_bits))
        ctx.set(dut.delivery, {"valid": 1, "restart": 1, "position": address})
        for row in range(config.rows):
            array.ifmaps[row, :, address] = values[row : row + config.cols]
        await ctx.tick()
    ctx.set(dut.delivery, {})
    await ctx.tick()


def pass_operations(config: AcceleratorConfig, half: int, rng: random.Random, depthwise: bool) -> list[dict]:
    """A pass in mac's order: per ofmap column slots, taps, filters; at tap 0 the column before leaves; then a flush."""
    slots, taps, filters = rng.randrange(1, 4), rng.randrange(1, 4), 1 if depthwise else rng.randrange(1, 4)
    columns, maximum, base = rng.randrange(1, 4), rng.randrange(2), rng.choice([0, half])
    active = [rng.randrange(1 << config.rows) for _ in range(slots)]
    ring = config.ifmap_spad_words // slots
    operations = []
    for column in range(columns):
        for slot in range(slots):
            for tap in range(taps):
                for k in range(filters):
                    first = tap == 0 and (depthwise or slot == 0)
                    operations.append(
                        {
                            "valid": 1,
                            "first": int(first),
                            "emit": int(first and column > 0),
                            "maximum": maximum,
                            "filter_address": base + ((slot * taps + tap) * filters + k) % config.filter_spad_words,
                            "ifmap_address": slot * ring + (column + tap) % ring,
                            "psum_address": slot if depthwise else k,
                            "active": active[slot],
                        }
                    )
    operations += [{**operations[0], "valid": 0}] * rng.randrange(3)
    flush = {**operations[0], "valid": 0, "first": 0, "emit": 1}
    return operations + [{**flush, "psum_address": k} for k in range(slots if depthwise else filters)]


@pytest.mark.parametrize("config", [TINY, WIDE], ids=lambda config: config.name)
@pytest.mark.parametrize("depthwise", [False, True], ids=["normal", "depthwise"])
def test_passes(config: AcceleratorConfig, depthwise: bool) -> None:
    dut = PEArray(config=config)

    async def bench(ctx: SimulatorContext) -> None:
        array, rng, numbers = ArrayDriver(config, ctx, dut), random.Random(3), np.random.default_rng(3)
        await fill_ifmaps(array, numbers)
        await array.fill_filters(numbers)
        await ctx.tick()
        operations = [op for _ in range(40) for op in pass_operations(config, array.half, rng, depthwise)]
        limit = 1 << (config.psum_bits - 1)
        heads = numbers.integers(-limit, limit, (len(operations), config.cols)) >> numbers.choice(
            [0, 12], (len(operations), 1)
        )
        await array.operate(operations, heads, numbers.random(len(operations)) < 0.5)

    simulate(dut, bench)


def test_convolution_of_one_row() -> None:
    """What all of it is for: a 1 x S convolution over three rows of PEs, its sum in the exact cycle at the tail."""
    config, taps = TINY, 3
    dut = PEArray(config=config)

    async def bench(ctx: SimulatorContext) -> None:
        array, numbers = ArrayDriver(config, ctx, dut), np.random.default_rng(4)
        await fill_ifmaps(array, numbers)
        await array.fill_filters(numbers)
        await ctx.tick()
        head, x, w = numbers.integers(-999, 999, config.cols), array.ifmaps, array.filters
        expected = head + np.einsum("rcs,rcs->c", x[:, :, 5 : 5 + taps], w[:, :, 8 : 8 + taps])
        for column, psum in enumerate(head):
            ctx.set(dut.head_psums[column], int(psum))
        ctx.set(dut.head_enable, 1)
        for tap in range(taps):
            operation = {"valid": 1, "first": int(tap == 0), "filter_address": 8 + tap, "ifmap_address": 5 + tap}
            ctx.set(dut.operation, {**operation, "active": (1 << config.rows) - 1})
            await ctx.tick()
        ctx.set(dut.operation, {"emit": 1})
        for cycle in range(config.rows + 3):
            assert [ctx.get(psum) for psum in dut.tail_psums] == [0] * config.cols, cycle
            await ctx.tick()
            ctx.set(dut.operation, {})
        assert [ctx.get(psum) for psum in dut.tail_psums] == expected.tolist()

    simulate(dut, bench)


@pytest.mark.parametrize("late", [0, 1])
def test_earliest_read(late: int) -> None:
    """An operation sees the filter word and the delivery of the cycle before it was issued, not those of its own."""
    config = TINY
    dut = PEArray(config=config)

    async def bench(ctx: SimulatorContext) -> None:
        await ArrayDriver(config, ctx, dut).fill_tables(
            [{"slots": 1}] * config.rows, [{"bottom": 256, "valid": 1}] * config.cols
        )
        ctx.set(dut.layer, {"filter_rows": 1})
        ctx.set(dut.lane_words[0], 7)
        operation = {"valid": 1, "first": 1, "active": 1, "filter_address": 3, "ifmap_address": 2}
        for cycle in range(2):
            ctx.set(dut.operation, operation if cycle == late else {})
            ctx.set(dut.delivery, {"valid": cycle == 0, "restart": 1, "position": 2})
            ctx.set(dut.filter_write, {"enable": cycle == 0, "columns": 7})
            ctx.set(dut.filter_words[0], 5 << 24)
            await ctx.tick()
        ctx.set(dut.operation, {"emit": 1})
        await ctx.tick().repeat(config.rows + 3)
        assert [ctx.get(psum) for psum in dut.tail_psums] == [35 * late] * config.cols

    simulate(dut, bench)
