"""How much global buffer each dataflow gets from the same storage area (section VI-B, equation (2), Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from golden.dataflows.framework import Dataflow, Hardware, Layer

WORD_BYTES = 2

#: Bytes and area per byte of a memory. Fig. 7a shows them as a curve without numbers; these are from the analysis
#: scripts "CNN Flow Analysis" at github.com/ominux/eyeriss-dataflow, helpers/get_storage_area_from_size.m (in square
#: micrometres; only ratios matter here). With them, NLR's buffer is 2.64 times that of RS, published as 2.6 (section
#: VI-B), and the most and the least storage differ by 82 KiB, published as 80 kB.
AREA_PER_BYTE: dict[int, float] = {
    2: 103.47,
    4: 172.07,
    8: 177.07,
    16: 169.89,
    32: 96.06,
    64: 59.15,
    128: 39.94,
    256: 27.48,
    512: 20.87,
    1024: 16.14,
    2048: 13.89,
    4096: 12.70,
}

BASELINE_RF_BYTES = 512


def area(memory_bytes: int) -> float:
    """Return the area of a memory, its area per byte interpolated between two of :data:`AREA_PER_BYTE`."""
    return memory_bytes * float(np.interp(memory_bytes, list(AREA_PER_BYTE), list(AREA_PER_BYTE.values())))


def hardware(dataflow: Dataflow, layers: Sequence[Layer], pes: int) -> Hardware:
    """Return what a dataflow has to work with in the area of 512 bytes of RF per PE and as much in the global buffer.

    Parameters
    ----------
    dataflow : Dataflow
        It says how much RF it needs; the rest of the area is buffer.
    layers : sequence of Layer
        The layers that the machine is for.
    pes : int
        How many PEs.
    """
    rf_words = dataflow.rf_words(layers)
    total = pes * area(BASELINE_RF_BYTES) + area(pes * BASELINE_RF_BYTES)
    buffer_bytes = (total - pes * area(rf_words * WORD_BYTES)) / AREA_PER_BYTE[max(AREA_PER_BYTE)]
    return Hardware(pes=pes, rf_words=rf_words, buffer_words=round(buffer_bytes, 6).__floor__() // WORD_BYTES)
