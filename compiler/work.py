"""Lowering: every layer becomes rectangles of one kind of work that the array knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from compiler.combining import Add
from compiler.graph import Conv, FullyConnected, NetworkError, Pool, Weighted
from compiler.layers import Layer
from golden.arithmetic import average_pool_multiplier

#: Requantisation that returns the psum itself: (x * 2) * 2**30 / 2**31.
IDENTITY_MULTIPLIER, IDENTITY_SHIFT = 1 << 30, 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """One rectangle of an ofmap over one group of channels.

    Parameters
    ----------
    channel, channels : int
        First ifmap channel and how many (C of the group).
    ofmap_channel, filters : int
        First ofmap channel and how many (M of the group); in depthwise work they are the ifmap's.
    window, stride : (height, width)
        R and S; U down and across.
    column_step : int
        Ifmap columns from one that is read to the next; ``stride`` and ``padding`` count those that are read.
    padding : (top, left)
        Rows and columns before the ifmap.
    rows, columns : range
        Ofmap rows and columns of the rectangle.
    depthwise, maximum, pool : bool
        How the array combines and counts.
    zero_point, pad_value : int
        Subtracted from the ifmap; what padding is after that.
    weights : callable
        Returns int8 (filters, R, S, channels), depthwise (channels, R, S).
    parameters : int64 array (filters, 3)
        Bias, multiplier and shift by ofmap channel.
    output_zero_point, minimum, maximum_activation : int
        Requantisation.
    """

    channel: int
    channels: int
    ofmap_channel: int
    filters: int
    window: tuple[int, int]
    stride: tuple[int, int]
    column_step: int
    padding: tuple[int, int]
    rows: range
    columns: range
    depthwise: bool
    maximum: bool
    pool: bool
    zero_point: int
    pad_value: int
    weights: Callable[[], np.ndarray]
    parameters: np.ndarray
    output_zero_point: int
    minimum: int
    maximum_activation: int

    def shape(self, channel_block: int) -> tuple[object, ...]:
        """Return what decides how the work is mapped; equal for groups that begin at one place of a channel block."""
        size = (self.channels, self.filters, self.window, self.stride, len(self.rows), len(self.columns))
        offsets = (self.channel % channel_block, self.ofmap_channel % channel_block)
        return (*size, self.column_step, self.depthwise, self.padding, *offsets)


def lower(layer: Layer, *, psum_bits: int) -> list[Work]:
    """Return the work of a layer.

    Parameters
    ----------
    layer : Layer
        What to compute.
    psum_bits : int
        Width of a psum; work whose sums could leave it is refused.

    Raises
    ------
    NetworkError
        If the machine cannot compute the layer.
    """
    if isinstance(layer, FullyConnected):
        _check_psums(layer, psum_bits)
        return _lower_conv(layer.as_conv())
    if isinstance(layer, Conv):
        if layer.dilation != (1, 1):
            raise NetworkError(f"dilation of layer {layer.name} must be (1, 1) on this machine, not {layer.dilation}")
        _check_psums(layer, psum_bits)
        return _lower_conv(layer)
    if isinstance(layer, Pool):
        return _lower_pool(layer)
    if isinstance(layer, Add):
        return _lower_pool(_identity(layer), zero_point=layer.input_zero_points[0])
    raise NetworkError(f"layer {layer.name} must be a convolution, fully connected or a pool, not {layer!r}")


def _strides(layer: Conv | Pool, rows: int, columns: int) -> dict[str, Any]:
    """Return stride and column step: a window one column wide skips the columns that its stride leaves out."""
    down, across = (u if n > 1 else 1 for u, n in zip(layer.stride, (rows, columns), strict=True))
    skips = layer.window[1] == 1 and layer.padding[2] == 0
    return {"stride": (down, 1 if skips else across), "column_step": across if skips else 1}


def _lower_conv(layer: Conv) -> list[Work]:
    rows, columns, m = layer.output_shape
    _, height, width, depth = layer.filter_shape
    bias = np.zeros(m, np.int64) if layer.bias is None else layer.bias.astype(np.int64)
    parameters = np.stack([bias, layer.multiplier.astype(np.int64), layer.shift.astype(np.int64)], axis=1)
    depthwise = depth == 1 and m == layer.groups and m > 1
    parts = 1 if depthwise else layer.groups
    share = m // parts

    def weights(part: int) -> Callable[[], np.ndarray]:
        if depthwise:
            return lambda: layer.filters[:, :, :, 0]
        return lambda: layer.filters[part * share : (part + 1) * share]

    return [
        Work(
            channel=part * depth,
            channels=m if depthwise else depth,
            ofmap_channel=part * share,
            filters=share,
            window=(height, width),
            **_strides(layer, rows, columns),
            padding=(layer.padding[0], layer.padding[2]),
            rows=range(rows),
            columns=range(columns),
            depthwise=depthwise,
            maximum=False,
            pool=False,
            zero_point=layer.input_zero_point,
            pad_value=0,
            weights=weights(part),
            parameters=parameters[part * share : (part + 1) * share],
            output_zero_point=layer.output_zero_point,
            minimum=layer.minimum,
            maximum_activation=layer.maximum,
        )
        for part in range(parts)
    ]


def _check_psums(layer: Weighted, psum_bits: int) -> None:
    """Prove that no psum leaves its range, with and without bias and left shift; read the filters only if need be."""
    limit = 1 << (psum_bits - 1)
    bias = np.zeros(1, np.int64) if layer.bias is None else layer.bias.astype(np.int64)
    least, most, left = min(0, int(bias.min())), max(0, int(bias.max())), int(max(0, layer.shift.max()))

    def scaled(low: int, high: int) -> tuple[int, int]:
        return (low + least) << left, (high + most) << left

    def fits(low: int, high: int) -> bool:
        return -limit <= low and high < limit

    if not fits(*scaled(*layer.psum_bounds)):
        low, high = scaled(*layer.psum_range)
        if not fits(low, high):
            raise NetworkError(
                f"psums of layer {layer.name} must fit in {psum_bits} bits, not reach from {low} to {high}"
            )


def _identity(layer: Add) -> Pool:
    """Return the layer that passes an addition's first input on unchanged; drain adds the second."""
    window: dict[str, Any] = {"window": (1, 1), "stride": (1, 1)}
    return Pool(name=layer.name, input_shape=layer.input_shape, kind="max", **window)


