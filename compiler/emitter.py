"""Turns plans into commands: tokens, filter buffer, parameter memory, and the order that keeps the engines busy.

The order obeys one rule, which excludes deadlock: a command waits only for what earlier commands of the program give
(the one exception, filters that do not fit the filter buffer at once, follow their pass immediately).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from compiler.mapping import delivery, ring_columns
from compiler.memory import FeatureMap
from compiler.packing import filter_words
from compiler.plan import Nest, Pass, PsumSlots, Region, Strip, rows_needed
from golden.engine_model import Fields
from golden.execute_model import ceil_div
from hw import spec
from hw.config import AcceleratorConfig

#: Longest load command, so that filters can come between the parts of a large ifmap tile.
LOAD_BEATS = 512


@dataclass
class Item:
    """One filter group of a pass, to be loaded: owner pass, DRAM address, words per lane, lanes."""

    owner: int
    address: int
    words: int
    lanes: int

    @property
    def size_bytes(self) -> int:
        """Bytes in DRAM."""
        return self.words * self.lanes * 8


@dataclass
class Staging:
    """How a pass gets its filters."""

    reuse: bool = False
    kept_first: bool = False
    keep_last: bool = False
    release: bool = True


@dataclass
class Budget:
    """Tokens that came back from one taker: how many things were opened and how many returns were waited for."""

    opened: int = 0
    waited: int = 0

    def open(self, at_once: int) -> int:
        """Open one more with ``at_once`` places; return how many returns must be waited for before."""
        wait = max(0, self.opened - self.waited - (at_once - 1))
        self.waited += wait
        self.opened += 1
        return wait

    def settle(self) -> int:
        """Return how many returns must be waited for until all are back."""
        wait = self.opened - self.waited
        self.waited = self.opened
        return wait


@dataclass
class Written:
    """Strips of one feature map in the order drain acknowledges them: (token number, images, rows)."""

    strips: list[tuple[int, range, range]]

    def needed(self, images: range, rows: range) -> int:
        """Return the token number after which these rows of these images are complete."""
        overlapping = (
            number
            for number, strip_images, strip_rows in self.strips
            if strip_images.start < images.stop
            and images.start < strip_images.stop
            and strip_rows.start < rows.stop
            and rows.start < strip_rows.stop
        )
        return max(overlapping, default=0)


class Emitter:
    """Collects a program's commands, layer after layer.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.commands: list[tuple[str, Fields]] = []
        self.command_layers: list[int] = []
        self._layer_index = 0
        self._regions, self._psums, self._parameters = Budget(), Budget(), Budget()
        self._regions_at_once = 1
        self._psum_slots: PsumSlots | None = None
        self._written_given = 0
        self._written_waited = 0
        self._execute_layer: Fields = {}
        self._drain_layer: Fields = {}
        self._half = 0

    def emit(self, command: str, **fields: int) -> None:
        """Append a command; its fields are checked against the contract."""
        spec.COMMAND[command].encode(fields)
        self.commands.append((command, fields))
        self.command_layers.append(self._layer_index)

    def mark(self, address: int, *, last: bool) -> None:
        """End a layer."""
        self.emit("mark", dram_address=address, last=int(last))
        self._layer_index += 1

    def nest(
        self,
        nest: Nest,
        *,
        source: FeatureMap,
        written: Written | None,
        target: FeatureMap,
        filters: Callable[[Pass], int],
        parameter_address: int,
        consumed: bool,
    ) -> Written:
        """Append the commands of one nest.

        Parameters
        ----------
        nest : Nest
            The plan.
        source, target : FeatureMap
            Ifmap and ofmap.
        written : Written or None
            The strips that make the ifmap, None if it is there from the start.
        filters : callable
            DRAM address of a pass's first filter group.
        parameter_address : int
            DRAM address of the layer's parameters, by ofmap channel.
        consumed : bool
            Whether a later layer waits for the ofmap.

        Returns
        -------
        Written
            The strips of the ofmap.
        """
        return _NestEmitter(self, nest, source, written, target, filters, parameter_address, consumed).run()

    def wait_written(self, number: int) -> int:
        """Return how many ``written`` tokens to wait for until token ``number`` has been given."""
        wait = max(0, number - self._written_waited)
        self._written_waited += wait
        return wait

    def give_written(self) -> int:
        """Return the number of the next ``written`` token."""
        self._written_given += 1
        return self._written_given

    @property
    def regions_opened(self) -> int:
        """Ifmap regions opened so far."""
        return self._regions.opened

    def open_region(self, at_once: int) -> int:
        """Return how many ``ifmap_free`` tokens a new region waits for, of which there may be ``at_once``."""
        places = min(at_once, self._regions_at_once)
        self._regions_at_once = at_once
        return self._regions.open(places)

    def open_psums(self, slots: PsumSlots) -> int:
        """Return how many ``psum_free`` tokens a new strip waits for."""
        if slots != self._psum_slots:
            self._psum_slots = slots
            wait = self._psums.settle()
            self._psums.opened += 1
            return wait
        return self._psums.open(slots.count)

    def open_parameters(self, address: int, channels: int) -> int:
        """Load parameters into the half of the memory that is not in use; return their first entry."""
        entry = self._half * (self.config.parameter_words // 2)
        self._half ^= 1
        wait = self._parameters.open(2)
        self.emit("load.parameter", wait_parameter_free=wait, dram_address=address, channels=channels, entry=entry)
        return entry

    def configure_execute(self, fields: Fields) -> None:
        """Emit ``execute.layer`` unless it says what the one before said."""
        if fields != self._execute_layer:
            self._execute_layer = fields
            self.emit("execute.layer", **fields)

    def configure_drain(self, fields: Fields) -> None:
        """Emit ``drain.layer`` unless it says what the one before said."""
        if fields != self._drain_layer:
            self._drain_layer = fields
            self.emit("drain.layer", **fields)


@dataclass(eq=False)
class Chunk:
    """Channels whose parameters are in memory together, and the last strip that needs them."""

    first: int
    channels: int
    last: Strip
    entry: int | None = None
    used: bool = False


class _NestEmitter:
    def __init__(
        self,
        emitter: Emitter,
        nest: Nest,
        source: FeatureMap,
        written: Written | None,
        target: FeatureMap,
        filters: Callable[[Pass], int],
        parameter_address: int,
        consumed: bool,
    ) -> None:
        self._out = emitter
        self._config = emitter.config
        self._nest = nest
        self._source = source
        self._written = written
        self._target = target
        self._parameter_address = parameter_address
        self._consumed = consumed
        self._passes = list(nest.passes())
        self._staging = self._plan_staging()
        self._items = deque(self._list_items(filters))
        self._occupied = 0
        self._region_loads: dict[int, deque[Fields]] = {}
        self._total_loads: dict[int, int] = {}
        self._region_order = list(dict.fromkeys(id(entry.region) for entry in self._passes))
        self._region_by_id = {id(entry.region): entry.region for entry in self._passes}
        self._pieces_waited: dict[int, int] = {}
        self._chunks = self._plan_chunks()
        self._due: Strip | None = None
        self._result = Written([])

    def run(self) -> Written:
        """Emit everything."""
        last_index = len(self._passes) - 1
        position: dict[int, int] = {}
        for index, entry in enumerate(self._passes):
            key = id(entry.region)
            position[key] = position.get(key, 0) + 1
            self._load_filters(index)
            if entry.last or index == 0:
                self._ensure_parameters(entry.strip)
            self._load_pieces(entry)
            self._out.configure_execute(self._execute_fields(entry))
            self._load_filters(index + 1)
            flush = entry.last and (self._nest.psum_slots.count == 1 or index == last_index)
            flush = flush or self._psums_change(index)
            self._emit_pass(index, entry, flush, last_of_region=position[key] == entry.region.passes)
            self._load_filters(index)
            self._prefetch(entry, position[key])
            if self._due is not None:
                self._drain(self._due)
                self._due = None
            if entry.last:
                if flush:
                    self._drain(entry.strip)
                else:
                    self._due = entry.strip
        assert self._due is None and not self._items
        return self._result

    def _psums_change(self, index: int) -> bool:
        following = self._passes[index + 1] if index + 1 < len(self._passes) else None
        return following is not None and following.strip.unit.psums != self._passes[index].strip.unit.psums

    # Filters

    def _plan_staging(self) -> list[Staging]:
        plan: list[Staging] = []
        before: tuple[Pass, Staging] | None = None  # the last pass that staged filters
        for entry in self._passes:
            own = Staging()
            if before is not None and self._same_filters(before[0], entry):
                own.reuse = True
                plan[-1].release = False
            else:
                if before is not None and self._continues(before[0], entry):
                    before[1].keep_last = own.kept_first = True
                before = entry, own
            plan.append(own)
        return plan

    @staticmethod
    def _same_filters(before: Pass, entry: Pass) -> bool:
        same_slice = before.strip.unit is entry.strip.unit and before.piece_index == entry.piece_index
        one = len(before.strip.groups) == 1 and before.strip.groups == entry.strip.groups
        return same_slice and one and entry.strip.count <= before.strip.count

    def _continues(self, before: Pass, entry: Pass) -> bool:
        same_slice = before.strip.unit is entry.strip.unit and before.piece_index == entry.piece_index
        words = filter_words(entry.piece, entry.strip.mapping, self._config)
        fits = 2 * words <= self._config.filter_lane_words
        return same_slice and fits and before.strip.groups[-1] == entry.strip.groups[0]

    def _list_items(self, filters: Callable[[Pass], int]) -> list[Item]:
        items = []
        for index, (entry, staging) in enumerate(zip(self._passes, self._staging, strict=True)):
            if staging.reuse:
                continue
            base = filters(entry)
            words = filter_words(entry.piece, entry.strip.mapping, self._config)
            for group in entry.strip.groups[1 if staging.kept_first else 0 :]:
                item = Item(index, 0, words, entry.piece.active_rows)
                item.address = base + group * item.size_bytes
                items.append(item)
        return items

    def _load_filters(self, limit: int) -> None:
        """Load filters of passes up to number ``limit``, as many as the filter buffer holds, in few commands."""
        while self._items and self._items[0].owner <= limit:
            first = self._items[0]
            count = 0
            for item in self._items:
                follows = item.address == first.address + count * first.size_bytes
                alike = (item.words, item.lanes) == (first.words, first.lanes)
                room = self._occupied + (count + 1) * first.words <= self._config.filter_lane_words
                if item.owner > limit or not (follows and alike and room):
                    break
                count += 1
            if not count:
                return
            for _ in range(count):
                self._items.popleft()
            self._occupied += count * first.words
            self._out.emit("load.filter", dram_address=first.address, items=count, words=first.words, lanes=first.lanes)

    # Ifmap

    def _load_pieces(self, entry: Pass) -> None:
        """Load what a pass needs of its region, after all of the regions before."""
        for key in self._region_order:
            loads = self._open(self._region_by_id[key])
            if key == id(entry.region):
                while self._pieces_left(key, entry.pieces_needed):
                    self._out.emit("load.ifmap", **loads.popleft())
                return
            while loads:
                self._out.emit("load.ifmap", **loads.popleft())

    def _pieces_left(self, key: int, needed: int) -> bool:
        region = self._region_by_id[key]
        left = sum(load["signal_ifmap_ready"] for load in self._region_loads[key])
        return len(region.pieces) - left < needed

    def _prefetch(self, entry: Pass, position: int) -> None:
        """Spread the next region's loads over the passes of this one."""
        key = id(entry.region)
        order = self._region_order
        if order[0] != key:
            order.remove(order[0])
        loads = self._region_loads[key]
        last = position == entry.region.passes
        if loads and not last:
            return
        if len(order) < 2 or (self._nest.regions_at_once == 1 and not last):
            return
        following = self._open(self._region_by_id[order[1]])
        total = self._total_loads[order[1]]
        goal = ceil_div(total * position, entry.region.passes)
        while following and total - len(following) < goal:
            self._out.emit("load.ifmap", **following.popleft())

    def _open(self, region: Region) -> deque[Fields]:
        key = id(region)
        if key not in self._region_loads:
            wait_free = self._out.open_region(self._nest.regions_at_once)
            loads = deque(self._region_commands(region))
            loads[0]["wait_ifmap_free"] = wait_free
            self._region_loads[key] = loads
            self._total_loads[key] = len(loads)
        return self._region_loads[key]

    def _region_commands(self, region: Region) -> list[Fields]:
        source, tile = self._source, region.tile
        rows, columns = tile.ifmap_rows, tile.ifmap_columns
        beats = ceil_div(rows.stop - rows.start, source.pixels_per_beat)
        width = columns.stop - columns.start
        step = max(1, LOAD_BEATS // beats)
        offset = rows.start // source.pixels_per_beat * source.bus_bytes + columns.start * source.column_stride
        commands: list[Fields] = []
        for first, stop in region.pieces:
            for image in range(tile.images):
                base = source.address + (tile.image + image) * source.image_stride + offset
                whole = (stop - first) * width <= step
                for block in (first,) if whole else range(first, stop):
                    for column in (0,) if whole else range(0, width, step):
                        commands.append(
                            {
                                "wait_ifmap_free": 0,
                                "wait_written": self._wait_written(tile.image + image, rows.start, rows.stop),
                                "signal_ifmap_ready": 0,
                                "dram_address": base + block * source.block_stride + column * source.column_stride,
                                "block_stride": source.block_stride,
                                "column_stride": source.column_stride,
                                "blocks": stop - first if whole else 1,
                                "columns": width if whole else min(step, width - column),
                                "column_beats": beats,
                                "pixels_log2": source.pixels_per_beat.bit_length() - 1,
                                "row": image * tile.image_row_stride,
                                "bank_address": region.address + (block - region.first_block) * width + column,
                                "row_block_stride": region.row_block_stride,
                                "block_words": width,
                            }
                        )
            commands[-1]["signal_ifmap_ready"] = 1
        return commands

    def _wait_written(self, image: int, start: int, stop: int) -> int:
        if self._written is None:
            return 0
        return self._out.wait_written(self._written.needed(range(image, image + 1), range(start, stop)))

    # Passes

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

    def _emit_pass(self, index: int, entry: Pass, flush: bool, last_of_region: bool) -> None:
        strip, piece, region, work = entry.strip, entry.piece, entry.region, entry.strip.work
        staging, tile = self._staging[index], entry.strip.tile
        moves = delivery(work, piece, self._config)
        bank = region.address + (moves.first_block - region.first_block) * region.block_words
        first_row, image_row, run_rows, wrap_rows = rows_needed(strip)
        _, image, row = strip.position
        key = id(region)
        waited = self._pieces_waited.get(key, 0)
        self._pieces_waited[key] = max(waited, entry.pieces_needed)
        words = filter_words(piece, strip.mapping, self._config)
        groups = len(strip.groups)
        if not staging.reuse:
            self._occupied -= words * (groups - staging.keep_last)
        self._out.emit(
            "execute.pass",
            wait_ifmap_ready=max(0, entry.pieces_needed - waited),
            wait_psum_free=self._out.open_psums(self._nest.psum_slots) if entry.first else 0,
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
            psum_address=strip.psum_address,
            first=int(entry.first),
            flush=int(flush),
            reuse_filters=int(staging.reuse),
            keep_last_group=int(staging.keep_last),
            release_filters=int(staging.release),
            filter_words=words,
            groups=groups,
        )

    # Drain

    def _plan_chunks(self) -> dict[int, Chunk]:
        """Return for each strip the parameters that are in memory when it is drained."""
        half, work = self._config.parameter_words // 2, self._nest.work
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
        self._out.emit(
            "drain.strip",
            wait_psum_ready=1,
            wait_parameter_ready=int(not chunk.used),
            signal_psum_free=1,
            signal_parameter_free=int(chunk.last is strip),
            signal_written=int(self._consumed),
            start_address=group_address + image * target.image_stride + row * config.bus_bytes,
            group_address=group_address,
            row=row,
            image=image,
            strip_columns=strip.count,
            columns=tile.columns,
            psum_address=strip.psum_address,
            channel_offset=first % config.channel_block,
            channels=count,
            parameter=chunk.entry + first - chunk.first,
        )
        chunk.used = True
        if self._consumed:
            self._record(strip)

    def _record(self, strip: Strip) -> None:
        tile, number = strip.tile, self._out.give_written()
        _, image, row = strip.position
        entries = strip.count
        if row + entries <= tile.rows:
            images = range(tile.image + image, tile.image + image + 1)
            rows = range(tile.row + row, tile.row + row + entries)
        else:
            images = range(tile.image, tile.image + tile.images)
            rows = range(tile.row, tile.row + tile.rows)
        self._result.strips.append((number, images, rows))
