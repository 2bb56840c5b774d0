"""Cost model of the Eyeriss chip's own mapping, and its published figures: one program compares Eyas with Eyeriss.

Sources, called JSSC 2017 and ISSCC 2016 below:

- Chen, Krishna, Emer, Sze, "Eyeriss: An Energy-Efficient Reconfigurable Accelerator for Deep Convolutional Neural
  Networks", IEEE Journal of Solid-State Circuits 52(1), 2017: Table III (mapping), V (AlexNet), VI (VGG-16).
- The same authors, ISSCC 2016, Fig. 14.5.6 (AlexNet).

Eyeriss's words have 16 bits, and the papers' MB are 10^6 bytes. Its global-buffer column counts ifmaps and psums, no
filters: the closed forms below reproduce it only without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: PEs, and core clock of the published runs (JSSC 2017, Tables V and VI).
PES = 12 * 14
CLOCK_HZ = 200_000_000
#: Eyeriss computes on 16-bit words.
BYTES_PER_WORD = 2


@dataclass(frozen=True, kw_only=True)
class ConvShape:
    """Shape of a CONV layer in the papers' letters.

    The part of the padded ifmap that filters touch follows from it, so padding is no parameter.

    Parameters
    ----------
    C, M : int
        Channels and filters of one group.
    E, F : int
        Rows and columns of the ofmap.
    R, S : int
        Rows and columns of a filter.
    U : int
        Stride.
    G : int
        Groups: AlexNet's CONV2, CONV4 and CONV5 have two.
    """

    C: int
    M: int
    E: int
    F: int
    R: int
    S: int
    U: int = 1
    G: int = 1

    @property
    def macs(self) -> int:
        """MACs of one image."""
        return self.ofmap_words * self.C * self.R * self.S

    @property
    def filter_words(self) -> int:
        """Weights of the layer."""
        return self.G * self.M * self.C * self.R * self.S

    @property
    def ofmap_words(self) -> int:
        """Ofmap activations of one image."""
        return self.G * self.M * self.E * self.F

    def ifmap_words(self, strip_rows: int) -> int:
        """Return the padded ifmap activations of one image, read once per strip of ``strip_rows`` ofmap rows.

        Rows that two strips share count twice.
        """
        strips = math.ceil(self.E / strip_rows)
        rows = self.E * self.U + strips * (self.R - self.U)
        return self.G * self.C * rows * ((self.F - 1) * self.U + self.S)


@dataclass(frozen=True)
class Mapping:
    """Mapping parameters of Eyeriss, in the letters of JSSC 2017, Table III.

    Parameters
    ----------
    m : int
        Ofmap channels whose psums are in the global buffer at a time.
    n : int
        Ifmaps that share one load of the filters.
    e : int
        Ofmap rows of a strip: the width of a PE set.
    p, q : int
        Filters and channels that one PE interleaves.
    r, t : int
        PE sets at work on different channels, and on different filters.
    """

    m: int
    n: int
    e: int
    p: int
    q: int
    r: int
    t: int

    def active_pes(self, shape: ConvShape) -> int:
        """Return how many PEs work: r x t sets of R x e."""
        return self.r * self.t * shape.R * self.e


def glb_words(shape: ConvShape, mapping: Mapping, batch: int) -> int:
    """Return the global-buffer accesses in 16-bit words: psums written and read, ifmaps read.

    Psums move once per q x r channels, ifmaps once per p x t filters; both divide a group, not the layer.
    """
    psum_passes = math.ceil(shape.C / (mapping.q * mapping.r))
    ifmap_passes = math.ceil(shape.M / (mapping.p * mapping.t))
    return batch * (2 * shape.ofmap_words * psum_passes + shape.ifmap_words(mapping.e) * ifmap_passes)


def dram_words(shape: ConvShape, mapping: Mapping, batch: int) -> int:
    """Return the DRAM traffic in 16-bit words, dense, that is without run-length coding."""
    filters = shape.filter_words * math.ceil(batch / mapping.n) * math.ceil(shape.E / mapping.e)
    ifmaps = shape.ifmap_words(mapping.e) * math.ceil(shape.M / mapping.m)
    return filters + batch * (ifmaps + shape.ofmap_words)


def dram_bound_words(shape: ConvShape, batch: int, on_chip_words: int) -> float:
    """Return a lower bound of the DRAM traffic in words: 2 x MACs / sqrt(R x S / U^2 x on-chip words) + ofmaps.

    From Chen, Han, Wang, "Communication Lower Bound in Convolution Accelerators", HPCA 2020 (arXiv 1911.05662). R x S
    / U^2 is how many windows use an activation; it is at least 1, as a stride past the filter skips activations that
    nobody reads. Words are of one width: what is on chip counts in words of what crosses the bus.
    """
    window_reuse = max(1.0, shape.R * shape.S / shape.U**2)
    return batch * (2 * shape.macs / math.sqrt(window_reuse * on_chip_words) + shape.ofmap_words)


def dram_bound_bytes(shape: ConvShape, batch: int, on_chip_bytes: int, bytes_per_word: int) -> float:
    """Return :func:`dram_bound_words` in bytes, for words of ``bytes_per_word``."""
    return bytes_per_word * dram_bound_words(shape, batch, on_chip_bytes // bytes_per_word)


def utilisation(macs: int, latency_ms: float) -> float:
    """Return the share of Eyeriss's MAC slots (168 a cycle at 200 MHz) that ``macs`` fill in ``latency_ms``."""
    return macs / (PES * CLOCK_HZ * latency_ms / 1000)


