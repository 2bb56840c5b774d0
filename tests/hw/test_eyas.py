"""The whole machine: its ports, the life of a program, and a convolution."""

import re
from collections import deque
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from hw import docs, spec
from hw.config import PRESETS, AcceleratorConfig
from hw.eyas import Eyas

LATENCY = 11
PROGRAM, FILTERS, PARAMETERS, IFMAP, OFMAP, SNAPSHOT, RESIDUAL = (0x200 * i for i in range(1, 8))
MEMORY_BYTES = 0x1000
PATIENCE = 3000
"""Cycles to wait for an interrupt."""

#: As little as a machine can be, because elaborating the array takes most of the time.
LEAST = AcceleratorConfig(
    name="least", rows=2, cols=1, lanes=8, filter_lane_words=16, filter_spad_words=8, ifmap_spad_words=4,
    psum_spad_words=1, parameter_words=8, drain_width=1, drain_fifo_beats=16, queue_depth=2,
)  # fmt: skip


class Dram:
    """The DRAM model of docs/timing.md, section 9."""

    def __init__(self) -> None:
        self.memory = bytearray(MEMORY_BYTES)
        self.read_response = 0
        self._cycle = 0
        self._reads: deque = deque()
        self._writes: deque = deque()
        self._responses: deque = deque()
        self._burst: list | None = None

    @property
    def idle(self) -> bool:
        """Whether no burst is in flight."""
        return not (self._reads or self._writes or self._responses or self._burst)

    async def run(self, ctx, axi) -> None:
        ctx.set(axi.arready, 1)
        ctx.set(axi.awready, 1)
        while True:
            self._begin()
            self._present(ctx, axi)
            self._accept(ctx, axi)
            await ctx.tick()
            self._cycle += 1

    def _begin(self) -> None:
        """Begin a burst if none is under way: [is write, address, beats left, ID]."""
        if self._burst is None and self._writes:
            self._burst = [True, *self._writes.popleft()]
        elif self._burst is None and self._reads and self._reads[0][0] <= self._cycle:
            self._burst = [False, *self._reads.popleft()[1:]]

    def _present(self, ctx, axi) -> None:
        is_write, address, beats, read_id = self._burst or (None, 0, 0, 0)
        ctx.set(axi.wready, is_write is True)
        ctx.set(axi.rvalid, is_write is False)
        ctx.set(axi.rid, read_id)
        ctx.set(axi.rresp, self.read_response)
        ctx.set(axi.rlast, beats == 1)
        ctx.set(axi.rdata, int.from_bytes(self.memory[address : address + 8], "little"))
        ctx.set(axi.bvalid, bool(self._responses) and self._responses[0] <= self._cycle)

    def _accept(self, ctx, axi) -> None:
        if ctx.get(axi.bvalid & axi.bready):
            self._responses.popleft()
        if ctx.get(axi.wvalid & axi.wready):
            data, strobe = ctx.get(axi.wdata).to_bytes(8, "little"), ctx.get(axi.wstrb)
            for i in (i for i in range(8) if strobe >> i & 1):
                self.memory[self._burst[1] + i] = data[i]
            assert ctx.get(axi.wlast) == (self._burst[2] == 1)
            if self._burst[2] == 1:
                self._responses.append(self._cycle + LATENCY)
        if ctx.get((axi.wvalid & axi.wready) | (axi.rvalid & axi.rready)):
            _, address, beats, read_id = self._burst
            self._burst = [self._burst[0], address + 8, beats - 1, read_id] if beats > 1 else None
        if ctx.get(axi.arvalid):
            request = ctx.get(axi.araddr), ctx.get(axi.arlen) + 1, ctx.get(axi.arid)
            self._reads.append((self._cycle + LATENCY, *request))
        if ctx.get(axi.awvalid):
            self._writes.append((ctx.get(axi.awaddr), ctx.get(axi.awlen) + 1, 0))


