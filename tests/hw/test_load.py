"""LoadEngine against a model of section 4 of the cycle contract."""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from amaranth.sim import Simulator

from hw import spec
from hw.config import AcceleratorConfig, preset
from hw.load import LoadEngine

TOKENS = {"load.ifmap": ("ifmap_free", "written"), "load.parameter": ("parameter_free",)}
LEVELS = ("ifmap_free", "written", "parameter_free")
COUNTERS = tuple(name.replace(".", "_") for name in spec.engine_counters("load"))
#: Opcode, fields and index in the program.
Command = tuple[str, dict[str, int], int]


def dram(address: int) -> int:
    """Contents of the eight bytes at an address."""
    value = (address + 1) * 0x9E3779B97F4A7C15 % 2**64
    return (value ^ value >> 29) * 0xBF58476D1CE4E5B9 % 2**64


def runs(name: str, fields: dict[str, int]) -> Iterator[tuple[int, int]]:
    """First address and beats of each run of a command."""
    start = fields["dram_address"]
    if name == "load.ifmap":
        for block in range(fields["blocks"]):
            for column in range(fields["columns"]):
                stride = block * fields["block_stride"] + column * fields["column_stride"]
                yield start + stride, fields["column_beats"]
    elif name == "load.filter":
        beats = fields["lanes"] * fields["words"]
        yield from ((start + 8 * beats * item, beats) for item in range(fields["items"]))
    elif name == "load.parameter":
        yield start, 2 * fields["channels"]


