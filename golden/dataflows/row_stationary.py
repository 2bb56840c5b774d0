"""Row stationary (section V): a PE slides a row of filters along a row of ifmaps.

A set of R x e PEs makes e ofmap lines; r sets add up channels, t sets make further filters' ofmaps. Each PE folds p
filters and q channels into its RF, which holds p*q filter rows, the ifmap windows of q channels and p psums. The global
buffer holds the psums of n images, m filters and e lines, and the ifmaps that a pass needs; filters go from DRAM to the
RFs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from golden.dataflows.framework import (
    Candidates,
    Dataflow,
    Hardware,
    Layer,
    ceil,
    cross,
    flow,
    grid,
    keep,
    lines,
    one_or_most,
    sizes,
    span,
)

#: 512 bytes of 16-bit words, the size with the least energy (section VI-B).
RF_WORDS = 256


def candidates(layer: Layer, batch: int, hardware: Hardware) -> Iterator[Candidates]:
    """Yield the mappings of a layer, some with the same q at a time."""
    columns = hardware.pes // layer.R
    for q in sizes(layer.C):
        rows = grid(q=[q], p=sizes(layer.M), t=range(1, columns + 1))
        rows = keep(rows, layer.R * q * (rows["p"] + 1) + rows["p"] <= hardware.rf_words)
        folds = ceil(layer.M, rows["p"])
        rows = keep(rows, rows["t"] == ceil(folds, ceil(folds, rows["t"])))
        rows = cross(rows, grid(e=sizes(layer.E, columns), r=sizes(-(-layer.C // q), columns)))
        rows = keep(rows, rows["e"] * rows["r"] * rows["t"] <= columns)
        rows = cross(rows, grid(n=sizes(batch)))
        for some in one_or_most(rows, _most(layer, hardware, rows)):
            yield _count(layer, batch, some)


def _most(layer: Layer, hardware: Hardware, rows: dict[str, np.ndarray]) -> np.ndarray:
    """Return how many times the filters in the array fit into the buffer, by their psums."""
    q, p, e, n, r, t = (rows[name] for name in "qpenrt")
    ifmaps = n * np.minimum(q * r, layer.C) * layer.H * span(layer, e)
    filters = np.maximum(hardware.buffer_words - ifmaps, 0) // (n * layer.E * e)
    return np.where(filters >= layer.M, ceil(layer.M, p * t), filters // (p * t))


def _count(layer: Layer, batch: int, rows: dict[str, np.ndarray]) -> Candidates:
    q, p, e, n, r, t, k = (rows[name] for name in "qpenrtk")
    m = np.minimum(p * t * k, layer.M)
    macs, filters, psums = layer.macs(batch), layer.words("filter", batch), layer.words("psum", batch)
    loaded = batch * layer.C * layer.H * lines(layer, e)
    in_array = batch * layer.C * layer.H * layer.E * layer.R * ceil(layer.M, p)
    groups, passes = ceil(layer.C, q), ceil(layer.C, q * r)
    from_dram = filters * ceil(batch, n) * ceil(layer.E, e)
    return Candidates(
        parameters={"m": m, "n": n, "e": e, "p": p, "q": q, "r": r, "t": t},
        pes=layer.R * e * r * t,
        ifmap=flow(q, loaded * ceil(layer.M, m), loaded * ceil(layer.M, p * t), in_array, macs),
        filter=flow(q, from_dram, from_dram, filters * ceil(batch, n) * layer.E, macs),
        psum=flow(q, psums, psums * passes, psums * groups * layer.R, macs),
    )


DATAFLOW = Dataflow("RS", "row stationary", lambda layers: RF_WORDS, candidates)
