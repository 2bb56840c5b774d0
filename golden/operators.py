"""Integer operators of the TFLite int8 specification; feature maps are NHWC."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from golden.arithmetic import multiply_by_quantized_multiplier, requantise

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]

NO_PADDING: Padding = (0, 0, 0, 0)
ADD_LEFT_SHIFT = 20
"""Left shift of both inputs of an int8 addition."""
_CHUNK = 1 << 22  # operands converted to float64 at a time: 32 MiB


def output_size(size: int, window: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return the output positions along one axis; ``padding`` is the sum of both sides."""
    return (size + padding - (window - 1) * dilation - 1) // stride + 1


def same_padding(size: Pair, window: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Padding:
    """Return the (top, bottom, left, right) padding that TFLite calls SAME; the odd one goes below and right.

    Source: ``ComputePaddingWithOffset``, ``tensorflow/lite/kernels/padding.h``.
    """
    sides = []
    for n, r, u, d in zip(size, window, stride, dilation, strict=True):
        total = max((-(-n // u) - 1) * u + (r - 1) * d + 1 - n, 0)
        sides += [total // 2, total - total // 2]
    return sides[0], sides[1], sides[2], sides[3]


def conv2d(
    ifmap: np.ndarray,
    filters: np.ndarray,
    bias: ArrayLike | None,
    *,
    multiplier: ArrayLike,
    shift: ArrayLike,
    input_zero_point: int,
    output_zero_point: int,
    stride: Pair = (1, 1),
    padding: Padding = NO_PADDING,
    groups: int = 1,
    dilation: Pair = (1, 1),
    minimum: int = -128,
    maximum: int = 127,
) -> np.ndarray:
    """Return the ofmap of a convolution; grouped and depthwise ones too (depthwise: as many groups as channels).

    Source: ``ConvPerChannel`` and ``DepthwiseConvPerChannel``, ``conv.h`` and ``depthwise_conv.h`` in
    ``tensorflow/lite/kernels/internal/reference/integer_ops/``.

    Parameters
    ----------
    ifmap : int8 array (N, H, W, C)
        Input activations.
    filters : int8 array (M, R, S, C / groups)
        Weights; group g makes the g-th run of M / groups ofmap channels from the g-th run of C / groups channels.
    bias : int32 array (M,) or None
        Added to the psums.
    multiplier, shift : int32 scalars or arrays (M,)
        Requantisation.
    input_zero_point, output_zero_point : int
        Activations that mean zero; padding has the input's.
    stride, dilation : (height, width)
        Distance between output positions and between filter taps, in pixels.
    padding : (top, bottom, left, right)
        Pixels added around the ifmap.
    groups : int
        Independent parts of the channels.
    minimum, maximum : int
        Activation clamp.

    Returns
    -------
    int8 array (N, E, F, M)

    Raises
    ------
    OverflowError
        If a sum does not fit in 32 bits.
    """
    psums = conv2d_psums(ifmap, filters, input_zero_point, stride, padding, groups, dilation)
    acc = psums if bias is None else psums + np.asarray(bias, dtype=np.int64)
    return requantise(acc, multiplier, shift, zero_point=output_zero_point, minimum=minimum, maximum=maximum)


def conv2d_psums(
    ifmap: np.ndarray,
    filters: np.ndarray,
    input_zero_point: int,
    stride: Pair = (1, 1),
    padding: Padding = NO_PADDING,
    groups: int = 1,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """Return the exact int64 sums of a convolution, before bias and requantisation; parameters as :func:`conv2d`."""
    _check_int8(ifmap=ifmap, filters=filters)
    m, r, s, depth = filters.shape
    x = _pad(ifmap.astype(np.int16) - np.int16(input_zero_point), padding, 0)
    windows = _windows(x, (r, s), stride, dilation)
    n, e, f = windows.shape[:3]
    # (G, N, E, F, R, S, C / G) against (G, R * S * C / G, M / G)
    windows = windows.reshape(n, e, f, groups, depth, r, s).transpose(3, 0, 1, 2, 5, 6, 4)
    weights = filters.reshape(groups, m // groups, r * s * depth)
    psums = np.empty((n, e, f, m), dtype=np.int64)
    for image, rows in _row_chunks(n, e, f * groups * r * s * depth):
        patches = windows[:, image, rows].reshape(groups, -1, r * s * depth)
        sums = _exact_matmul(patches, weights)
        psums[image, rows] = sums.transpose(1, 0, 2).reshape(-1, f, m)
    return psums


def fully_connected(
    ifmap: np.ndarray,
    filters: np.ndarray,
    bias: ArrayLike | None,
    *,
    multiplier: ArrayLike,
    shift: ArrayLike,
    input_zero_point: int,
    output_zero_point: int,
    minimum: int = -128,
    maximum: int = 127,
) -> np.ndarray:
    """Return the (N, M) int8 outputs of a fully connected layer; the ifmap (N, ...) is flattened in memory order.

    Source: ``FullyConnected``, ``tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h``; double
    rounding as in TFLite for microcontrollers. Parameters as :func:`conv2d`, ``filters`` (M, C).
    """
    _check_int8(ifmap=ifmap, filters=filters)
    x = ifmap.reshape(1, len(ifmap), -1).astype(np.int16) - np.int16(input_zero_point)
    psums = _exact_matmul(x, filters[np.newaxis])[0]
    acc = psums if bias is None else psums + np.asarray(bias, dtype=np.int64)
    return requantise(acc, multiplier, shift, zero_point=output_zero_point, minimum=minimum, maximum=maximum)


def max_pool2d(
    ifmap: np.ndarray,
    window: Pair,
    *,
    stride: Pair,
    padding: Padding = NO_PADDING,
    minimum: int = -128,
    maximum: int = 127,
) -> np.ndarray:
    """Return the greatest activation of each window, padding ignored, clamped.

    Source: ``MaxPool``, ``tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h``.
    """
    _check_int8(ifmap=ifmap)
    windows = _windows(_pad(ifmap, padding, -128), window, stride, (1, 1))
    return np.clip(windows.max(axis=(4, 5)), minimum, maximum).astype(np.int8)


def average_pool2d(
    ifmap: np.ndarray,
    window: Pair,
    *,
    stride: Pair,
    padding: Padding = NO_PADDING,
    minimum: int = -128,
    maximum: int = 127,
) -> np.ndarray:
    """Return the mean of each window's valid positions, rounded half away from zero, clamped.

    Source: ``AveragePool``, ``tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h``.
    """
    _check_int8(ifmap=ifmap)
    sums = _windows(_pad(ifmap, padding, 0), window, stride, (1, 1)).sum(axis=(4, 5), dtype=np.int64)
    counts = pool_counts(ifmap.shape[1:3], window, stride=stride, padding=padding)[:, :, np.newaxis]
    means = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
    return np.clip(means, minimum, maximum).astype(np.int8)


def pool_counts(size: Pair, window: Pair, *, stride: Pair, padding: Padding = NO_PADDING) -> np.ndarray:
    """Return how many positions of each window are not padding, an int64 array (E, F)."""
    ones = np.ones((1, *size, 1), dtype=np.int64)
    return _windows(_pad(ones, padding, 0), window, stride, (1, 1)).sum(axis=(4, 5))[0, :, :, 0]


def add(
    first: np.ndarray,
    second: np.ndarray,
    *,
    input_zero_points: Pair,
    input_multipliers: Pair,
    input_shifts: Pair,
    output_zero_point: int,
    output_multiplier: int,
    output_shift: int,
    minimum: int = -128,
    maximum: int = 127,
) -> np.ndarray:
    """Return the sum of two int8 feature maps with scales of their own, clamped.

    Source: ``AddElementwise``, ``tensorflow/lite/kernels/internal/reference/integer_ops/add.h``, with the left shift
    of ``CalculateOpDataAdd``, ``tensorflow/lite/micro/kernels/add_common.cc``.

    Parameters
    ----------
    first, second : int8 arrays of one shape
        Input activations.
    input_zero_points, input_multipliers, input_shifts : (int, int)
        Of the two inputs, after a left shift of :data:`ADD_LEFT_SHIFT`; a negative shift is a right shift.
    output_zero_point, output_multiplier, output_shift : int
        Of the sum.
    minimum, maximum : int
        Activation clamp.
    """
    _check_int8(first=first, second=second)
    scaled = [
        multiply_by_quantized_multiplier((x.astype(np.int64) - zero) << ADD_LEFT_SHIFT, multiplier, shift)
        for x, zero, multiplier, shift in zip(
            (first, second), input_zero_points, input_multipliers, input_shifts, strict=True
        )
    ]
    return requantise(
        scaled[0] + scaled[1],
        output_multiplier,
        output_shift,
        zero_point=output_zero_point,
        minimum=minimum,
        maximum=maximum,
    )


def _check_int8(**arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        if array.dtype != np.int8:
            raise TypeError(f"{name} must be an int8 array, not {array.dtype}")


def _pad(x: np.ndarray, padding: Padding, value: int) -> np.ndarray:
    top, bottom, left, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _windows(x: np.ndarray, window: Pair, stride: Pair, dilation: Pair) -> np.ndarray:
    """View of every window: (N, E, F, C, R, S)."""
    extent = tuple((r - 1) * d + 1 for r, d in zip(window, dilation, strict=True))
    view = sliding_window_view(x, extent, axis=(1, 2))
    return view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]


def _row_chunks(images: int, rows: int, operands_per_row: int) -> Iterator[tuple[int, slice]]:
    step = max(1, _CHUNK // operands_per_row)
    for image in range(images):
        for row in range(0, rows, step):
            yield image, slice(row, min(row + step, rows))


def _exact_matmul(patches: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (G, P, K) times (G, M, K) as int64 (G, P, M); float64 adds integers below 2**53 exactly."""
    groups, m, k = weights.shape
    left = patches.astype(np.float64)
    step = max(1, _CHUNK // (groups * k))
    parts = [left @ weights[:, i : i + step].transpose(0, 2, 1).astype(np.float64) for i in range(0, m, step)]
    return np.concatenate(parts, axis=2).astype(np.int64)