class Driver:
    """What a CPU does: registers, programs and snapshots."""

    def __init__(self, ctx, eyas: Eyas, dram: Dram) -> None:
        self.ctx, self.eyas, self.dram = ctx, eyas, dram

    async def write(self, name: str, value: int) -> None:
        ctx, bus = self.ctx, self.eyas.csr
        for signal, data in ((bus.awaddr, spec.CSR[name].offset), (bus.wdata, value), (bus.wstrb, 15), (bus.bready, 1)):
            ctx.set(signal, data)
        ctx.set(bus.awvalid, 1)
        ctx.set(bus.wvalid, 1)
        await ctx.tick()
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
        await ctx.tick().until(bus.bvalid)

    async def read(self, offset: int) -> int:
        ctx, bus = self.ctx, self.eyas.csr
        ctx.set(bus.araddr, offset)
        ctx.set(bus.arvalid, 1)
        ctx.set(bus.rready, 1)
        await ctx.tick()
        ctx.set(bus.arvalid, 0)
        (value,) = await ctx.tick().sample(bus.rdata).until(bus.rvalid)
        return value

    async def status(self) -> set[str]:
        value = await self.read(spec.CSR["status"].offset)
        return {bit for i, bit in enumerate(spec.CSR["status"].bits) if value >> i & 1}

    async def csr(self, name: str) -> int:
        return await self.read(spec.CSR[name].offset)

    async def start(self, words: list[int], *, limit: int = MEMORY_BYTES) -> None:
        self.dram.memory[PROGRAM : PROGRAM + 32 * len(words)] = b"".join(word.to_bytes(32, "little") for word in words)
        for name, value in (
            ("window_limit", limit),
            ("program_address", PROGRAM),
            ("program_commands", len(words)),
            ("control", 1),
        ):
            await self.write(name, value)

    async def finish(self) -> int:
        """Wait for the interrupt, clear it, and return the cycles."""
        for _ in range(PATIENCE):
            if self.ctx.get(self.eyas.interrupt):
                break
            await self.ctx.tick()
        interrupt = await self.csr("interrupt")
        assert interrupt == {frozenset({"done"}): 1, frozenset({"error"}): 2}[frozenset(await self.status())]
        await self.write("interrupt", interrupt)
        assert self.ctx.get(self.eyas.interrupt) == 0
        return await self.csr("cycles_low")

    def snapshot(self) -> dict[str, int]:
        words = np.frombuffer(self.dram.memory, dtype="<u8", count=spec.SNAPSHOT_BEATS, offset=SNAPSHOT)
        return {name: int(word) for name, word in zip(spec.COUNTER_NAMES, words, strict=True)}

    async def live(self) -> dict[str, int]:
        low = [await self.read(spec.COUNTER_OFFSET + 8 * i) for i in range(spec.SNAPSHOT_BEATS)]
        return dict(zip(spec.COUNTER_NAMES, low, strict=True))


def run(config: AcceleratorConfig, scenario: Callable[[Driver], Awaitable[None]]) -> None:
    eyas, dram = Eyas(config=config), Dram()

    async def bench(ctx) -> None:
        await scenario(Driver(ctx, eyas, dram))

    async def memory(ctx) -> None:
        await dram.run(ctx, eyas.axi)

    simulator = Simulator(eyas)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.add_testbench(memory, background=True)
    simulator.run()


def command(name: str, **values: int) -> int:
    """Encode a command; fields not given are zero."""
    return spec.COMMAND[name].encode({field.name: 0 for field in spec.COMMAND[name].fields} | values)


MARK = [command("mark", dram_address=SNAPSHOT, last=1)]
#: Fetch's AR at t0 + 1, last beat at t0 + L + 4, dispatch one later, the engines' marks one later still (s below);
#: load captures on its write side at s + 1; drain starts at s + 2; AW, the snapshot's beats, B.
MARK_STARTS = LATENCY + 6
MARK_CYCLES = MARK_STARTS + 2 + 1 + spec.SNAPSHOT_BEATS + LATENCY + 1


@pytest.mark.parametrize("name", PRESETS)
def test_elaborates_with_the_described_ports(name: str) -> None:
    text = rtlil.convert(Eyas(config=PRESETS[name]))
    top = text[text.index("attribute \\top 1") :].split("\nend\n")[0]
    found = {
        (port, f"{kind}put", int(width))
        for width, kind, port in re.findall(r"^  wire width (\d+) (in|out)put \d+ +\\(\S+)$", top, re.MULTILINE)
    }
    ports = docs.description(PRESETS[name])["ports"]
    assert found == {(port["name"], port["direction"] + "put", port["width"]) for port in ports}
    instances = set(re.findall(r"^  cell \\\S+ \\(\S+)$", top, re.MULTILINE))
    assert instances >= {"fetch", "load", "stage", "deliver", "mac", "array", "drain", "counters", "csr", "controller"}


