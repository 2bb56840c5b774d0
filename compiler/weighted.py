"""The layers with filters: convolution (grouped and depthwise ones too) and fully connected."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from compiler.layers import Layer, NetworkError, Shape, is_integer
from golden import arithmetic, operators
from golden.operators import NO_PADDING, Padding, Pair


def deferred(shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return what a layer takes in place of filters that shall be made when they are first read.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    make : callable
        Returns the int8 array.
    """
    return cast(np.ndarray, _Deferred(shape, make))


@dataclass(frozen=True, eq=False)
class _Deferred:
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]
    dtype: ClassVar[np.dtype] = np.dtype(np.int8)


class _FilterField:
    """Dataclass field that takes an array or a deferred one and always reads as an array."""

    def __set__(self, layer: Weighted, value: np.ndarray | _Deferred) -> None:
        vars(layer)["_filters"] = _read_only(value.copy()) if isinstance(value, np.ndarray) else value

    def __get__(self, layer: Weighted | None, owner: type) -> np.ndarray:
        if layer is None:  # tells dataclass that the field has no default
            raise AttributeError("filters")
        value = vars(layer)["_filters"]
        if isinstance(value, _Deferred):
            value = vars(layer)["_filters"] = _read_only(value.make())
        return value


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Weighted(Layer):
    """A layer with filters, bias and requantisation per ofmap channel.

    Parameters
    ----------
    filters : int8 array
        Weights, ofmap channels first; :func:`deferred` ones are made when they are first read.
    bias : int32 array (M,) or None
        Added to the psums.
    input_zero_point, output_zero_point : int
        Activations that mean zero.
    filter_zero_point : int
        Must be 0: weights are symmetric.
    multiplier, shift : int32 arrays (M,)
        Requantisation (:mod:`golden.arithmetic`); one integer stands for all channels.
    """

    filters: np.ndarray = cast(np.ndarray, _FilterField())
    bias: np.ndarray | None = None
    input_zero_point: int
    output_zero_point: int
    filter_zero_point: int = 0
    multiplier: np.ndarray
    shift: np.ndarray

    filter_axes: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_one_input()
        source = vars(self)["_filters"]
        dtype, shape = getattr(source, "dtype", None), getattr(source, "shape", ())
        if dtype != np.int8 or len(shape) != len(self.filter_axes) or min(shape) < 1:
            allowed = f"an int8 array ({', '.join(self.filter_axes)})"
            raise NetworkError(f"filters of layer {self.name} must be {allowed}, not {dtype} of shape {shape}")
        self._check_activation("input_zero_point")
        self._check_activation("output_zero_point")
        if self.filter_zero_point != 0:
            raise self._error("filter_zero_point", "0", self.filter_zero_point)
        self._spread("multiplier", 0, arithmetic.INT32_MAX)
        self._spread("shift", -31, 30)
        if self.bias is not None:
            self._spread("bias", arithmetic.INT32_MIN, arithmetic.INT32_MAX)

    @property
    def filter_shape(self) -> tuple[int, ...]:
        """Shape of ``filters``, known without making them."""
        return tuple(vars(self)["_filters"].shape)

    def zero_point_after(self, zero_point: int) -> int:
        """Return the ofmap's zero point, which the layer fixes itself."""
        return self.output_zero_point

    @functools.cached_property
    def psum_range(self) -> tuple[int, int]:
        """The least and the greatest psum, without bias, that any ifmap causes in any order of addition."""
        weights = self.filters.reshape(len(self.filters), -1)
        positive = np.maximum(weights, 0).sum(axis=1, dtype=np.int64)
        negative = np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
        low, high = self._operand_range
        return int((positive * low + negative * high).min()), int((positive * high + negative * low).max())

    @property
    def psum_bounds(self) -> tuple[int, int]:
        """Bounds of :attr:`psum_range`, whatever the filters."""
        low, high = self._operand_range
        depth = math.prod(self.filter_shape[1:])
        return depth * min(127 * low, -128 * high), depth * max(127 * high, -128 * low)

    @property
    def _operand_range(self) -> tuple[int, int]:
        """Least and greatest activation once the zero point is subtracted."""
        return -128 - self.input_zero_point, 127 - self.input_zero_point

    def _spread(self, field: str, low: int, high: int) -> None:
        """Check an integer per channel, or one for all, and keep it as a read-only int32 array."""
        m, array = self.filter_shape[0], np.asarray(getattr(self, field))
        if array.dtype.kind not in "iu" or array.shape not in ((), (m,)):
            allowed = f"one integer or an array of {m}"
            raise NetworkError(
                f"{field} of layer {self.name} must be {allowed}, not {array.dtype} of shape {array.shape}"
            )
        for value in (int(array.min()), int(array.max())):
            if not low <= value <= high:
                raise self._error(field, f"from {low} to {high}", value)
        object.__setattr__(self, field, _read_only(np.broadcast_to(array, (m,)).astype(np.int32)))

    def _requantisation(self) -> dict[str, Any]:
        names = ("multiplier", "shift", "input_zero_point", "output_zero_point", "minimum", "maximum")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Conv(Weighted):
    """Convolution with filters (M, R, S, C / groups); depthwise if ``groups`` equals C.

    Parameters
    ----------
    stride, dilation : (height, width)
        Distance between output positions and between filter taps.
    padding : (top, bottom, left, right)
        Pixels of ``input_zero_point`` around the ifmap.
    groups : int
        Independent parts of the channels.
    """

    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    groups: int = 1
    dilation: Pair = (1, 1)

    filter_axes = ("M", "R", "S", "C / groups")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_integers("stride", 2, 1)
        self._check_integers("dilation", 2, 1)
        self._check_integers("padding", 4, 0)
        m, _, _, depth = self.filter_shape
        c = self.input_shape[2]
        if not is_integer(self.groups) or self.groups < 1 or m % self.groups or depth * self.groups != c:
            allowed = f"a divisor of C = {c} and M = {m} that leaves the filters' {depth} channels"
            raise self._error("groups", allowed, self.groups)
        self._ofmap_size(self.window, self.stride, self.padding, self.dilation)

    @property
    def window(self) -> Pair:
        """Filter height and width (R, S)."""
        return self.filter_shape[1], self.filter_shape[2]

    @property
    def output_shape(self) -> Shape:
        """Shape (E, F, M) of the ofmap."""
        size = self._ofmap_size(self.window, self.stride, self.padding, self.dilation)
        return (*size, self.filter_shape[0])

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, padded taps included."""
        return math.prod(self.output_shape) * math.prod(self.filter_shape[1:])

    def _compute(self, ifmap: np.ndarray) -> np.ndarray:
        geometry: dict[str, Any] = {name: getattr(self, name) for name in ("stride", "padding", "groups", "dilation")}
        return operators.conv2d(ifmap, self.filters, self.bias, **geometry, **self._requantisation())


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FullyConnected(Weighted):
    """Fully connected layer with filters (M, H * W * C); the ifmap is flattened NHWC, the ofmap is (1, 1, M)."""

    filter_axes = ("M", "H * W * C")

    def __post_init__(self) -> None:
        super().__post_init__()
        inputs = math.prod(self.input_shape)
        if self.filter_shape[1] != inputs:
            raise self._error("filters", f"(M, {inputs}) for an ifmap {self.input_shape}", self.filter_shape)

    @property
    def output_shape(self) -> Shape:
        """Shape (1, 1, M) of the ofmap."""
        return (1, 1, self.filter_shape[0])

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return math.prod(self.filter_shape)

    def as_conv(self) -> Conv:
        """Return the convolution that computes the same: R = H, S = W, one output position."""
        shape = (self.filter_shape[0], *self.input_shape)
        names = [field.name for field in dataclasses.fields(self) if field.name != "filters"]
        same = {name: getattr(self, name) for name in names}
        return Conv(filters=deferred(shape, lambda: self.filters.reshape(shape)), **same)

    def _compute(self, ifmap: np.ndarray) -> np.ndarray:
        outputs = operators.fully_connected(ifmap, self.filters, self.bias, **self._requantisation())
        return outputs[:, np.newaxis, np.newaxis]


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
