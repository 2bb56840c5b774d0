"""Places in a buffer whose tenants leave in the order in which they came: ifmap regions and strips of psums."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Place(NamedTuple):
    """Where a tenant lives.

    Parameters
    ----------
    number : int
        Tenants that came before.
    address : int
        First word.
    wait : int
        Tokens that the tenant takes before it moves in, one for each earlier tenant that must have left and whose
        token no other tenant has taken.
    after : int
        Tenants, counted from the first one, that must have left.
    """

    number: int
    address: int
    wait: int
    after: int


class Ring:
    """Hands out words upwards, starting again from 0 where a tenant does not fit in what is left.

    Parameters
    ----------
    words : int
        Size of the buffer.
    tenants : int
        Most tenants at once: what a command's token field can count.
    """

    def __init__(self, *, words: int, tenants: int) -> None:
        self._words = words
        self._tenants = tenants
        self._next = 0
        self._opened = 0
        self._waited = 0
        self._taken: deque[tuple[int, int, int]] = deque()  # (number, first word, word after the last)

    def keep_together(self, words: int) -> None:
        """Make the following tenants of ``words`` in all consecutive, so that none of them waits for another."""
        if self._next + words > self._words:
            self._next = 0

    def open(self, words: int) -> Place:
        """Return the next tenant's place."""
        self.keep_together(words)
        start, stop = self._next, self._next + words
        after = max(self._opened + 1 - self._tenants, self._waited)
        for number, first, end in self._taken:
            if first < stop and start < end:
                after = max(after, number + 1)
        place = Place(self._opened, start, after - self._waited, after)
        while self._taken and self._taken[0][0] < after:
            self._taken.popleft()
        self._taken.append((self._opened, start, stop))
        self._next, self._waited = stop, after
        self._opened += 1
        return place
