"""What DRAM holds beforehand: filters and parameters as the layer has them, made only when somebody reads them."""

import math
from random import Random

import numpy as np
import pytest

from compiler.graph import Conv, FullyConnected, Network, NetworkError, Quantisation, deferred
from compiler.mapping import units
from compiler.packing import filter_words
from compiler.program import compile_layers, compile_network
from compiler.work import lower
from golden.machine import predict
from hw import spec
from hw.config import preset

CONFIG = preset("tiny")
REQUANTISATION = {"multiplier": 1 << 30, "shift": -8, "input_zero_point": 0, "output_zero_point": 0}


def one(layer):
    return Network(name="n", input_shape=layer.input_shape, input_quantisation=Quantisation(), layers=(layer,))


def random_conv(rng, m, height, width, channels, groups=1):
    shape = (m, height, width, channels // groups)
    filters = np.frombuffer(rng.randbytes(math.prod(shape)), np.int8).reshape(shape)
    numbers = np.arange(m, dtype=np.int32)
    fields = REQUANTISATION | {"bias": numbers - 3, "multiplier": numbers + 5, "shift": -numbers}
    return Conv(name="c", input_shape=(height + 3, width + 3, channels), filters=filters, groups=groups, **fields)


#: M, R, S, C and groups: a few slots and pairs beyond; windows in several slices; groups; depthwise.
SHAPES = [(5, 3, 3, 7, 1), (10, 2, 50, 3, 1), (9, 7, 2, 20, 1), (12, 3, 3, 12, 4), (13, 9, 3, 13, 13), (3, 1, 1, 90, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_filters_come_back_from_their_segments(shape):
    """Every PE row's words hold the weights of its (channel, filter row) pairs; where nothing is, they are zero."""
    m, height, width, channels, groups = shape
    layer = random_conv(Random(1), m, height, width, channels, groups)
    program = compile_network(one(layer), CONFIG)
    works = lower(layer, psum_bits=CONFIG.psum_bits)
    left = iter(program.segments[len(works) : -1])
    found = np.zeros((m, height, width, channels // groups), int)
    for work, mapping in zip(works, program.layers[0].mappings, strict=True):
        for unit in units(work, mapping, CONFIG):
            for piece in unit.slices:
                _, data = next(left)
                words = filter_words(piece, mapping, CONFIG)
                lanes = np.frombuffer(data, np.int8).reshape(unit.groups, words, piece.active_rows, 8)
                flat = lanes.transpose(0, 2, 1, 3).reshape(unit.groups, piece.active_rows, -1).astype(int)
                used = piece.slots * mapping.taps * mapping.filters
                assert not flat[:, :, used:].any()
                taps = flat[:, :, :used].reshape(unit.groups, piece.active_rows, piece.slots, mapping.taps, -1)
                add(found, taps, work, piece)
    assert not list(left)
    assert np.array_equal(found, layer.filters)


def add(found, taps, work, piece):
    """Add the weights of a slice, (filter group, PE row, slot, tap, filter), to those found before."""
    height = work.window[0]
    for group, row, slot, tap, filter_ in zip(*np.nonzero(taps), strict=True):
        weight, column = taps[group, row, slot, tap, filter_], piece.tap + tap
        if work.depthwise:
            channel, filter_row = piece.pair // height + slot, piece.pair % height + row
            found[work.ofmap_channel + channel, filter_row, column, 0] += weight
        else:
            channel, filter_row = divmod(piece.pair + slot * CONFIG.rows + row, height)
            ofmap_channel = work.ofmap_channel + group * taps.shape[-1] + filter_
            found[ofmap_channel, filter_row, column, channel] += weight


def test_parameters_come_first():
    layer = random_conv(Random(2), 11, 1, 1, 3)
    (address, data), *_ = compile_network(one(layer), CONFIG).segments
    table = np.frombuffer(data, np.int32).reshape(-1, 4)
    assert np.array_equal(table[:, 0], layer.bias) and np.array_equal(table[:, 1], layer.multiplier)
    assert np.array_equal(table[:, 2], layer.shift) and not table[:, 3].any()
    assert address % spec.PARAMETER_BYTES == 0


def test_segments_are_as_long_as_was_reserved_and_made_once():
    program = compile_network(one(random_conv(Random(3), 9, 3, 3, 5)), CONFIG)
    assert [len(data) for _, data in program.segments] == [segment.size_bytes for segment in program.contents]
    assert program.segments is program.segments


class Weights:
    """Filters that count how often they are made."""

    def __init__(self, weight):
        self.weight, self.made = weight, 0

    def __call__(self, *shape):
        def make():
            self.made += 1
            return np.full(shape, self.weight, np.int8)

        return deferred(shape, make)


def layers(weights):
    conv = Conv(name="a", input_shape=(5, 5, 8), filters=weights(16, 3, 3, 8), **REQUANTISATION)
    fully = FullyConnected(name="b", input_shape=(3, 3, 16), filters=weights(10, 144), **REQUANTISATION)
    return Network(name="n", input_shape=(5, 5, 8), input_quantisation=Quantisation(), layers=(conv, fully))


def test_the_cost_needs_no_weights():
    weights = Weights(1)
    net = layers(weights)
    for program in (compile_network(net, CONFIG, batch=2), compile_layers(net, ["b"], CONFIG)):
        predict(CONFIG, program.commands)
    assert weights.made == 0
    program.image([np.zeros((1, 3, 3, 16), np.int8)])
    assert weights.made == 1  # of the layer that the program has


def test_weights_decide_where_the_widths_alone_do_not():
    """648 products of 128 * 128 can leave 24 bits; whether these do is found out once for a network."""
    narrow = CONFIG.with_fields({"psum_bits": 24})
    for weight, fits in ((5, True), (-128, False)):
        weights = Weights(weight)
        net = one(Conv(name="a", input_shape=(9, 9, 8), filters=weights(2, 9, 9, 8), **REQUANTISATION))
        for _ in range(2):
            if fits:
                compile_network(net, narrow)
            else:
                reach = f"{-648 * 128 * 127} to {648 * 128 * 128}"
                with pytest.raises(
                    NetworkError, match=f"^psums of layer a must fit in 24 bits, not reach from {reach}$"
                ):
                    compile_network(net, narrow)
        assert weights.made == 1


@pytest.mark.parametrize(
    ("zero_point", "weight", "reached"),
    [
        (-128, 127, (None, 36 * 127 * 255)),
        (-128, -128, (-36 * 128 * 255, None)),
        (127, 127, (-36 * 127 * 255, None)),
        (127, -128, (None, 36 * 128 * 255)),
        (0, -128, (-36 * 128 * 127, 36 * 128 * 128)),
        (0, 127, (None, None)),
        (0, 0, (None, None)),
    ],
)
def test_bounds_of_psums_hold_for_any_filters_and_are_reached(zero_point, weight, reached):
    fields = REQUANTISATION | {"input_zero_point": zero_point}
    conv = Conv(name="a", input_shape=(3, 3, 4), filters=np.full((2, 3, 3, 4), weight, np.int8), **fields)
    (low, high), (least, most) = conv.psum_range, conv.psum_bounds
    assert least <= low <= high <= most
    assert reached[0] in (None, low) and reached[1] in (None, high)
    assert reached[0] in (None, least) and reached[1] in (None, most)
