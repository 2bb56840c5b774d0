"""The closed forms of Eyeriss's mapping against the tables of its papers (sources: :mod:`golden.eyeriss`)."""

import csv
import dataclasses
import itertools
import math

import pytest

from golden import eyeriss
from golden.eyeriss import ALEXNET, ALEXNET_MAPPINGS, CONV3_FITTED, PUBLISHED, VGG16, ConvShape, Mapping
from tests.cmsis_nn import SHARED

ALEXNET_BATCH = 4

#: JSSC 2017, Table V: global-buffer accesses in MB. CONV3 has a test of its own.
PUBLISHED_GLB_MB = {"CONV1": 18.5, "CONV2": 77.6, "CONV4": 37.4, "CONV5": 24.9}

#: DRAM accesses in MB without run-length coding. They are no measurement: the data file of the tables has them computed
#: from the mapping of Table III, so they check this program's arithmetic, not the chip.
DENSE_DRAM_MB = {"CONV1": 6.06, "CONV2": 5.43, "CONV3": 5.05, "CONV4": 3.92, "CONV5": 2.61}

#: Half of the last printed digit of the columns whose total is a sum.
ROUNDING = {"total_latency_ms": 0.05, "processing_latency_ms": 0.05, "glb_access_mb": 0.05, "dram_access_mb_rlc": 0.05}

#: Words of a PE's scratchpads for ifmaps, filters and psums: JSSC 2017.
IFMAP_SPAD, FILTER_SPAD, PSUM_SPAD = 12, 224, 24

FILES = {"alexnet": "alexnet_n4.csv", "vgg16": "vgg16_n3.csv"}


def glb_mb(name: str, mapping: Mapping) -> float:
    return eyeriss.glb_words(ALEXNET[name], mapping, ALEXNET_BATCH) * eyeriss.BYTES_PER_WORD / 1e6


def dram_mb(name: str) -> float:
    words = eyeriss.dram_words(ALEXNET[name], ALEXNET_MAPPINGS[name], ALEXNET_BATCH)
    return words * eyeriss.BYTES_PER_WORD / 1e6


@pytest.mark.parametrize("name", PUBLISHED_GLB_MB)
def test_global_buffer_traffic_is_the_published_one(name):
    assert glb_mb(name, ALEXNET_MAPPINGS[name]) == pytest.approx(PUBLISHED_GLB_MB[name], rel=0.005)


def test_global_buffer_words_by_hand():
    """CONV1, a strip of 7 ofmap rows at a time: seven strips of 35 ifmap rows and one of 31, of 227 columns."""
    psums = 4 * 96 * 55 * 55 * 3 * 2
    ifmaps = 4 * 3 * (7 * 35 + 31) * 227 * 3
    assert eyeriss.glb_words(ALEXNET["CONV1"], ALEXNET_MAPPINGS["CONV1"], 4) == psums + ifmaps


def test_dram_words_by_hand():
    """CONV1: filters once per image and strip, ifmaps once (all 96 filters at a time), ofmaps once."""
    filters, ifmaps, ofmaps = 96 * 3 * 11 * 11 * 4 * 8, 4 * 3 * (7 * 35 + 31) * 227, 4 * 96 * 55 * 55
    assert eyeriss.dram_words(ALEXNET["CONV1"], ALEXNET_MAPPINGS["CONV1"], 4) == filters + ifmaps + ofmaps


def test_conv3_is_published_with_another_mapping():
    """Table III's q = 4, r = 1, t = 4 would access 69.2 MB; Table V says 50.2 MB, which q = 3, r = 2, t = 2 gives."""
    assert glb_mb("CONV3", ALEXNET_MAPPINGS["CONV3"]) == pytest.approx(69.2, abs=0.05)
    assert glb_mb("CONV3", CONV3_FITTED) == pytest.approx(50.2, rel=0.005)
    assert dataclasses.replace(ALEXNET_MAPPINGS["CONV3"], q=3, r=2, t=2) == CONV3_FITTED


