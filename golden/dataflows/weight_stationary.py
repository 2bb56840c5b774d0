"""Weight stationary (sections IV-A and VI-A): each PE holds one weight, for all pixels of the batch.

R x R PEs hold the weights of a filter's channel; r channels and t filters are in the array. An ifmap pixel is broadcast
to them. A psum goes along a row of R PEs and on to the next row, where it is added to a pixel of the next line: until
then it is in the global buffer, as PEs have no room for it. The buffer holds the psums of the batch for t filters,
and, for each of the R - 1 row ends, a line of psums f pixels long.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

import numpy as np

from golden.dataflows.framework import Candidates, Dataflow, Hardware, Layer, ceil, flow, grid, keep, lines, sizes, span


def candidates(layer: Layer, batch: int, hardware: Hardware, lines_in_array: bool = False) -> Iterator[Candidates]:
    """Yield the mappings of a layer.

    Parameters
    ----------
    layer, batch, hardware
        What to map on what.
    lines_in_array : bool
        Whether psums wait between PE rows at no cost, and only those of other channels are in the buffer.
    """
    sets = hardware.pes // layer.R**2
    rows = grid(r=sizes(layer.C, sets), t=sizes(layer.M, sets), f=sizes(layer.E))
    rows = keep(rows, rows["r"] * rows["t"] <= sets)
    r, t, f = (rows[name] for name in "rtf")
    waiting = 0 if lines_in_array else r * t * np.maximum(span(layer, f) - layer.R, 0) * (layer.R - 1)
    rows = keep(rows, batch * t * layer.E**2 + waiting <= hardware.buffer_words)
    r, t, f = (rows[name] for name in "rtf")
    macs, filters, psums = layer.macs(batch), layer.words("filter", batch), layer.words("psum", batch)
    from_dram = batch * layer.C * layer.H * lines(layer, f) * ceil(layer.M, t)
    stops = ceil(layer.C, r) * (1 if lines_in_array else layer.R)
    yield Candidates(
        parameters=rows,
        pes=layer.R**2 * r * t,
        ifmap=flow(r, from_dram, from_dram, macs, macs),
        filter=flow(r, filters, filters, filters, macs),
        psum=flow(r, psums, psums * stops, macs, macs),
    )


DATAFLOW = Dataflow("WS", "weight stationary", lambda layers: 1, candidates)

#: As :data:`DATAFLOW`, but psums go from PE row to PE row without the buffer.
LINES_IN_ARRAY = dataclasses.replace(DATAFLOW, candidates=partial(candidates, lines_in_array=True))
