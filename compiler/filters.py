"""Filters of a nest: which passes bring their own, and when they are loaded into the filter buffer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compiler.emitter import Emitter
from compiler.passes import Pass


@dataclass(eq=False, slots=True)
class Run:
    """Filter groups that a pass brings: owner pass, DRAM address, groups, bytes, words per lane, and lanes of each."""

    owner: int
    address: int
    groups: int
    size_bytes: int
    words: int
    lanes: int


class FilterSchedule:
    """Loads filters in the order in which the passes stage them, as far ahead as the filter buffer allows.

    Parameters
    ----------
    emitter : Emitter
        Takes the commands.
    passes : sequence of Pass
        The nest's passes; how each gets its filters is written there.
    address : callable
        DRAM address of a pass's first filter group.
    """

    def __init__(self, *, emitter: Emitter, passes: Sequence[Pass], address: Callable[[Pass], int]) -> None:
        self._emitter = emitter
        self._capacity = emitter.config.filter_lane_words
        self._bus_bytes = emitter.config.bus_bytes
        self._runs = deque(self._plan(passes, address))
        self._occupied = 0

    @property
    def done(self) -> bool:
        """Whether everything is loaded."""
        return not self._runs

    def release(self, entry: Pass) -> None:
        """Account for a pass: once staged, its filters leave the buffer, except a group it keeps."""
        if not entry.reuse_filters:
            entries = entry.strip.entries
            groups = entries.last_group - entries.group + 1
            self._occupied -= entry.part.words * (groups - entry.keep_last_group)

    def _plan(self, passes: Sequence[Pass], address: Callable[[Pass], int]) -> list[Run]:
        """Decide how each pass gets its filters; return what is to be loaded."""
        runs: list[Run] = []
        staged: Pass | None = None  # the last pass that staged filters
        for index, entry in enumerate(passes):
            before = staged if staged is not None and staged.part is entry.part else None  # of the same slice
            if before is not None and _has_the_group(before, entry):
                entry.reuse_filters = 1
                passes[index - 1].release_filters = 0
                continue
            kept = 0
            if before is not None and self._continues(before, entry):
                before.keep_last_group = kept = 1
            run = self._run(index, entry, address(entry), kept)
            if run.groups:
                runs.append(run)
            staged = entry
        return runs

    def _continues(self, before: Pass, entry: Pass) -> bool:
        """Whether a pass begins with the group that the one before ends with, and there is room to keep it."""
        fits = 2 * entry.part.words <= self._capacity
        return fits and before.strip.entries.last_group == entry.strip.entries.group

    def _run(self, index: int, entry: Pass, base: int, kept: int) -> Run:
        part, entries = entry.part, entry.strip.entries
        lanes = part.piece.active_rows
        size = part.words * lanes * self._bus_bytes
        first = entries.group + kept
        return Run(index, base + first * size, entries.last_group + 1 - first, size, part.words, lanes)

    def load(self, limit: int) -> None:
        """Load filters of passes up to number ``limit``, as many as the filter buffer holds, in few commands."""
        runs = self._runs
        while runs and runs[0].owner <= limit:
            first = runs[0]
            address, words, lanes = first.address, first.words, first.lanes
            room = (self._capacity - self._occupied) // words
            if room <= 0:
                return
            count = 0
            while runs and count < room:
                run = runs[0]
                alike = run.words == words and run.lanes == lanes
                if run.owner > limit or not alike or run.address != address + count * run.size_bytes:
                    break
                taken = min(run.groups, room - count)
                count += taken
                if taken == run.groups:
                    runs.popleft()
                else:
                    run.address += taken * run.size_bytes
                    run.groups -= taken
            self._occupied += count * words
            fields = {"dram_address": address, "items": count, "words": words, "lanes": lanes}
            self._emitter.emit("load.filter", fields)


def _has_the_group(before: Pass, entry: Pass) -> bool:
    """Whether a pass needs one filter group only, which the one before has had on as many columns at least."""
    own, other = entry.strip.entries, before.strip.entries
    return own.group == own.last_group == other.group == other.last_group and own.count <= other.count