def bursts(address: int, beats: int, longest: int) -> Iterator[tuple[int, int]]:
    """Address and beats of each burst of a run."""
    while beats:
        part = min(beats, longest, (4096 - address % 4096) // 8)
        yield address, part
        address, beats = address + 8 * part, beats - part


def effects(config: AcceleratorConfig, name: str, fields: dict[str, int]) -> Iterator[tuple[int, dict]]:
    """Address of each beat of a command, and what the engine shows when the beat is there."""
    beats = [address + 8 * beat for address, count in runs(name, fields) for beat in range(count)]
    for i, address in enumerate(beats):
        value, last = dram(address), i == len(beats) - 1
        if name == "load.ifmap":
            column, j = divmod(i, fields["column_beats"])
            k, w = divmod(column, fields["columns"])
            pixels = 1 << fields["pixels_log2"]
            width = 64 // pixels
            shown = {"counts": {"dram_ifmap_read_bytes": 8, "glb_ifmap_write": pixels}, "ifmap": {}}
            for pixel in range(pixels):
                row = fields["row"] + j * pixels + pixel
                word = fields["bank_address"] + row // config.lanes * fields["row_block_stride"]
                word += k * fields["block_words"] + w
                shown["ifmap"][row % config.lanes] = (word % 4096, value >> width * pixel & (1 << width) - 1)
            if last and fields["signal_ifmap_ready"]:
                shown["ifmap_ready_give"] = fields["signal_ifmap_ready"]
        elif name == "load.filter":
            lane = i % fields["lanes"]
            shown = {"counts": {"dram_filter_read_bytes": 8, "glb_filter_write": 1}}
            shown["filter"] = (1 << lane, value, int(lane == fields["lanes"] - 1))
            if (i + 1) % (fields["lanes"] * fields["words"]) == 0:
                shown["filter_give"] = fields["words"]
        else:
            shown = {"counts": {"dram_parameter_read_bytes": 8}}
            if i % 2:
                bias, multiplier = (dram(address - 8) >> shift & 0xFFFFFFFF for shift in (0, 32))
                shown["counts"]["parameter_write"] = 1
                shown["parameter"] = (fields["entry"] + i // 2, bias, multiplier, value & 0xFF)
            if last:
                shown["parameter_ready_give"] = 1
        yield address, shown


@dataclass
class Bench:
    """DRAM, semaphores and command queue around the engine, and the model beside it.

    ``request_side`` and ``write_side`` make one step a cycle: they look at the cycle's inputs, and put what the engine
    must show into ``expected``. Everything shown is also logged, with its cycle.
    """

    program: list[Command]
    config: AcceleratorConfig = field(default_factory=lambda: preset("tiny"))
    seed: int = 0
    latency: int = 3
    request_rate: float = 1.0
    data_rate: float = 1.0
    return_rate: float = 1.0  # of tokens, of filter words and of load's snapshot
    halts: range = range(0)
    late: dict[int, int] = field(default_factory=dict)  # command index -> cycle from which the queue shows it
    levels: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LEVELS, 0))
    filter_free: int = 40
    log: list[tuple[int, str, object]] = field(default_factory=list)

    def request_side(self) -> Iterator[None]:
        for command in self.program:
            name, fields, index = command
            waits = {token: fields[f"wait_{token}"] for token in TOKENS.get(name, ())}
            while not (
                self.visible
                and not self.halt
                and len(self.started) < 4
                and all(self.levels[token] >= count for token, count in waits.items())
                and (name != "mark" or (self.mark_free and "mark" not in [other for other, *_ in self.started]))
            ):
                yield
            self.expected["start"] = index
            self.expected |= {f"{token}_take": count for token, count in waits.items() if count}
            yield
            for address, beats in runs(name, fields):
                if name == "load.filter":
                    while self.filter_free < fields["words"]:
                        yield
                    self.expected["filter_reserve"] = fields["words"]
                    yield
                for burst in bursts(address, beats, self.config.burst_beats):
                    accepted = False
                    while not accepted:
                        self.expected["request"] = (*burst, index)
                        accepted = self.request_ready
                        yield

    def write_side(self) -> Iterator[None]:
        while True:
            while not self.started:
                yield
            name, fields, _ = self.started[0]
            if name == "mark":
                self.expected["capture"] = 1
                self.popped = True
                yield
                continue
            due = deque(effects(self.config, name, fields))
            while due:
                self.expected["ready"] = 1
                if self.beat is not None:
                    address, shown = due.popleft()
                    assert self.beat == address
                    self.expected |= shown
                    self.popped = not due
                yield

    async def testbench(self, ctx) -> None:
        self.rng = random.Random(self.seed)
        self.queue, self.started, self.beats = deque(self.program), deque(), deque()
        self.mark_free, self.words_written, self.now = True, 0, 0
        sides = (self.request_side(), self.write_side())
        while self.queue or self.started:
            self.halt = self.now in self.halts
            self.visible = bool(self.queue) and self.now >= self.late.get(self.queue[0][2], 0)
            self.request_ready = self._chance(self.request_rate) and not self.halt
            arrived = self.beats and self.now >= self.beats[0][0] and self._chance(self.data_rate)
            self.beat = self.beats[0][1] if arrived else None
            self.expected, self.popped = {}, False
            for side in sides:
                next(side, None)
            self._drive(ctx)
            shown = self._shown(ctx)
            assert shown == self.expected, f"cycle {self.now}"
            self.log += [(self.now, key, value) for key, value in shown.items()]
            await ctx.tick()
            self._update()
            self.now += 1

    def _chance(self, rate: float) -> bool:
        return self.rng.random() < rate

    def _drive(self, ctx) -> None:
        dut = self.dut
        name, fields, index = self.queue[0] if self.visible else ("mark", {"dram_address": 0, "last": 0}, 0)
        ctx.set(dut.command.valid, self.visible)
        ctx.set(dut.command.payload.word, spec.COMMAND[name].encode(fields))
        ctx.set(dut.command.payload.index, index)
        ctx.set(dut.request.ready, self.request_ready)
        ctx.set(dut.data.valid, self.beat is not None)
        ctx.set(dut.data.payload, dram(self.now if self.beat is None else self.beat))
        for token in LEVELS:
            ctx.set(getattr(dut, f"{token}_level"), self.levels[token])
        ctx.set(dut.filter_free, self.filter_free)
        ctx.set(dut.mark_free, self.mark_free)
        ctx.set(dut.halt, self.halt)

    def _shown(self, ctx) -> dict:
        """All outputs that say something in this cycle."""
        dut, get = self.dut, ctx.get
        pulses = [f"{token}_take" for token in LEVELS]
        pulses += ["ifmap_ready_give", "parameter_ready_give", "filter_reserve", "filter_give", "capture"]
        shown: dict = {name: value for name in pulses if (value := get(getattr(dut, name)))}
        shown |= {"ready": 1} if get(dut.data.ready) else {}
        if self.visible and get(dut.command.ready):
            shown["start"] = self.queue[0][2]
        if get(dut.request.valid):
            shown["request"] = tuple(get(getattr(dut.request.payload, f)) for f in ("address", "beats", "index"))
        if lanes := get(dut.ifmap_write_enable):
            word = get(dut.ifmap_write_address)
            enabled = [lane for lane in range(self.config.lanes) if lanes >> lane & 1]
            shown["ifmap"] = {lane: (word, get(dut.ifmap_write_data[lane])) for lane in enabled}
        if (mask := get(dut.filter_write_enable)) or get(dut.filter_write_advance):
            shown["filter"] = (mask, get(dut.filter_write_data), get(dut.filter_write_advance))
        if get(dut.parameter_write_enable):
            entry = dut.parameter_write_data
            bits = (get(entry.bias) & 0xFFFFFFFF, get(entry.multiplier) & 0xFFFFFFFF, get(entry.shift) & 0xFF)
            shown["parameter"] = (get(dut.parameter_write_address), *bits)
        if counts := {name: value for name in COUNTERS if (value := get(getattr(dut.counts, name)))}:
            shown["counts"] = counts
        return shown

    def _update(self) -> None:
        if self.popped:
            self.started.popleft()
        if "ready" in self.expected and self.beat is not None:
            self.beats.popleft()
        if "start" in self.expected:
            self.started.append(self.queue.popleft())
        if "request" in self.expected and self.request_ready:
            address, beats, _ = self.expected["request"]
            self.beats += [(self.now + self.latency, address + 8 * beat) for beat in range(beats)]
        for token in LEVELS:
            self.levels[token] += self._chance(self.return_rate) - self.expected.get(f"{token}_take", 0)
        returned = self.rng.randint(0, self.words_written) if self._chance(self.return_rate) else 0
        self.words_written += self.expected.get("filter_give", 0) - returned
        self.filter_free += returned - self.expected.get("filter_reserve", 0)
        if "capture" in self.expected:
            self.mark_free = False
        elif self._chance(self.return_rate):
            self.mark_free = True

    def run(self) -> "Bench":
        self.dut = LoadEngine(config=self.config)
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self.testbench)
        simulator.run()
        return self

    def when(self, key: str) -> list[int]:
        """Cycles in which something was shown."""
        return [cycle for cycle, name, _ in self.log if name == key]

    def what(self, key: str) -> list:
        """What was shown, in order."""
        return [value for _, name, value in self.log if name == key]


