"""Tokens as the cost model sees them: the cycle in which each becomes visible, instead of a level per cycle."""

from __future__ import annotations

from collections import deque


class Sleeper:
    """Something that need not be asked again, until ``awake`` is set because what it waits for may have changed."""

    awake = True


class Tokens:
    """Tokens of one semaphore, in the order given.

    Parameters
    ----------
    initial : int
        Tokens visible from cycle 0.

    Members
    -------
    taker : Sleeper
        Who waits for the tokens; awake after each gift.
    """

    __slots__ = ("_entries", "_total", "taker")

    def __init__(self, *, initial: int = 0) -> None:
        self.taker = Sleeper()
        self._entries: deque[list[int]] = deque()
        self._total = 0
        if initial:
            self._entries.append([0, initial])
            self._total = initial

    def give(self, visible: int, amount: int = 1) -> None:
        """Add ``amount`` tokens, visible from cycle ``visible``."""
        if amount:
            self._entries.append([visible, amount])
            self._total += amount
            self.taker.awake = True

    def visible(self, amount: int) -> int | None:
        """Return the first cycle in which ``amount`` tokens are visible, None while unknown."""
        if amount == 0:
            return 0
        if self._total < amount:
            return None
        for cycle, count in self._entries:
            amount -= count
            if amount <= 0:
                return cycle
        raise AssertionError("token count and entries disagree")

    def take(self, amount: int) -> None:
        """Remove the oldest ``amount`` tokens."""
        self._total -= amount
        while amount:
            entry = self._entries[0]
            if entry[1] > amount:
                entry[1] -= amount
                return
            amount -= entry[1]
            self._entries.popleft()
