"""Output stationary B, MOC-MOP (sections IV-B and VI-A): PEs add up pixels along a line, of several channels.

n images' tiles of f pixels of a line, of p channels, are in the array. Ifmap pixels are broadcast to the channels and
go from PE to PE along the line; lines are read again for each line of the filter. The global buffer holds m whole
filters and the ifmap lines of the tiles, R of each channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from golden.dataflows.framework import (
    Candidates,
    Dataflow,
    Hardware,
    Layer,
    ceil,
    flow,
    grid,
    keep,
    lines,
    one_or_most,
    sizes,
    span,
)


def rf_words(layers: Sequence[Layer]) -> int:
    """Return the words of a psum and of the ifmap pixels on their way to the next PE, U steps."""
    return max(1 + layer.U for layer in layers)


def candidates(layer: Layer, batch: int, hardware: Hardware) -> Iterator[Candidates]:
    """Yield the mappings of a layer."""
    rows = grid(n=sizes(batch, hardware.pes), f=sizes(layer.E, hardware.pes), p=sizes(layer.M, hardware.pes))
    rows = keep(rows, rows["n"] * rows["f"] * rows["p"] <= hardware.pes)
    n, f, p = (rows[name] for name in "nfp")
    room = hardware.buffer_words - n * layer.C * layer.R * span(layer, f)
    filters = np.maximum(room, 0) // (layer.C * layer.R**2)
    most = np.where(filters >= layer.M, ceil(layer.M, p), filters // p)
    for some in one_or_most(rows, most):
        yield _count(layer, batch, some)


def _count(layer: Layer, batch: int, rows: dict[str, np.ndarray]) -> Candidates:
    n, f, p = (rows[name] for name in "nfp")
    m = np.minimum(p * rows["k"], layer.M)
    macs, filters, psums = layer.macs(batch), layer.words("filter", batch), layer.words("psum", batch)
    loaded = batch * layer.C * layer.E * layer.R * lines(layer, f)
    return Candidates(
        parameters={"m": m, "n": n, "p": p, "f": f},
        pes=n * p * f,
        ifmap=flow(n, loaded * ceil(layer.M, m), loaded * ceil(layer.M, p), macs, macs),
        filter=flow(n, filters, filters * ceil(batch, n) * layer.E * ceil(layer.E, f), macs, macs),
        psum=flow(n, psums, psums, psums, macs),
    )


DATAFLOW = Dataflow("OS_B", "output stationary B (MOC-MOP)", rf_words, candidates)
