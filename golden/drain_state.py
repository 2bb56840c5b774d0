"""The state of drain: section 8 of docs/timing.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from golden.blocks import STRIP_WORDS, reserve_blocks, strip_values
from golden.compiled import Data
from golden.engine_model import NEVER
from golden.residual_model import Residual
from golden.table import Table
from golden.tokens import Credits
from golden.write_model import Writer
from hw.config import AcceleratorConfig

#: A command in ``data`` after what :mod:`golden.blocks` has of a strip: a strip's tokens; what drain.residual sets; a
#: mark's last.
(
    WAIT_PSUM,
    WAIT_PARAMETER,
    SIGNAL_PSUM,
    SIGNAL_PARAMETER,
    SIGNAL_WRITTEN,
    ENABLE,
    ADDRESS_OFFSET,
    LAST,
    COMMAND_WORDS,
) = range(STRIP_WORDS, STRIP_WORDS + 9)
_TOKENS = {
    WAIT_PSUM: "wait_psum_ready",
    WAIT_PARAMETER: "wait_parameter_ready",
    SIGNAL_PSUM: "signal_psum_free",
    SIGNAL_PARAMETER: "signal_parameter_free",
    SIGNAL_WRITTEN: "signal_written",
}


#: What is counted, in the order of :class:`Drain`'s ``counts``: psums and channels read; psums added and the beats of
#: what was added to them; the mark's cycle.
PSUMS_READ, CHANNELS_READ, PSUMS_ADDED, BEATS_ADDED, TOTAL, COUNTS = range(6)


@dataclass(slots=True)
class Drain:
    """Requantisation and ofmap writes.

    Members
    -------
    commands, blocks, snapshots : int
        Address of the commands, of the blocks of the strip's first ofmap column, of ``counts`` at each mark.
    width, channel_block, bus_bytes : int
        Of the machine.
    idle : int
        First cycle in which it is idle, while no strip or mark is under way.
    command : int
        Address of the command under way, or the last one.
    blocks_left, block, column_blocks : int
        Blocks left to read, the next one's number within its ofmap column, blocks of a column.
    offset : int
        Bytes from a block in the first ofmap column to the same in the present one.
    earliest : int
        First cycle for the next block's reads, as far as descriptor and order decide.
    hold_last, hold_beats : int
        Last read and beats of the block before.
    first_read, last_read : int
        Of the block under way; NEVER if there is none. The last one as far as ``rows_known`` decides.
    rows_known : int
        Address after the head's rows of reads that were known then.
    adding, residual_offset : int
        Whether residuals are enabled, and where they are.
    marking : bool
        Whether a mark is under way.
    finished : int
        Cycle of the interrupt, 0 before.
    counts : list of int
        See the constants above.
    """

    commands: int
    blocks: int
    snapshots: int
    width: int
    channel_block: int
    bus_bytes: int
    idle: int = 0
    command: int = 0
    blocks_left: int = 0
    block: int = 0
    column_blocks: int = 0
    offset: int = 0
    earliest: int = 0
    hold_last: int = 0
    hold_beats: int = 0
    first_read: int = 0
    last_read: int = NEVER
    rows_known: int = 0
    adding: int = 0
    residual_offset: int = 0
    marking: bool = False
    finished: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * COUNTS)


def make_drain(config: AcceleratorConfig, table: Table, data: Data) -> Drain:
    """Return drain before the first cycle."""
    strips = strip_values(table)
    blocks = reserve_blocks(strips, data)
    strips |= {word: table.field("drain.strip", name) for word, name in _TOKENS.items()}
    residuals = {ENABLE: table.field("drain.residual", "enable")}
    residuals[ADDRESS_OFFSET] = table.field("drain.residual", "address_offset")
    marks = {LAST: table.field("mark", "last")}
    rows = table.rows("drain", COMMAND_WORDS, {"drain.strip": strips, "drain.residual": residuals, "mark": marks})
    snapshots = data.reserve(len(table.places("mark")) * COUNTS)
    return Drain(data.place(rows), blocks, snapshots, config.drain_width, config.channel_block, config.bus_bytes)


class Output(NamedTuple):
    """Drain with what belongs to it: the credits of its two FIFOs, residuals, the write master."""

    drain: Drain
    credits: Credits
    residual: Residual
    residual_credits: Credits
    writer: Writer