def ifmap(index: int, **changes: int) -> Command:
    """A ``load.ifmap`` of one beat, changed as asked."""
    fields = dict.fromkeys((f.name for f in spec.COMMAND["load.ifmap"].fields), 0)
    return "load.ifmap", fields | {"blocks": 1, "columns": 1, "column_beats": 1} | changes, index


def filters(index: int, **changes: int) -> Command:
    """A ``load.filter`` of one beat, changed as asked."""
    return "load.filter", {"dram_address": 0, "items": 1, "words": 1, "lanes": 1} | changes, index


def parameters(index: int, **changes: int) -> Command:
    """A ``load.parameter`` of one channel, changed as asked."""
    return "load.parameter", {"wait_parameter_free": 0, "dram_address": 0, "channels": 1, "entry": 0} | changes, index


def mark(index: int) -> Command:
    """A ``mark``."""
    return "mark", {"dram_address": 0x200, "last": 0}, index


def random_command(rng: random.Random, config: AcceleratorConfig, index: int) -> Command:
    """Any command, small, often near the end of a 4 KiB page."""
    address = rng.choice((rng.randrange(1 << 28), rng.randrange(1 << 16) * 4096 + 4096 - rng.randint(1, 40))) & ~7
    kind = rng.randrange(7)
    if kind == 0:
        return mark(index)
    if kind == 1:
        entry = rng.randrange(4096 - 16)
        waits = {"wait_parameter_free": rng.choice((0, 2, 15))}
        return parameters(index, dram_address=address, channels=rng.randint(1, 12), entry=entry, **waits)
    if kind <= 3:
        shape = {"items": rng.randint(1, 4), "words": rng.randint(1, 20), "lanes": rng.randint(1, config.rows)}
        return filters(index, dram_address=address, **shape)
    pixels_log2 = rng.randint(0, config.channel_block.bit_length() - 1)
    return ifmap(
        index,
        wait_ifmap_free=rng.choice((0, 3, 20)),
        wait_written=rng.choice((0, 1, 30)),
        signal_ifmap_ready=rng.randrange(16),
        dram_address=address,
        block_stride=8 * rng.randrange(1 << 26),
        column_stride=8 * rng.randrange(1 << 10),
        blocks=rng.randint(1, 3),
        columns=rng.randint(1, 4),
        column_beats=rng.choice((1, 2, rng.randint(3, 40))),
        pixels_log2=pixels_log2,
        row=rng.randrange(1 << 13) >> pixels_log2 << pixels_log2,
        bank_address=rng.randrange(4096),
        row_block_stride=rng.randrange(4096),
        block_words=rng.randrange(4096),
    )


