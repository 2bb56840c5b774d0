"""Control: the order of reset, start, run and stop, cycle by cycle."""

import random

import pytest
from amaranth.sim import Simulator

from hw import spec
from hw.control import REPORTERS, Control

OUTPUTS = ("busy", "done", "error", "engine_reset", "clear", "go", "running", "halt")


def _state(ctx, dut: Control) -> set[str]:
    """Names of the outputs that are high."""
    signals = {name: getattr(dut.status if name in spec.CSR["status"].bits else dut, name) for name in OUTPUTS}
    return {name for name, signal in signals.items() if ctx.get(signal)}


async def _pulse(ctx, *signals) -> None:
    for signal in signals:
        ctx.set(signal, 1)
    await ctx.tick()
    for signal in signals:
        ctx.set(signal, 0)


async def _expect(ctx, dut: Control, *cycles: str) -> None:
    for number, expected in enumerate(cycles):
        assert _state(ctx, dut) == set(expected.split()), f"cycle {number}"
        await ctx.tick()


def _run(bench) -> None:
    dut = Control()

    async def wrapped(ctx) -> None:
        await bench(ctx, dut)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(wrapped)
    simulator.run()


STARTING = ("busy halt", "busy halt engine_reset clear", "busy go", "busy running")


def test_start_run_done_and_again() -> None:
    async def bench(ctx, dut: Control) -> None:
        ctx.set(dut.masters_idle, 1)
        await _expect(ctx, dut, "halt")
        for _ in range(2):
            await _pulse(ctx, dut.start)
            await _expect(ctx, dut, *STARTING)
            await _pulse(ctx, dut.start)  # ignored: busy
            await _expect(ctx, dut, *["busy running"] * 5)
            ctx.set(dut.done, 1)
            assert (ctx.get(dut.interrupt_set.done), ctx.get(dut.interrupt_set.error)) == (1, 0)
            await _pulse(ctx, dut.done)
            await _expect(ctx, dut, "done halt", "done halt")
            ctx.set(dut.done, 1)  # only while running
            assert ctx.get(dut.interrupt_set.as_value()) == 0
            ctx.set(dut.done, 0)

    _run(bench)


def test_start_waits_for_the_masters() -> None:
    async def bench(ctx, dut: Control) -> None:
        await _pulse(ctx, dut.start)
        await _expect(ctx, dut, *["busy halt"] * 7)
        ctx.set(dut.masters_idle, 1)
        await _expect(ctx, dut, *STARTING)

    _run(bench)


@pytest.mark.parametrize("after", range(5))
def test_reset_at_any_time_ends_idle(after: int) -> None:
    """Reset ``after`` cycles after a start, also in the same cycle, wins over it."""

    async def bench(ctx, dut: Control) -> None:
        ctx.set(dut.masters_idle, 1)
        if after:
            await _pulse(ctx, dut.start)
            await _expect(ctx, dut, *STARTING[: after - 1])
            await _pulse(ctx, dut.reset)
        else:
            await _pulse(ctx, dut.start, dut.reset)
        ctx.set(dut.masters_idle, 0)
        await _expect(ctx, dut, *["busy halt"] * 3)
        ctx.set(dut.masters_idle, 1)
        await _expect(ctx, dut, "busy halt", "busy halt engine_reset", "halt", "halt")

    _run(bench)


def _report(ctx, dut: Control, name: str, code: int) -> None:
    port = getattr(dut, f"error_{name}")
    ctx.set(port, {"valid": code != 0, "code": code, "index": 100 + code, "address": 0x8000_0000 + code})


def test_first_error_is_kept_until_start() -> None:
    """With several errors in a cycle (and done), the first reporter counts; later errors change nothing."""
    rng = random.Random(3)

    async def bench(ctx, dut: Control) -> None:
        ctx.set(dut.masters_idle, 1)
        for _ in range(30):
            await _pulse(ctx, dut.start)
            assert (ctx.get(dut.error_code), ctx.get(dut.error_command), ctx.get(dut.error_address)) == (0, 0, 0)
            await _expect(ctx, dut, *STARTING)
            codes = {name: rng.choice((0, rng.randrange(1, 5))) for name in REPORTERS}
            first = next((code for code in codes.values() if code), 0)
            for name, code in codes.items():
                _report(ctx, dut, name, code)
            ctx.set(dut.done, 1)
            assert ctx.get(dut.interrupt_set.as_value()) == (2 if first else 1)
            await _pulse(ctx, dut.done)
            for name in REPORTERS:
                _report(ctx, dut, name, 4)
            await _expect(ctx, dut, *["error halt" if first else "done halt"] * 3)
            seen = (ctx.get(dut.error_code), ctx.get(dut.error_command), ctx.get(dut.error_address))
            assert seen == ((first, 100 + first, 0x8000_0000 + first) if first else (0, 0, 0))
            for name in REPORTERS:
                _report(ctx, dut, name, 0)

    _run(bench)
