"""Filters of a nest: which passes bring their own, and when they are loaded into the filter buffer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compiler.emitter import Emitter
from compiler.packing import filter_words
from compiler.plan import Pass


@dataclass
class Item:
    """One filter group of a pass, to be loaded: owner pass, DRAM address and bytes, words per lane, lanes."""

    owner: int
    address: int
    size_bytes: int
    words: int
    lanes: int


@dataclass
class Staging:
    """How a pass gets its filters."""

    reuse: bool = False
    kept_first: bool = False
    keep_last: bool = False
    release: bool = True


class FilterSchedule:
    """Loads filters in the order in which the passes stage them, as far ahead as the filter buffer allows.

    Parameters
    ----------
    emitter : Emitter
        Takes the commands.
    passes : sequence of Pass
        The nest's passes.
    address : callable
        DRAM address of a pass's first filter group.
    """

    def __init__(self, *, emitter: Emitter, passes: Sequence[Pass], address: Callable[[Pass], int]) -> None:
        self._emitter = emitter
        self._config = emitter.config
        self._passes = passes
        self.staging = self._plan()
        self._items = deque(self._list_items(address))
        self._occupied = 0

    @property
    def done(self) -> bool:
        """Whether everything is loaded."""
        return not self._items

    def release(self, index: int) -> None:
        """Account for pass number ``index``: once staged, its filters leave the buffer, except a group it keeps."""
        entry, staging = self._passes[index], self.staging[index]
        if not staging.reuse:
            words = filter_words(entry.piece, entry.strip.mapping, self._config)
            self._occupied -= words * (len(entry.strip.groups) - staging.keep_last)

    def _plan(self) -> list[Staging]:
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
        items: list[Item] = []
        for index, (entry, staging) in enumerate(zip(self._passes, self.staging, strict=True)):
            if staging.reuse:
                continue
            base = filters(entry)
            words = filter_words(entry.piece, entry.strip.mapping, self._config)
            lanes = entry.piece.active_rows
            size = words * lanes * self._config.bus_bytes
            groups = entry.strip.groups[1 if staging.kept_first else 0 :]
            items += [Item(index, base + group * size, size, words, lanes) for group in groups]
        return items

    def load(self, limit: int) -> None:
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
            self._emitter.emit(
                "load.filter", dram_address=first.address, items=count, words=first.words, lanes=first.lanes
            )