@pytest.mark.parametrize(
    ("seed", "changes"),
    [
        (0, {}),
        (1, {"request_rate": 0.3}),
        (2, {"data_rate": 0.5, "return_rate": 0.2}),
        (3, {"latency": 1, "halts": range(50, 90)}),
        (4, {"latency": 60, "return_rate": 0.05}),
        (5, {"latency": 1, "request_rate": 0.7, "data_rate": 0.9, "return_rate": 0.5}),
    ],
)
@pytest.mark.parametrize(
    "fields", [{}, {"activation_bits": 16, "lanes": 16, "rows": 7, "burst_beats": 4}], ids=["int8", "int16"]
)
def test_random_commands(seed: int, changes: dict, fields: dict) -> None:
    """Everything the engine shows in every cycle."""
    config = preset("tiny").with_fields(fields)
    rng = random.Random(seed + 100 * len(fields))
    program = [random_command(rng, config, index) for index in range(16)]
    bench = Bench(program=program, config=config, seed=seed, **changes).run()
    assert len(bench.when("start")) == 16


def test_requests_of_a_small_ifmap() -> None:
    """Start in cycle 4; two blocks of two columns of 18 beats; the next command starts right after the last AR."""
    shape = {"blocks": 2, "columns": 2, "column_beats": 18, "block_stride": 0x10000, "column_stride": 0x100}
    bench = Bench([ifmap(5, dram_address=0xFC0, **shape), ifmap(6)], late={5: 4}).run()
    assert bench.when("start") == [4, 13]
    assert bench.when("request") == [5, 6, 7, 8, 9, 10, 11, 12, 14]
    assert bench.what("request")[:8] == [
        (0xFC0, 8, 5),
        (0x1000, 10, 5),
        (0x10C0, 16, 5),
        (0x1140, 2, 5),
        (0x10FC0, 8, 5),
        (0x11000, 10, 5),
        (0x110C0, 16, 5),
        (0x11140, 2, 5),
    ]
    assert bench.when("ifmap") == list(range(8, 8 + 72)) + [80]