def test_a_mark_takes_the_cycles_of_the_contract_every_time() -> None:
    async def scenario(driver: Driver) -> None:
        for _ in range(2):
            await driver.start(MARK)
            assert await driver.status() == {"busy"}
            assert await driver.finish() == MARK_CYCLES
            expected = dict.fromkeys(spec.COUNTER_NAMES, 0) | {
                "dram.command.read_bytes": 32,
                "cycle.execute.wait_command": MARK_STARTS - 1,
                "cycle.execute.launch": 1,
                "cycle.total": MARK_STARTS + 2,
            }
            assert driver.snapshot() == expected
            assert (await driver.live())["cycle.total"] == MARK_CYCLES
            assert (await driver.live())["dram.mark.write_bytes"] == 8 * spec.SNAPSHOT_BEATS
            driver.dram.memory[SNAPSHOT : SNAPSHOT + 8 * spec.SNAPSHOT_BEATS] = bytes(8 * spec.SNAPSHOT_BEATS)

    run(LEAST, scenario)


def test_a_second_mark_waits_for_the_first() -> None:
    """It leaves fetch the cycle after the first one's B; three cycles later drain starts it."""

    async def scenario(driver: Driver) -> None:
        await driver.start([command("mark", dram_address=OFMAP), *MARK])
        assert await driver.finish() == MARK_CYCLES + 3 + 1 + spec.SNAPSHOT_BEATS + LATENCY + 1
        assert driver.snapshot() == dict.fromkeys(spec.COUNTER_NAMES, 0) | {
            "dram.command.read_bytes": 64,
            "dram.mark.write_bytes": 8 * spec.SNAPSHOT_BEATS,
            "cycle.execute.wait_command": MARK_CYCLES - 1,
            "cycle.execute.launch": 2,
            "cycle.total": MARK_CYCLES + 3,
        }

    run(LEAST, scenario)


def test_an_illegal_command_stops_the_machine_until_the_next_start() -> None:
    async def scenario(driver: Driver) -> None:
        await driver.start([command("execute.layer"), 0x77, *MARK])
        await driver.finish()
        assert await driver.status() == {"error"}
        assert [await driver.csr(name) for name in ("error_code", "error_command", "error_address")] == [
            spec.ERROR_CODE["illegal_command"], 1, PROGRAM + 32,
        ]  # fmt: skip
        stopped = await driver.csr("cycles_low")
        await driver.ctx.tick().repeat(50)
        assert await driver.csr("cycles_low") == stopped
        await driver.start(MARK)
        assert await driver.csr("error_code") == 0
        assert await driver.finish() == MARK_CYCLES

    run(LEAST, scenario)


def test_accesses_that_fail_stop_the_machine() -> None:
    cases = (
        (PROGRAM + 31, 0, "address_window", PROGRAM),
        (SNAPSHOT, 0, "address_window", SNAPSHOT),
        (MEMORY_BYTES, 2, "read_response", PROGRAM),
    )

    async def scenario(driver: Driver) -> None:
        for limit, response, code, address in cases:
            driver.dram.read_response = response
            await driver.start(MARK, limit=limit)
            await driver.finish()
            assert await driver.status() == {"error"}
            assert [await driver.csr(name) for name in ("error_code", "error_command", "error_address")] == [
                spec.ERROR_CODE[code], 0, address,
            ]  # fmt: skip
            assert not any(driver.dram.memory[SNAPSHOT : SNAPSHOT + 8])

    run(LEAST, scenario)


def test_reset_waits_for_the_bus_and_leaves_a_clean_machine() -> None:
    async def scenario(driver: Driver) -> None:
        for after in (0, 5, LATENCY + 2, LATENCY + 20):
            await driver.start(MARK * 3)
            await driver.ctx.tick().repeat(after + 1)
            await driver.write("control", 2)
            while "busy" in await driver.status():
                pass
            assert driver.dram.idle
            assert await driver.status() == set()
            await driver.start(MARK)
            assert await driver.finish() == MARK_CYCLES

    run(LEAST, scenario)


# A convolution that fills an array of 4 x 4: C 2, H 6, W 5, R = S = 3, M 8, two slots (the second one half empty).
C, H, W, R, M = 2, 6, 5, 3, 8
E, F = H - R + 1, W - R + 1
SLOTS, ROWS = 2, 4


