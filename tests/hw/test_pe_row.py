"""Deliveries to PE rows, through the whole array, against the (filter row, channel) pairs that they stand for."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.sim import SimulatorContext

from hw.config import AcceleratorConfig
from hw.pe_array import PEArray
from tests.hw.pe_array_model import TINY, WIDE, ArrayDriver, least, simulate


@dataclass
class PassDelivery:
    """A random pass as the deliver engine sees it; slot s of PE row r has pair ``first_pair + r + s * rows``."""

    config: AcceleratorConfig
    rng: random.Random
    filter_rows: int

    def __post_init__(self) -> None:
        rng, rows = self.rng, self.config.rows
        self.ring, self.slots = rng.choice([(3, 5), (2, 9), (5, 3), (10, 2)])
        self.first_pair = max(0, self.filter_rows * rng.randrange(1, self.config.channel_block) - rng.randrange(1, 12))
        counts = [rng.choice([self.slots, self.slots - 1, 0]) for _ in range(rows)]
        self.pairs = [
            [divmod(self.first_pair + r + s * rows, self.filter_rows)[::-1] for s in range(counts[r])]
            for r in range(rows)
        ]
        self.blocks = 1 + max((c // self.config.channel_block for pairs in self.pairs for _, c in pairs), default=0)
        self.zero_point = rng.randrange(least(self.config), -least(self.config))
        self.pad_value = rng.randrange(2 * least(self.config), -2 * least(self.config))
        self.wrapped = rng.randrange(1, self.config.cols + 1)
        self.start = rng.choice([-2, 0, 5, 30])
        self.columns = [self.column(index, rng) for index in range(self.config.cols)]
        self.words = np.random.default_rng(rng.randrange(1 << 30)).integers(
            least(self.config), -least(self.config), (self.blocks * self.config.channel_block, 320)
        )

    def column(self, index: int, rng: random.Random) -> dict:
        """Columns from ``wrapped`` on start again at the top and belong to the second run."""
        run = int(index >= self.wrapped)
        first_row = 3 * (index - self.wrapped) - 1 if run else self.start + 5 * index
        bottom = rng.choice([self.filter_rows, 1, 256])
        return {
            "first_row": first_row,
            "top": max(0, -first_row),
            "bottom": bottom,
            "run": run,
            "valid": rng.random() < 0.9,
        }

    def row_entries(self) -> list[dict]:
        def entry(row: int) -> dict:
            channel, filter_row = divmod(self.first_pair + row, self.filter_rows)
            return {"filter_row": filter_row, "channel": channel, "slots": len(self.pairs[row])}

        return [entry(row) for row in range(self.config.rows)]

    def layer(self) -> dict:
        step_channel, step_row = divmod(self.config.rows, self.filter_rows)
        return {
            "zero_point": self.zero_point,
            "pad_value": self.pad_value,
            "filter_rows": self.filter_rows,
            "ring_columns": self.ring,
            "step_row": step_row,
            "step_channel": step_channel,
        }

    def is_padding(self, column: dict, filter_row: int) -> bool:
        return not column["top"] <= filter_row < column["bottom"]

    def windows(self) -> list[tuple[int, int]]:
        """Run and first tile row of each window."""
        ends = [0, 0]
        for column in self.columns:
            ends[column["run"]] = max(ends[column["run"]], column["first_row"] + self.filter_rows)
        starts = [max(self.start, 0), 0]
        windows = [(run, row) for run in (0, 1) for row in range(starts[run], ends[run], self.config.lanes)]
        return windows or [(0, 0)]

    def operations(self, position: int, pad_column: bool) -> Iterator[tuple[dict, list[int], int]]:
        """Yield delivery, lane words and rows that take, for one ifmap column."""
        for number, (run, window_row) in enumerate(self.windows()):
            restart = 1
            for block in range(self.blocks):
                takes = [
                    [pair for pair in pairs if pair[1] // self.config.channel_block == block] for pairs in self.pairs
                ]
                for turn in range(max(1, max(len(taken) for taken in takes)) + self.rng.randrange(2)):
                    delivery = {
                        "valid": 1,
                        "restart": restart,
                        "first_window": int(number == 0),
                        "pad_column": int(pad_column),
                        "run": run,
                        "block": block,
                        "position": position,
                        "window_row": window_row,
                    }
                    restart = 0
                    yield (
                        delivery,
                        self.lane_words(block, window_row),
                        sum((turn < len(t)) << r for r, t in enumerate(takes)),
                    )

    def lane_words(self, block: int, window_row: int) -> list[int]:
        block_channels = slice(block * self.config.channel_block, (block + 1) * self.config.channel_block)
        words, lanes, kind = {}, self.config.lanes, f"<i{self.config.activation_bytes}"
        for row in range(window_row, window_row + lanes):
            words[row % lanes] = int.from_bytes(self.words[block_channels, row].astype(kind).tobytes(), "little")
        return [words[lane] for lane in range(lanes)]

    def apply(self, ifmaps: np.ndarray, position: int, pad_column: bool) -> None:
        """Write what the PEs must hold of an ifmap column afterwards."""
        for row, pairs in enumerate(self.pairs):
            for slot, (filter_row, channel) in enumerate(pairs):
                for index, column in enumerate(self.columns):
                    value = self.pad_value
                    if not pad_column and not self.is_padding(column, filter_row):
                        value = self.words[channel, column["first_row"] + filter_row] - self.zero_point
                    if column["valid"]:
                        ifmaps[row, index, position + slot * self.ring] = value


async def deliver(array: ArrayDriver, case: PassDelivery, position: int, pad_column: bool) -> None:
    """Drive the deliveries of an ifmap column, with idle cycles between, and check which rows take."""
    ctx, dut = array.ctx, array.dut
    for delivery, words, takes in case.operations(position, pad_column):
        while case.rng.random() < 0.2:
            ctx.set(dut.delivery, {**delivery, "valid": 0, "restart": case.rng.randrange(2)})
            assert ctx.get(dut.takes) == 0
            await ctx.tick()
        ctx.set(dut.delivery, delivery)
        for lane, word in enumerate(words):
            ctx.set(dut.lane_words[lane], word)
        assert ctx.get(dut.takes) == takes
        await ctx.tick()
    ctx.set(dut.delivery, {})
    case.apply(array.ifmaps, position, pad_column)


@pytest.mark.parametrize("config", [TINY, WIDE], ids=lambda config: config.name)
def test_deliveries(config: AcceleratorConfig) -> None:
    dut = PEArray(config=config)

    async def bench(ctx: SimulatorContext) -> None:
        array, rng = ArrayDriver(config, ctx, dut), random.Random(2)
        await array.write_weight_one()
        for filter_rows in [1, 2, 3, 4, 11] * 4 + [255]:
            case = PassDelivery(config, rng, filter_rows)
            await array.fill_tables(case.row_entries(), case.columns)
            ctx.set(dut.layer, case.layer())
            for position in rng.sample(range(case.ring), k=2):
                await deliver(array, case, position, pad_column=rng.random() < 0.2)
            await ctx.tick()
            await array.check_ifmaps(weight_one=0)

    simulate(dut, bench)