@dataclass(frozen=True)
class Row:
    """A row of JSSC 2017, Table V or VI, in their columns and units.

    Total latency includes the DRAM traffic that processing does not hide.
    """

    power_mw: int
    total_latency_ms: float
    processing_latency_ms: float
    active_pes: int
    zero_ifmap_pct: float
    glb_access_mb: float
    dram_access_mb_rlc: float


@dataclass(frozen=True)
class Traffic:
    """Accesses in Eyeriss's 16-bit words, and in bytes."""

    words: int

    @property
    def bytes(self) -> int:
        """The accesses in bytes."""
        return self.words * BYTES_PER_WORD


@dataclass(frozen=True)
class Published:
    """What Eyeriss needs for a layer, or for the CONV layers of a network.

    Parameters
    ----------
    batch : int
        Images in the run.
    macs : int
        MACs of the batch.
    row : Row
        The published figures.
    dram_dense : Traffic or None
        DRAM traffic without run-length coding: :func:`dram_words` of the published mapping, computed, not measured.
        None for VGG-16: Table III has the mapping of AlexNet only.
    """

    batch: int
    macs: int
    row: Row
    dram_dense: Traffic | None

    @property
    def utilisation(self) -> float:
        """Share of the MAC slots used, over the total latency."""
        return utilisation(self.macs, self.row.total_latency_ms)

    @property
    def glb(self) -> Traffic:
        """Published global-buffer accesses."""
        return Traffic(round(self.row.glb_access_mb * 1e6 / BYTES_PER_WORD))

    @property
    def dram_rlc(self) -> Traffic:
        """Published DRAM traffic, with run-length coding."""
        return Traffic(round(self.row.dram_access_mb_rlc * 1e6 / BYTES_PER_WORD))


@dataclass(frozen=True)
class PublishedNetwork:
    """The CONV layers of a network on Eyeriss: where the figures are from, each layer, and the published total."""

    source: str
    layers: dict[str, Published]
    total: Published


def _network(
    source: str, batch: int, shapes: dict[str, ConvShape], rows: dict[str, Row], mappings: dict[str, Mapping]
) -> PublishedNetwork:
    dense = {name: dram_words(shapes[name], mapping, batch) for name, mapping in mappings.items()}

    def published(key: str, names: Iterable[str]) -> Published:
        known = all(name in dense for name in names)
        words = Traffic(sum(dense[name] for name in names)) if known else None
        return Published(batch, batch * sum(shapes[name].macs for name in names), rows[key], words)

    return PublishedNetwork(source, {name: published(name, [name]) for name in shapes}, published("total", shapes))


def _square(c: int, m: int, e: int, r: int, *, u: int = 1, g: int = 1) -> ConvShape:
    return ConvShape(C=c, M=m, E=e, F=e, R=r, S=r, U=u, G=g)


#: The CONV layers of AlexNet, with the groups of the original.
ALEXNET: dict[str, ConvShape] = {
    "CONV1": _square(3, 96, 55, 11, u=4),
    "CONV2": _square(48, 128, 27, 5, g=2),
    "CONV3": _square(256, 384, 13, 3),
    "CONV4": _square(192, 192, 13, 3, g=2),
    "CONV5": _square(192, 128, 13, 3, g=2),
}

