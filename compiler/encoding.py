"""Command words, and the check that every field fits, for all commands of a kind at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter

import numpy as np

from golden.engine_model import Fields
from hw import spec

Commands = Sequence[tuple[str, Fields]]

_WORD_BITS = 64


def check(commands: Commands) -> None:
    """Check all fields against the contract.

    Raises
    ------
    SpecError
        If a field of a command is missing, unknown or out of range; it names the first such command's.
    """
    if not all(_fits(spec.COMMAND[name], fields) for name, (_, fields) in _by_kind(commands).items()):
        for name, values in commands:
            spec.COMMAND[name].encode(values)


def encode(commands: Commands) -> bytes:
    """Return the command words, 32 bytes each, of commands that have been checked."""
    words = np.zeros((len(commands), spec.COMMAND_BITS // _WORD_BITS), np.uint64)
    for name, (indices, fields) in _by_kind(commands).items():
        command = spec.COMMAND[name]
        words[indices] = _words(command, _table(command, fields))
    return words.astype("<u8").tobytes()


def _by_kind(commands: Commands) -> dict[str, tuple[list[int], list[Fields]]]:
    """Return for each command name the commands' numbers and fields."""
    kinds: dict[str, tuple[list[int], list[Fields]]] = {}
    for index, (name, fields) in enumerate(commands):
        if name not in kinds:
            kinds[name] = ([], [])
        indices, values = kinds[name]
        indices.append(index)
        values.append(fields)
    return kinds


def _table(command: spec.Command, fields: Sequence[Fields]) -> np.ndarray:
    """Return (commands, fields) of one kind; the order of the fields is the contract's."""
    values = map(itemgetter(*(field.name for field in command.fields)), fields)
    count = len(fields) * len(command.fields)
    return np.fromiter(chain.from_iterable(values), np.int64, count).reshape(len(fields), -1)


def _fits(command: spec.Command, fields: Sequence[Fields]) -> bool:
    """Whether all of one kind have the fields that they shall have, in range."""
    try:
        table = _table(command, fields)
    except (KeyError, OverflowError):
        return False
    low, high = ([getattr(field, bound) for field in command.fields] for bound in ("minimum", "maximum"))
    inside = (table.min(axis=0) >= low).all() and (table.max(axis=0) <= high).all()
    return bool(inside) and sum(map(len, fields)) == table.size


def _words(command: spec.Command, table: np.ndarray) -> np.ndarray:
    """Return (commands, words of 64 bits) of one kind, the least significant word first."""
    words = np.zeros((len(table), spec.COMMAND_BITS // _WORD_BITS), np.uint64)
    words[:, 0] = command.opcode
    offset = spec.OPCODE.width
    for field, column in zip(command.fields, table.T, strict=True):
        bits = (column & ((1 << field.width) - 1)).astype(np.uint64)
        word, shift = divmod(offset, _WORD_BITS)
        words[:, word] |= bits << np.uint64(shift)
        if shift + field.width > _WORD_BITS:
            words[:, word + 1] |= bits >> np.uint64(_WORD_BITS - shift)
        offset += field.width
    return words
