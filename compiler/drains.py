"""Drains of a nest: strips that leave the psum banks, and the parameters that they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.emitter import Emitter, Written
from compiler.integers import ceil_div
from compiler.memory import FeatureMap
from compiler.passes import Pass, Strip
from compiler.work import Work
from golden.engine_model import Fields
from hw import spec


@dataclass(eq=False)
class Chunk:
    """Channels whose parameters are in memory together, and the last strip that needs them."""

    first: int
    channels: int
    last: Strip
    entry: int | None = None
    used: bool = False


class DrainSchedule:
    """Loads parameters and drains strips.

    Parameters
    ----------
    emitter : Emitter
        Takes the commands.
    work : Work
        What the nest computes.
    passes : sequence of Pass
        The nest's passes.
    target : FeatureMap
        The ofmap.
    parameter_address : int
        DRAM address that ofmap channel 0 of the layer has, or would have, among the parameters.
    residual : dict or None
        Fields of ``drain.residual``, if drain shall add a second feature map.
    result : Written or None
        Remembers the strips of the ofmap, None if no later layer waits for it.
    """

    def __init__(
        self,
        *,
        emitter: Emitter,
        work: Work,
        passes: Sequence[Pass],
        target: FeatureMap,
        parameter_address: int,
        residual: Fields | None,
        result: Written | None,
    ) -> None:
        self._emitter = emitter
        self._config = emitter.config
        self._work = work
        self._address = target.address
        self._strides = (target.column_stride, target.block_stride, target.image_stride)
        self._parameter_address = parameter_address
        self._chunks = self._plan_chunks(passes)
        self._residual = residual
        self._result = result

    def _plan_chunks(self, passes: Sequence[Pass]) -> dict[int, Chunk]:
        """Return for each strip the parameters that are in memory when it is drained."""
        half, work = self._config.parameter_words // 2, self._work
        end = work.ofmap_channel + work.filters
        chunks: dict[int, Chunk] = {}
        chunk: Chunk | None = None
        for strip in (entry.strip for entry in passes if entry.part.last):
            first, count = strip.first_channel, strip.channels
            if chunk is None or not (chunk.first <= first and first + count <= chunk.first + chunk.channels):
                chunk = Chunk(first, min(end - first, half), strip)
            chunk.last = strip
            chunks[id(strip)] = chunk
        return chunks

    def load_parameters(self, strip: Strip) -> None:
        """Load the parameters that a strip needs, unless they are in memory."""
        chunk = self._chunks[id(strip)]
        if chunk.entry is None:
            address = self._parameter_address + spec.PARAMETER_BYTES * chunk.first
            chunk.entry = self._emitter.open_parameters(address, chunk.channels)

    def _layer_fields(self, strip: Strip) -> Fields:
        work, tile = self._work, strip.tile
        column_stride, block_stride, image_stride = self._strides
        return {
            "column_stride": column_stride,
            "block_stride": block_stride,
            "image_stride": image_stride,
            "rows": tile.rows,
            "images": tile.images,
            "psums": strip.unit.psums,
            "zero_point": work.output_zero_point,
            "minimum": work.minimum,
            "maximum": work.maximum_activation,
        }

    def drain(self, strip: Strip) -> None:
        """Drain a strip."""
        tile, entries, config = strip.tile, strip.entries, self._config
        first, bus_bytes = strip.first_channel, config.bus_bytes
        column_stride, block_stride, image_stride = self._strides
        chunk = self._chunks[id(strip)]
        assert chunk.entry is not None
        group_address = (
            self._address
            + tile.image * image_stride
            + first // config.channel_block * block_stride
            + tile.column * column_stride
            + tile.row * bus_bytes
        )
        self._emitter.configure_drain(self._layer_fields(strip))
        self._emitter.configure_residual(self._residual)
        fields = {
            "wait_psum_ready": 1,
            "wait_parameter_ready": int(not chunk.used),
            "signal_psum_free": 1,
            "signal_parameter_free": int(chunk.last is strip),
            "signal_written": int(self._result is not None),
            "start_address": group_address + entries.image * image_stride + entries.row * bus_bytes,
            "group_address": group_address,
            "row": entries.row,
            "image": entries.image,
            "strip_columns": entries.count,
            "columns": tile.columns,
            "psum_address": strip.psums.address,
            "channel_offset": first % config.channel_block,
            "channels": strip.channels,
            "parameter": chunk.entry + first - chunk.first,
        }
        self._emitter.emit("drain.strip", fields)
        chunk.used = True
        if self._result is not None:
            self._record(strip, self._result)

    def _record(self, strip: Strip, result: Written) -> None:
        tile, entries, number = strip.tile, strip.entries, self._emitter.give_written()
        if entries.row + entries.count <= tile.rows:
            image, row = tile.image + entries.image, tile.row + entries.row
            images, rows = range(image, image + 1), range(row, row + entries.count)
        else:
            images = range(tile.image, tile.image + tile.images)
            rows = range(tile.row, tile.row + tile.rows)
        first, block = strip.first_channel, self._config.channel_block
        result.record(number, images, range(first // block, ceil_div(first + strip.channels, block)), rows)
