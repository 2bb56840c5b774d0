"""The operators against loops written from their definition, one multiplication at a time."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import operators
from golden.arithmetic import multiply_by_quantized_multiplier


def naive_psums(x, filters, zero_point, stride, padding, groups, dilation):
    n, h, w, _ = x.shape
    m, r, s, depth = filters.shape
    e = (h + padding[0] + padding[1] - (r - 1) * dilation[0] - 1) // stride[0] + 1
    f = (w + padding[2] + padding[3] - (s - 1) * dilation[1] - 1) // stride[1] + 1
    psums = np.zeros((n, e, f, m), dtype=np.int64)
    for (i, row, column, filter_), _ in np.ndenumerate(psums):
        for (tap_row, tap_column, k), weight in np.ndenumerate(filters[filter_]):
            ifmap_row = row * stride[0] - padding[0] + tap_row * dilation[0]
            ifmap_column = column * stride[1] - padding[2] + tap_column * dilation[1]
            if 0 <= ifmap_row < h and 0 <= ifmap_column < w:
                channel = filter_ // (m // groups) * depth + k
                value = int(x[i, ifmap_row, ifmap_column, channel]) - zero_point
                psums[i, row, column, filter_] += value * int(weight)
    return psums


def naive_pool(x, window, stride, padding, combine):
    n, h, w, c = x.shape
    e = (h + padding[0] + padding[1] - window[0]) // stride[0] + 1
    f = (w + padding[2] + padding[3] - window[1]) // stride[1] + 1
    ofmap = np.zeros((n, e, f, c), dtype=np.int64)
    for (i, row, column, channel), _ in np.ndenumerate(ofmap):
        top, left = row * stride[0] - padding[0], column * stride[1] - padding[2]
        part = x[i, max(top, 0) : top + window[0], max(left, 0) : left + window[1], channel]
        ofmap[i, row, column, channel] = combine([int(value) for value in part.flat])
    return ofmap


def tflite_average(values):
    total, count = sum(values), len(values)
    return (total + count // 2) // count if total > 0 else -((-total + count // 2) // count)


@st.composite
def convolutions(draw):
    groups, depth, multiplier = (draw(st.integers(1, 3)) for _ in range(3))
    r, s = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    h = draw(st.integers(max(1, (r - 1) * dilation[0] + 1 - padding[0] - padding[1]), 8))
    w = draw(st.integers(max(1, (s - 1) * dilation[1] + 1 - padding[2] - padding[3]), 7))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    x = rng.integers(-128, 128, (draw(st.integers(1, 2)), h, w, groups * depth), dtype=np.int8)
    filters = rng.integers(-128, 128, (groups * multiplier, r, s, depth), dtype=np.int8)
    return x, filters, draw(st.integers(-128, 127)), stride, padding, groups, dilation


@given(case=convolutions())
@settings(max_examples=60, deadline=None)
def test_conv2d_psums(case):
    np.testing.assert_array_equal(operators.conv2d_psums(*case), naive_psums(*case))


@given(case=convolutions(), clamp=st.tuples(st.integers(-128, 0), st.integers(0, 127)), bias=st.booleans())
@settings(max_examples=30, deadline=None)
def test_conv2d_requantises_per_channel(case, clamp, bias):
    x, filters, zero_point, stride, padding, groups, dilation = case
    rng = np.random.default_rng(len(filters))
    biases = rng.integers(-20000, 20000, len(filters)) if bias else None
    multiplier, shift = rng.integers(1 << 30, 1 << 31, len(filters)), rng.integers(-11, -6, len(filters))
    ofmap = operators.conv2d(
        x,
        filters,
        biases,
        multiplier=multiplier,
        shift=shift,
        input_zero_point=zero_point,
        output_zero_point=-7,
        stride=stride,
        padding=padding,
        groups=groups,
        dilation=dilation,
        minimum=clamp[0],
        maximum=clamp[1],
    )
    acc = naive_psums(*case) + (biases if bias else 0)
    for m in range(len(filters)):
        scaled = multiply_by_quantized_multiplier(acc[..., m], multiplier[m], shift[m])
        np.testing.assert_array_equal(ofmap[..., m], np.clip(scaled - 7, *clamp))


def test_conv2d_in_chunks(monkeypatch):
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (2, 9, 8, 6), dtype=np.int8)
    filters = rng.integers(-128, 128, (10, 3, 3, 3), dtype=np.int8)
    arguments = (x, filters, 5, (1, 2), (1, 0, 1, 1), 2)
    whole = operators.conv2d_psums(*arguments)
    monkeypatch.setattr(operators, "_CHUNK", 500)
    np.testing.assert_array_equal(operators.conv2d_psums(*arguments), whole)


def test_extreme_psums_are_exact():
    x, filters = np.full((1, 64, 64, 64), 127, np.int8), np.full((1, 64, 64, 64), -128, np.int8)
    assert operators.conv2d_psums(x, filters, -128).item() == -(64**3) * 255 * 128
    with pytest.raises(OverflowError, match=r"^accumulator must fit in 32 bits, not -8556380160$"):
        operators.conv2d(x, filters, None, multiplier=1, shift=0, input_zero_point=-128, output_zero_point=0)


@given(seed=st.integers(0, 1 << 32), inputs=st.integers(1, 40), outputs=st.integers(1, 9), zero=st.integers(-128, 127))
@settings(deadline=None)
def test_fully_connected(seed, inputs, outputs, zero):
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (3, inputs), dtype=np.int8)
    filters = rng.integers(-128, 128, (outputs, inputs), dtype=np.int8)
    bias, multiplier, shift = rng.integers(-9999, 9999, outputs), rng.integers(1 << 30, 1 << 31), -9
    requantisation = {"multiplier": multiplier, "shift": shift, "input_zero_point": zero, "output_zero_point": 4}
    result = operators.fully_connected(x, filters, bias, **requantisation, minimum=-100, maximum=90)
    acc = [[sum((int(a) - zero) * int(b) for a, b in zip(u, v, strict=True)) for v in filters] for u in x] + bias
    expected = np.clip(multiply_by_quantized_multiplier(acc, multiplier, shift) + 4, -100, 90)
    np.testing.assert_array_equal(result, expected)


def test_fully_connected_flattens_nhwc():
    rng = np.random.default_rng(2)
    x = rng.integers(-128, 128, (2, 3, 4, 5), dtype=np.int8)
    filters = rng.integers(-128, 128, (6, 60), dtype=np.int8)
    requantisation = {"multiplier": 1 << 30, "shift": -8, "input_zero_point": 9, "output_zero_point": 0}
    as_conv = operators.conv2d(x, filters.reshape(6, 3, 4, 5), None, **requantisation)
    np.testing.assert_array_equal(operators.fully_connected(x, filters, None, **requantisation), as_conv[:, 0, 0])


@st.composite
def pools(draw):
    window = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, window[side // 2] - 1)) for side in range(4))
    h, w = (draw(st.integers(max(1, r - sum(padding[2 * i : 2 * i + 2])), 9)) for i, r in enumerate(window))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    low = draw(st.sampled_from([-128, 0]))
    return (
        rng.integers(low, draw(st.sampled_from([low + 1, 128])), (2, h, w, 2), dtype=np.int8),
        window,
        stride,
        padding,
    )


@given(case=pools(), clamp=st.tuples(st.integers(-128, 0), st.integers(0, 127)))
@settings(max_examples=60, deadline=None)
def test_pools(case, clamp):
    x, window, stride, padding = case
    for operator, combine in ((operators.max_pool2d, max), (operators.average_pool2d, tflite_average)):
        ofmap = operator(x, window, stride=stride, padding=padding, minimum=clamp[0], maximum=clamp[1])
        assert ofmap.dtype == np.int8
        np.testing.assert_array_equal(ofmap, np.clip(naive_pool(x, window, stride, padding, combine), *clamp))


@given(case=pools())
@settings(deadline=None)
def test_pool_counts(case):
    x, window, stride, padding = case
    counts = operators.pool_counts(x.shape[1:3], window, stride=stride, padding=padding)
    np.testing.assert_array_equal(counts, naive_pool(x, window, stride, padding, len)[0, :, :, 0])


def test_average_rounds_half_away_from_zero():
    x = np.array([[-2, -1], [1, 2], [-5, -2], [5, 2]], dtype=np.int8).reshape(4, 1, 2, 1)
    assert operators.average_pool2d(x, (1, 2), stride=(1, 1)).flatten().tolist() == [-2, 2, -4, 4]


def c_scaled(x, multiplier, shift):
    """``MultiplyByQuantizedMultiplierSmallerThanOneExp``, as gemmlowp's C code computes it, on Python's integers."""
    product = x * multiplier
    nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    high = abs(nudged) >> 31  # C divides towards zero
    high = high if nudged >= 0 else -high
    mask = (1 << -shift) - 1
    return (high >> -shift) + ((high & mask) > (mask >> 1) + (high < 0))


@st.composite
def additions(draw):
    zero_points, shifts = (
        (draw(low_high), draw(low_high)) for low_high in (st.integers(-128, 127), st.integers(-9, 0))
    )
    multiplier = st.one_of(st.integers(1 << 30, (1 << 31) - 1), st.sampled_from([0, 1 << 30]))
    shape = draw(st.tuples(*[st.integers(1, 4)] * 4))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    first, second = (rng.integers(-128, 128, shape, dtype=np.int8) for _ in range(2))
    scaling = {
        "input_zero_points": zero_points,
        "input_multipliers": (draw(multiplier), draw(multiplier)),
        "input_shifts": shifts,
        "output_zero_point": draw(st.integers(-128, 127)),
        "output_multiplier": draw(multiplier),
        "output_shift": draw(st.integers(-24, -12)),
        "minimum": draw(st.integers(-128, 0)),
        "maximum": draw(st.integers(0, 127)),
    }
    return first, second, scaling


@given(case=additions())
@settings(max_examples=60, deadline=None)
def test_add(case):
    first, second, scaling = case
    ofmap = operators.add(first, second, **scaling)
    assert (ofmap.dtype, ofmap.shape) == (np.int8, first.shape)
    for index, value in np.ndenumerate(ofmap):
        total = sum(
            c_scaled((int(x[index]) - scaling["input_zero_points"][i]) << 20, *scales)
            for i, x in enumerate((first, second))
            for scales in [(scaling["input_multipliers"][i], scaling["input_shifts"][i])]
        )
        scaled = c_scaled(total, scaling["output_multiplier"], scaling["output_shift"]) + scaling["output_zero_point"]
        assert value == min(max(scaled, scaling["minimum"]), scaling["maximum"])


@pytest.mark.parametrize(
    ("size", "window", "stride", "dilation", "padding"),
    [
        ((28, 28), (5, 5), (1, 1), (1, 1), (2, 2, 2, 2)),
        ((224, 224), (3, 3), (2, 2), (1, 1), (0, 1, 0, 1)),  # MobileNetV1, first layer
        ((49, 10), (10, 4), (2, 2), (1, 1), (4, 5, 1, 1)),  # keyword spotting, first layer
        ((7, 7), (1, 1), (2, 3), (1, 1), (0, 0, 0, 0)),
        ((9, 11), (3, 3), (1, 1), (2, 3), (2, 2, 3, 3)),
    ],
)
def test_same_padding(size, window, stride, dilation, padding):
    assert operators.same_padding(size, window, stride, dilation) == padding
    for axis in (0, 1):
        total = sum(padding[2 * axis : 2 * axis + 2])
        outputs = operators.output_size(size[axis], window[axis], stride[axis], total, dilation[axis])
        assert outputs == -(-size[axis] // stride[axis])


def test_other_types_are_refused():
    x, filters = np.zeros((1, 2, 2, 1), np.int16), np.zeros((1, 1, 1, 1), np.int8)
    with pytest.raises(TypeError, match=r"^ifmap must be an int8 array, not int16$"):
        operators.conv2d_psums(x, filters, 0)
    with pytest.raises(TypeError, match=r"^filters must be an int8 array, not int16$"):
        operators.conv2d_psums(x.astype(np.int8), filters.astype(np.int16), 0)
    with pytest.raises(TypeError, match=r"^ifmap must be an int8 array, not int16$"):
        operators.max_pool2d(x, (1, 1), stride=(1, 1))
    pairs = {"input_zero_points": (0, 0), "input_multipliers": (1, 1), "input_shifts": (0, 0)}
    with pytest.raises(TypeError, match=r"^second must be an int8 array, not int16$"):
        operators.add(x.astype(np.int8), x, **pairs, output_zero_point=0, output_multiplier=1, output_shift=0)


def test_alexnet_conv2_is_fast():
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (1, 27, 27, 96), dtype=np.int8)
    filters = rng.integers(-128, 128, (256, 5, 5, 48), dtype=np.int8)
    start = time.perf_counter()
    psums = operators.conv2d_psums(x, filters, -128, padding=(2, 2, 2, 2), groups=2)
    assert time.perf_counter() - start < 2
    window = x[0, 10:15, 3:8, 48:].astype(np.int64) + 128
    assert psums[0, 12, 5, 200] == (window * filters[200]).sum()