#: The CONV layers of VGG-16.
VGG16: dict[str, ConvShape] = {
    "CONV1_1": _square(3, 64, 224, 3),
    "CONV1_2": _square(64, 64, 224, 3),
    "CONV2_1": _square(64, 128, 112, 3),
    "CONV2_2": _square(128, 128, 112, 3),
    "CONV3_1": _square(128, 256, 56, 3),
    **dict.fromkeys(("CONV3_2", "CONV3_3"), _square(256, 256, 56, 3)),
    "CONV4_1": _square(256, 512, 28, 3),
    **dict.fromkeys(("CONV4_2", "CONV4_3"), _square(512, 512, 28, 3)),
    **dict.fromkeys(("CONV5_1", "CONV5_2", "CONV5_3"), _square(512, 512, 14, 3)),
}

#: How Eyeriss maps AlexNet at batch 4: JSSC 2017, Table III.
ALEXNET_MAPPINGS: dict[str, Mapping] = {
    "CONV1": Mapping(96, 1, 7, 16, 1, 1, 2),
    "CONV2": Mapping(64, 1, 27, 16, 2, 1, 1),
    "CONV3": Mapping(64, 4, 13, 16, 4, 1, 4),
    "CONV4": Mapping(64, 4, 13, 16, 3, 2, 2),
    "CONV5": Mapping(64, 4, 13, 16, 3, 2, 2),
}

#: The published 50.2 MB of CONV3 are those of this mapping; the one in Table III would access 69.2 MB.
CONV3_FITTED = Mapping(64, 4, 13, 16, 3, 2, 2)

_TABLE_V: dict[str, Row] = {
    "CONV1": Row(332, 20.9, 16.5, 154, 0.01, 18.5, 5.0),
    "CONV2": Row(288, 41.9, 39.2, 135, 38.7, 77.6, 4.0),
    "CONV3": Row(266, 23.6, 21.8, 156, 72.5, 50.2, 3.0),
    "CONV4": Row(235, 18.4, 16.0, 156, 79.3, 37.4, 2.1),
    "CONV5": Row(236, 10.5, 10.0, 156, 77.6, 24.9, 1.3),
    "total": Row(278, 115.3, 103.5, 148, 57.53, 208.5, 15.4),
}

_TABLE_VI: dict[str, Row] = {
    "CONV1_1": Row(247, 76.2, 38.0, 156, 1.6, 112.6, 15.4),
    "CONV1_2": Row(218, 910.3, 810.6, 156, 47.7, 2402.8, 54.0),
    "CONV2_1": Row(242, 470.3, 405.3, 156, 24.8, 1201.4, 33.4),
    "CONV2_2": Row(231, 894.3, 810.8, 156, 38.7, 2402.8, 48.5),
    "CONV3_1": Row(254, 241.1, 204.0, 156, 39.7, 607.4, 20.2),
    "CONV3_2": Row(235, 460.9, 408.1, 156, 58.1, 1214.8, 32.2),
    "CONV3_3": Row(233, 457.7, 408.1, 156, 58.7, 1214.8, 30.8),
    "CONV4_1": Row(278, 135.8, 105.1, 168, 64.3, 321.8, 17.8),
    "CONV4_2": Row(261, 254.8, 210.0, 168, 74.7, 643.7, 28.6),
    "CONV4_3": Row(240, 246.3, 210.0, 168, 85.4, 643.7, 22.8),
    "CONV5_1": Row(258, 54.3, 48.3, 168, 79.4, 90.0, 6.3),
    "CONV5_2": Row(236, 53.7, 48.5, 168, 87.4, 90.0, 5.7),
    "CONV5_3": Row(230, 53.7, 48.5, 168, 88.5, 90.0, 5.6),
    "total": Row(236, 4309.5, 3755.2, 158, 58.6, 11035.8, 321.1),
}

#: Eyeriss's runs by network: AlexNet at batch 4, VGG-16 at batch 3.
PUBLISHED: dict[str, PublishedNetwork] = {
    "alexnet": _network("JSSC 2017, Table V; ISSCC 2016, Fig. 14.5.6", 4, ALEXNET, _TABLE_V, ALEXNET_MAPPINGS),
    "vgg16": _network("JSSC 2017, Table VI", 3, VGG16, _TABLE_VI, {}),
}