def residual_fields(layer: Add, own: int, offset: int) -> dict[str, int]:
    """Return the fields of ``drain.residual`` for an addition.

    Parameters
    ----------
    layer : Add
        The addition.
    own : int
        Which of its inputs (0 or 1) the strips make; the other one is in memory.
    offset : int
        Bytes from the ofmap to that one.
    """
    other = 1 - own
    return {
        "enable": 1,
        "address_offset": offset % (1 << 32),
        "multiplier": int(layer.input_multipliers[own]),
        "shift": -int(layer.input_shifts[own]),
        "residual_zero_point": int(layer.input_zero_points[other]),
        "residual_multiplier": int(layer.input_multipliers[other]),
        "residual_shift": -int(layer.input_shifts[other]),
        "sum_multiplier": int(layer.output_multiplier),
        "sum_shift": -int(layer.output_shift),
        "sum_zero_point": int(layer.output_zero_point),
        "sum_minimum": int(layer.minimum),
        "sum_maximum": int(layer.maximum),
    }


def _lower_pool(layer: Pool, *, zero_point: int = 0) -> list[Work]:
    """Return a pool's work; ``zero_point`` is what drain's addition shall subtract from its results."""
    rows, columns, channels = layer.output_shape
    maximum = layer.kind == "max"
    vertical = [(range(rows), 0)] if maximum else list(_classes(rows, layer, 0))
    horizontal = [(range(columns), 0)] if maximum else list(_classes(columns, layer, 1))
    works = []
    for row_range, high in vertical:
        for column_range, wide in horizontal:
            pair = (IDENTITY_MULTIPLIER, IDENTITY_SHIFT) if maximum else average_pool_multiplier(high * wide)
            works.append(
                Work(
                    channel=0,
                    channels=channels,
                    ofmap_channel=0,
                    filters=channels,
                    window=layer.window,
                    **_strides(layer, rows, columns),
                    padding=(layer.padding[0], layer.padding[2]),
                    rows=row_range,
                    columns=column_range,
                    depthwise=True,
                    maximum=maximum,
                    pool=True,
                    zero_point=0,
                    pad_value=-128 if maximum else 0,
                    weights=lambda: np.ones((channels, *layer.window), np.int8),
                    parameters=np.tile(np.array([[-zero_point, *pair]], np.int64), (channels, 1)),
                    output_zero_point=zero_point,
                    minimum=layer.minimum,
                    maximum_activation=layer.maximum,
                )
            )
    return works


def _classes(positions: int, layer: Pool, axis: int) -> Iterator[tuple[range, int]]:
    """Yield runs of output positions whose windows hold equally many valid pixels along an axis, with that number."""
    size, window, stride = layer.input_shape[axis], layer.window[axis], layer.stride[axis]
    before = layer.padding[2 * axis]

    def valid(position: int) -> int:
        start = position * stride - before
        return min(start + window, size) - max(start, 0)

    start = 0
    for position in range(1, positions + 1):
        if position == positions or valid(position) != valid(start):
            yield range(start, position), valid(start)
            start = position


def work_macs(work: Work) -> int:
    """Multiplications of the work for one image, padded taps included."""
    depth = 1 if work.depthwise else work.channels
    return len(work.rows) * len(work.columns) * work.filters * depth * math.prod(work.window)
