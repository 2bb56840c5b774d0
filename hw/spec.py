"""The contract between software and machine: commands, CSRs, errors and counters, declared once as data.

The hardware decoder, the assembler, the golden model, the C header and the reference pages all derive from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COMMAND_BITS = 256
COMMAND_BYTES = COMMAND_BITS // 8
PARAMETER_BYTES = 16
"""Bytes of one channel's bias, multiplier and shift in DRAM."""
VERSION = 1
IDENTIFIER = 0x53415945  # "EYAS", little endian

#: Command queues. A command with several is pushed into all of them in the same cycle.
ENGINES = ("load", "stage", "deliver", "mac", "drain")
EXECUTE = ("stage", "deliver", "mac")


class SpecError(ValueError):
    """A value that does not fit the contract; the message names field, value and what is allowed."""


@dataclass(frozen=True)
class Field:
    """One field of a command: ``width`` bits, least significant first, after the fields before it."""

    name: str
    width: int
    doc: str
    signed: bool = False

    @property
    def minimum(self) -> int:
        """Least encodable value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """Greatest encodable value."""
        return (1 << (self.width - self.signed)) - 1


OPCODE = Field("opcode", 8, "which command this is")


@dataclass(frozen=True)
class Command:
    """One command: 256 bits, the opcode lowest, then ``fields`` in order, the rest zero."""

    name: str
    opcode: int
    engines: tuple[str, ...]
    doc: str
    fields: tuple[Field, ...]

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """Opcode and fields, from bit 0 upwards."""
        return (OPCODE, *self.fields)

    def encode(self, values: Mapping[str, int]) -> int:
        """Return the command word.

        Raises
        ------
        SpecError
            If a field is missing, unknown or out of range.
        """
        unknown = set(values) - {field.name for field in self.fields}
        if unknown:
            raise SpecError(f"command {self.name} has no field {sorted(unknown)[0]!r}")
        word, offset = self.opcode, OPCODE.width
        for field in self.fields:
            if field.name not in values:
                raise SpecError(f"command {self.name} needs field {field.name!r}")
            value = int(values[field.name])
            if not field.minimum <= value <= field.maximum:
                raise SpecError(
                    f"{self.name}.{field.name} must be from {field.minimum} to {field.maximum}, not {value}"
                )
            word |= (value & ((1 << field.width) - 1)) << offset
            offset += field.width
        return word

    def decode(self, word: int) -> dict[str, int]:
        """Return the fields of a command word."""
        values, offset = {}, OPCODE.width
        for field in self.fields:
            value = (word >> offset) & ((1 << field.width) - 1)
            values[field.name] = value - (1 << field.width) if field.signed and value > field.maximum else value
            offset += field.width
        return values


def _f(name: str, width: int, doc: str, *, signed: bool = False) -> Field:
    return Field(name, width, doc, signed)


COMMANDS: tuple[Command, ...] = (
    Command(
        "load.ifmap",
        0x01,
        ("load",),
        "Copy part of a feature map from DRAM into the ifmap lanes.",
        (
            _f("wait_ifmap_free", 8, "tokens taken from ifmap_free before the first read"),
            _f("wait_written", 16, "tokens taken from written before the first read"),
            _f("signal_ifmap_ready", 4, "tokens given to ifmap_ready when the last word is in its lane"),
            _f("dram_address", 32, "byte address of the first beat"),
            _f("block_stride", 32, "bytes between channel blocks in DRAM"),
            _f("column_stride", 20, "bytes between feature-map columns in DRAM"),
            _f("blocks", 8, "channel blocks to load"),
            _f("columns", 12, "feature-map columns to load, per block"),
            _f("column_beats", 12, "beats per column"),
            _f("pixels_log2", 2, "a beat carries 2**pixels_log2 pixels (0 unless the input is stored packed)"),
            _f("row", 13, "tile row of a column's first pixel; a multiple of the pixels per beat"),
            _f("bank_address", 12, "lane word of tile rows 0..lanes-1, first block, first column"),
            _f("row_block_stride", 12, "lane words between groups of `lanes` tile rows"),
            _f("block_words", 12, "lane words between channel blocks; consecutive columns are consecutive words"),
        ),
    ),
    Command(
        "load.filter",
        0x02,
        ("load",),
        "Append filter words to the filter buffer; waits for free words before each item.",
        (
            _f("dram_address", 32, "byte address; items follow each other without gaps"),
            _f("items", 16, "filter groups to load"),
            _f("words", 8, "words per filter lane and item"),
            _f("lanes", 7, "filter lanes used; beat i of an item goes to lane i % lanes"),
        ),
    ),
    Command(
        "load.parameter",
        0x03,
        ("load",),
        "Copy bias, multiplier and shift of some channels into the parameter memory; gives one parameter_ready token.",
        (
            _f("wait_parameter_free", 4, "tokens taken from parameter_free before the first read"),
            _f("dram_address", 32, "byte address; 16 bytes a channel: bias, multiplier, shift (int32 each), zero"),
            _f("channels", 12, "channels to load"),
            _f("entry", 12, "parameter memory entry of the first"),
        ),
    ),
    Command(
        "execute.layer",
        0x10,
        EXECUTE,
        "Set what the passes that follow have in common.",
        (
            _f("maximum", 1, "combine by maximum instead of addition"),
            _f("depthwise", 1, "slots are channels, each with its own psum, instead of parts of one sum"),
            _f("pool", 1, "count operations as pool.done instead of mac.done"),
            _f("filter_rows", 8, "R"),
            _f("filter_columns", 8, "S"),
            _f("stride_rows", 5, "vertical stride U"),
            _f("stride_columns", 5, "horizontal stride U"),
            _f("filters", 6, "p, filters per PE"),
            _f("ring_columns", 7, "ifmap columns per slot in the ifmap scratchpad, at least S"),
            _f("rows", 12, "E of the tile: ofmap rows per image"),
            _f("images", 8, "images in the tile"),
            _f("image_rows", 12, "rows of one image in the tile's lanes that hold data"),
            _f("image_row_stride", 12, "tile rows between images"),
            _f("pad_top", 9, "rows of padding above the tile; negative if rows above it are resident", signed=True),
            _f("ifmap_columns", 12, "resident columns; others are padding"),
            _f("row_block_stride", 12, "lane words between groups of `lanes` tile rows"),
            _f("block_words", 12, "lane words between channel blocks"),
            _f("zero_point", 16, "ifmap zero point, subtracted on delivery", signed=True),
            _f("pad_value", 17, "value of padding after subtraction", signed=True),
            _f("step_row", 8, "(filter row, channel) from one slot to the next in a PE row: filter rows"),
            _f("step_channel", 7, "the same: channels"),
        ),
    ),
    Command(
        "execute.pass",
        0x11,
        EXECUTE,
        "Run p filters, n slots, S taps over a strip's ofmap columns.",
        (
            _f("wait_ifmap_ready", 8, "tokens taken from ifmap_ready before delivery"),
            _f("wait_psum_free", 4, "tokens taken from psum_free before the first operation"),
            _f("signal_ifmap_free", 8, "tokens given to ifmap_free after the last delivery"),
            _f("signal_psum_ready", 4, "tokens given to psum_ready when the last psum is in its bank"),
            _f("slots", 6, "n, slots used"),
            _f("active_rows", 7, "PE rows with work, all slots but the last; also the filter lanes used"),
            _f("last_rows", 7, "PE rows with work in the last slot"),
            _f("filter_row", 8, "filter row of PE row 0, slot 0"),
            _f("channel_offset", 3, "channel of PE row 0, slot 0 within its block"),
            _f("bank_address", 12, "lane word of that block, tile rows 0..lanes-1, resident column 0"),
            _f("blocks", 6, "channel blocks delivered"),
            _f("first_operations", 6, "deliveries for the first block"),
            _f("middle_operations", 4, "deliveries for each block between"),
            _f("last_operations", 6, "deliveries for the last block, if there are several"),
            _f("row", 12, "ofmap row of PE column 0 within the tile"),
            _f("image", 8, "image of PE column 0 within the tile"),
            _f("first_group_columns", 7, "PE columns that belong to the first filter group"),
            _f("strip_columns", 7, "PE columns with work"),
            _f("first_row", 14, "tile row under filter row 0 of PE column 0; negative in padding", signed=True),
            _f("image_row", 13, "the same, counted within its image", signed=True),
            _f("run_address", 12, "bank_address moved to the group of `lanes` rows where the first run starts"),
            _f("run_rows", 11, "rows of the first run of ifmap rows, from max(first_row, 0) on"),
            _f(
                "wrap_rows",
                11,
                "rows of the second run, from tile row 0, for the PE columns after the strip has wrapped to a new "
                "filter group; 0 if it does not wrap, or if the first run serves them too",
            ),
            _f("ifmap_column", 13, "resident column under the first tap of the first ofmap column", signed=True),
            _f("columns", 12, "F of the tile: ofmap columns"),
            _f("psum_address", 12, "bank address of the first psum"),
            _f("first", 1, "start from zero instead of the psum bank"),
            _f("flush", 1, "let the last column leave at the end of this pass"),
            _f("reuse_filters", 1, "compute with the filters that the previous pass used"),
            _f("keep_last_group", 1, "leave the last filter group in the filter buffer"),
            _f("release_filters", 1, "the next pass brings its own filters"),
            _f("filter_words", 7, "filter buffer words per lane and group"),
            _f("groups", 7, "filter groups in the strip"),
        ),
    ),
    Command(
        "drain.layer",
        0x20,
        ("drain",),
        "Set what the strips that follow have in common.",
        (
            _f("column_stride", 20, "bytes between ofmap columns"),
            _f("block_stride", 32, "bytes between channel blocks"),
            _f("image_stride", 32, "bytes between images"),
            _f("rows", 12, "E of the tile"),
            _f("images", 8, "images in the tile"),
            _f("psums", 6, "psums per PE column and ofmap column"),
            _f("zero_point", 16, "ofmap zero point", signed=True),
            _f("minimum", 16, "least activation", signed=True),
            _f("maximum", 16, "greatest activation", signed=True),
        ),
    ),
    Command(
        "drain.strip",
        0x21,
        ("drain",),
        "Requantise a strip's psums and write them to DRAM.",
        (
            _f("wait_psum_ready", 4, "tokens taken from psum_ready before the first read"),
            _f("wait_parameter_ready", 4, "tokens taken from parameter_ready before the first read"),
            _f("signal_psum_free", 4, "tokens given to psum_free after the last read"),
            _f("signal_parameter_free", 4, "tokens given to parameter_free after the last read"),
            _f("signal_written", 4, "tokens given to written when DRAM has acknowledged the last write"),
            _f("start_address", 32, "byte address of the word of PE column 0's row, first channel, first ofmap column"),
            _f("group_address", 32, "the same for image 0, row 0 of the tile"),
            _f("row", 12, "ofmap row of PE column 0 within the tile"),
            _f("image", 8, "image of PE column 0 within the tile"),
            _f("strip_columns", 7, "PE columns with work"),
            _f("columns", 12, "F of the tile"),
            _f("psum_address", 12, "bank address of the first psum"),
            _f("channel_offset", 3, "first channel within its block"),
            _f("channels", 12, "channels that exist, from the strip's first channel on; further psums are not read"),
            _f("parameter", 12, "parameter memory entry of the first channel"),
        ),
    ),
    Command(
        "drain.residual",
        0x22,
        ("drain",),
        "Set how a second feature map of the ofmap's shape is added to the strips that follow (TFLite's ADD).",
        (
            _f("enable", 1, "add; otherwise the other fields do not matter"),
            _f("address_offset", 32, "bytes from the ofmap to the second feature map, modulo 2**32"),
            _f("multiplier", 31, "of the strips' activations, after a left shift of 20"),
            _f("shift", 5, "of the same: right shift"),
            _f("residual_zero_point", 16, "zero point of the second feature map", signed=True),
            _f("residual_multiplier", 31, "of the second feature map, after a left shift of 20"),
            _f("residual_shift", 5, "of the same: right shift"),
            _f("sum_multiplier", 31, "of the sum"),
            _f("sum_shift", 5, "of the sum: right shift"),
            _f("sum_zero_point", 16, "zero point of the sum", signed=True),
            _f("sum_minimum", 16, "least sum", signed=True),
            _f("sum_maximum", 16, "greatest sum", signed=True),
        ),
    ),
    Command(
        "mark",
        0x30,
        ENGINES,
        "Snapshot every engine's counters, in program order, and write them to DRAM once everything before is written.",
        (
            _f("dram_address", 32, "byte address of the snapshot, a multiple of 512; 8 bytes a counter"),
            _f("last", 1, "the program ends here: raise the interrupt"),
        ),
    ),
)

COMMAND: dict[str, Command] = {command.name: command for command in COMMANDS}
BY_OPCODE: dict[int, Command] = {command.opcode: command for command in COMMANDS}


@dataclass(frozen=True)
class Counter:
    """One performance counter, incremented by the controller of ``engine``; cleared by start."""

    name: str
    engine: str
    unit: str
    doc: str


COUNTER_BITS = 48

#: In snapshot order.
COUNTERS: tuple[Counter, ...] = (
    Counter("dram.command.read_bytes", "fetch", "byte", "commands dispatched, 32 bytes each"),
    Counter("dram.ifmap.read_bytes", "load", "byte", "bytes of feature maps read"),
    Counter("dram.filter.read_bytes", "load", "byte", "bytes of filters read"),
    Counter("dram.parameter.read_bytes", "load", "byte", "bytes of parameters read"),
    Counter("glb.ifmap.write", "load", "word", "ifmap lane writes"),
    Counter("glb.filter.write", "load", "word", "filter lane writes"),
    Counter("parameter.write", "load", "channel", "parameter memory entries written"),
    Counter("glb.filter.read", "stage", "word", "filter lane reads"),
    Counter("pe.filter.write", "stage", "word", "filter scratchpad writes, one bus word of weights each"),
    Counter("glb.ifmap.read", "deliver", "word", "ifmap lane reads; a lane that holds the word is not read again"),
    Counter("array.ifmap.multicast", "deliver", "cycle", "cycles in which the lanes deliver to the array"),
    Counter("pe.ifmap.write", "deliver", "word", "ifmap scratchpad writes, padding included"),
    Counter("mac.done", "mac", "operation", "multiply-accumulates of CONV and FC, padded taps included"),
    Counter("pool.done", "mac", "operation", "the same operations of pooling layers"),
    Counter("pe.filter.read", "mac", "word", "filter scratchpad reads, one weight each"),
    Counter("pe.ifmap.read", "mac", "word", "ifmap scratchpad reads; the operand stays for p cycles"),
    Counter("pe.psum.read", "mac", "word", "psum scratchpad reads, to accumulate or to leave"),
    Counter("pe.psum.write", "mac", "word", "psum scratchpad writes"),
    Counter("array.psum.hop", "mac", "word", "psums passed from one PE row to the next"),
    Counter("glb.psum.read", "mac", "word", "psum bank reads at the chain's head"),
    Counter("glb.psum.write", "mac", "word", "psum bank writes at the chain's tail"),
    Counter("cycle.execute.busy", "mac", "cycle", "cycles that issue a multiply-accumulate"),
    Counter("cycle.execute.flush", "mac", "cycle", "cycles in which only psums leave"),
    Counter("cycle.execute.hold", "mac", "cycle", "cycles a short pass waits for the psum chain"),
    Counter("cycle.execute.launch", "mac", "cycle", "cycles that configure, mark, or resume after a wait"),
    Counter("cycle.execute.wait_command", "mac", "cycle", "cycles without a command"),
    Counter("cycle.execute.wait_drain", "mac", "cycle", "cycles waiting for psum_free"),
    Counter("cycle.execute.wait_filter", "mac", "cycle", "cycles waiting for filters"),
    Counter("cycle.execute.wait_load", "mac", "cycle", "cycles waiting for ifmap columns"),
    Counter("glb.psum.drain", "drain", "word", "psum bank reads by drain"),
    Counter("parameter.read", "drain", "channel", "parameter memory reads"),
    Counter("add.done", "drain", "operation", "activations added to those of a second feature map"),
    Counter("dram.residual.read_bytes", "drain", "byte", "bytes of second feature maps read"),
    Counter("dram.ofmap.write_bytes", "drain", "byte", "bytes of ofmaps written, strobed ones only"),
    Counter("dram.mark.write_bytes", "drain", "byte", "bytes of earlier snapshots written"),
    Counter("cycle.total", "drain", "cycle", "cycles since start, when the snapshot is taken"),
)

COUNTER_NAMES: tuple[str, ...] = tuple(counter.name for counter in COUNTERS)
SNAPSHOT_BEATS = len(COUNTERS)
SNAPSHOT_BYTES = 8 * SNAPSHOT_BEATS
"""Bytes of one snapshot in DRAM: a 64-bit word a counter."""


def engine_counters(engine: str) -> tuple[str, ...]:
    """Names of the counters that one engine increments, in snapshot order."""
    return tuple(counter.name for counter in COUNTERS if counter.engine == engine)


#: Tokens between engines: name -> (giver, taker). All start at zero.
SEMAPHORES: dict[str, tuple[str, str]] = {
    "ifmap_ready": ("load", "deliver"),
    "ifmap_free": ("deliver", "load"),
    "parameter_ready": ("load", "drain"),
    "parameter_free": ("drain", "load"),
    "psum_ready": ("mac", "drain"),
    "psum_free": ("drain", "mac"),
    "written": ("drain", "load"),
}
SEMAPHORE_BITS = 16


@dataclass(frozen=True)
class Error:
    """Why the machine stopped."""

    name: str
    code: int
    doc: str


ERRORS: tuple[Error, ...] = (
    Error("none", 0, "no error"),
    Error("illegal_command", 1, "the opcode is not in the command table"),
    Error("address_window", 2, "an address lies outside the allowed DRAM window"),
    Error("read_response", 3, "DRAM answered a read with an error"),
    Error("write_response", 4, "DRAM answered a write with an error"),
)
ERROR_CODE: dict[str, int] = {error.name: error.code for error in ERRORS}


@dataclass(frozen=True)
class Csr:
    """One 32-bit register on AXI4-Lite; ``access`` is R, W, RW or RW1C (write one to clear)."""

    name: str
    offset: int
    access: str
    doc: str
    bits: tuple[str, ...] = ()


CSRS: tuple[Csr, ...] = (
    Csr("identifier", 0x00, "R", '"EYAS"'),
    Csr("version", 0x04, "R", "version of this contract"),
    Csr("control", 0x08, "W", "start a program, or stop and reset all engines", ("start", "reset")),
    Csr("status", 0x0C, "R", "what the machine does", ("busy", "done", "error")),
    Csr("interrupt", 0x10, "RW1C", "why the interrupt is raised", ("done", "error")),
    Csr("program_address", 0x14, "RW", "byte address of the first command, a multiple of 512"),
    Csr("program_commands", 0x18, "RW", "number of commands"),
    Csr("window_base", 0x1C, "RW", "first byte that the machine may access"),
    Csr("window_limit", 0x20, "RW", "first byte after those it may access"),
    Csr("error_code", 0x24, "R", "why the machine stopped"),
    Csr("error_command", 0x28, "R", "index of the command that was the cause"),
    Csr("error_address", 0x2C, "R", "byte address of the access that was the cause"),
    Csr("cycles_low", 0x30, "R", "cycles from start to interrupt, low word"),
    Csr("cycles_high", 0x34, "R", "the same, high word"),
)
CSR: dict[str, Csr] = {csr.name: csr for csr in CSRS}
COUNTER_OFFSET = 0x100
"""Counter i is read at COUNTER_OFFSET + 8 * i (low word) and + 4 (high word)."""

COMMAND_INDEX_BITS = 24
"""Bits of the command index that travels with each command for error reports."""