def test_no_other_mapping_fits_conv3():
    """Of the mappings on 156 PEs that fit the scratchpads, with Table III's m, n, e and p."""
    fitting = []
    for q, (r, t) in itertools.product(range(1, IFMAP_SPAD // 3 + 1), [(1, 4), (2, 2), (4, 1)]):
        mapping = dataclasses.replace(ALEXNET_MAPPINGS["CONV3"], q=q, r=r, t=t)
        assert mapping.active_pes(ALEXNET["CONV3"]) == 156
        if glb_mb("CONV3", mapping) == pytest.approx(50.2, rel=0.005):
            fitting.append(mapping)
    assert fitting == [CONV3_FITTED]


@pytest.mark.parametrize("name", DENSE_DRAM_MB)
def test_dense_dram_traffic(name):
    assert dram_mb(name) == pytest.approx(DENSE_DRAM_MB[name], rel=0.005)


def test_alexnet_totals():
    """JSSC 2017, Table V: 208.5 MB of global-buffer and 15.4 MB of coded DRAM accesses; dense are 23.07 MB."""
    mappings = {**ALEXNET_MAPPINGS, "CONV3": CONV3_FITTED}
    assert sum(glb_mb(name, mapping) for name, mapping in mappings.items()) == pytest.approx(208.5, rel=0.005)
    total = PUBLISHED["alexnet"].total
    assert (total.glb.bytes, total.glb.words) == (208_500_000, 104_250_000)
    assert (total.dram_rlc.bytes, total.dram_rlc.words) == (15_400_000, 7_700_000)
    assert total.dram_dense.bytes / 1e6 == pytest.approx(sum(DENSE_DRAM_MB.values()), rel=0.005)
    assert total.dram_dense.words == sum(layer.dram_dense.words for layer in PUBLISHED["alexnet"].layers.values())


def test_coding_only_saves_traffic():
    for layer in PUBLISHED["alexnet"].layers.values():
        assert layer.dram_rlc.bytes < layer.dram_dense.bytes


def test_vgg16_has_no_dense_traffic():
    """Table III has the mapping of AlexNet only."""
    network = PUBLISHED["vgg16"]
    assert all(layer.dram_dense is None for layer in (*network.layers.values(), network.total))


@pytest.mark.parametrize("name", ALEXNET)
def test_mapping_uses_the_published_pes(name):
    assert ALEXNET_MAPPINGS[name].active_pes(ALEXNET[name]) == PUBLISHED["alexnet"].layers[name].row.active_pes


@pytest.mark.parametrize("name", ALEXNET)
def test_mapping_fits_the_scratchpads(name):
    shape, mapping = ALEXNET[name], ALEXNET_MAPPINGS[name]
    assert mapping.q * shape.S <= IFMAP_SPAD
    assert mapping.p * mapping.q * shape.S <= FILTER_SPAD
    assert mapping.p <= PSUM_SPAD


@pytest.mark.parametrize(("network", "expected"), [("alexnet", 0.687), ("vgg16", 0.318)])
def test_utilisation(network, expected):
    """MACs / (168 x cycles) over the published latency: 115.3 ms for AlexNet and 4309.5 ms for VGG-16 at 200 MHz."""
    assert PUBLISHED[network].total.utilisation == pytest.approx(expected, abs=0.0005)


@pytest.mark.parametrize("network", PUBLISHED)
def test_no_layer_is_busier_than_its_pes(network):
    """The MACs fit the PEs that the tables call active, in the processing latency, give or take its last digit."""
    for layer in PUBLISHED[network].layers.values():
        latency_ms = layer.row.processing_latency_ms + 0.05
        share = eyeriss.utilisation(layer.macs, latency_ms)
        assert layer.utilisation < share <= layer.row.active_pes / eyeriss.PES


@pytest.mark.parametrize("network", PUBLISHED)
def test_totals_are_the_sums_of_the_layers(network):
    published = PUBLISHED[network]
    for column, half_digit in ROUNDING.items():
        rows = [getattr(layer.row, column) for layer in published.layers.values()]
        assert abs(sum(rows) - getattr(published.total.row, column)) <= half_digit * (len(rows) + 1) + 1e-9


def test_vgg16_macs():
    """13 layers of 3 x 3 filters: 15.35 G MACs an image, of which CONV1_1 has 64 x 224 x 224 x 27."""
    assert VGG16["CONV1_1"].macs == 86_704_128
    assert PUBLISHED["vgg16"].total.macs == 3 * 15_346_630_656


def test_dram_bound():
    """By hand: 4 x 16 x 16 ofmap activations of 256 x 9 MACs, and sqrt(9 x 1024) = 96, or 48 at stride 2."""
    shape = ConvShape(C=256, M=4, E=16, F=16, R=3, S=3)
    words = 6 * (2 * 2_359_296 / 96 + 1024)
    assert eyeriss.dram_bound_words(shape, 6, 1024) == pytest.approx(words)
    assert eyeriss.dram_bound_bytes(shape, 6, 2048, 2) == pytest.approx(2 * words)
    strided = dataclasses.replace(shape, U=2)
    assert eyeriss.dram_bound_words(strided, 6, 1024) == pytest.approx(6 * (2 * 2_359_296 / 48 + 1024))


def test_dram_bound_counts_no_activation_that_a_stride_skips():
    """With 1 x 1 filters every activation that is read is in one window, whatever the stride."""
    shape = ConvShape(C=64, M=64, E=8, F=8, R=1, S=1)
    strided = dataclasses.replace(shape, U=2)
    assert eyeriss.dram_bound_words(strided, 1, 1024) == eyeriss.dram_bound_words(shape, 1, 1024)


@pytest.mark.parametrize("name", ALEXNET)
def test_eyeriss_obeys_the_bound(name):
    """Its storage: 108 kB of global buffer and the scratchpads of 168 PEs (JSSC 2017)."""
    on_chip_words = 108 * 1024 // 2 + eyeriss.PES * (IFMAP_SPAD + FILTER_SPAD + PSUM_SPAD)
    bound = eyeriss.dram_bound_words(ALEXNET[name], ALEXNET_BATCH, on_chip_words)
    assert bound <= eyeriss.dram_words(ALEXNET[name], ALEXNET_MAPPINGS[name], ALEXNET_BATCH)


@pytest.mark.shared
@pytest.mark.parametrize("network", PUBLISHED)
def test_tables_are_those_of_the_data_files(network):
    path = SHARED / "data" / "eyeriss" / FILES[network]
    if not path.is_file():
        pytest.skip(f"Eyeriss's tables are not in {path.parent}; EYAS_SHARED may name the folder above data/eyeriss")
    with path.open() as file:
        table = {row.pop("layer"): row for row in csv.DictReader(line for line in file if not line.startswith("#"))}
    published = PUBLISHED[network]
    assert list(table) == [*published.layers, "total"]
    for name, layer in {**published.layers, "total": published.total}.items():
        expected = {column: float(text) for column, text in table[name].items()}
        assert expected.pop("macs", layer.macs) == layer.macs
        dense_mb = expected.pop("dram_access_mb_dense", None)
        assert dense_mb is None or math.isclose(layer.dram_dense.bytes / 1e6, dense_mb, abs_tol=0.005)
        assert dataclasses.asdict(layer.row) == expected
