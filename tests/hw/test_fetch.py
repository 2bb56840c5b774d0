"""Fetch against a model of section 2 of the cycle contract."""

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from amaranth.sim import Simulator

from hw import spec
from hw.config import preset
from hw.fetch import Fetch

BASE = 0x1E00
OPCODES = [command.opcode for command in spec.COMMANDS]
MARK = spec.COMMAND["mark"].opcode
EXECUTE = spec.COMMAND["execute.pass"].opcode
LOAD = spec.COMMAND["load.ifmap"].opcode


def _random_program(rng: random.Random, length: int, opcodes: list[int]) -> list[int]:
    return [rng.choice(opcodes) | rng.getrandbits(248) << 8 for _ in range(length)]


@dataclass
class _Environment:
    """DRAM, queues and counter bank around the component; records what happens in which cycle."""

    program: list[int]
    latency: int = 3
    seed: int = 0
    request_rate: float = 1.0
    data_rate: float = 1.0
    queue_rate: float = 1.0
    mark_rate: float = 1.0
    halts: range = range(0)
    full: dict[str, range] = field(default_factory=dict)
    snapshot_taken: range = range(0)
    cycles: int = 0
    beats: deque = field(default_factory=deque)  # (first cycle, data)
    requests: list = field(default_factory=list)  # (cycle, address, beats, index)
    dispatches: list = field(default_factory=list)  # (cycle, engines, word, index)
    captures: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    counted: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.dut = Fetch(config=preset("tiny"))

    async def cycle(self, ctx, *, start: bool = False) -> dict:
        """Drive one cycle; return its inputs, and its outputs after they have settled."""
        dut, now, chance = self.dut, self.cycles, lambda rate: self.rng.random() < rate
        arrived = bool(self.beats) and now >= self.beats[0][0] and chance(self.data_rate)
        inputs = {
            "request_ready": chance(self.request_rate),
            "beat": self.beats.popleft()[1] if arrived else None,
            "queues": {e: chance(self.queue_rate) and now not in self.full.get(e, ()) for e in spec.ENGINES},
            "mark_free": chance(self.mark_rate) and now not in self.snapshot_taken,
            "halt": now in self.halts,
        }
        ctx.set(dut.start, start)
        ctx.set(dut.program_address, BASE if start else 0xDEAD00)
        ctx.set(dut.program_commands, len(self.program) if start else 99)
        ctx.set(dut.request.ready, inputs["request_ready"])
        ctx.set(dut.data.valid, arrived)
        ctx.set(dut.data.payload, inputs["beat"] if arrived else self.rng.getrandbits(64))
        for engine, ready in inputs["queues"].items():
            ctx.set(getattr(dut, engine).ready, ready)
        ctx.set(dut.mark_free, inputs["mark_free"])
        ctx.set(dut.halt, inputs["halt"])
        assert ctx.get(dut.data.ready)

        shown = ctx.get(dut.request.valid)
        request = tuple(ctx.get(getattr(dut.request.payload, name)) for name in ("address", "beats", "index"))
        pushed = [engine for engine in spec.ENGINES if ctx.get(getattr(dut, engine).valid)]
        outputs = {
            "request": request if shown else None,
            "pushed": pushed,
            "capture": ctx.get(dut.capture),
            "bytes": ctx.get(dut.counts.dram_command_read_bytes),
            "error": ctx.get(dut.error.valid),
        }
        self._record(ctx, now, inputs, outputs)
        await ctx.tick()
        self.cycles += 1
        return inputs | outputs

    def _record(self, ctx, now: int, inputs: dict, outputs: dict) -> None:
        if outputs["request"] and inputs["request_ready"]:
            address, beats, index = outputs["request"]
            self.requests.append((now, address, beats, index))
            words = self.program[(address - BASE) // 32 :]
            for beat in range(beats):
                data = words[beat // 4] >> 64 * (beat % 4) & (1 << 64) - 1
                self.beats.append((now + self.latency + beat, data))
        if pushed := outputs["pushed"]:
            assert all(inputs["queues"][engine] for engine in pushed)
            payloads = {
                (ctx.get(getattr(self.dut, engine).payload.word), ctx.get(getattr(self.dut, engine).payload.index))
                for engine in pushed
            }
            ((word, index),) = payloads
            self.dispatches.append((now, tuple(pushed), word, index))
        if outputs["capture"]:
            self.captures.append(now)
        if outputs["error"]:
            fields = ("code", "index", "address")
            self.errors.append((now, *(ctx.get(getattr(self.dut.error, name)) for name in fields)))
        self.counted += outputs["bytes"]

    def run(self, testbench) -> None:
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(testbench)
        simulator.run()


@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int) -> None:
    """Every cycle: the request shown, the queues pushed, capture and counts, under random stalls; two programs."""
    rng = random.Random(seed)
    environment = _Environment(
        program=[],
        latency=rng.choice((1, 2, 20)),
        seed=seed,
        request_rate=rng.choice((1.0, 0.3)),
        data_rate=rng.choice((1.0, 0.5)),
        queue_rate=rng.choice((1.0, 0.7, 0.4)),
        mark_rate=0.4,
        halts=range(100, 130),
    )

    async def testbench(ctx):
        credits, beats, fifo = 8, [], deque()
        for length in (rng.randint(20, 40), rng.randint(1, 12)):
            program = environment.program = _random_program(rng, length, OPCODES)
            left, dispatched = length, 0
            await environment.cycle(ctx, start=True)
            while dispatched < length:
                burst = min(4, left)
                expected = (
                    (BASE + 32 * (length - left), 4 * burst, length - left) if left and credits >= burst else None
                )
                now = await environment.cycle(ctx)
                command = spec.BY_OPCODE[fifo[0] & 0xFF] if fifo else None
                go = command and not now["halt"] and all(now["queues"][engine] for engine in command.engines)
                if command and command.name == "mark":
                    go = go and now["mark_free"]
                assert now["request"] == expected
                assert now["pushed"] == ([e for e in spec.ENGINES if e in command.engines] if go else [])
                assert now["capture"] == bool(go and command.name == "mark")
                assert now["bytes"] == (32 if go else 0)
                assert not now["error"]
                if go:
                    assert environment.dispatches[-1][2:] == (program[dispatched], dispatched)
                    fifo.popleft()
                    dispatched, credits = dispatched + 1, credits + 1
                if expected and now["request_ready"]:
                    left, credits = left - burst, credits - burst
                if now["beat"] is not None:
                    beats.append(now["beat"])
                    if len(beats) % 4 == 0:
                        fifo.append(sum(beat << 64 * i for i, beat in enumerate(beats[-4:])))
            assert credits == 8

    environment.run(testbench)


def test_cycles_of_a_program_without_stalls() -> None:
    """The contract's numbers by hand: 9 commands, L = 5, start in cycle 0."""
    program = _random_program(random.Random(0), 9, [LOAD])
    environment = _Environment(program=program, latency=5)

    async def testbench(ctx):
        for cycle in range(60):
            await environment.cycle(ctx, start=cycle == 0)

    environment.run(testbench)
    # Beats come from 1 + 5 on without gaps, so commands complete in 9, 13, ... The last one needs the first's credit.
    assert environment.requests == [(1, BASE, 16, 0), (2, BASE + 128, 16, 4), (11, BASE + 256, 4, 8)]
    assert [cycle for cycle, *_ in environment.dispatches] == list(range(10, 43, 4))
    assert [word for _, _, word, _ in environment.dispatches] == program
    assert environment.counted == 9 * 32


def test_last_burst_is_short_and_waits_only_for_its_own_credits() -> None:
    program = _random_program(random.Random(1), 10, [LOAD])
    environment = _Environment(program=program, latency=40)

    async def testbench(ctx):
        for cycle in range(90):
            await environment.cycle(ctx, start=cycle == 0)

    environment.run(testbench)
    second_dispatch = environment.dispatches[1][0]
    assert environment.requests[2] == (second_dispatch + 1, BASE + 256, 8, 8)


@pytest.mark.parametrize("engine", spec.EXECUTE)
def test_a_full_queue_holds_back_the_others_and_everything_behind(engine: str) -> None:
    environment = _Environment(program=[EXECUTE, LOAD], latency=1, full={engine: range(20)})

    async def testbench(ctx):
        for cycle in range(30):
            await environment.cycle(ctx, start=cycle == 0)

    environment.run(testbench)
    assert environment.dispatches == [(20, spec.EXECUTE, EXECUTE, 0), (21, ("load",), LOAD, 1)]


def test_mark_goes_to_all_queues_and_waits_for_its_snapshot() -> None:
    environment = _Environment(program=[MARK, LOAD], latency=1, snapshot_taken=range(30))

    async def testbench(ctx):
        for cycle in range(40):
            await environment.cycle(ctx, start=cycle == 0)

    environment.run(testbench)
    assert environment.dispatches == [(30, spec.ENGINES, MARK, 0), (31, ("load",), LOAD, 1)]
    assert environment.captures == [30]


@pytest.mark.parametrize("bad_opcode", sorted({0x00, 0x04, 0x12, 0x31, 0xFF} - set(OPCODES)))
def test_illegal_command_stops_dispatching_until_reset(bad_opcode: int) -> None:
    program = [LOAD, LOAD, bad_opcode | 0x1234 << 8, LOAD, LOAD]
    environment = _Environment(program=program, latency=2)

    async def testbench(ctx):
        for cycle in range(60):
            await environment.cycle(ctx, start=cycle == 0)

    environment.run(testbench)
    assert [index for *_, index in environment.dispatches] == [0, 1]
    # Its last beat is the twelfth, 1 + 2 + 11 = 14.
    assert environment.errors == [(15, spec.ERROR_CODE["illegal_command"], 2, BASE + 64)]
    assert environment.counted == 64


@pytest.mark.parametrize("second", [LOAD, 0xFF])
def test_halt_stops_dispatching_and_reports_nothing_new(second: int) -> None:
    environment = _Environment(program=[LOAD, second], latency=1, halts=range(8, 40))

    async def testbench(ctx):
        for cycle in range(50):
            await environment.cycle(ctx, start=cycle == 0)

    environment.run(testbench)
    assert [cycle for cycle, *_ in environment.dispatches] == ([6, 40] if second == LOAD else [6])
    assert [cycle for cycle, *_ in environment.errors] == ([] if second == LOAD else [40])
