"""Commands of one nest: loads ahead of passes, passes, drains behind them."""

from __future__ import annotations

from collections.abc import Callable

from compiler.drains import DrainSchedule
from compiler.emitter import Emitter, Written
from compiler.filters import FilterSchedule
from compiler.mapping import ring_columns
from compiler.memory import FeatureMap
from compiler.passes import Pass, Region, Strip
from compiler.plan import Nest
from compiler.regions import RegionSchedule
from golden.engine_model import Fields


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
        self._mapping = nest.mapping
        self._passes = nest.passes
        self._filters = FilterSchedule(emitter=emitter, passes=self._passes, address=filters)
        self._regions = RegionSchedule(emitter=emitter, passes=self._passes, source=source, written=written)
        self._drains = DrainSchedule(
            emitter=emitter,
            work=nest.work,
            passes=self._passes,
            target=target,
            parameter_address=parameter_address,
            residual=residual,
            result=result,
        )

    def run(self) -> None:
        """Append everything."""
        filters, regions, drains = self._filters, self._regions, self._drains
        region: Region | None = None
        due: Strip | None = None
        position = 0  # of the pass among those of its region
        for index, entry in enumerate(self._passes):
            filters.load(index)
            if entry.part.last or index == 0:
                drains.load_parameters(entry.strip)
            regions.load(entry)
            if entry.region is not region:
                region, position = entry.region, 0
                self._out.configure_execute(self._execute_fields(region))
            position += 1
            filters.load(index + 1)
            flush = int(entry.part.last and self._must_flush(index))
            self._emit_pass(entry, flush=flush, last_of_region=position == region.passes)
            filters.release(entry)
            filters.load(index)
            regions.prefetch(entry, position)
            if due is not None:
                drains.drain(due)
                due = None
            if entry.part.last:
                if flush:
                    drains.drain(entry.strip)
                else:
                    due = entry.strip
        assert due is None and filters.done

    def _must_flush(self, index: int) -> bool:
        """Whether a strip's last psums cannot wait for the next pass to push them out."""
        if index + 1 == len(self._passes):
            return True
        strip, following = self._passes[index].strip, self._passes[index + 1].strip
        return following.psums.after > strip.psums.number or following.unit.psums != strip.unit.psums

    def _execute_fields(self, region: Region) -> Fields:
        work, mapping, tile = self._work, self._mapping, region.tile
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
            "ring_columns": int(ring_columns(mapping.slots, self._config)),
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

    def _emit_pass(self, entry: Pass, *, flush: int, last_of_region: bool) -> None:
        strip, part, region = entry.strip, entry.part, entry.region
        tile, entries, piece, moves = strip.tile, strip.entries, part.piece, part.moves
        bank = region.address + (moves.first_block - region.first_block) * region.block_words
        below = max(entries.first_row, 0) // self._config.lanes * region.row_block_stride
        fields = {
            "wait_ifmap_ready": self._regions.wait(entry),
            "wait_psum_free": strip.psums.wait if part.first else 0,
            "signal_ifmap_free": int(last_of_region),
            "signal_psum_ready": part.last,
            "slots": piece.slots,
            "active_rows": piece.active_rows,
            "last_rows": piece.last_rows,
            "filter_row": piece.pair % self._work.window[0],
            "channel_offset": moves.channel_offset,
            "bank_address": bank,
            "blocks": moves.blocks,
            "first_operations": moves.first,
            "middle_operations": moves.middle,
            "last_operations": moves.last,
            "row": entries.row,
            "image": entries.image,
            "first_group_columns": entries.first_group_columns,
            "strip_columns": entries.count,
            "first_row": entries.first_row,
            "image_row": entries.image_row,
            "run_address": bank + below,
            "run_rows": entries.run_rows,
            "wrap_rows": entries.wrap_rows,
            "ifmap_column": piece.tap - tile.ifmap_columns.pad,
            "columns": tile.columns,
            "psum_address": strip.psums.address,
            "first": part.first,
            "flush": flush,
            "reuse_filters": entry.reuse_filters,
            "keep_last_group": entry.keep_last_group,
            "release_filters": entry.release_filters,
            "filter_words": part.words,
            "groups": entries.last_group - entries.group + 1,
        }
        self._out.emit("execute.pass", fields)