def _pairs() -> list[tuple[int, int, int, int]]:
    """(slot, PE row, channel, filter row) of every pair."""
    return [(i // ROWS, i % ROWS, i // R, i % R) for i in range(C * R)]


def _filter_bytes(filters: np.ndarray) -> bytes:
    """Filters (m, c, r, s) as load wants them: words outer, PE rows inner; per PE row slots, taps, filters."""
    lanes = np.zeros((ROWS, SLOTS, R, M), dtype=np.int8)
    for slot, row, channel, filter_row in _pairs():
        lanes[row, slot] = filters[:, channel, filter_row, :].T
    return lanes.reshape(ROWS, -1, 8).transpose(1, 0, 2).tobytes()


def _convolution_program(*, with_residual: bool) -> list[int]:
    words = SLOTS * R * M // 8
    scales = {f"{name}multiplier": 1 << 30 for name in ("", "residual_", "sum_")}
    residual = command(
        "drain.residual",
        enable=1,
        address_offset=(RESIDUAL - OFMAP) % (1 << 32),
        sum_shift=18,
        sum_minimum=-128,
        sum_maximum=127,
        **scales,
    )  # 2**20 / 2 of each, / 2 / 2**18: the sum itself
    return [
        command("load.ifmap", signal_ifmap_ready=1, dram_address=IFMAP, block_stride=8 * H * W, column_stride=8 * H,
                blocks=1, columns=W, column_beats=H, row_block_stride=W, block_words=W),
        command("load.filter", dram_address=FILTERS, items=1, words=words, lanes=ROWS),
        command("load.parameter", dram_address=PARAMETERS, channels=M),
        command("execute.layer", filter_rows=R, filter_columns=R, stride_rows=1, stride_columns=1, filters=M,
                ring_columns=R + 1, rows=E, images=1, image_rows=H, image_row_stride=H, ifmap_columns=W,
                row_block_stride=W, block_words=W, step_row=ROWS % R, step_channel=ROWS // R),
        command("execute.pass", wait_ifmap_ready=1, signal_ifmap_free=1, signal_psum_ready=1, slots=SLOTS,
                active_rows=ROWS, last_rows=C * R - ROWS, blocks=1, first_operations=SLOTS, first_group_columns=E,
                strip_columns=E, run_rows=H, columns=F, first=1, flush=1, release_filters=1, filter_words=words,
                groups=1),
        command("drain.layer", column_stride=8 * E, block_stride=8 * E * F, rows=E, images=1, psums=M, minimum=-128,
                maximum=127),
        *([residual] if with_residual else []),
        command("drain.strip", wait_psum_ready=1, wait_parameter_ready=1, signal_psum_free=1, signal_parameter_free=1,
                signal_written=1, start_address=OFMAP, group_address=OFMAP, strip_columns=E, columns=F, channels=M),
        *MARK,
    ]  # fmt: skip


def _convolve(ifmap: np.ndarray, filters: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the ofmap (m, e, f) of an ifmap (c, h, w)."""
    windows = np.lib.stride_tricks.sliding_window_view(ifmap, (R, R), axis=(1, 2))
    return np.einsum("cefrs,mcrs->mef", windows, filters) + bias[:, None, None]


def test_convolutions_with_a_residual_and_without() -> None:
    """Ofmap and counters are the layer's; a start forgets the residual and takes the same cycles again."""
    rng = np.random.default_rng(6)
    cycles = []

    async def scenario(driver: Driver) -> None:
        for with_residual in (True, False, False):
            program = _convolution_program(with_residual=with_residual)
            ifmap, filters = rng.integers(-3, 4, (C, H, W)), rng.integers(-2, 3, (M, C, R, R))
            bias, residual = rng.integers(-9, 10, M), rng.integers(-30, 30, (F, E, M), dtype=np.int8)
            memory = driver.dram.memory
            pixels = np.zeros((W, H, 8), dtype=np.int8)
            pixels[:, :, :C] = ifmap.transpose(2, 1, 0)
            parameters = np.array([(b, 1 << 30, 1, 0) for b in bias], dtype="<i4")  # times 2**30 / 2**31 * 2**1
            for address, data in (
                (IFMAP, pixels.tobytes()), (FILTERS, _filter_bytes(filters)), (PARAMETERS, parameters.tobytes()),
                (RESIDUAL, residual.tobytes()),
            ):  # fmt: skip
                memory[address : address + len(data)] = data
            await driver.start(program)
            cycles.append(await driver.finish())
            ofmap = np.frombuffer(memory, dtype=np.int8, count=E * F * M, offset=OFMAP).reshape(F, E, M)
            expected = _convolve(ifmap, filters, bias).transpose(2, 1, 0) + with_residual * residual
            assert (ofmap == np.clip(expected, -128, 127)).all()
            counts = driver.snapshot()
            assert counts["mac.done"] == E * F * M * C * R * R
            assert counts["cycle.execute.busy"] == F * SLOTS * R * M
            assert counts["dram.ofmap.write_bytes"] == E * F * M
            assert counts["dram.ifmap.read_bytes"] == 8 * H * W
            assert counts["dram.command.read_bytes"] == 32 * len(program)
            assert counts["add.done"] == with_residual * E * F * M
            assert counts["dram.residual.read_bytes"] == with_residual * E * F * M

    run(PRESETS["tiny"], scenario)
    assert cycles[0] > cycles[1] == cycles[2]
