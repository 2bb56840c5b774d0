"""Integer arithmetic for single numbers and for arrays of them alike."""

from __future__ import annotations

from typing import Any

import numpy as np

Ints = Any
"""An integer, or an array of them."""


def ceil_div(a: Ints, b: Ints) -> Ints:
    """Return a / b, rounded up."""
    return -(-a // b)


def spread(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays, for ``counts[i]`` elements of each i in turn: i, and the element's position among these."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
