"""The model of dataflows: equations by hand, words conserved, loops counted, the published order."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.networks import network
from golden.dataflows import DATAFLOWS, framework, layers, storage
from golden.dataflows.framework import DATA, STORAGE, Hardware, Layer, best_mapping, input_accesses, psum_accesses
from golden.dataflows.published import PUBLISHED
from golden.dataflows.totals import total
from golden.energy import EYERISS

BY_KEY = {dataflow.key: dataflow for dataflow in DATAFLOWS}
SMALL = Layer("small", C=3, M=4, H=7, R=3, E=3, U=2)
#: Small enough that tiles are cut in all dimensions.
TIGHT = Hardware(pes=24, rf_words=20, buffer_words=150)


def costs(accesses):
    return sum(EYERISS.costs[level] * int(count) for level, count in zip(STORAGE, accesses, strict=True))


def mappings(key, layer, batch, hardware):
    """Yield (parameters, flows of the types of data) of every mapping that fits."""
    for some in BY_KEY[key].candidates(layer, batch, hardware):
        for index in range(some.pes.size):
            parameters = {name: int(values[index]) for name, values in some.parameters.items()}
            flows = {
                data: tuple(int(count[index]) for count in flow)
                for data, flow in zip(DATA, (some.ifmap, some.filter, some.psum), strict=True)
            }
            yield parameters | {"pes": int(some.pes[index])}, flows


def test_equation_3_on_the_papers_example():
    """Fig. 8: reuse 24 = 1 x 2 x 3 x 4, so 200 + 2 x 6 + 6 x 2 + 24 x 1."""
    assert costs(input_accesses(tuple(map(np.array, (1, 2, 6, 24))))) == 200 + 12 + 12 + 24


def test_equation_4_on_the_papers_example():
    """Fig. 9: 36 = 2 x 3 x 3 x 2, so 3 x 200 + 8 x 6 + 12 x 2 + 36 x 1."""
    assert costs(psum_accesses(tuple(map(np.array, (2, 6, 18, 36))), 1)) == 600 + 48 + 24 + 36


def test_a_level_without_reuse_is_passed_by():
    flow = tuple(map(np.array, (5, 5, 10, 10)))
    assert [int(count) for count in input_accesses(flow)] == [5, 0, 10, 0]
    assert [int(count) for count in input_accesses(flow, strict=True)] == [5, 5, 10, 10]


@settings(max_examples=40, deadline=None)
@given(
    key=st.sampled_from(sorted(BY_KEY)),
    channels=st.integers(1, 5),
    filters=st.integers(1, 6),
    window=st.integers(1, 3),
    ofmap=st.integers(1, 5),
    stride=st.integers(1, 2),
    batch=st.integers(1, 3),
    pes=st.integers(9, 30),
)
def test_words_are_conserved(key, channels, filters, window, ofmap, stride, batch, pes):
    """Every MAC gets its operands and adds its psum, no level hands down less than it got, each word comes once."""
    stride = min(stride, window)
    layer = Layer("", channels, filters, stride * (ofmap - 1) + window, window, ofmap, stride)
    hardware = Hardware(pes, rf_words=25, buffer_words=200)
    for parameters, flows in mappings(key, layer, batch, hardware):
        assert parameters["pes"] <= pes
        for data, flow in flows.items():
            assert layer.words(data, batch) <= flow[0], (parameters, data)
            assert list(flow) == sorted(flow), (parameters, data)
            assert flow[-1] == layer.macs(batch), (parameters, data)


@pytest.mark.parametrize("key", sorted(BY_KEY))
def test_factors_of_reuse_multiply_to_the_layers(key):
    """AlexNet's CONV3 at batch 2: a pixel is used M x R x R x E x E / H / H times, a weight N x E x E times."""
    layer = layers.CONV[2]
    mapped = best_mapping(BY_KEY[key], layer, 2, storage.hardware(BY_KEY[key], layers.CONV, 256))
    products = {data: Fraction(np.prod(mapped.reuse[data])) for data in DATA}
    assert products == {
        "ifmap": Fraction(layer.M * (layer.R * layer.E) ** 2, layer.H**2),
        "filter": 2 * layer.E**2,
        "psum": layer.C * layer.R**2,
    }


def tiles(length, size):
    return [range(start, min(start + size, length)) for start in range(0, length, size)]


def pixels(layer, outputs):
    """Return the ifmap lines that some ofmap lines need."""
    return {layer.U * output + tap for output in outputs for tap in range(layer.R)}


class Buffer:
    """Counts words loaded into a buffer that holds one tile of each kind, and hands down."""

    def __init__(self):
        self.held, self.loaded, self.handed = {}, {}, {}

    def need(self, kind, words):
        words = frozenset(words)
        self.loaded[kind] = self.loaded.get(kind, 0) + (len(words) if self.held.get(kind) != words else 0)
        self.held[kind] = words
        self.handed[kind] = self.handed.get(kind, 0) + len(words)

    def clear(self):
        self.held = {}


