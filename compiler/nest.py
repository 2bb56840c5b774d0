"""Commands of one nest: loads ahead of passes, passes, drains behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from compiler.emitter import Emitter, Written
from compiler.filters import FilterSchedule, Staging
from compiler.mapping import delivery, ring_columns
from compiler.memory import FeatureMap
from compiler.packing import filter_words
from compiler.plan import Nest, Pass, Strip, rows_needed
from compiler.regions import RegionSchedule
from golden.engine_model import Fields
from golden.execute_model import ceil_div
from hw import spec


@dataclass(eq=False)
class Chunk:
    """Channels whose parameters are in memory together, and the last strip that needs them."""

    first: int
    channels: int
    last: Strip
    entry: int | None = None
    used: bool = False


class NestEmitter:
    """Appends the commands of one nest.

    Parameters
    ----------
    emitter : Emitter
        Takes the commands.
    nest : Nest
        The plan.
    source, target : FeatureMap
        Ifmap and ofmap.
    written : Written or None
        The strips that make the ifmap, None if it is there from the start.
    filters : callable
        DRAM address of a pass's first filter group.
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
        nest: Nest,
        source: FeatureMap,
        written: Written | None,
        target: FeatureMap,
        filters: Callable[[Pass], int],
        parameter_address: int,
        residual: Fields | None,
        result: Written | None,
    ) -> None:
        self._out = emitter
        self._config = emitter.config
        self._work = nest.work
        self._target = target
        self._parameter_address = parameter_address
        self._passes = nest.passes
        self._filters = FilterSchedule(emitter=emitter, passes=self._passes, address=filters)
        self._regions = RegionSchedule(emitter=emitter, passes=self._passes, source=source, written=written)
        self._chunks = self._plan_chunks()
        self._due: Strip | None = None
        self._residual = residual
        self._result = result

    def run(self) -> None:
        """Append everything."""
        position: dict[int, int] = {}
        for index, entry in enumerate(self._passes):
            key = id(entry.region)
            position[key] = position.get(key, 0) + 1
            self._filters.load(index)
            if entry.last or index == 0:
                self._ensure_parameters(entry.strip)
            self._regions.load(entry)
            self._out.configure_execute(self._execute_fields(entry))
            self._filters.load(index + 1)
            flush = entry.last and self._must_flush(index)
            staging = self._filters.staging[index]
            self._emit_pass(entry, staging, flush=flush, last_of_region=position[key] == entry.region.passes)
            self._filters.release(index)
            self._filters.load(index)
            self._regions.prefetch(entry, position[key])
            if self._due is not None:
                self._drain(self._due)
                self._due = None
            if entry.last:
                if flush:
                    self._drain(entry.strip)
                else:
                    self._due = entry.strip
        assert self._due is None and self._filters.done

    def _must_flush(self, index: int) -> bool:
        """Whether a strip's last psums cannot wait for the next pass to push them out."""
        if index + 1 == len(self._passes):
            return True
        strip, following = self._passes[index].strip, self._passes[index + 1].strip
        return following.psums.after > strip.psums.number or following.unit.psums != strip.unit.psums

    def _execute_fields(self, entry: Pass) -> Fields:
        work, mapping, tile, region = entry.strip.work, entry.strip.mapping, entry.strip.tile, entry.region
        height = work.window[0]
        return {
            "maximum": int(work.maximum),
            "depthwise": int(work.depthwise),
            "pool": int(work.pool),
            "filter_rows": height,
            "filter_columns": mapping.taps,
            "stride_rows": work.stride[0],
            "stride_columns": work.stride[1],
            "filters": mapping.filters,
            "ring_columns": ring_columns(mapping, self._config),
            "rows": tile.rows,
            "images": tile.images,
            "image_rows": tile.ifmap_rows.stop - tile.ifmap_rows.start,
            "image_row_stride": tile.image_row_stride,
            "pad_top": tile.ifmap_rows.pad,
            "ifmap_columns": tile.ifmap_columns.stop - tile.ifmap_columns.start,
            "row_block_stride": region.row_block_stride,
            "block_words": region.block_words,
            "zero_point": work.zero_point,
            "pad_value": work.pad_value,
            "step_row": 0 if work.depthwise else self._config.rows % height,
            "step_channel": 1 if work.depthwise else self._config.rows // height,
        }

    def _emit_pass(self, entry: Pass, staging: Staging, *, flush: bool, last_of_region: bool) -> None:
        strip, piece, region, work = entry.strip, entry.piece, entry.region, entry.strip.work
        tile = entry.strip.tile
        moves = delivery(work, piece, self._config)
        bank = region.address + (moves.first_block - region.first_block) * region.block_words
        first_row, image_row, run_rows, wrap_rows = rows_needed(strip)
        _, image, row = strip.position
        self._out.emit(
            "execute.pass",
            wait_ifmap_ready=self._regions.wait(entry),
            wait_psum_free=strip.psums.wait if entry.first else 0,
            signal_ifmap_free=int(last_of_region),
            signal_psum_ready=int(entry.last),
            slots=piece.slots,
            active_rows=piece.active_rows,
            last_rows=piece.last_rows,
            filter_row=piece.pair % work.window[0],
            channel_offset=moves.channel_offset,
            bank_address=bank,
            blocks=moves.blocks,
            first_operations=moves.first,
            middle_operations=moves.middle,
            last_operations=moves.last,
            row=row,
            image=image,
            first_group_columns=min(strip.count, strip.entries_per_group - image * tile.rows - row),
            strip_columns=strip.count,
            first_row=first_row,
            image_row=image_row,
            run_address=bank + max(first_row, 0) // self._config.lanes * region.row_block_stride,
            run_rows=run_rows,
            wrap_rows=wrap_rows,
            ifmap_column=piece.tap - tile.ifmap_columns.pad,
            columns=tile.columns,
            psum_address=strip.psums.address,
            first=int(entry.first),
            flush=int(flush),
            reuse_filters=int(staging.reuse),
            keep_last_group=int(staging.keep_last),
            release_filters=int(staging.release),
            filter_words=filter_words(piece, strip.mapping, self._config),
            groups=len(strip.groups),
        )

    def _plan_chunks(self) -> dict[int, Chunk]:
        """Return for each strip the parameters that are in memory when it is drained."""
        half, work = self._config.parameter_words // 2, self._work
        end = work.ofmap_channel + work.filters
        chunks: dict[int, Chunk] = {}
        chunk: Chunk | None = None
        for strip in (entry.strip for entry in self._passes if entry.last):
            first, count = strip.channels
            if chunk is None or not (chunk.first <= first and first + count <= chunk.first + chunk.channels):
                chunk = Chunk(first, min(end - first, half), strip)
            chunk.last = strip
            chunks[id(strip)] = chunk
        return chunks

    def _ensure_parameters(self, strip: Strip) -> None:
        chunk = self._chunks[id(strip)]
        if chunk.entry is None:
            address = self._parameter_address + spec.PARAMETER_BYTES * chunk.first
            chunk.entry = self._out.open_parameters(address, chunk.channels)

    def _drain_fields(self, strip: Strip) -> Fields:
        work, target, tile = strip.work, self._target, strip.tile
        return {
            "column_stride": target.column_stride,
            "block_stride": target.block_stride,
            "image_stride": target.image_stride,
            "rows": tile.rows,
            "images": tile.images,
            "psums": strip.unit.psums,
            "zero_point": work.output_zero_point,
            "minimum": work.minimum,
            "maximum": work.maximum_activation,
        }

    def _drain(self, strip: Strip) -> None:
        target, tile, config = self._target, strip.tile, self._config
        first, count = strip.channels
        chunk = self._chunks[id(strip)]
        assert chunk.entry is not None
        _, image, row = strip.position
        group_address = (
            target.address
            + tile.image * target.image_stride
            + first // config.channel_block * target.block_stride
            + tile.column * target.column_stride
            + tile.row * config.bus_bytes
        )
        self._out.configure_drain(self._drain_fields(strip))
        self._out.configure_residual(self._residual)
        self._out.emit(
            "drain.strip",
            wait_psum_ready=1,
            wait_parameter_ready=int(not chunk.used),
            signal_psum_free=1,
            signal_parameter_free=int(chunk.last is strip),
            signal_written=int(self._result is not None),
            start_address=group_address + image * target.image_stride + row * config.bus_bytes,
            group_address=group_address,
            row=row,
            image=image,
            strip_columns=strip.count,
            columns=tile.columns,
            psum_address=strip.psums.address,
            channel_offset=first % config.channel_block,
            channels=count,
            parameter=chunk.entry + first - chunk.first,
        )
        chunk.used = True
        if self._result is not None:
            self._record(strip, self._result)

    def _record(self, strip: Strip, result: Written) -> None:
        tile, number = strip.tile, self._out.give_written()
        _, image, row = strip.position
        entries = strip.count
        if row + entries <= tile.rows:
            images = range(tile.image + image, tile.image + image + 1)
            rows = range(tile.row + row, tile.row + row + entries)
        else:
            images = range(tile.image, tile.image + tile.images)
            rows = range(tile.row, tile.row + tile.rows)
        first, count = strip.channels
        block = self._config.channel_block
        result.record(number, images, range(first // block, ceil_div(first + count, block)), rows)
