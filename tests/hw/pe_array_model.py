"""A driver of PEArray that keeps, in numpy, what every scratchpad must hold and what must be at the tails."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
from amaranth.sim import Simulator, SimulatorContext

from hw.config import AcceleratorConfig
from hw.pe_array import PEArray

TINY = AcceleratorConfig(name="tiny", rows=3, cols=3, lanes=8, filter_spad_words=24, ifmap_spad_words=20)
WIDE = AcceleratorConfig(name="wide", rows=2, cols=4, lanes=8, ifmap_spad_words=20, activation_bits=16, psum_bits=28)
Bench = Callable[[SimulatorContext], Awaitable[None]]


def simulate(dut: PEArray, bench: Bench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def wrap(values: np.ndarray, bits: int) -> np.ndarray:
    return (values + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def least(config: AcceleratorConfig) -> int:
    return -(1 << (config.activation_bits - 1))


@dataclass
class ArrayDriver:
    """The contents of all scratchpads, and a driver that fills and uses them."""

    config: AcceleratorConfig
    ctx: SimulatorContext
    dut: PEArray
    filters: np.ndarray = field(init=False)
    ifmaps: np.ndarray = field(init=False)
    psums: np.ndarray = field(init=False)
    tail: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.config.rows, self.config.cols)
        half = 1 << (self.config.filter_spad_words - 1).bit_length()
        self.filters = np.zeros((*shape, half + self.config.filter_spad_words), np.int64)
        self.ifmaps = np.zeros((*shape, self.config.ifmap_spad_words), np.int64)
        self.psums = np.zeros((*shape, self.config.psum_spad_words), np.int64)
        self.tail = np.zeros(self.config.cols, np.int64)

    @property
    def half(self) -> int:
        """Weights from the first half of the filter scratchpad to the second."""
        return self.filters.shape[2] - self.config.filter_spad_words

    async def fill_filters(self, rng: np.random.Generator) -> None:
        """Write words of weights into random columns, so often that nearly every word is written."""
        words = [base + word for base in (0, self.half // 8) for word in range(self.config.filter_spad_words // 8)]
        for address in rng.permutation(words * 4):
            weights = rng.integers(-128, 128, (self.config.rows, 8))
            columns, enable = int(rng.integers(1 << self.config.cols)), int(rng.random() < 0.8)
            for row in range(self.config.rows):
                self.ctx.set(
                    self.dut.filter_words[row], int.from_bytes(weights[row].astype(np.int8).tobytes(), "little")
                )
            self.ctx.set(self.dut.filter_write, {"enable": enable, "address": int(address), "columns": columns})
            for column in range(self.config.cols):
                if enable and columns >> column & 1:
                    self.filters[:, column, 8 * address : 8 * address + 8] = weights
            await self.ctx.tick()
        self.ctx.set(self.dut.filter_write, {})

    async def fill_tables(self, rows: list[dict], columns: list[dict]) -> None:
        """Shift in both tables, first entry first, after some that fall out again."""
        junk = {"filter_row": 99, "channel": 99, "slots": 63}, {"first_row": -99, "valid": 1}
        for step in range(length := max(len(rows), len(columns))):
            row, column = step - length + len(rows), step - length + len(columns)
            self.ctx.set(self.dut.row_entry, rows[row] if row >= 0 else junk[0])
            self.ctx.set(self.dut.column_entry, columns[column] if column >= 0 else junk[1])
            self.ctx.set(self.dut.row_shift, 1)
            self.ctx.set(self.dut.column_shift, 1)
            await self.ctx.tick()
        self.ctx.set(self.dut.row_shift, 0)
        self.ctx.set(self.dut.column_shift, 0)

    async def operate(self, operations: list[dict], heads: np.ndarray, enables: np.ndarray) -> None:
        """Issue an operation each cycle and compare the tails; the head of operation i is used in cycle i + 3."""
        latency = self.config.rows + 3
        tails = [self.tail] * latency
        tails += [self.expect(*step) for step in zip(operations, heads, enables, strict=True)]
        for cycle in range(len(operations) + latency):
            self.ctx.set(self.dut.operation, operations[cycle] if cycle < len(operations) else {})
            at_head = cycle - 3 if 3 <= cycle < len(operations) + 3 else 0
            self.ctx.set(self.dut.head_enable, int(enables[at_head]))
            for column, psum in enumerate(heads[at_head]):
                self.ctx.set(self.dut.head_psums[column], int(psum))
            assert [self.ctx.get(psum) for psum in self.dut.tail_psums] == tails[cycle].tolist(), cycle
            await self.ctx.tick()
        assert [self.ctx.get(psum) for psum in self.dut.tail_psums] == self.tail.tolist()

    def expect(self, operation: dict, head: np.ndarray, enable: bool) -> np.ndarray:
        """Do an operation in all PEs at once; return the psums that are at the tail afterwards."""
        combine = np.maximum if operation["maximum"] else np.add
        identity = least(self.config) if operation["maximum"] else 0
        old = self.psums[:, :, operation["psum_address"]].copy()
        if operation["emit"]:
            head = head if enable else np.full(self.config.cols, identity)
            self.tail = wrap(combine.reduce(np.vstack([head[None], old])), self.config.psum_bits)
        if operation["valid"]:
            weights = self.filters[:, :, operation["filter_address"]]
            products = weights * self.ifmaps[:, :, operation["ifmap_address"]]
            active = np.array([operation["active"] >> row & 1 for row in range(self.config.rows)], bool)
            products = np.where(active[:, None], products, identity)
            new = products if operation["first"] else wrap(combine(old, products), self.config.psum_bits)
            self.psums[:, :, operation["psum_address"]] = new
        return self.tail

    async def check_ifmaps(self, weight_one: int) -> None:
        """Compare every ifmap word: multiplied by a weight of one, it leaves one PE row while the next comes in."""
        operations = [
            {
                "valid": int(address < self.config.ifmap_spad_words),
                "first": 1,
                "emit": 1,
                "maximum": 0,
                "active": 1 << row,
                "filter_address": weight_one,
                "ifmap_address": address % self.config.ifmap_spad_words,
                "psum_address": 1,
            }
            for row in range(self.config.rows)
            for address in range(self.config.ifmap_spad_words + 1)
        ]
        count = len(operations)
        await self.operate(operations, np.zeros((count, self.config.cols), np.int64), np.zeros(count, bool))

    async def write_weight_one(self) -> None:
        """Write a weight of one to address 0 of all PEs."""
        self.ctx.set(self.dut.filter_write, {"enable": 1, "address": 0, "columns": (1 << self.config.cols) - 1})
        for word in self.dut.filter_words:
            self.ctx.set(word, 1)
        self.filters[:, :, 0] = 1
        self.filters[:, :, 1:8] = 0
        await self.ctx.tick()
        self.ctx.set(self.dut.filter_write, {})
        await self.ctx.tick()