@pytest.mark.parametrize("batch", [1, 3])
def test_output_stationary_a_counts_what_its_loops_do(batch):
    """For m filters: for each tile of images and pixels: for each filter, its weights and the tile's ifmaps."""
    seen = 0
    for parameters, flows in mappings("OS_A", SMALL, batch, TIGHT):
        m, n, e, f = (parameters[name] for name in "mnef")
        buffer = Buffer()
        weights = {(c, i, j) for c in range(SMALL.C) for i in range(SMALL.R) for j in range(SMALL.R)}
        for filters in tiles(SMALL.M, m):
            for images, above, across in itertools.product(tiles(batch, n), tiles(SMALL.E, e), tiles(SMALL.E, f)):
                lines, columns = pixels(SMALL, above), pixels(SMALL, across)
                tile = list(itertools.product(images, range(SMALL.C), lines, columns))
                for _ in filters:
                    buffer.need("ifmap", tile)
                buffer.need("filter", itertools.product(filters, weights))
        assert flows["ifmap"][:2] == (buffer.loaded["ifmap"], buffer.handed["ifmap"]), parameters
        assert flows["filter"][:2] == (buffer.loaded["filter"], buffer.handed["filter"]), parameters
        assert len(buffer.held["filter"]) <= m * len(weights)
        assert m * len(weights) + n * SMALL.C * len(pixels(SMALL, range(e))) * len(pixels(SMALL, range(f))) <= 150
        seen += 1
    assert seen > 5


@pytest.mark.parametrize("batch", [1, 3])
def test_row_stationary_counts_what_its_loops_do(batch):
    """For a tile of images, lines and m filters: for q x r channels: for p x t filters, a pass; psums stay for m."""
    seen = 0
    for parameters, flows in mappings("RS", SMALL, batch, TIGHT):
        m, n, e, p, q, r, t = (parameters[name] for name in "mnepqrt")
        buffer = Buffer()
        multicasts = psum_visits = hops = weights_in_array = 0
        for images, above, filters in itertools.product(tiles(batch, n), tiles(SMALL.E, e), tiles(SMALL.M, m)):
            buffer.clear()
            for channels in tiles(SMALL.C, q * r):
                tile = list(itertools.product(images, channels, pixels(SMALL, above), range(SMALL.H)))
                for some in tiles(len(filters), p * t):
                    buffer.need("ifmap", tile)
                    folds, groups = len(tiles(len(some), p)), len(tiles(len(channels), q))
                    rows = len(images) * len(above) * SMALL.R
                    multicasts += rows * len(channels) * SMALL.H * folds
                    psums = len(images) * len(above) * SMALL.E * len(some)
                    psum_visits, hops = psum_visits + psums, hops + psums * groups * SMALL.R
                    weights_in_array += len(some) * len(channels) * SMALL.R**2 * len(above)
        weights = SMALL.words("filter", batch) * len(tiles(batch, n)) * len(tiles(SMALL.E, e))
        assert flows["ifmap"][:3] == (buffer.loaded["ifmap"], buffer.handed["ifmap"], multicasts), parameters
        assert flows["filter"][:3] == (weights, weights, weights_in_array), parameters
        assert flows["psum"][:3] == (SMALL.words("psum", batch), psum_visits, hops), parameters
        assert p * q * SMALL.R + q * SMALL.R + p <= TIGHT.rf_words
        assert SMALL.R * e * r * t <= TIGHT.pes
        seen += 1
    assert seen > 20


def test_no_local_reuse_counts_what_its_loops_do():
    """For a tile of images, pixels and m filters: for q channels, with p filters at a time, tap by tap."""
    batch, seen = 2, 0
    for parameters, flows in mappings("NLR", SMALL, batch, TIGHT):
        m, n, p, q, e, f = (parameters[name] for name in "mnpqef")
        buffer, broadcast, psum_visits = Buffer(), 0, 0
        blocks = itertools.product(tiles(batch, n), tiles(SMALL.E, e), tiles(SMALL.E, f), tiles(SMALL.M, m))
        for images, above, across, filters in blocks:
            buffer.clear()
            for channels in tiles(SMALL.C, q):
                lines, columns = pixels(SMALL, above), pixels(SMALL, across)
                buffer.need("ifmap", itertools.product(images, channels, lines, columns))
                outputs = len(images) * len(above) * len(across)
                broadcast += outputs * len(channels) * SMALL.R**2 * len(tiles(len(filters), p))
                psum_visits += outputs * len(filters) * SMALL.R**2
        assert flows["ifmap"][:2] == (buffer.loaded["ifmap"], broadcast), parameters
        assert flows["psum"][1] == psum_visits, parameters
        assert flows["filter"][1] == SMALL.macs(batch)
        seen += 1
    assert seen > 20


