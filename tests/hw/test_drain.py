"""DrainEngine: every read, write, response and token in its cycle, and every byte, against the model."""

import random
from dataclasses import replace

import pytest
from amaranth.hdl import Cat
from amaranth.sim import Simulator

from hw import spec
from hw.config import PRESETS, AcceleratorConfig
from hw.drain import DrainEngine
from hw.drain_compute import DrainCompute
from hw.drain_reader import DrainReader
from hw.drain_sender import DrainSender
from hw.drain_transposer import DrainTransposer
from hw.drain_walker import DrainWalker
from hw.psum_banks import PsumBanks
from hw.requantise import Requantise
from hw.residual_add import ResidualAdd
from hw.residual_request import ResidualRequest
from hw.write_master import WriteMaster
from tests.hw.drain_model import Model, Surroundings, Trace, ofmap_bytes, residual_word

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "wide": replace(TINY, cols=7, drain_width=8, drain_fifo_beats=16, residual_fifo_beats=16),
    "narrow": replace(TINY, cols=5, drain_width=1, outstanding_writes=1, residual_fifo_beats=64),
    "int16": replace(TINY, cols=6, drain_width=3, activation_bits=16, psum_bits=24, residual_fifo_beats=32),
    "few_writes": replace(TINY, cols=9, drain_width=6, drain_fifo_beats=16, outstanding_writes=2),
    "one_column": replace(TINY, cols=1, drain_width=2),
}

#: Drain's counters, all but the one that is counted elsewhere.
COUNTED = [name.replace(".", "_") for name in spec.engine_counters("drain") if name != "cycle.total"]


def random_layer(rng: random.Random, config: AcceleratorConfig) -> dict[str, int]:
    """A layer whose ofmap has room for everything a strip may write."""
    rows = rng.choice((rng.randint(1, 3), config.cols, rng.randint(2, 2 * config.cols), 3 * config.drain_width))
    column_stride = 8 * (rows + rng.randint(0, 3))
    block_stride = 5 * column_stride
    zero_point = rng.randint(-20, 20)
    return {
        "column_stride": column_stride,
        "block_stride": block_stride,
        "image_stride": 80 * block_stride,
        "rows": rows,
        "images": rng.choice((1, 1, 2, 3)),
        "psums": rng.choice((1, 2, 4, 8, 16, rng.randint(1, 16))),
        "zero_point": zero_point,
        "minimum": rng.choice((-128, zero_point)),
        "maximum": rng.choice((127, zero_point + 6)),
    }


