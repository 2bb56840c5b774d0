"""StageEngine against the contract (docs/timing.md, section 5), cycle by cycle."""

import random
from collections import Counter
from collections.abc import Generator

import pytest
from amaranth.sim import Simulator

from hw import spec
from hw.config import PRESETS, AcceleratorConfig
from hw.stage import StageEngine

TINY = PRESETS["tiny"]
ODD = AcceleratorConfig(name="odd", rows=5, cols=7, filter_spad_words=24, filter_lane_words=8)
COUNTERS = spec.engine_counters("stage")
OUTPUTS = ("halves_take", "staged_give", "filter_read_enable", "filter_read_offset", "filter_release", "capture")
Cycle = Generator[dict, dict, None]


class Model:
    """What the contract demands: ``run`` receives the inputs of a cycle and yields its outputs."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.half_step = 1 << (config.filter_spad_words // config.weights_per_word - 1).bit_length()
        self.see: dict = {}
        self.written: tuple[int, int] | None = None
        self.counted: Counter = Counter()

    def cycle(self, *, write: tuple[int, int] | None = None, **outputs: int) -> Cycle:
        """One cycle; ``write`` is the filter write that follows in the next."""
        written, self.written = self.written, write
        self.see = yield {"write": written, "pop": 0, **dict.fromkeys(OUTPUTS, 0), **outputs}

    def run(self) -> Cycle:
        self.see = yield {}
        layer, half = {}, 0
        while True:
            command = self.see["command"] or {"name": None}
            name = None if self.see["halt"] else command["name"]
            if name == "execute.layer":
                layer = command
                yield from self.cycle(pop=1)
            elif name == "mark" and self.see["mark_free"]:
                yield from self.cycle(pop=1, capture=1)
            elif name == "execute.pass" and command["reuse_filters"]:
                yield from self.cycle(pop=1, staged_give=1)
            elif name == "execute.pass" and self.see["halves_level"] >= 1:
                yield from self.cycle(pop=1, halves_take=1)
                yield from self.fill(command, layer["rows"] * layer["images"], half * self.half_step)
                yield from self.cycle(staged_give=1)
                half = 1 - half
            else:
                yield from self.cycle()

    def fill(self, command: dict, group_columns: int, base: int) -> Cycle:
        words, start, stop = command["filter_words"], 0, command["first_group_columns"]
        for group in range(command["groups"]):
            columns = [c for c in range(start, stop) if c < command["strip_columns"]]
            start, stop = stop, stop + group_columns
            while self.see["filter_level"] < words:
                yield from self.cycle()
            yield from self.cycle()
            keep = command["keep_last_group"] and group == command["groups"] - 1
            for word in range(words):
                yield from self.cycle(
                    filter_read_enable=(1 << command["active_rows"]) - 1,
                    filter_read_offset=word,
                    filter_release=words if word == words - 1 and not keep else 0,
                    write=(base + word, sum(1 << c for c in columns)),
                )
            self.counted["glb.filter.read"] += words * command["active_rows"]
            self.counted["pe.filter.write"] += words * command["active_rows"] * len(columns)


def _commands(config: AcceleratorConfig, rng: random.Random, count: int) -> list[dict]:
    """Random commands, as the compiler would make them, each with its fields and its name."""
    words_limit = config.filter_spad_words // config.weights_per_word
    commands, layer = [], {}
    for index in range(count):
        name = rng.choice(("execute.layer", *["execute.pass"] * 6, "mark")) if index else "execute.layer"
        command = {field.name: rng.randint(field.minimum, field.maximum) for field in spec.COMMAND[name].fields}
        if name == "execute.layer":
            command |= layer | {"rows": rng.choice((1, 2, 3, 4000)), "images": rng.choice((1, 2, 200))}
            layer = command
        if name == "execute.pass":
            period, strip = layer["rows"] * layer["images"], rng.randint(1, config.cols)
            first = min(rng.randint(1, period), 127)
            groups = 1 + max(0, -(-(strip - first) // period))
            command |= {"strip_columns": strip, "first_group_columns": first, "groups": groups}
            command |= {"active_rows": rng.randint(1, config.rows), "filter_words": rng.randint(1, words_limit)}
            command |= {"reuse_filters": rng.random() < 0.2, "keep_last_group": rng.random() < 0.3}
        commands.append(command | {"name": name})
    return commands


def _word(command: dict) -> int:
    return spec.COMMAND[command["name"]].encode({k: v for k, v in command.items() if k != "name"})


def _observe(ctx, dut: StageEngine, valid: bool) -> dict:
    seen = {name: ctx.get(getattr(dut, name)) for name in OUTPUTS}
    write = ctx.get(dut.filter_write)
    seen["write"] = (write.address, write.columns) if write.enable else None
    return seen | {"pop": int(valid and ctx.get(dut.command.ready))}


@pytest.mark.parametrize("config", [TINY, ODD], ids=lambda config: config.name)
@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_follows_the_contract(config: AcceleratorConfig, rate: float) -> None:
    rng = random.Random(f"{config.name} {rate}")
    commands = _commands(config, rng, 60)
    dut, model = StageEngine(config=config), Model(config)

    async def bench(ctx) -> None:
        run, queue = model.run(), list(commands)
        next(run)
        halves, level, arrived, counted = 2, 0, 0, Counter()
        for cycle in range(100_000):
            arrived = max(arrived, rng.random() < rate)
            see = {
                "command": queue[0] if queue and arrived else None,
                "halves_level": halves,
                "filter_level": level,
                "mark_free": int(rng.random() < rate),
                "halt": int(rng.random() < 0.05),
            }
            for name in ("halves_level", "filter_level", "mark_free", "halt"):
                ctx.set(getattr(dut, name), see[name])
            ctx.set(dut.command.valid, see["command"] is not None)
            ctx.set(dut.command.payload.word, _word(see["command"]) if see["command"] else 0)
            want, got = run.send(see), _observe(ctx, dut, see["command"] is not None)
            assert got == want, f"cycle {cycle}: {see}"
            for name in COUNTERS:
                counted[name] += ctx.get(dut.counts[name.replace(".", "_")])
            if got["capture"]:
                assert counted == model.counted
            halves = min(halves - got["halves_take"] + (rng.random() < rate / 4), 2)
            level += rng.choice((0, 1, 5)) * (rng.random() < rate and level < 40) - got["filter_release"]
            if got["pop"]:
                queue.pop(0)
                arrived = 0
            if not queue and cycle % 50 == 0:
                break
            await ctx.tick()
        assert not queue and counted["pe.filter.write"] == model.counted["pe.filter.write"] > 0

    _simulate(dut, bench)


def test_full_speed() -> None:
    """Two groups of three words, all there: start in 1, WAIT in 2 and 6, reads in 3-5 and 7-9, DONE in 10."""
    dut = StageEngine(config=TINY)
    fields = dict.fromkeys((field.name for field in spec.COMMAND["execute.pass"].fields), 0)
    fields |= {"active_rows": 3, "strip_columns": 4, "first_group_columns": 1, "filter_words": 3, "groups": 2}
    layer = dict.fromkeys((field.name for field in spec.COMMAND["execute.layer"].fields), 0) | {"rows": 5, "images": 1}

    async def bench(ctx) -> None:
        ctx.set(dut.halves_level, 2)
        ctx.set(dut.filter_level, 6)
        ctx.set(dut.command.valid, 1)
        ctx.set(dut.command.payload.word, _word(layer | {"name": "execute.layer"}))
        await ctx.tick()
        ctx.set(dut.command.payload.word, _word(fields | {"name": "execute.pass"}))
        reads, writes, done = [], {}, []
        for cycle in range(1, 12):
            if ctx.get(dut.filter_read_enable):
                reads.append(cycle)
            if ctx.get(dut.filter_write.enable):
                writes[cycle] = ctx.get(dut.filter_write.columns)
            if ctx.get(dut.staged_give):
                done.append(cycle)
            if cycle == 5:
                ctx.set(dut.filter_level, 3)
            await ctx.tick()
            ctx.set(dut.command.valid, 0)
        assert reads == [3, 4, 5, 7, 8, 9] and done == [10]
        assert writes == dict.fromkeys((4, 5, 6), 0b0001) | dict.fromkeys((8, 9, 10), 0b1110)

    _simulate(dut, bench)


def _simulate(dut: StageEngine, bench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
