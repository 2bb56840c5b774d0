"""CsrBank: an AXI4-Lite master with random gaps against a model of the registers, and the timing of single accesses."""

import random

from amaranth.sim import Simulator

from hw import spec
from hw.csr import OKAY, SLVERR, CsrBank

RW = {csr.offset: csr.name for csr in spec.CSRS if csr.access == "RW"}
READABLE = {csr.offset: csr for csr in spec.CSRS if csr.access != "W"}
COUNTERS = range(spec.COUNTER_OFFSET, spec.COUNTER_OFFSET + 8 * spec.SNAPSHOT_BEATS, 4)


def _counter_value(index: int) -> int:
    return (0x1234_0000_0001 * (index + 3)) & 0xFFFF_FFFF_FFFF


async def _handshake(ctx, valid, ready, *, gap: int = 0) -> None:
    if gap:
        await ctx.tick().repeat(gap)
    ctx.set(valid, 1)
    await ctx.tick().until(ready)
    ctx.set(valid, 0)


async def read(ctx, dut: CsrBank, address: int, *, gap: int = 0) -> tuple[int, int]:
    """Return (data, response)."""
    ctx.set(dut.bus.araddr, address)
    await _handshake(ctx, dut.bus.arvalid, dut.bus.arready)
    if gap:
        await ctx.tick().repeat(gap)
    ctx.set(dut.bus.rready, 1)
    data, response = await ctx.tick().sample(dut.bus.rdata, dut.bus.rresp).until(dut.bus.rvalid)
    ctx.set(dut.bus.rready, 0)
    return data, response


async def write(ctx, dut: CsrBank, address: int, data: int, *, strobe: int = 15, word_first: bool = False) -> int:
    """Return the response; address and data go one after the other."""
    halves = [(dut.bus.awvalid, dut.bus.awready), (dut.bus.wvalid, dut.bus.wready)]
    ctx.set(dut.bus.awaddr, address)
    ctx.set(dut.bus.wdata, data)
    ctx.set(dut.bus.wstrb, strobe)
    for valid, ready in reversed(halves) if word_first else halves:
        await _handshake(ctx, valid, ready)
    ctx.set(dut.bus.bready, 1)
    (response,) = await ctx.tick().sample(dut.bus.bresp).until(dut.bus.bvalid)
    ctx.set(dut.bus.bready, 0)
    return response


def _run(dut: CsrBank, bench, *processes) -> None:
    async def counters(ctx) -> None:
        async for (index,) in ctx.changed(dut.live_index):
            ctx.set(dut.live, _counter_value(index))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.add_testbench(counters, background=True)
    for process in processes:
        simulator.add_testbench(process, background=True)
    simulator.run()


def _set_inputs(ctx, dut: CsrBank, rng: random.Random) -> dict[int, int]:
    """Give every R register a random value; return the values by offset."""
    values = {}
    for offset, csr in READABLE.items():
        if csr.access == "R":
            values[offset] = rng.getrandbits(len(csr.bits) or 32)
            port = getattr(dut, csr.name)
            ctx.set(port.as_value() if csr.bits else port, values[offset])
    return values


