"""Tokens and places in FIFOs: the cycle in which each becomes visible, instead of a level per cycle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from golden.compiled import Data, Vector, compilable
from golden.engine_model import DELIVER, DRAIN, LOAD, MAC, NEVER, STAGE, Queues
from golden.table import Table
from hw.config import RANGES

#: Kinds of tokens: those of :data:`hw.spec.SEMAPHORES`, and four that engines give without a command's field.
(
    IFMAP_READY,
    IFMAP_FREE,
    PARAMETER_READY,
    PARAMETER_FREE,
    PSUM_READY,
    PSUM_FREE,
    WRITTEN,
    STAGED,
    HALVES,
    FILTER_LEVEL,
    FILTER_FREE,
) = range(11)
#: The engine that takes each kind.
TAKERS = (DELIVER, LOAD, DRAIN, LOAD, DRAIN, MAC, LOAD, MAC, STAGE, STAGE, LOAD)
#: A gift in ``data``: from when on it is visible, and how many tokens of the kind have been given with it.
CYCLE, TOTAL, GIFT_WORDS = range(3)


@dataclass(slots=True)
class Tokens:
    """Tokens by kind.

    Members
    -------
    next_gift, oldest : list of int
        Address of the next gift, and of the oldest that can still be waited for.
    given, taken : list of int
        Tokens so far.
    """

    next_gift: list[int]
    oldest: list[int]
    given: list[int] = field(default_factory=lambda: [0] * len(TAKERS))
    taken: list[int] = field(default_factory=lambda: [0] * len(TAKERS))


def make_tokens(table: Table, data: Data) -> Tokens:
    """Return tokens of which none is given, with room for all gifts of a program."""
    gifts = _count_gifts(table)
    places = [data.reserve(GIFT_WORDS * gifts[kind]) for kind in range(len(TAKERS))]
    return Tokens(places, list(places))


def _count_gifts(table: Table) -> dict[int, int]:
    """Return how often tokens of each kind are given at most."""
    names = ("load.ifmap", "load.parameter", "execute.pass", "drain.strip")
    ifmaps, parameters, passes, strips = (len(table.places(name)) for name in names)
    return {
        IFMAP_READY: ifmaps,
        IFMAP_FREE: passes,
        PARAMETER_READY: parameters,
        PARAMETER_FREE: strips,
        PSUM_READY: passes,
        PSUM_FREE: strips,
        WRITTEN: strips,
        STAGED: passes,
        HALVES: 1 + passes,
        FILTER_LEVEL: int(table.field("load.filter", "items").sum()),
        FILTER_FREE: 1 + int(np.maximum(1, table.field("execute.pass", "groups")).sum()),
    }


@compilable
def give(tokens: Tokens, queues: Queues, data: Vector, kind: int, cycle: int, amount: int) -> None:
    """Give ``amount`` tokens, visible from ``cycle`` on."""
    if amount:
        gift = tokens.next_gift[kind]
        tokens.given[kind] += amount
        data[gift + CYCLE] = cycle
        data[gift + TOTAL] = tokens.given[kind]
        tokens.next_gift[kind] = gift + GIFT_WORDS
        queues.awake[TAKERS[kind]] = 1


@compilable
def visible(tokens: Tokens, data: Vector, kind: int, amount: int) -> int:
    """Return the first cycle in which ``amount`` tokens are visible; until they are taken no fewer may be asked for."""
    if amount == 0:
        return 0
    needed = tokens.taken[kind] + amount
    if needed > tokens.given[kind]:
        return NEVER
    gift = tokens.oldest[kind]
    while data[gift + TOTAL] < needed:
        gift += GIFT_WORDS
    tokens.oldest[kind] = gift
    return data[gift + CYCLE]


@compilable
def take(tokens: Tokens, kind: int, amount: int) -> None:
    """Take ``amount`` tokens whose time :func:`visible` has told."""
    tokens.taken[kind] += amount


#: Returns that are remembered: at least as many as there are places, and a power of two.
RETURNS = 2 * max(RANGES["drain_fifo_beats"][1], RANGES["residual_fifo_beats"][1])


@dataclass(slots=True)
class Credits:
    """Places in a FIFO, and when they come back.

    Members
    -------
    places : int
        In all.
    taken, returned : int
        Places so far.
    oldest, following : int
        Of the returns: the first that can still be waited for, and the next.
    totals, offsets : list of int
        Ring of returns: places returned with it and before; what makes a place's number the cycle of its return.
    """

    places: int
    taken: int = 0
    returned: int = 0
    oldest: int = 0
    following: int = 0
    totals: list[int] = field(default_factory=lambda: [0] * RETURNS)
    offsets: list[int] = field(default_factory=lambda: [0] * RETURNS)


@compilable
def give_back(credits: Credits, first: int, places: int) -> None:
    """Return ``places``, one a cycle, from cycle ``first`` on, each visible the cycle after."""
    index = credits.following % RETURNS
    credits.offsets[index] = first - credits.returned
    credits.returned += places
    credits.totals[index] = credits.returned
    credits.following += 1


@compilable
def free_places(credits: Credits, places: int) -> int:
    """Return the first cycle in which so many places are free."""
    number = credits.taken + places - credits.places
    if number <= 0:
        return 0
    if number > credits.returned:
        return NEVER
    while credits.totals[credits.oldest % RETURNS] < number:
        credits.oldest += 1
    return credits.offsets[credits.oldest % RETURNS] + number
