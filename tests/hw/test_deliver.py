"""DeliverEngine against the contract (docs/timing.md, section 6), cycle by cycle."""

import random
from collections import Counter
from collections.abc import Generator

import pytest
from amaranth.sim import Simulator

from hw import spec
from hw.config import AcceleratorConfig
from hw.deliver import DeliverEngine
from hw.layouts import DELIVERY_LAYER, delivery_layout

FLAT = AcceleratorConfig(name="flat", rows=3, cols=5, lanes=8)
WIDE = AcceleratorConfig(name="wide", rows=7, cols=3, lanes=16)
COUNTERS = spec.engine_counters("deliver")
OUTPUTS = ("ifmap_ready_take", "ifmap_free_give", "delivered_give", "capture")
Cycle = Generator[dict, dict, None]


class Model:
    """What the contract demands: ``run`` receives the inputs of a cycle and yields its outputs."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.see: dict = {}
        self.layer: dict = {}
        self.in_flight = self.position = 0
        self.late: dict = {"delivery": None, "delivered_give": 0}
        self.strip_columns = 0
        self.counted: Counter = Counter()

    def cycle(self, *, opens: bool = False, late: dict | None = None, **outputs: object) -> Cycle:
        """One cycle; ``late`` are outputs of the next one, ``opens`` lets a column into flight."""
        quiet = {"pop": 0, **dict.fromkeys(OUTPUTS, 0), "row": None, "column": None, "reads": {}}
        want = quiet | self.late | {"layer": {n: self.layer.get(n, 0) for n in DELIVERY_LAYER.members}} | outputs
        if want["delivery"] and want["delivery"]["first_window"]:
            self.counted["pe.ifmap.write"] += self.see["takes"].bit_count() * self.strip_columns
        self.late = {"delivery": None, "delivered_give": 0, **(late or {})}
        self.in_flight += opens - self.see["release_columns"]
        self.see = yield want

    def run(self) -> Cycle:
        self.see = yield {}
        while True:
            command = self.see["command"] or {"name": None}
            name = None if self.see["halt"] else command["name"]
            if name == "execute.layer" and self.in_flight == 0:
                yield from self.cycle(pop=1)
                self.layer, self.position = command, 0
            elif name == "mark" and self.see["mark_free"]:
                yield from self.cycle(pop=1, capture=1)
            elif name == "execute.pass" and self.see["ifmap_ready_level"] >= command["wait_ifmap_ready"]:
                yield from self.cycle(pop=1, ifmap_ready_take=command["wait_ifmap_ready"])
                self.strip_columns = command["strip_columns"]
                for index in range(max(self.config.rows, self.config.cols)):
                    row = self.row(command, index) if index < self.config.rows else None
                    column = self.column(command, index) if index < self.config.cols else None
                    yield from self.cycle(row=row, column=column)
                yield from self.deliver(command)
            else:
                yield from self.cycle()

    def row(self, command: dict, row: int) -> tuple:
        pair = command["filter_row"] + row
        channel = command["channel_offset"] + pair // self.layer["filter_rows"]
        slots = command["slots"] - (row >= command["last_rows"]) if row < command["active_rows"] else 0
        return pair % self.layer["filter_rows"], channel, slots

    def column(self, command: dict, column: int) -> tuple | None:
        if column >= command["strip_columns"]:
            return None
        flat = command["image"] * self.layer["rows"] + command["row"] + column
        group, within = divmod(flat, self.layer["images"] * self.layer["rows"])
        image, row = divmod(within, self.layer["rows"])
        y = row * self.layer["stride_rows"] - self.layer["pad_top"]
        h = image * self.layer["image_row_stride"] + y
        top, bottom = min(max(-y, 0), 255), min(max(self.layer["image_rows"] - y, 0), 511)
        return h, top, bottom, int(group > 0 and command["wrap_rows"] > 0)

    def deliver(self, command: dict) -> Cycle:
        taps = range(self.layer["filter_columns"])
        ofmap_columns = range(command["columns"])
        columns = sorted({x * self.layer["stride_columns"] + tap for x in ofmap_columns for tap in taps})
        for index, column in enumerate(columns):
            operations = list(self.operations(command, command["ifmap_column"] + column))
            while self.in_flight >= self.layer["ring_columns"]:
                yield from self.cycle()
            for number, (delivery, reads) in enumerate(operations):
                self.counted["array.ifmap.multicast"] += 1
                self.counted["glb.ifmap.read"] += len(reads)
                last = number == len(operations) - 1
                free = command["signal_ifmap_free"] if last and index == len(columns) - 1 else 0
                late = {"delivery": delivery, "delivered_give": int(last)}
                yield from self.cycle(opens=number == 0, reads=reads, ifmap_free_give=free, late=late)
            self.position = (self.position + 1) % self.layer["ring_columns"]

    def operations(self, command: dict, column: int) -> Generator[tuple[dict, dict], None, None]:
        """Deliveries of one ifmap column, each with the lane words that it reads."""
        lanes, first_row = self.config.lanes, max(command["first_row"], 0)
        first = [
            (0, row, command["run_rows"] + first_row)
            for row in range(first_row, first_row + command["run_rows"], lanes)
        ]
        wrap = [(1, row, command["wrap_rows"]) for row in range(0, command["wrap_rows"], lanes)]
        padding = not 0 <= column < self.layer["ifmap_columns"]
        for window, (run, row, stop) in enumerate([*first, *wrap] or [(0, first_row, first_row)]):
            for block in range(command["blocks"]):
                place = "first" if block == 0 else "last" if block == command["blocks"] - 1 else "middle"
                for operation in range(command[f"{place}_operations"]):
                    reads = {}
                    for h in range(row, min(row + lanes, stop)) if operation == 0 and not padding else ():
                        word = h // lanes * self.layer["row_block_stride"] + block * self.layer["block_words"] + column
                        reads[h % lanes] = (command["bank_address"] + word) % 4096
                    yield (
                        {
                            "valid": 1,
                            "restart": int(block == 0 and operation == 0),
                            "first_window": int(window == 0),
                            "pad_column": int(padding),
                            "run": run,
                            "block": block,
                            "position": self.position,
                            "window_row": row,
                        },
                        reads,
                    )


def _commands(config: AcceleratorConfig, rng: random.Random, count: int) -> list[dict]:
    """Random commands with the relations between fields that the compiler keeps."""
    commands, layer = [], {}
    for index in range(count):
        name = rng.choice(("execute.layer", *["execute.pass"] * 5, "mark")) if index else "execute.layer"
        command = {field.name: rng.randint(field.minimum, field.maximum) for field in spec.COMMAND[name].fields}
        if name == "execute.layer":
            taps = rng.randint(1, 4)
            command |= {
                "filter_rows": rng.randint(1, 5),
                "filter_columns": taps,
                "ring_columns": taps + rng.randint(0, 3),
            }
            command |= {"stride_rows": rng.randint(1, 5), "stride_columns": rng.randint(1, 5)}
            command |= {
                "rows": rng.randint(1, 5),
                "images": rng.randint(1, 3),
                "image_row_stride": rng.randint(1, 2000),
            }
            command |= {"image_rows": rng.choice((3, 7, 900)), "pad_top": rng.choice((-3, 0, 1, 255))}
            command |= {"ifmap_columns": rng.randint(1, 15)}
            layer = command
        if name == "execute.pass":
            row, image = rng.randrange(layer["rows"]), rng.randrange(layer["images"])
            image_row = row * layer["stride_rows"] - layer["pad_top"]
            first_row = image * layer["image_row_stride"] + image_row
            group_words = max(first_row, 0) // config.lanes * layer["row_block_stride"]
            command |= {"row": row, "image": image, "image_row": image_row, "first_row": first_row}
            command |= {
                "run_address": (command["bank_address"] + group_words) % 4096,
                "filter_row": rng.randrange(layer["filter_rows"]),
            }
            command |= {
                "run_rows": rng.choice((0, 1, rng.randint(1, 3 * config.lanes))),
                "wrap_rows": rng.choice((0, 0, rng.randint(1, 2 * config.lanes))),
            }
            command |= {"slots": rng.randint(1, 6), "active_rows": rng.randint(1, config.rows)}
            command |= {
                "last_rows": rng.randint(1, command["active_rows"]),
                "strip_columns": rng.randint(1, config.cols),
            }
            command |= {
                "wait_ifmap_ready": rng.randint(0, 2),
                "columns": rng.randint(1, 4),
                "ifmap_column": rng.randint(-3, 3),
            }
            command |= {"blocks": rng.randint(1, 3), "middle_operations": rng.randint(1, 2)}
            command |= {"first_operations": rng.randint(1, 3), "last_operations": rng.randint(1, 3)}
        commands.append(command | {"name": name})
    return commands


def _word(command: dict) -> int:
    return spec.COMMAND[command["name"]].encode({k: v for k, v in command.items() if k != "name"})


def _observe(ctx, dut: DeliverEngine, valid: bool) -> dict:
    seen = {name: ctx.get(getattr(dut, name)) for name in OUTPUTS}
    seen["layer"] = {name: ctx.get(dut.layer[name]) for name in DELIVERY_LAYER.members}
    delivery = ctx.get(dut.delivery)
    seen["delivery"] = {name: delivery[name] for name in delivery_layout(FLAT).members} if delivery.valid else None
    row, column = ctx.get(dut.row_entry), ctx.get(dut.column_entry)
    seen["row"] = (row.filter_row, row.channel, row.slots) if ctx.get(dut.row_shift) else None
    shifted = ctx.get(dut.column_shift) and column.valid
    seen["column"] = (column.first_row, column.top, column.bottom, column.run) if shifted else None
    addresses = (ctx.get(dut.read_address), ctx.get(dut.read_address_next))
    enable, following = ctx.get(dut.read_enable), ctx.get(dut.read_next)
    lanes = [lane for lane in range(len(dut.read_enable)) if enable >> lane & 1]
    seen["reads"] = {lane: addresses[following >> lane & 1] for lane in lanes}
    return seen | {"pop": int(valid and ctx.get(dut.command.ready))}


@pytest.mark.parametrize("config", [FLAT, WIDE], ids=lambda config: config.name)
@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_follows_the_contract(config: AcceleratorConfig, rate: float) -> None:
    rng = random.Random(f"{config.name} {rate}")
    dut, model = DeliverEngine(config=config), Model(config)
    queue = _commands(config, rng, 40)

    async def bench(ctx) -> None:
        run = model.run()
        next(run)
        ready, held, arrived, shifts, counted = 0, 0, 0, Counter(), Counter()
        for cycle in range(100_000):
            arrived = max(arrived, rng.random() < rate)
            see = {
                "command": queue[0] if queue and arrived else None,
                "ifmap_ready_level": ready,
                "release_columns": rng.randint(0, held) if rng.random() < rate else 0,
                "takes": rng.getrandbits(config.rows),
                "mark_free": int(rng.random() < rate),
                "halt": int(rng.random() < 0.05),
            }
            for name in ("ifmap_ready_level", "release_columns", "takes", "mark_free", "halt"):
                ctx.set(getattr(dut, name), see[name])
            ctx.set(dut.command.valid, see["command"] is not None)
            ctx.set(dut.command.payload.word, _word(see["command"]) if see["command"] else 0)
            want, got = run.send(see), _observe(ctx, dut, see["command"] is not None)
            assert got == want, f"cycle {cycle}: {see}"
            for name in COUNTERS:
                counted[name] += ctx.get(dut.counts[name.replace(".", "_")])
            if got["capture"]:
                assert counted == model.counted
            shifts.update({"row": ctx.get(dut.row_shift), "column": ctx.get(dut.column_shift)})
            ready += (rng.random() < rate) - got["ifmap_ready_take"]
            held += got["delivered_give"] - see["release_columns"]
            if got["pop"]:
                arrived, passes = 0, shifts["row"] // config.rows
                assert shifts == {"row": passes * config.rows, "column": passes * config.cols}
                queue.pop(0)
            if not queue and not held and cycle % 50 == 0:
                break
            await ctx.tick()
        assert not queue and counted == model.counted and min(counted.values()) > 0

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
