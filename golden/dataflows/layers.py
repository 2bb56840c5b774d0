"""AlexNet's layers, with their paddings (Table II). CONV2, CONV4 and CONV5 have two groups: Table II gives the channels
of one and the filters of both, as does :data:`TABLE_II`."""

from __future__ import annotations

import dataclasses

from golden.dataflows.framework import Layer

CONV = (
    Layer("CONV1", C=3, M=96, H=227, R=11, E=55, U=4),
    Layer("CONV2", C=48, M=128, H=31, R=5, E=27, groups=2),
    Layer("CONV3", C=256, M=384, H=15, R=3, E=13),
    Layer("CONV4", C=192, M=192, H=15, R=3, E=13, groups=2),
    Layer("CONV5", C=192, M=128, H=15, R=3, E=13, groups=2),
)
FC = (
    Layer("FC1", C=256, M=4096, H=6, R=6, E=1),
    Layer("FC2", C=4096, M=4096, H=1, R=1, E=1),
    Layer("FC3", C=4096, M=1000, H=1, R=1, E=1),
)

#: The CONV layers as if all filters saw the same ifmaps.
TABLE_II = tuple(dataclasses.replace(layer, M=layer.M * layer.groups, groups=1) for layer in CONV)
