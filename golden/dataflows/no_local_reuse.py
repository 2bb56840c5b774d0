"""No local reuse (sections IV-C and VI-A): PEs without RF; all data is in the global buffer.

q groups of PEs work on different channels, the p PEs of a group on different filters. An ifmap pixel is broadcast to
its group, psums are added up across the groups, weights come from the buffer for each MAC. The buffer holds ifmap tiles
of q channels, the filters' weights of q channels and the psums of e x f pixels, of n images and m filters.
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
    flow,
    grid,
    lines,
    one_or_most,
    sizes,
    span,
)


def candidates(layer: Layer, batch: int, hardware: Hardware) -> Iterator[Candidates]:
    """Yield the mappings of a layer, some with the same q at a time."""
    for q in sizes(layer.C, hardware.pes):
        filters = sizes(layer.M, hardware.pes // q)
        rows = grid(q=[q], p=filters, e=sizes(layer.E), f=sizes(layer.E), n=sizes(batch))
        p, e, f, n = (rows[name] for name in "pefn")
        room = np.maximum(hardware.buffer_words - n * q * span(layer, e) * span(layer, f), 0)
        fit = room // (q * layer.R**2 + n * e * f)
        most = np.where(fit >= layer.M, ceil(layer.M, p), fit // p)
        for some in one_or_most(rows, most):
            yield _count(layer, batch, some)


def _count(layer: Layer, batch: int, rows: dict[str, np.ndarray]) -> Candidates:
    q, p, e, f, n = (rows[name] for name in "qpefn")
    m = np.minimum(p * rows["k"], layer.M)
    macs, filters, psums = layer.macs(batch), layer.words("filter", batch), layer.words("psum", batch)
    loaded = batch * layer.C * lines(layer, e) * lines(layer, f)
    windows = psums // layer.M * layer.C * layer.R**2
    tiles = ceil(batch, n) * ceil(layer.E, e) * ceil(layer.E, f)
    return Candidates(
        parameters={"m": m, "n": n, "p": p, "q": q, "e": e, "f": f},
        pes=p * q,
        ifmap=flow(q, loaded * ceil(layer.M, m), windows * ceil(layer.M, p), macs, macs),
        filter=flow(q, filters * tiles, macs, macs, macs),
        psum=flow(q, psums, psums * ceil(layer.C, q) * layer.R**2, macs, macs),
    )


DATAFLOW = Dataflow("NLR", "no local reuse", lambda layers: 0, candidates)
