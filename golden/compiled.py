"""Compiles the timing core with numba; without numba, and for short programs, the same functions run as they are."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
import types
from collections.abc import Callable, MutableSequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

#: Integers: a list in plain Python, which is quick there, an array in compiled code.
Vector = MutableSequence[int]

#: Set to 0, it keeps everything plain Python.
SWITCH = "EYAS_COMPILED"

_Function = TypeVar("_Function", bound=Callable[..., Any])
_functions: list[Callable[..., Any]] = []


def compilable(function: _Function) -> _Function:
    """Register a function that :func:`machine_code` shall compile; it stays what it is."""
    _functions.append(function)
    return function


class Data:
    """Collects tables of integers into one vector, in which functions find them by their addresses."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._length = 0

    def place(self, values: np.ndarray) -> int:
        """Append a table, rows one after the other; return its address."""
        address = self._length
        self._parts.append(values.reshape(-1))
        self._length += values.size
        return address

    def reserve(self, length: int) -> int:
        """Append zeros; return their address."""
        return self.place(np.zeros(length, np.int64))

    def vector(self, *, compiled: bool) -> Vector:
        """Return everything as the one vector, for compiled code or plain Python."""
        whole = np.concatenate(self._parts)
        return whole if compiled else whole.tolist()  # type: ignore[return-value]


def as_record(state: Any) -> Any:
    """Return a dataclass of integers and lists of integers as a NumPy record, which compiled code changes in place."""
    values = [getattr(state, field.name) for field in fields(state)]
    lengths = [(len(value),) if isinstance(value, list) else () for value in values]
    layout = [(field.name, np.int64, length) for field, length in zip(fields(state), lengths, strict=True)]
    return np.array([tuple(values)], np.dtype((np.record, layout)))[0]


def available() -> bool:
    """Return whether there is numba, and :data:`SWITCH` does not forbid it."""
    return os.environ.get(SWITCH) != "0" and importlib.util.find_spec("numba") is not None


@functools.cache
def machine_code(entry: _Function) -> _Function:
    """Return a compilable function compiled, and with it all that it calls.

    Each function gets a twin whose globals hold the compiled twins of the others. Numba keeps the machine code of
    ``entry`` on disk, but looks only at the file of ``entry`` to tell whether it is stale, hence :func:`fingerprint`.

    Raises
    ------
    ImportError
        If there is no numba.
    """
    numba = _import_numba()
    folder, config = cache_folder(fingerprint()), numba.core.config
    before = config.CACHE_DIR
    scopes: dict[str, dict[str, Any]] = {}
    twins: dict[Callable[..., Any], Any] = {}
    try:
        config.CACHE_DIR = str(folder or "")
        for function in _functions:
            scope = scopes.setdefault(function.__module__, dict(function.__globals__))
            twin = types.FunctionType(function.__code__, scope, function.__name__)
            twin.__module__ = function.__module__
            options = {"cache": folder is not None} if function is entry else {"no_cpython_wrapper": True}
            twins[function] = numba.njit(twin, no_cfunc_wrapper=True, **options)
    finally:
        config.CACHE_DIR = before
    for scope in scopes.values():
        scope.update({name: twins[value] for name, value in scope.items() if _is_compilable(value)})
    return twins[entry]  # type: ignore[no-any-return]


def _import_numba() -> Any:
    try:
        return importlib.import_module("numba")
    except ImportError as error:
        raise ImportError("compiled predictions need numba: pip install 'eyas[sweep]'") from error


def _is_compilable(value: object) -> bool:
    return isinstance(value, types.FunctionType) and value in _functions


def fingerprint() -> str:
    """Return a hash of all that the machine code is made from: the functions' files and the integers they know."""
    digest = hashlib.sha256()
    for name in sorted({__name__, *(function.__module__ for function in _functions)}):
        module = sys.modules[name]
        integers = sorted((name, value) for name, value in vars(module).items() if isinstance(value, int))
        digest.update(Path(str(module.__file__)).read_bytes() + repr(integers).encode())
    return digest.hexdigest()[:16]


def cache_folder(key: str) -> Path | None:
    """Return the user's cache folder for ``key``, made if need be, or None if it cannot be written."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = base / "eyas" / f"timing-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # there is no home, or it is read-only
        return None
    return folder