def test_weight_stationary_by_hand():
    """2 x 2 weights, stride 1, 3 x 3 ofmap, 2 channels in the array at a time, 1 of 2 filters, batch 1.

    MACs 2 x 4 x 4 x 9 = 288. Ifmaps 4 channels x 4 x 4 pixels once for each filter: 128. Weights 2 x 4 x 4 once: 32.
    18 psums are finished; each leaves the array at the end of both PE rows for both pairs of channels: 4 times, so the
    buffer is accessed 18 x 2 x 3 times; of 16 additions, 12 are from PE to PE.
    """
    layer = Layer("", C=4, M=2, H=4, R=2, E=3)
    found = dict(
        (tuple(parameters[name] for name in "rtf"), flows)
        for parameters, flows in mappings("WS", layer, 1, Hardware(8, 1, 1000))
    )
    flows = found[2, 1, 3]
    assert flows == {
        "ifmap": (128, 128, 288, 288),
        "filter": (32, 32, 32, 288),
        "psum": (18, 72, 288, 288),
    }
    assert psum_accesses(flows["psum"], 18) == (18, 2 * 18 * 3, 18 * 12, 0)


@pytest.mark.parametrize(
    ("key", "parameters", "flows"),
    [
        # Two filters of four fit; lines of 7 pixels (f = 3) for each of 3 ofmap lines and 3 filter rows, 3 channels,
        # read twice: 2 x 3 x 3 x 3 x 7 = 378; from the buffer for each filter (p = 1). Weights 4 x 27, once for each
        # of 3 lines: 324.
        (
            "OS_B",
            {"m": 2, "n": 1, "p": 1, "f": 3},
            {"ifmap": (378, 756, 972, 972), "filter": (108, 324, 972, 972), "psum": (36, 36, 36, 972)},
        ),
        # Windows of 27 pixels for 9 ofmap pixels, read for each of two pairs of filters: 486, and from the buffer for
        # each filter: 972; weights 108 for each of 9 pixels: 972.
        (
            "OS_C",
            {"m": 2, "n": 1, "p": 1},
            {"ifmap": (486, 972, 972, 972), "filter": (108, 972, 972, 972), "psum": (36, 36, 36, 972)},
        ),
    ],
)
def test_output_stationary_b_and_c_by_hand(key, parameters, flows):
    """The small layer at batch 1: 4 x 3 x 9 x 9 = 972 MACs."""
    room = {"OS_B": 2 * 27 + 3 * 3 * 7, "OS_C": 2 * 27 + 27}[key]
    found = {
        tuple(found[name] for name in parameters): flows
        for found, flows in mappings(key, SMALL, 1, Hardware(24, 5, room))
    }
    assert found[tuple(parameters.values())] == flows
    assert max(m for m, *rest in found if rest == list(parameters.values())[1:]) == 2, "no more fit"


@pytest.mark.parametrize("key", sorted(BY_KEY))
@pytest.mark.parametrize("words", [150, 260, 400])
def test_no_size_that_the_search_leaves_out_is_better(monkeypatch, key, words):
    """The search tries fewer part sizes than there are: the rest, tried as well, spends no less."""

    def every(total, most=None):
        return list(range(1, min(total, most if most is not None else total) + 1))

    def each(columns, most):
        for k in range(1, max(most, default=0) + 1):
            fits = framework.keep(columns, most >= k)
            yield fits | {"k": np.full(len(fits["n"]), k)}

    hardware = Hardware(pes=24, rf_words=20, buffer_words=words)
    found = best_mapping(BY_KEY[key], SMALL, 3, hardware)
    module = __import__(BY_KEY[key].candidates.__module__, fromlist=["sizes"])
    monkeypatch.setattr(module, "sizes", every)
    if hasattr(module, "one_or_most"):
        monkeypatch.setattr(module, "one_or_most", each)
    best = best_mapping(BY_KEY[key], SMALL, 3, hardware)
    energies = [sum(sum(levels.values()) for levels in mapped.energy().values()) for mapped in (found, best)]
    assert energies[0] == energies[1], (found.parameters, best.parameters)


def fitting(key, layer, words):
    return [parameters for parameters, _ in mappings(key, layer, 1, Hardware(pes=24, rf_words=20, buffer_words=words))]


def test_row_stationary_needs_psums_and_ifmaps_in_the_buffer():
    """Of 4 channels in the array, 3 are there: 3 lines of 3 x 7 pixels, and 3 x 1 psums of each of 2 filters: 69."""
    wanted = {"m": 2, "n": 1, "e": 1, "p": 1, "q": 2, "r": 2, "t": 2}
    assert wanted in [{name: one[name] for name in wanted} for one in fitting("RS", SMALL, 69)]
    assert wanted not in [{name: one[name] for name in wanted} for one in fitting("RS", SMALL, 68)]