def test_filter_items_wait_for_free_words() -> None:
    """Each item has a cycle of its own before its requests, longer if words are missing."""
    program = [filters(0, items=3, words=20, lanes=2), mark(1)]
    bench = Bench(program, filter_free=40, latency=2, seed=3).run()
    # 40 beats an item: three bursts. The third item waits for words to be written (and returned by the bench).
    assert bench.when("filter_reserve")[:2] == [1, 5]
    assert bench.when("request")[:6] == [2, 3, 4, 6, 7, 8]
    first_item_written = bench.when("filter_give")[0]
    assert first_item_written == 2 + 2 + 39
    third_item = bench.when("filter_reserve")[2]
    assert third_item > first_item_written
    assert bench.when("request")[6:] == [third_item + 1 + burst for burst in range(3)]
    assert bench.when("start") == [0, third_item + 4]


def test_parameters_are_one_run() -> None:
    bench = Bench([parameters(0, dram_address=0x40, channels=9, entry=3)], latency=5).run()
    assert bench.what("request") == [(0x40, 16, 0), (0xC0, 2, 0)]
    assert bench.when("parameter") == list(range(7, 7 + 18, 2))
    assert bench.when("parameter_ready_give") == [6 + 17]


def test_fifo_between_the_sides_holds_four_commands() -> None:
    """The fifth command starts in the cycle after the first one's last beat, although its request could go earlier."""
    program = [ifmap(index, column_beats=4) for index in range(6)]
    bench = Bench(program, latency=30).run()
    assert bench.when("start") == [0, 2, 4, 6, 1 + 30 + 4, 1 + 30 + 8]


def test_mark_is_captured_between_its_neighbours() -> None:
    program = [ifmap(0, column_beats=3, signal_ifmap_ready=2), mark(1), ifmap(2, column_beats=2)]
    bench = Bench(program, latency=10).run()
    assert bench.when("start") == [0, 2, 3]
    assert bench.when("request") == [1, 4]
    assert bench.when("ifmap") == [11, 12, 13, 15, 16]
    assert bench.when("capture") == [14]
    assert 14 not in bench.when("ready")


def test_second_mark_waits_until_the_first_ones_snapshot_is_free_again() -> None:
    """At the request side the snapshot looks free while the first mark is still behind a load."""
    program = [ifmap(0, column_beats=3), mark(1), mark(2)]
    bench = Bench(program, latency=20).run()
    # Captured in 24; the bench frees the snapshot in 25, visible in 26.
    assert bench.when("capture") == [24, 27]
    assert bench.when("start") == [0, 2, 26]
    assert bench.when("ready")[-1] == 23


def test_packed_pixels_are_unpacked_into_neighbouring_lanes() -> None:
    """Four pixels of two channels a beat, from row 4 of 8 lanes: the second beat starts the next group of lanes."""
    shape = {"column_beats": 2, "pixels_log2": 2, "row": 4, "bank_address": 100, "row_block_stride": 30}
    bench = Bench([ifmap(0, dram_address=0x80, **shape)]).run()
    halfwords = [[dram(address) >> 16 * i & 0xFFFF for i in range(4)] for address in (0x80, 0x88)]
    assert bench.what("ifmap") == [
        {4 + i: (100, halfwords[0][i]) for i in range(4)},
        {i: (130, halfwords[1][i]) for i in range(4)},
    ]
    assert bench.what("counts") == [{"dram_ifmap_read_bytes": 8, "glb_ifmap_write": 4}] * 2


def test_halt_starts_nothing_and_lets_the_rest_end() -> None:
    program = [ifmap(0, column_beats=2), ifmap(1)]
    bench = Bench(program, latency=8, halts=range(2, 30)).run()
    assert bench.when("start") == [0, 30]
    assert bench.when("ifmap") == [9, 10, 39]
