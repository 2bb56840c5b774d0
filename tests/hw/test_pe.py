"""ProcessingElement against the contract (docs/timing.md, sections 5 to 7), cycle by cycle."""

import random

import pytest
from amaranth.sim import Simulator, SimulatorContext

from hw.config import AcceleratorConfig
from hw.pe import ProcessingElement

#: Sizes that are no powers of two; three filter words in each half, the second half starting at word 4.
ODD = AcceleratorConfig(
    name="odd", rows=3, cols=2, lanes=8, filter_spad_words=24, ifmap_spad_words=20, psum_spad_words=5, psum_bits=24
)
WIDE = AcceleratorConfig(name="wide", rows=2, cols=2, filter_spad_words=8, psum_spad_words=1, activation_bits=16)
FILTER_WORDS = {"odd": (0, 1, 2, 4, 5, 6), "wide": (0, 1)}
CYCLES = 3000


def wrap(value: int, bits: int) -> int:
    """Keep the low bits of a number, as a signed one."""
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


class Model:
    """What the contract demands: ``step`` receives the inputs of a cycle and returns ``chain_o`` of the next."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.filters = dict.fromkeys(FILTER_WORDS[config.name], bytes(8))
        self.ifmaps, self.psums = [0] * config.ifmap_spad_words, [0] * config.psum_spad_words
        self.word, self.activation, self.product, self.chain = bytes(8), 0, 0, 0

    def step(self, see: dict) -> int:
        combine = max if see["accumulate"]["maximum"] else int.__add__
        address = see["accumulate"]["psum_address"]
        old = self.psums[address]
        if see["accumulate"]["emit"]:
            self.chain = wrap(combine(see["chain_i"], old), self.config.psum_bits)
        if see["accumulate"]["valid"]:
            new = self.product if see["accumulate"]["first"] else combine(old, self.product)
            self.psums[address] = wrap(new, self.config.psum_bits)
        weight = wrap(self.word[see["weight_index"]], 8)
        self.product = self.activation * weight if see["active"] else see["identity"]
        operation = see["operation"]
        if operation["valid"] and operation["active"] & 1:
            self.word = self.filters[operation["filter_address"] // 8]
            self.activation = self.ifmaps[operation["ifmap_address"]]
        if see["filter_write"]:
            self.filters[see["filter_write_address"]] = see["filter_word"].to_bytes(8, "little")
        value = self.delivered(see["column"], see["delivery"], see["lanes"], see["pad_value"])
        if value is not None:
            self.ifmaps[see["delivery"]["address"]] = value
        return self.chain

    def delivered(self, column: dict, delivery: dict, lanes: list[int], pad_value: int) -> int | None:
        if not delivery["take"] or not column["valid"]:
            return None
        if delivery["pad_column"] or not column["top"] <= delivery["filter_row"] < column["bottom"]:
            return pad_value if delivery["first_window"] else None
        row = column["first_row"] + delivery["filter_row"]
        window = range(delivery["window_row"], delivery["window_row"] + len(lanes))
        return lanes[row % len(lanes)] if delivery["run"] == column["run"] and row in window else None


def often(rng: random.Random) -> bool:
    return rng.random() < 0.8


def stimulus(rng: random.Random, config: AcceleratorConfig) -> dict:
    """Draw inputs of one cycle, most of them such that something happens."""
    bits = config.operand_bits
    first_row = rng.choice([rng.randrange(-20, 40), rng.randrange(-(1 << 13), 1 << 13), (1 << 13) - 1])
    filter_row = rng.choice([rng.randrange(16), rng.randrange(256)])
    window_row = first_row + filter_row - rng.choice([rng.randrange(config.lanes), rng.randrange(-3, 2 * config.lanes)])
    lanes = [rng.randrange(-(1 << (bits - 1)), 1 << (bits - 1)) for _ in range(config.lanes)]
    return {
        "filter_write": often(rng),
        "filter_write_address": rng.choice(FILTER_WORDS[config.name]),
        "filter_word": rng.getrandbits(64),
        "column": {
            "first_row": first_row,
            "top": rng.choice([0, rng.randrange(12)]),
            "bottom": rng.choice([256, filter_row, filter_row + 1, rng.randrange(257)]),
            "run": rng.randrange(2),
            "valid": often(rng),
        },
        "delivery": {
            "take": often(rng),
            "first_window": rng.randrange(2),
            "pad_column": not often(rng),
            "run": rng.randrange(2),
            "filter_row": filter_row,
            "window_row": wrap(window_row, 14),
            "address": rng.randrange(config.ifmap_spad_words),
            "activations": sum(value % (1 << bits) << (i * bits) for i, value in enumerate(lanes)),
        },
        "lanes": lanes,
        "pad_value": rng.randrange(-(1 << (bits - 1)), 1 << (bits - 1)),
        "operation": {
            "valid": often(rng),
            "active": rng.randrange(1 << config.rows) | often(rng),
            "filter_address": rng.choice(FILTER_WORDS[config.name]) * 8 + rng.randrange(8),
            "ifmap_address": rng.randrange(config.ifmap_spad_words),
        },
        "weight_index": rng.randrange(8),
        "active": often(rng),
        "identity": rng.choice([0, -(1 << (config.activation_bits - 1))]),
        "accumulate": {
            "valid": often(rng),
            "first": rng.randrange(2),
            "emit": often(rng),
            "maximum": rng.randrange(2),
            "psum_address": rng.randrange(config.psum_spad_words),
        },
        "chain_i": wrap(rng.getrandbits(32) >> rng.choice([0, 14]), config.psum_bits),
    }


@pytest.mark.parametrize("config", [ODD, WIDE], ids=lambda config: config.name)
def test_every_cycle(config: AcceleratorConfig) -> None:
    dut, model, rng = ProcessingElement(config=config), Model(config), random.Random(1)

    async def bench(ctx: SimulatorContext) -> None:
        for cycle in range(CYCLES):
            see = stimulus(rng, config)
            for name, value in see.items():
                if name != "lanes":
                    ctx.set(getattr(dut, name), value)
            await ctx.tick()
            assert ctx.get(dut.chain_o) == model.step(see), cycle

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
