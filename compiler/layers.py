"""What every layer of a network has in common, and pooling; :mod:`compiler.weighted` has the layers with filters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from golden import arithmetic, operators
from golden.operators import NO_PADDING, Padding, Pair

Shape = tuple[int, int, int]  # (H, W, C)
POOL_KINDS = ("max", "average")


class NetworkError(ValueError):
    """A network that cannot be described; the message names field, value and what is allowed."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Layer:
    """One layer, framework-neutral and immutable; activations are int8.

    Parameters
    ----------
    name : str
        Unique in its network.
    input_shape : (H, W, C)
        Shape of the ifmap.
    inputs : tuple of str
        The layers whose ofmaps it reads; empty means the layer before, or the network's input.
    minimum, maximum : int
        Activation clamp.

    Raises
    ------
    NetworkError
        If a field is not allowed.
    """

    name: str
    input_shape: Shape
    inputs: tuple[str, ...] = ()
    minimum: int = -128
    maximum: int = 127

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise NetworkError(f"name of a layer must be text that is not empty, not {self.name!r}")
        self._check_integers("input_shape", 3, 1)
        if not isinstance(self.inputs, tuple) or not all(isinstance(name, str) for name in self.inputs):
            raise self._error("inputs", "a tuple of layer names", self.inputs)
        self._check_activation("minimum", -128)
        self._check_activation("maximum", self.minimum)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {self.input_shape} -> {self.output_shape})"

    @property
    def output_shape(self) -> Shape:
        """Shape (E, F, M) of the ofmap."""
        raise NotImplementedError

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Shapes (H, W, C) of the ifmaps."""
        return (self.input_shape,)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, padded taps included; what has no filters has none."""
        return 0

    def zero_point_after(self, zero_point: int) -> int:
        """Return the ofmap's zero point, given the ifmap's."""
        return zero_point

    def reference(self, *ifmaps: np.ndarray) -> np.ndarray:
        """Return the int8 ofmap (N, E, F, M) of the int8 ifmap (N, H, W, C)."""
        (ifmap,) = ifmaps
        self._check_ifmap(ifmap, self.input_shape)
        return self._compute(ifmap)

    def _check_ifmap(self, ifmap: np.ndarray, shape: Shape) -> None:
        if ifmap.dtype != np.int8 or ifmap.shape[1:] != shape:
            allowed = "int8 of shape (N, {}, {}, {})".format(*shape)
            raise NetworkError(
                f"ifmap of layer {self.name} must be {allowed}, not {ifmap.dtype} of shape {ifmap.shape}"
            )

    def _compute(self, ifmap: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _error(self, field: str, allowed: str, value: object) -> NetworkError:
        return NetworkError(f"{field} of layer {self.name} must be {allowed}, not {value!r}")

    def _check_integers(self, field: str, count: int, low: int) -> None:
        value = getattr(self, field)
        if not isinstance(value, tuple) or len(value) != count or not all(is_integer(v) and v >= low for v in value):
            raise self._error(field, f"a tuple of {count} integers from {low} up", value)

    def _check_one_input(self) -> None:
        if len(self.inputs) > 1:
            raise self._error("inputs", "a tuple of at most one layer name", self.inputs)

    def _check_activation(self, field: str, low: int = -128) -> None:
        value = getattr(self, field)
        if not is_integer(value) or not low <= value <= 127:
            raise self._error(field, f"an integer from {low} to 127", value)

    def _ofmap_size(self, window: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)) -> Pair:
        """Return (E, F), checked to be positive."""
        sizes = [
            operators.output_size(
                self.input_shape[i], window[i], stride[i], sum(padding[2 * i : 2 * i + 2]), dilation[i]
            )
            for i in (0, 1)
        ]
        if min(sizes) < 1:
            raise self._error("input_shape", f"as large as the {window} window once padded", self.input_shape)
        return sizes[0], sizes[1]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Pool(Layer):
    """Max or average pooling; the activations keep their zero point.

    Parameters
    ----------
    kind : str
        ``"max"`` or ``"average"``.
    window, stride : (height, width)
        Pixels combined, and distance between output positions.
    padding : (top, bottom, left, right)
        Positions around the ifmap; neither maximum nor average counts them.
    """

    kind: str
    window: Pair
    stride: Pair
    padding: Padding = NO_PADDING

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_one_input()
        if self.kind not in POOL_KINDS:
            raise self._error("kind", " or ".join(POOL_KINDS), self.kind)
        self._check_integers("window", 2, 1)
        self._check_integers("stride", 2, 1)
        self._check_integers("padding", 4, 0)
        if any(pad >= self.window[side // 2] for side, pad in enumerate(self.padding)):
            raise self._error("padding", f"less than the window {self.window} on each side", self.padding)
        if self.kind == "average" and math.prod(self.window) > arithmetic.AVERAGE_MAXIMUM_COUNT:
            raise self._error("window", f"at most {arithmetic.AVERAGE_MAXIMUM_COUNT} pixels to average", self.window)
        self._ofmap_size(self.window, self.stride, self.padding)

    @property
    def output_shape(self) -> Shape:
        """Shape (E, F, C) of the ofmap."""
        return (*self._ofmap_size(self.window, self.stride, self.padding), self.input_shape[2])

    def _compute(self, ifmap: np.ndarray) -> np.ndarray:
        operator = operators.max_pool2d if self.kind == "max" else operators.average_pool2d
        clamp = {"minimum": self.minimum, "maximum": self.maximum}
        return operator(ifmap, self.window, stride=self.stride, padding=self.padding, **clamp)


def is_integer(value: object) -> bool:
    """Whether ``value`` is an integer, NumPy's included; truth values are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
