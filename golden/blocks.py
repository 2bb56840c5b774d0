"""How drain cuts a strip into blocks: section 8 of docs/timing.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from golden.compiled import Data, Vector, compilable
from golden.table import Table
from hw.config import AcceleratorConfig

#: A strip in ``data`` after :data:`golden.table.KIND`: how it is cut.
(
    ADDRESS,
    ROW,
    IMAGE,
    STRIP_COLUMNS,
    COLUMNS,
    CHANNEL_OFFSET,
    CHANNELS,
    PSUMS,
    ROWS,
    IMAGES,
    COLUMN_STRIDE,
    BLOCK_STRIDE,
    IMAGE_STRIDE,
    STRIP_WORDS,
) = range(1, 15)
#: The same: names of the fields of ``drain.strip`` and ``drain.layer``.
_STRIP = {
    ADDRESS: "group_address",
    ROW: "row",
    IMAGE: "image",
    STRIP_COLUMNS: "strip_columns",
    COLUMNS: "columns",
    CHANNEL_OFFSET: "channel_offset",
    CHANNELS: "channels",
}
_LAYER = {
    PSUMS: "psums",
    ROWS: "rows",
    IMAGES: "images",
    COLUMN_STRIDE: "column_stride",
    BLOCK_STRIDE: "block_stride",
    IMAGE_STRIDE: "image_stride",
}
#: A block in ``data``: address of its first beat, channels, PE columns.
BLOCK_ADDRESS, BLOCK_READS, BLOCK_BEATS, BLOCK_WORDS = range(4)


class Block(NamedTuple):
    """One ofmap column, some PE columns of one segment, channels of one channel block."""

    address: int
    reads: int
    beats: int


def strip_values(table: Table) -> dict[int, np.ndarray]:
    """Return how each strip is cut, by word of its command.

    Raises
    ------
    ValueError
        If a strip begins below its tile.
    """
    values = {word: table.field("drain.strip", name) for word, name in _STRIP.items()}
    values |= {word: table.layer_field("drain.strip", name) for word, name in _LAYER.items()}
    if (values[ROW] >= values[ROWS]).any():
        raise ValueError("drain.strip.row must be less than drain.layer.rows")
    return values


def reserve_blocks(values: Mapping[int, np.ndarray], data: Data) -> int:
    """Return the address of room for one ofmap column's blocks: at most one for each channel of each PE column."""
    return data.reserve(BLOCK_WORDS * int((values[STRIP_COLUMNS] * values[PSUMS]).max(initial=0)))


@compilable
def cut_column(strip: int, blocks: int, data: Vector, width: int, channel_block: int, bus_bytes: int) -> int:
    """Cut a strip's first ofmap column into blocks of at most ``width`` PE columns, in the order of drain's walker.

    Both ``strip`` and ``blocks`` are addresses; returned is the number of blocks.
    """
    count, group, image, row, left = 0, 0, data[strip + IMAGE], data[strip + ROW], data[strip + STRIP_COLUMNS]
    while left > 0:
        beats = min(left, data[strip + ROWS] - row, width)
        address = data[strip + ADDRESS] + image * data[strip + IMAGE_STRIDE] + row * bus_bytes
        count += cut_channels(strip, blocks + count * BLOCK_WORDS, data, group, address, beats, channel_block)
        left -= beats
        row += beats
        if row == data[strip + ROWS]:
            row, image = 0, image + 1
        if image == data[strip + IMAGES]:
            image, group = 0, group + 1
    return count


@compilable
def cut_channels(strip: int, block: int, data: Vector, group: int, address: int, beats: int, channel_block: int) -> int:
    """Cut the channels of one segment of a filter group; return the number of blocks."""
    psums, count = data[strip + PSUMS], 0
    channel = data[strip + CHANNEL_OFFSET] + group * psums
    left = min(psums, data[strip + CHANNELS] - group * psums)
    while left > 0:
        reads = min(left, channel_block - channel % channel_block)
        data[block + BLOCK_ADDRESS] = address + channel // channel_block * data[strip + BLOCK_STRIDE]
        data[block + BLOCK_READS] = reads
        data[block + BLOCK_BEATS] = beats
        block += BLOCK_WORDS
        count += 1
        channel += reads
        left -= reads
    return count


def strip_blocks(fields: Mapping[str, int], layer: Mapping[str, int], config: AcceleratorConfig) -> list[Block]:
    """Return all blocks of a strip, from the fields of ``drain.strip`` and ``drain.layer``, in the walker's order."""
    table, collected = Table([("drain.layer", layer), ("drain.strip", fields)]), Data()
    values = strip_values(table)
    strip = collected.place(table.rows("drain", STRIP_WORDS, {"drain.strip": values})) + STRIP_WORDS
    blocks = reserve_blocks(values, collected)
    data = collected.vector(compiled=False)
    count = cut_column(strip, blocks, data, config.drain_width, config.channel_block, config.bus_bytes)
    return [
        Block(data[block + BLOCK_ADDRESS] + column * data[strip + COLUMN_STRIDE], data[block + 1], data[block + 2])
        for column in range(data[strip + COLUMNS])
        for block in range(blocks, blocks + count * BLOCK_WORDS, BLOCK_WORDS)
    ]
