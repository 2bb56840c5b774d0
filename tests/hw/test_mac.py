"""MacEngine against the contract (docs/timing.md, section 7), cycle by cycle."""

import random
from collections import Counter, defaultdict
from collections.abc import Generator

import pytest
from amaranth.sim import Simulator

from hw import spec
from hw.config import PRESETS, AcceleratorConfig
from hw.layouts import operation_layout
from hw.mac import MacEngine

TINY = PRESETS["tiny"]
TALL = AcceleratorConfig(name="tall", rows=7, cols=3, filter_spad_words=136, psum_spad_words=12)
COUNTERS = spec.engine_counters("mac")
LEVELS = ("psum_free", "staged", "delivered")
OUTPUTS = (
    *(f"{name}_take" for name in LEVELS),
    *("psum_ready_give", "release_columns", "release_half", "capture", "head_enable"),
)
#: How often tokens arrive, relative to commands: seldom enough that passes wait for each kind.
PACE = {"psum_free": 0.2, "staged": 0.15, "delivered": 1}
Cycle = Generator[dict, dict, None]


class Model:
    """What the contract demands: ``run`` receives the inputs of a cycle and yields its outputs."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.half_step = 1 << (config.filter_spad_words - 1).bit_length()
        self.see: dict = {}
        self.layer: dict = {}
        self.pending: dict | None = None
        self.half = self.position = self.now = 0
        self.later: dict[int, dict] = defaultdict(dict)
        self.counted: Counter = Counter()

    def cycle(self, kind: str, **outputs: object) -> Cycle:
        quiet = {"pop": 0, "operation": None, "head_read": None, "tail": None, **dict.fromkeys(OUTPUTS, 0)}
        self.counted[f"cycle.execute.{kind}"] += self.see["running"]
        self.see = yield quiet | self.later.pop(self.now, {}) | outputs
        self.now += 1

    def visible(self) -> dict:
        return self.see["command"] if self.see["command"] and not self.see["halt"] else {"name": None}

    def obstacle(self, command: dict) -> str | None:
        """The first condition of a launch that fails."""
        if command["name"] != "execute.pass":
            return "wait_command"
        if self.see["psum_free_level"] < command["wait_psum_free"]:
            return "wait_drain"
        if self.see["staged_level"] < 1:
            return "wait_filter"
        return "wait_load" if self.see["delivered_level"] < self.layer["filter_columns"] else None

    def launch_cycle(self, kind: str, **outputs: object) -> Generator[dict, dict, dict | None]:
        """A cycle in which a pass may launch; return the pass."""
        command = self.visible()
        obstacle = self.obstacle(command)
        if obstacle:
            yield from self.cycle(kind if kind != "idle" else obstacle, **outputs)
            return None
        takes = {"psum_free_take": command["wait_psum_free"], "staged_take": 1}
        takes["delivered_take"] = self.layer["filter_columns"]
        yield from self.cycle(kind if kind != "idle" else "launch", pop=1, **takes, **outputs)
        return command

    def run(self) -> Cycle:
        self.see = yield {}
        while True:
            command = self.visible()
            if command["name"] == "execute.layer":
                yield from self.cycle("launch", pop=1)
                self.layer, self.position = command, 0
            elif command["name"] == "mark":
                free = self.see["mark_free"]
                yield from self.cycle("launch" if free else "wait_drain", pop=free, capture=free)
            else:
                launched = yield from self.launch_cycle("idle")
                while launched:
                    launched = yield from self.execute(launched)

    def execute(self, command: dict) -> Generator[dict, dict, dict | None]:
        """Run a pass whose launch cycle is over; return the one that launches in its end cycle."""
        launch = self.now - 1
        slots, filters = command["slots"], self.layer["filters"]
        step = min(self.layer["stride_columns"], self.layer["filter_columns"])
        psums = slots if self.layer["depthwise"] else filters
        for column in range(command["columns"]):
            last_column = column == command["columns"] - 1
            *operations, last = self.operations(command, slots, filters)
            for operation in operations:
                yield from self.cycle("busy", operation=self.operate(command, *operation))
            final = {"operation": self.operate(command, *last)}
            free = self.layer["filter_columns"] if last_column else step
            self.later[self.now + self.config.rows - 1]["release_columns"] = free
            self.position = (self.position + free) % self.layer["ring_columns"]
            self.pending = {"command": command, "column": column, "psums": psums, "last": last_column}
            if not last_column:
                if self.see["delivered_level"] >= step:
                    yield from self.cycle("busy", delivered_take=step, **final)
                    continue
                yield from self.cycle("busy", **final)
                while self.see["delivered_level"] < step:
                    yield from self.cycle("wait_load")
                yield from self.cycle("launch", delivered_take=step)
        if command["release_filters"]:
            self.later[self.now + self.config.rows - 1]["release_half"] = 1
            self.half = 1 - self.half
        return (yield from self.finish(command, psums, final, launch))

    def finish(self, command: dict, psums: int, final: dict, launch: int) -> Generator[dict, dict, dict | None]:
        """The last operation, hold and flush."""
        spread = (psums - 1) * self.layer["filter_columns"] if self.layer["depthwise"] and command["flush"] else 0
        held = max(launch + spread + self.config.rows + 2 - self.now, 0)
        tail = [("busy", final)] + held * [("hold", {})]
        for psum in range(psums) if command["flush"] else ():
            self.leave(psum, self.now + len(tail))
            active = (1 << command["active_rows"]) - 1
            leaving = {"valid": 0, "emit": 1, "maximum": self.layer["maximum"], "psum_address": psum, "active": active}
            tail.append(("flush", {"operation": leaving}))
        if command["flush"]:
            self.pending = None
        *before, (kind, outputs) = tail
        for other_kind, other_outputs in before:
            yield from self.cycle(other_kind, **other_outputs)
        return (yield from self.launch_cycle(kind, **outputs))

    def operations(self, command: dict, slots: int, filters: int) -> list[tuple[int, int, int, int]]:
        taps = self.layer["filter_columns"]
        order = [(slot, tap, k) for slot in range(slots) for tap in range(taps) for k in range(filters)]
        return [(weight, *place) for weight, place in enumerate(order)]

    def operate(self, command: dict, weight: int, slot: int, tap: int, k: int) -> dict:
        ring, depthwise = self.layer["ring_columns"], self.layer["depthwise"]
        first = tap == 0 and (depthwise or slot == 0)
        rows = command["last_rows" if slot == command["slots"] - 1 else "active_rows"]
        work = rows * command["strip_columns"]
        for name in ("pool.done" if self.layer["pool"] else "mac.done", "pe.filter.read", "pe.psum.write"):
            self.counted[name] += work
        self.counted["pe.ifmap.read"] += work * (k == 0)
        self.counted["pe.psum.read"] += work * (not first)
        if first and self.pending:
            self.leave(slot if depthwise else k, self.now)
        return {
            "valid": 1,
            "first": int(first),
            "emit": int(first and self.pending is not None),
            "maximum": self.layer["maximum"],
            "filter_address": self.half * self.half_step + weight,
            "ifmap_address": slot * ring + (self.position + tap) % ring,
            "psum_address": slot if depthwise else k,
            "active": (1 << rows) - 1,
        }

    def leave(self, psum: int, cycle: int) -> None:
        """A psum of the pending column leaves in ``cycle``."""
        command, rows = self.pending["command"], self.config.rows
        strip = command["strip_columns"]
        address = (command["psum_address"] + self.pending["column"] * self.pending["psums"] + psum) % 4096
        self.later[cycle + rows + 3]["tail"] = (address, (1 << strip) - 1)
        self.counted["array.psum.hop"] += rows * strip
        self.counted["glb.psum.write"] += strip
        self.counted["pe.psum.read"] += command["active_rows"] * strip
        if not command["first"]:
            self.later[cycle + 2]["head_read"] = address
            self.later[cycle + 3]["head_enable"] = 1
            self.counted["glb.psum.read"] += strip
        if self.pending["last"] and psum == self.pending["psums"] - 1:
            self.later[cycle + rows + 3]["psum_ready_give"] = command["signal_psum_ready"]


def _commands(config: AcceleratorConfig, rng: random.Random, count: int) -> list[dict]:
    """Random commands; a column stays pending only if the next pass has as many psums."""
    commands, layer, before = [], {}, {}
    for index in range(count):
        name = rng.choice(("execute.layer", *["execute.pass"] * 8, "mark")) if index else "execute.layer"
        command = {field.name: rng.randint(field.minimum, field.maximum) for field in spec.COMMAND[name].fields}
        if name == "execute.layer":
            taps, depthwise = rng.choice((1, 1, 2, 4)), rng.randint(0, 1)
            command |= {"filter_columns": taps, "ring_columns": taps + rng.randint(0, 3), "depthwise": depthwise}
            command |= {"filters": 1 if depthwise else rng.choice((1, 2, 5)), "stride_columns": rng.randint(1, 5)}
            layer = command
        if name == "execute.pass":
            command |= {
                "wait_psum_free": rng.randint(0, 2),
                "slots": rng.choice((1, 2, 4)),
                "columns": rng.randint(1, 4),
            }
            command |= {"active_rows": rng.randint(1, config.rows), "strip_columns": rng.randint(1, config.cols)}
            command |= {"last_rows": rng.randint(1, command["active_rows"]), "flush": rng.random() < 0.3}
            command["psums"] = command["slots"] if layer["depthwise"] else layer["filters"]
            if before and before["psums"] != command["psums"]:
                before["flush"] = 1
            before = command
        command["name"] = name
        commands.append(command)
    return commands


def _word(command: dict) -> int:
    fields = {field.name for field in spec.COMMAND[command["name"]].fields}
    return spec.COMMAND[command["name"]].encode({name: value for name, value in command.items() if name in fields})


def _observe(ctx, dut: MacEngine, valid: bool) -> dict:
    seen = {name: ctx.get(getattr(dut, name)) for name in OUTPUTS}
    operation = ctx.get(dut.operation)
    names = (
        operation_layout(TINY).members if operation.valid else ("valid", "emit", "maximum", "psum_address", "active")
    )
    seen["operation"] = {name: operation[name] for name in names} if operation.valid or operation.emit else None
    seen["head_read"] = ctx.get(dut.head_read_address) if ctx.get(dut.head_read_enable) else None
    columns = ctx.get(dut.tail_enable)
    seen["tail"] = (ctx.get(dut.tail_address), columns) if columns else None
    return seen | {"pop": int(valid and ctx.get(dut.command.ready))}


@pytest.mark.parametrize("config", [TINY, TALL], ids=lambda config: config.name)
@pytest.mark.parametrize("rate", [0.2, 0.6, 1.0])
def test_follows_the_contract(config: AcceleratorConfig, rate: float) -> None:
    rng = random.Random(f"{config.name} {rate}")
    dut, model = MacEngine(config=config), Model(config)
    queue = _commands(config, rng, 80)

    async def bench(ctx) -> None:
        run = model.run()
        next(run)
        levels, arrived, counted, running, quiet = dict.fromkeys(LEVELS, 0), 0, Counter(), 0, 0
        for cycle in range(100_000):
            arrived = max(arrived, rng.random() < rate)
            see = {f"{name}_level": level for name, level in levels.items()}
            see |= {"mark_free": int(rng.random() < rate), "halt": int(rng.random() < 0.05), "running": cycle > 4}
            for name, value in see.items():
                ctx.set(getattr(dut, name), value)
            see["command"] = queue[0] if queue and arrived else None
            ctx.set(dut.command.valid, see["command"] is not None)
            ctx.set(dut.command.payload.word, _word(see["command"]) if see["command"] else 0)
            want, got = run.send(see), _observe(ctx, dut, see["command"] is not None)
            assert got == want, f"cycle {cycle}: {see}"
            running += see["running"]
            for name in COUNTERS:
                counted[name] += ctx.get(dut.counts[name.replace(".", "_")])
            if got["capture"]:
                assert counted == model.counted
                assert sum(counted[name] for name in COUNTERS if name.startswith("cycle.")) == running
            for name in LEVELS:
                arrives = rng.random() < rate * PACE[name] and levels[name] < 9
                levels[name] += arrives - got[f"{name}_take"]
            if got["pop"]:
                queue.pop(0)
                arrived = 0
            quiet = 0 if want["operation"] else quiet + 1
            if not queue and quiet > 40:
                break
            await ctx.tick()
        assert not queue and counted == model.counted
        rare = {f"cycle.execute.wait_{what}" for what in ("drain", "filter", "load")} if rate > 0.5 else set()
        assert all(counted[name] for name in COUNTERS if name not in rare)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