def random_strip(rng: random.Random, config: AcceleratorConfig, layer: dict[str, int], region: int) -> dict[str, int]:
    """A strip that starts anywhere, goes over borders of groups and images, and writes close to a 4 KiB border."""
    row, image = rng.choice((0, rng.randrange(layer["rows"]))), rng.randrange(layer["images"])
    strip_columns = rng.choice((config.cols, rng.randint(1, config.cols)))
    groups = (image * layer["rows"] + row + strip_columns - 1) // (layer["rows"] * layer["images"]) + 1
    columns = rng.choice((1, 1, 2, 3))
    channels = (groups - 1) * layer["psums"] + rng.randint(1, layer["psums"] + 3)
    group_address = region - 8 * rng.randint(0, layer["image_stride"] // 8)
    start_address = group_address + image * layer["image_stride"] + row * 8
    first_piece = min(config.drain_width, layer["rows"] - row, strip_columns)
    if first_piece > 1:
        move = -start_address % 4096 - 8 * rng.randint(1, first_piece - 1)
        group_address, start_address = group_address + move, start_address + move
    return {
        "wait_psum_ready": rng.randint(0, 2),
        "wait_parameter_ready": rng.randint(0, 1),
        "signal_psum_free": rng.randint(1, 15),
        "signal_parameter_free": rng.randint(1, 15),
        "signal_written": rng.choice((0, 1, 15)),
        "start_address": start_address,
        "group_address": group_address,
        "row": row,
        "image": image,
        "strip_columns": strip_columns,
        "columns": columns,
        "psum_address": rng.randint(0, config.psum_bank_words - columns * layer["psums"]),
        "channel_offset": rng.choice((0, rng.randrange(config.channel_block))),
        "channels": channels,
        "parameter": rng.randint(0, config.parameter_words - min(config.parameter_words, groups * layer["psums"] + 3)),
    }


def random_program(rng: random.Random, config: AcceleratorConfig, strips: int) -> list[tuple[str, dict[str, int]]]:
    """Layers, strips and marks; the last command is the last mark."""
    program = [("drain.layer", random_layer(rng, config))]
    for number in range(strips):
        if rng.random() < 0.4:
            program.append(("drain.layer", random_layer(rng, config)))
        layer = [values for name, values in program if name == "drain.layer"][-1]
        program.append(("drain.strip", random_strip(rng, config, layer, 0x0100_0000 * (number + 1))))
        if rng.random() < 0.2:
            program.append(("mark", {"dram_address": 0x8000_0000 + 512 * number, "last": 0}))
    return [*program, ("mark", {"dram_address": 0xC000_0000, "last": 1})]


def random_residual(rng: random.Random) -> dict[str, int]:
    """A second feature map anywhere, often in the same place of its 4 KiB as the ofmap, or nearly."""
    pages = 4096 * rng.randrange(1 << 20)
    multiplier, residual_multiplier, sum_multiplier = (rng.randint(1 << 30, (1 << 31) - 1) for _ in range(3))
    return {
        "enable": rng.random() < 0.8,
        "address_offset": rng.choice((pages, (pages + 8 * rng.randint(-3, 3)) % (1 << 32), 8 * rng.getrandbits(29))),
        "multiplier": multiplier,
        "shift": rng.randint(0, 2),
        "residual_zero_point": rng.randint(-128, 127),
        "residual_multiplier": residual_multiplier,
        "residual_shift": rng.randint(0, 2),
        "sum_multiplier": sum_multiplier,
        "sum_shift": rng.randint(18, 20),
        "sum_zero_point": rng.randint(-20, 20),
        "sum_minimum": rng.choice((-128, 0)),
        "sum_maximum": rng.choice((127, 40)),
    }


def with_residuals(rng: random.Random, program: list[tuple[str, dict[str, int]]]) -> list[tuple[str, dict[str, int]]]:
    """The program with second feature maps, set anew before, after or without new layers."""
    result = [("drain.residual", random_residual(rng) | {"enable": 1})]
    for command in program:
        if rng.random() < 0.3 and "drain.strip" in dict(result):
            result.append(("drain.residual", random_residual(rng)))
        result.append(command)
    return result


def random_surroundings(rng: random.Random, commands: int, cycles: int, tokens: int) -> Surroundings:
    """Patterns from idle to busy."""

    def pattern(probability: float) -> list[bool]:
        return [rng.random() < probability for _ in range(cycles)]

    def gives() -> list[int]:
        return [sum(given) for given in zip(*(pattern(tokens / cycles) for _ in range(2)), strict=True)] + [99]

    arrival, arrivals = 1, []
    for _ in range(commands):
        arrival += rng.choice((0, 0, 0, 1, 5, 60))
        arrivals.append(arrival)
    return Surroundings(
        arrivals=arrivals,
        head=pattern(rng.choice((0, 0.2, 0.8))),
        grant=pattern(rng.choice((1, 0.3, 0.05))),
        captured=pattern(rng.choice((1, 0.1))),
        psum_ready=gives(),
        parameter_ready=gives(),
        latency=rng.choice((1, 5, 20)),
        residual_ready=pattern(rng.choice((1, 0.3))),
        residual_beat=pattern(rng.choice((1, 0.7, 0.1))),
    )


class Bench:
    """Everything around a drain engine, one call of ``cycle`` a cycle; fills a trace."""

    def __init__(self, config, program, around, banks, parameters) -> None:
        self.dut = DrainEngine(config=config)
        self.psums = Cat(self.dut.psums)
        self.config, self.program, self.around, self.banks, self.parameters = config, program, around, banks, parameters
        self.trace, self.memory = Trace(), {}
        self.taken = {"psum_ready": 0, "parameter_ready": 0}
        self.next_command, self.snapshot_base, self.mark_start = 0, 0, 0
        self.bursts, self.left, self.address, self.answers = [], 0, 0, []
        self.read_before, self.inputs = None, {}
        self.residual_beats: list[tuple[int, int]] = []  # first cycle, address
        self.residual_waits = None
        self.errors: list[tuple[int, int, int]] = []
        self.halt_from: int | None = None
        self.window = (0x1000, 0xFFFF_F000)

    def _set(self, ctx, port, value) -> None:
        """Set an input that has changed; each costs the simulator time."""
        if self.inputs.get(id(port)) != value:
            self.inputs[id(port)] = value
            ctx.set(port, value)

    def cycle(self, ctx, c: int) -> None:
        self._memories(ctx)
        self._command(ctx, c)
        self._tokens(ctx, c)
        self._dram_inputs(ctx, c)
        self._residual_inputs(ctx, c)
        self._set(ctx, self.dut.halt, bool(self.errors) or (self.halt_from is not None and c >= self.halt_from))
        self._observe(ctx, c)
        self._dram_outputs(ctx, c)
        self._residual_outputs(ctx, c)

    def _memories(self, ctx) -> None:
        dut = self.dut
        if self.read_before:
            psum_address, parameter_address = self.read_before
            mask = (1 << self.config.psum_bits) - 1
            row = sum((bank[psum_address] & mask) << i * self.config.psum_bits for i, bank in enumerate(self.banks))
            self._set(ctx, self.psums, row)
            self._set(ctx, dut.parameter, self.parameters[parameter_address])
        else:
            self._set(ctx, dut.parameter, {"bias": 77, "multiplier": 77, "shift": 7})

    def _command(self, ctx, c: int) -> None:
        i = self.next_command
        valid = i < len(self.program) and self.around.arrivals[i] <= c
        self._set(ctx, self.dut.command.valid, valid)
        if valid:
            name, values = self.program[i]
            self._set(ctx, self.dut.command.payload, {"word": spec.COMMAND[name].encode(values), "index": i})

    def _tokens(self, ctx, c: int) -> None:
        around = self.around
        for name, taken in self.taken.items():
            self._set(ctx, getattr(self.dut, f"{name}_level"), around.tokens(name, c) - taken)
        self._set(ctx, self.dut.psum_ready, not (c < len(around.head) and around.head[c]))
        self._set(ctx, self.dut.all_captured, not c < len(around.captured) or around.captured[c])

    def _dram_inputs(self, ctx, c: int) -> None:
        axi, grant = self.dut.axi, self.around.grant
        if not self.left and self.bursts and (c >= len(grant) or grant[c]):
            self.address, self.left = self.bursts.pop(0)
        answer = bool(self.answers) and self.answers[0] == c
        self._set(ctx, axi.awready, 1)
        self._set(ctx, axi.wready, self.left > 0)
        self._set(ctx, axi.bvalid, answer)
        if answer:
            self.trace.b.append(self.answers.pop(0))

    def _dram_outputs(self, ctx, c: int) -> None:
        axi = self.dut.axi
        self._set(ctx, self.dut.snapshot, 0x0123_4567_89AB_0000 + ctx.get(self.dut.snapshot_index))
        if ctx.get(axi.awvalid):
            address, length = ctx.get(axi.awaddr), ctx.get(axi.awlen)
            assert address // 4096 == (address + 8 * length) // 4096
            assert (ctx.get(axi.awsize), ctx.get(axi.awburst)) == (3, 1)
            self.trace.aw.append((c, address, length))
            self.bursts.append((address, length + 1))
        if self.left and ctx.get(axi.wvalid):
            word, strobe, last = ctx.get(axi.wdata), ctx.get(axi.wstrb), ctx.get(axi.wlast)
            self.trace.w.append((c, strobe, last))
            for i in range(8):
                if strobe >> i & 1:
                    self.memory[self.address + i] = word >> 8 * i & 0xFF
            self.address, self.left = self.address + 8, self.left - 1
            if not self.left:
                self.answers.append(c + self.around.latency)

    def _residual_inputs(self, ctx, c: int) -> None:
        dut, around = self.dut, self.around
        arrives = bool(self.residual_beats) and self.residual_beats[0][0] <= c
        arrives &= c >= len(around.residual_beat) or around.residual_beat[c]
        self._set(ctx, dut.residual_request.ready, c >= len(around.residual_ready) or around.residual_ready[c])
        self._set(ctx, dut.residual_data.valid, arrives)
        if arrives:
            self._set(ctx, dut.residual_data.payload, residual_word(self.residual_beats.pop(0)[1]))

    def _residual_outputs(self, ctx, c: int) -> None:
        request = self.dut.residual_request
        assert ctx.get(self.dut.residual_data.ready)
        burst = None
        if ctx.get(request.valid):
            burst = tuple(ctx.get(getattr(request.payload, name)) for name in ("address", "beats", "index"))
        assert self.residual_waits in (None, burst)
        self.residual_waits = burst
        if burst and ctx.get(request.ready):
            address, beats, _ = burst
            assert address // 4096 == (address + 8 * beats - 1) // 4096
            self.trace.requests.append((c, *burst))
            self.residual_beats += [(c + self.around.latency, address + 8 * j) for j in range(beats)]
            self.residual_waits = None

    def _observe(self, ctx, c: int) -> None:
        dut, trace = self.dut, self.trace
        ready = ctx.get(dut.command.valid) and ctx.get(dut.command.ready)
        if ready:
            trace.started.append(c)
            self.next_command += 1
        for name in self.taken:
            take = ctx.get(getattr(dut, f"{name}_take"))
            is_strip = ready and self.program[self.next_command - 1][0] == "drain.strip"
            assert take == (self.program[self.next_command - 1][1][f"wait_{name}"] if is_strip else 0)
            self.taken[name] += take
        self.read_before = None
        if ctx.get(dut.psum_request) and ctx.get(dut.psum_ready):
            self.read_before = ctx.get(dut.psum_address), ctx.get(dut.parameter_read_address)
            trace.reads.append((c, *self.read_before))
        assert ctx.get(dut.parameter_read_enable) == (self.read_before is not None)
        for name in ("psum_free", "parameter_free", "written"):
            if given := ctx.get(getattr(dut, f"{name}_give")):
                trace.gives.append((name, c, given))
        if ctx.get(dut.capture):
            self.mark_start = c
        if ctx.get(dut.marked):
            trace.marks.append((self.mark_start, c, ctx.get(dut.done)))
        assert ctx.get(dut.done) <= ctx.get(dut.marked)
        error = ctx.get(dut.error)
        if error.valid:
            self.errors.append((error.code, error.index, error.address))
        counts = ctx.get(dut.counts)
        for name in COUNTED:
            trace.count(name, c, counts[name])


def simulate(bench: Bench, cycles: int) -> None:
    """Run a bench."""

    async def testbench(ctx) -> None:
        ctx.set(bench.dut.window_base, bench.window[0])
        ctx.set(bench.dut.window_limit, bench.window[1])
        for c in range(cycles):
            bench.cycle(ctx, c)
            await ctx.tick()

    simulator = Simulator(bench.dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def random_memories(rng: random.Random, config: AcceleratorConfig) -> tuple[list[list[int]], list[dict[str, int]]]:
    """Banks and parameters whose activations are spread over and beyond their range."""
    banks = [
        [rng.randint(-(1 << 20), (1 << 20) - 1) for _ in range(config.psum_bank_words)] for _ in range(config.cols)
    ]
    parameters = [
        {
            "bias": rng.randint(-(1 << 18), 1 << 18),
            "multiplier": rng.randint(1 << 30, (1 << 31) - 1),
            "shift": -rng.randint(10, 16),
        }
        for _ in range(config.parameter_words)
    ]
    return banks, parameters


def snapshot_bytes(address: int) -> dict[int, int]:
    """What a mark writes."""
    words = b"".join((0x0123_4567_89AB_0000 + i).to_bytes(8, "little") for i in range(spec.SNAPSHOT_BEATS))
    return {address + i: byte for i, byte in enumerate(words)}


def expected_memory(config, program, banks, parameters) -> dict[int, int]:
    """All bytes that a program writes."""
    memory, layer, residual = {}, {}, {"enable": 0}
    for command, values in program:
        if command == "drain.layer":
            layer = values
        elif command == "drain.residual":
            residual = values
        elif command == "drain.strip":
            memory |= ofmap_bytes(config, layer, values, banks, parameters, residual)
        else:
            memory |= snapshot_bytes(values["dram_address"])
    return memory


def check_every_event(rng: random.Random, config: AcceleratorConfig, program: list) -> Trace:
    """Run a program in random surroundings and compare everything with the model."""
    banks, parameters = random_memories(rng, config)
    around = random_surroundings(rng, len(program), cycles=500, tokens=8)
    expected = Model(config, around).run(program)
    bench = Bench(config, program, around, banks, parameters)
    simulate(bench, expected.b[-1] + 10)
    for what in vars(expected):
        seen, wanted = getattr(bench.trace, what), getattr(expected, what)
        assert seen == wanted if what == "counts" else sorted(seen) == sorted(wanted), what
    assert not bench.errors
    assert bench.memory == expected_memory(config, program, banks, parameters)
    return expected


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", range(2))
def test_every_event_in_its_cycle(name: str, seed: int) -> None:
    rng, config = random.Random(f"{name} {seed}"), CONFIGS[name]
    assert not check_every_event(rng, config, random_program(rng, config, strips=5)).requests


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", range(3))
def test_every_event_of_residuals_in_its_cycle(name: str, seed: int) -> None:
    rng, config = random.Random(f"residual {name} {seed}"), CONFIGS[name]
    program = with_residuals(rng, random_program(rng, config, strips=5))
    assert check_every_event(rng, config, program).requests


class AnyBus(Bench):
    """A bus that does whatever AXI4 allows: commands and beats wait for each other or do not."""

    def __init__(self, rng: random.Random, patience: tuple[float, float, float], *args) -> None:
        super().__init__(*args)
        self.rng, self.patience = rng, patience
        self.words, self.written = [], 0
        self.failing: int | None = None

    def _dram_inputs(self, ctx, c: int) -> None:
        axi, (aw, w, b) = self.dut.axi, self.patience
        whole = min(len(self.trace.aw), sum(last for _, _, last in self.words))
        answer = len(self.trace.b) < whole and self.rng.random() < b
        self._set(ctx, axi.awready, self.rng.random() < aw)
        self._set(ctx, axi.wready, self.rng.random() < w)
        self._set(ctx, axi.bvalid, answer)
        self._set(ctx, axi.bresp, 2 if len(self.trace.b) == self.failing else 0)
        if answer:
            self.trace.b.append(c)

    def _dram_outputs(self, ctx, c: int) -> None:
        axi = self.dut.axi
        self._set(ctx, self.dut.snapshot, 0x0123_4567_89AB_0000 + ctx.get(self.dut.snapshot_index))
        if ctx.get(axi.awvalid) and ctx.get(axi.awready):
            self.trace.aw.append((c, ctx.get(axi.awaddr), ctx.get(axi.awlen)))
        if ctx.get(axi.wvalid) and ctx.get(axi.wready):
            self.words.append((ctx.get(axi.wdata), ctx.get(axi.wstrb), ctx.get(axi.wlast)))

    def bytes_written(self) -> dict[int, int]:
        """What is in memory after all bursts."""
        memory, words = {}, iter(self.words)
        for _, address, length in self.trace.aw:
            for j in range(length + 1):
                word, strobe, last = next(words)
                assert last == (j == length)
                memory |= {address + 8 * j + i: word >> 8 * i & 0xFF for i in range(8) if strobe >> i & 1}
        return memory


PATIENCE = [(0.04, 1, 1), (1, 0.1, 0.5), (0.3, 0.5, 0.05)]


@pytest.mark.parametrize("patience", PATIENCE)
def test_bytes_and_tokens_on_any_bus(patience: tuple[float, float, float]) -> None:
    rng, config = random.Random(str(patience)), CONFIGS["wide"]
    program = random_program(rng, config, strips=4)
    banks, parameters = random_memories(rng, config)
    around = Surroundings([0] * len(program), [], [], [], [99], [99], 0)
    bench = AnyBus(rng, patience, config, program, around, banks, parameters)
    simulate(bench, 2200)
    assert not bench.errors
    assert bench.bytes_written() == expected_memory(config, program, banks, parameters)
    tokens = sum(values.get("signal_written", 0) for _, values in program)
    assert sum(given for name, _, given in bench.trace.gives if name == "written") == tokens
    assert bench.trace.marks[-1][2]


def two_strips() -> list[tuple[str, dict[str, int]]]:
    """A layer, two strips of one burst each that wait for nothing, and the last mark."""
    rng = random.Random(2)
    layer = random_layer(rng, TINY) | {"rows": 4, "images": 1, "psums": 8}
    zero = ("row", "image", "channel_offset", "psum_address", "wait_psum_ready", "wait_parameter_ready", "parameter")
    strip = random_strip(rng, TINY, layer, 0) | dict.fromkeys(zero, 0)
    strip |= {"strip_columns": 4, "columns": 1, "channels": 8, "signal_written": 1}
    strips = [strip | {"start_address": address, "group_address": address} for address in (0x4000, 0x8000)]
    return [
        ("drain.layer", layer),
        *[("drain.strip", values) for values in strips],
        ("mark", {"dram_address": 0xC000, "last": 1}),
    ]


def run_two_strips(**attributes: object) -> AnyBus:
    """Run them on an eager bus; ``attributes`` of the bench say what goes wrong."""
    rng, program = random.Random(1), two_strips()
    around = Surroundings([0] * len(program), [], [], [], [99], [99], 0)
    bench = AnyBus(rng, (1, 1, 1), TINY, program, around, *random_memories(rng, TINY))
    for name, value in attributes.items():
        setattr(bench, name, value)
    simulate(bench, 150)
    return bench


def _written(bench: Bench) -> list[int]:
    return [given for name, _, given in bench.trace.gives if name == "written"]


def test_nothing_wrong() -> None:
    bench = run_two_strips()
    assert not bench.errors
    assert [address for _, address, _ in bench.trace.aw] == [0x4000, 0x8000, 0xC000]
    assert len(bench.trace.started) == 4 and len(_written(bench)) == 2
    assert [done for _, _, done in bench.trace.marks] == [1]


@pytest.mark.parametrize(("window", "index", "address"), [((0x1000, 0x8018), 2, 0x8000), ((0x1000, 0xC100), 3, 0xC000)])
def test_a_write_outside_the_window_is_not_issued(window: tuple[int, int], index: int, address: int) -> None:
    bench = run_two_strips(window=window)
    assert bench.errors == [(spec.ERROR_CODE["address_window"], index, address)]
    assert [seen for _, seen, _ in bench.trace.aw] == [0x4000, 0x8000, 0xC000][: index - 1]
    assert not bench.trace.marks


@pytest.mark.parametrize("burst", range(3))
def test_an_error_response_is_reported_with_its_command(burst: int) -> None:
    bench = run_two_strips(failing=burst)
    assert bench.errors == [(spec.ERROR_CODE["write_response"], burst + 1, (0x4000, 0x8000, 0xC000)[burst])]
    assert not any(done for _, _, done in bench.trace.marks)


@pytest.mark.parametrize("cycle", [0, 11, 17, 18, 28])
def test_halt_starts_and_issues_nothing_more_and_ends_what_is_in_flight(cycle: int) -> None:
    free, halted = run_two_strips(), run_two_strips(halt_from=cycle)
    assert halted.trace.started == [c for c in free.trace.started if c < cycle]
    assert halted.trace.aw == [event for event in free.trace.aw if event[0] < cycle]
    assert len(halted.trace.b) == len(halted.trace.aw)
    assert len(halted.words) == sum(length + 1 for _, _, length in halted.trace.aw)


PARTS = (
    *(DrainEngine, DrainWalker, ResidualRequest, DrainReader, DrainCompute, DrainTransposer, ResidualAdd, DrainSender),
    *(WriteMaster, Requantise, PsumBanks),
)


@pytest.mark.parametrize("part", PARTS)
def test_config_is_checked(part: type) -> None:
    with pytest.raises(TypeError, match="config must be an AcceleratorConfig, not 'tiny'"):
        part(config="tiny")
