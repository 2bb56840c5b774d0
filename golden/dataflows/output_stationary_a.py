"""Output stationary A, SOC-MOP (sections IV-B and VI-A): each PE adds up one pixel of one channel's plane.

n images' tiles of e x f pixels of the same channel are in the array. Weights are broadcast, ifmap pixels come once for
a tile and go from PE to PE. The global buffer holds m whole filters and the ifmaps of the tiles, all channels of them.
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
    """Return the words of a psum and of the ifmap pixels on their way to the next PE.

    A pixel waits U steps for the PE in the next column and U rows of the filter for the one in the next row, as in
    the FIFO-H and FIFO-V of Du et al., "ShiDianNao", ISCA 2015, section 5.1.
    """
    return max(1 + layer.U + layer.U * layer.R for layer in layers)


def candidates(layer: Layer, batch: int, hardware: Hardware) -> Iterator[Candidates]:
    """Yield the mappings of a layer."""
    rows = grid(n=sizes(batch, hardware.pes), e=sizes(layer.E), f=sizes(layer.E, hardware.pes))
    rows = keep(rows, rows["n"] * rows["e"] * rows["f"] <= hardware.pes)
    n, e, f = (rows[name] for name in "nef")
    ifmaps = n * layer.C * span(layer, e) * span(layer, f)
    most = np.minimum((hardware.buffer_words - ifmaps) // (layer.C * layer.R**2), layer.M)
    for some in one_or_most(rows, most):
        yield _count(layer, batch, some)


def _count(layer: Layer, batch: int, rows: dict[str, np.ndarray]) -> Candidates:
    n, e, f, m = (rows[name] for name in "nefk")
    macs, filters, psums = layer.macs(batch), layer.words("filter", batch), layer.words("psum", batch)
    loaded = batch * layer.C * lines(layer, e) * lines(layer, f)
    tiles = ceil(batch, n) * ceil(layer.E, e) * ceil(layer.E, f)
    return Candidates(
        parameters={"m": m, "n": n, "e": e, "f": f},
        pes=n * e * f,
        ifmap=flow(n, loaded * ceil(layer.M, m), loaded * layer.M, macs, macs),
        filter=flow(n, filters, filters * tiles, macs, macs),
        psum=flow(n, psums, psums, psums, macs),
    )


DATAFLOW = Dataflow("OS_A", "output stationary A (SOC-MOP)", rf_words, candidates)