def test_weight_stationary_needs_psums_and_lines_in_the_buffer():
    """Psums of 3 x 3 pixels of 2 filters; behind R - 1 = 2 rows of PEs, 7 - 3 pixels of 2 filters, 1 channel: 34."""
    wanted = {"r": 1, "t": 2, "f": 3}
    assert wanted in [{name: one[name] for name in wanted} for one in fitting("WS", SMALL, 34)]
    assert wanted not in [{name: one[name] for name in wanted} for one in fitting("WS", SMALL, 33)]


def test_of_equal_mappings_the_one_with_the_most_pes_is_taken():
    words = framework.flow(np.zeros(3), 9, 9, 9, 9)
    some = framework.Candidates({"x": np.arange(3)}, np.array([2, 5, 3]), words, words, words)
    dataflow = framework.Dataflow("", "", lambda layers: 0, lambda layer, batch, hardware: [some])
    assert best_mapping(dataflow, SMALL, 1, TIGHT).parameters == {"x": 1}


def test_a_machine_may_be_for_other_layers():
    """OS_A's RFs are for CONV1, with U = 4 and R = 11: 1 + 4 + 44 words; for FC3 alone they would have 3."""
    result = total(BY_KEY["OS_A"], layers.FC[2:], 256, 1, machine_layers=layers.CONV)
    assert result.machine.rf_words == 49
    assert total(BY_KEY["OS_A"], layers.FC[2:], 256, 1).machine.rf_words == 3


def test_what_does_not_fit_is_said():
    """64 images' psums of one CONV1 filter are 193,600 words, more than the buffer has."""
    result = total(BY_KEY["WS"], layers.CONV, 256, 64)
    assert result.machine.buffer_words < 64 * 55 * 55
    assert result.missing == ("CONV1",)
    assert len(result.layers) == 4


def test_storage_has_the_same_area():
    """Equation 2; what is left over is less than a word's area for each dataflow."""
    baseline = 256 * storage.area(512) + storage.area(256 * 512)
    for dataflow in DATAFLOWS:
        machine = storage.hardware(dataflow, layers.CONV, 256)
        spent = 256 * storage.area(2 * machine.rf_words) + storage.area(2 * machine.buffer_words)
        assert 0 <= baseline - spent < storage.WORD_BYTES * storage.AREA_PER_BYTE[4096], dataflow.key


def test_storage_differs_as_published():
    machines = [storage.hardware(dataflow, layers.CONV, 256) for dataflow in DATAFLOWS]
    buffers = [machine.buffer_words for machine in machines]
    kibibytes = [2 * (256 * machine.rf_words + machine.buffer_words) / 1024 for machine in machines]
    assert round(max(buffers) / min(buffers), 1) == PUBLISHED.buffer_ratio
    assert round(max(kibibytes) - min(kibibytes), -1) == PUBLISHED.difference_kilobytes


def test_layers_are_those_of_the_network():
    net = network("alexnet")
    for layer in layers.CONV:
        conv = net.layer(layer.name.lower())
        height, _, channels = conv.input_shape
        assert (layer.C * layer.groups, layer.M * layer.groups) == (channels, conv.filter_shape[0])
        assert (height + sum(conv.padding[:2]), conv.filter_shape[1]) == (layer.H, layer.R)
        assert (layer.E, layer.U, layer.groups) == (conv.output_shape[0], conv.stride[0], conv.groups)


@pytest.fixture(scope="module")
def compared():
    unit = total(BY_KEY["RS"], layers.CONV, PUBLISHED.pes, 1).energy
    return unit, {key: total(BY_KEY[key], layers.CONV, PUBLISHED.pes, PUBLISHED.batch) for key in BY_KEY}


def test_the_published_order_comes_out(compared):
    _, totals = compared
    assert sorted(totals, key=lambda key: totals[key].energy) == PUBLISHED.order


def test_published_dram_accesses_come_out_to_the_digit(compared):
    """RS and OS_A differ; docs/dataflows.md says by how much and why."""
    _, totals = compared
    same = {key for key in totals if round(totals[key].dram, 5) == PUBLISHED.dram[key]}
    assert same == {"WS", "OS_B", "OS_C", "NLR"}


def test_energies_are_within_a_percent_of_the_published(compared):
    unit, totals = compared
    deviations = {key: totals[key].energy / unit / PUBLISHED.energy[key] - 1 for key in totals}
    assert max(map(abs, deviations.values())) < 0.01, deviations


def test_levels_and_types_of_data_add_up(compared):
    for result in compared[1].values():
        assert sum(result.by_level.values()) == pytest.approx(1 + sum(result.by_data.values()), rel=1e-12)