def test_random_accesses() -> None:
    rng = random.Random(2)
    dut = CsrBank()
    registers = dict.fromkeys(RW, 0)

    async def bench(ctx) -> None:
        constants = _set_inputs(ctx, dut, rng)
        for _ in range(250):
            address = rng.choice(
                [*RW, *RW, *READABLE, *COUNTERS, spec.CSR["control"].offset, COUNTERS.stop, rng.randrange(0, 4096, 4)]
            )
            address += rng.choice((0, 0, 0, 3))
            aligned = address & ~3
            known = aligned in COUNTERS or aligned in {csr.offset for csr in spec.CSRS}
            if rng.random() < 0.5:
                data, strobe = rng.getrandbits(32), rng.randrange(16)
                response = await write(ctx, dut, address, data, strobe=strobe, word_first=rng.random() < 0.5)
                if aligned in RW:
                    mask = sum(255 << 8 * i for i in range(4) if strobe >> i & 1)
                    registers[aligned] = registers[aligned] & ~mask | data & mask
            else:
                data, response = await read(ctx, dut, address, gap=rng.randrange(3))
                expected = registers.get(aligned, constants.get(aligned, 0))
                if aligned in COUNTERS:
                    expected = _counter_value((aligned - spec.COUNTER_OFFSET) // 8) >> (32 if aligned & 4 else 0)
                assert data == expected & 0xFFFF_FFFF
            assert response == (OKAY if known else SLVERR)
            for offset, name in RW.items():
                assert ctx.get(getattr(dut, name)) == registers[offset]

    _run(dut, bench)


def test_control_pulses_for_one_cycle() -> None:
    dut = CsrBank()
    pulses: list[tuple[int, int]] = []

    async def watch(ctx) -> None:
        async for _, _, start, reset in ctx.tick().sample(dut.control.start, dut.control.reset):
            pulses.append((start, reset))

    async def bench(ctx) -> None:
        offset = spec.CSR["control"].offset
        for data, strobe in ((1, 15), (2, 15), (3, 14), (0xFFFFFFFC, 15), (3, 1)):
            assert await write(ctx, dut, offset, data, strobe=strobe) == OKAY
        await write(ctx, dut, spec.CSR["program_address"].offset, 3)
        assert await read(ctx, dut, offset) == (0, OKAY)

    _run(dut, bench, watch)
    assert [pulse for pulse in pulses if any(pulse)] == [(1, 0), (0, 1), (1, 1)]


def test_interrupt_bits_stay_until_cleared() -> None:
    dut = CsrBank()
    offset = spec.CSR["interrupt"].offset

    async def bench(ctx) -> None:
        for bit, name in enumerate(spec.CSR["interrupt"].bits):
            ctx.set(dut.interrupt_set[name], 1)
            await ctx.tick()
            ctx.set(dut.interrupt_set[name], 0)
            assert ctx.get(dut.interrupt[name]) == 1
            assert await read(ctx, dut, offset) == ((1 << bit + 1) - 1, OKAY)
        await write(ctx, dut, offset, 1, strobe=14)
        assert ctx.get(dut.interrupt.as_value()) == 3
        await write(ctx, dut, offset, 1)
        assert ctx.get(dut.interrupt.as_value()) == 2
        ctx.set(dut.interrupt_set.done, 1)  # every cycle, so also while one is written: setting wins
        await write(ctx, dut, offset, 3)
        assert ctx.get(dut.interrupt.as_value()) == 1

    _run(dut, bench)


def test_latency_and_backpressure() -> None:
    """Read data one cycle after the address; both responses stay while not accepted, and no further access begins."""
    dut = CsrBank()
    bus = dut.bus

    async def bench(ctx) -> None:
        ctx.set(dut.version, 7)
        ctx.set(bus.araddr, spec.CSR["version"].offset)
        ctx.set(bus.arvalid, 1)
        await ctx.tick()
        for _ in range(3):
            assert (ctx.get(bus.rvalid), ctx.get(bus.rdata), ctx.get(bus.arready)) == (1, 7, 0)
            await ctx.tick()
        ctx.set(bus.arvalid, 0)
        ctx.set(bus.rready, 1)
        await ctx.tick()
        assert (ctx.get(bus.rvalid), ctx.get(bus.arready)) == (0, 1)

        ctx.set(bus.awaddr, spec.CSR["window_base"].offset)
        ctx.set(bus.awvalid, 1)
        ctx.set(bus.wvalid, 1)
        ctx.set(bus.wstrb, 15)
        ctx.set(bus.wdata, 5)
        await ctx.tick()
        ctx.set(bus.wdata, 6)  # the second write waits for the first one's response
        await ctx.tick()
        assert (ctx.get(bus.bvalid), ctx.get(dut.window_base)) == (1, 5)
        await ctx.tick().repeat(4)
        assert (ctx.get(bus.bvalid), ctx.get(dut.window_base), ctx.get(bus.awready)) == (1, 5, 0)
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
        ctx.set(bus.bready, 1)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.window_base) == 6

    _run(dut, bench)
