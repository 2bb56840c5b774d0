"""Output stationary C, MOC-SOP (sections IV-B and VI-A): PEs add up one pixel of several channels.

A pixel of p channels of n images is in the array: ifmap pixels are broadcast to the channels, weights to the images.
There is no convolutional reuse: the whole window of each ofmap pixel is read again. The global buffer holds m whole
filters and the windows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

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
    one_or_most,
    sizes,
)


def candidates(layer: Layer, batch: int, hardware: Hardware, one_image: bool = False) -> Iterator[Candidates]:
    """Yield the mappings of a layer.

    Parameters
    ----------
    layer, batch, hardware
        What to map on what.
    one_image : bool
        Whether the array makes the pixels of one image at a time.
    """
    rows = grid(n=sizes(batch, 1 if one_image else hardware.pes), p=sizes(layer.M, hardware.pes))
    rows = keep(rows, rows["n"] * rows["p"] <= hardware.pes)
    n, p = rows["n"], rows["p"]
    filters = np.maximum(hardware.buffer_words // (layer.C * layer.R**2) - n, 0)
    most = np.where(filters >= layer.M, ceil(layer.M, p), filters // p)
    for some in one_or_most(rows, most):
        yield _count(layer, batch, some)


def _count(layer: Layer, batch: int, rows: dict[str, np.ndarray]) -> Candidates:
    n, p = rows["n"], rows["p"]
    m = np.minimum(p * rows["k"], layer.M)
    macs, filters, psums = layer.macs(batch), layer.words("filter", batch), layer.words("psum", batch)
    windows = psums // layer.M * layer.C * layer.R**2
    return Candidates(
        parameters={"m": m, "n": n, "p": p},
        pes=n * p,
        ifmap=flow(n, windows * ceil(layer.M, m), windows * ceil(layer.M, p), macs, macs),
        filter=flow(n, filters, filters * ceil(batch, n) * layer.E**2, macs, macs),
        psum=flow(n, psums, psums, psums, macs),
    )


DATAFLOW = Dataflow("OS_C", "output stationary C (MOC-SOP)", lambda layers: 1, candidates)

#: As :data:`DATAFLOW`, but the array makes the pixels of one image at a time.
ONE_IMAGE = dataclasses.replace(DATAFLOW, candidates=partial(candidates, one_image=True))
