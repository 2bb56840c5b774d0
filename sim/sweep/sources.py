"""A hash of the sources that decide what a machine costs: stores and workers of another version are told by it."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

_ROOT = Path(__file__).parents[2]
#: The hardware's declarations, the compiler, the golden model with its tables, the area model, and what joins them.
_PARTS = ("hw", "compiler", "golden", "sim/area", "sim/sweep/costs.py")
_SUFFIXES = (".py", ".toml", ".json", ".npz")


@functools.cache
def sources_hash() -> str:
    """Return the hash, the same for the same sources wherever they are."""
    files = (path for part in _PARTS for path in (_ROOT / part, *(_ROOT / part).rglob("*")))
    chosen = sorted(
        (path.relative_to(_ROOT).as_posix(), path) for path in files if path.suffix in _SUFFIXES and path.is_file()
    )
    total = hashlib.sha256()
    for name, path in chosen:
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
