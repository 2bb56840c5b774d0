"""Layers that combine several feature maps: elementwise addition and concatenation along channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compiler.layers import Layer, NetworkError, Shape, is_integer
from golden import operators
from golden.arithmetic import INT32_MAX, quantize_multiplier


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Combining(Layer):
    """A layer that reads two or more feature maps; ``inputs`` names their layers, "" means the network's input."""

    def reference(self, *ifmaps: np.ndarray) -> np.ndarray:
        """Return the int8 ofmap (N, E, F, M) of int8 ifmaps (N, H, W, C), one for each input."""
        if len(ifmaps) != len(self.inputs):
            raise NetworkError(f"ifmaps of layer {self.name} must be {len(self.inputs)}, not {len(ifmaps)}")
        for ifmap, shape in zip(ifmaps, self.input_shapes, strict=True):
            self._check_ifmap(ifmap, shape)
        return self._combine(*ifmaps)

    def _combine(self, *ifmaps: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Add(Combining):
    """Elementwise addition of two feature maps with scales of their own, as TFLite's int8 ADD.

    Parameters
    ----------
    inputs : (str, str)
        The layers whose ofmaps are added.
    input_zero_points, input_multipliers, input_shifts : (int, int)
        Of the two inputs; shifts are from -31 to 0, a negative one is a right shift.
    output_zero_point, output_multiplier, output_shift : int
        Of the sum.
    """

    input_zero_points: tuple[int, int]
    input_multipliers: tuple[int, int]
    input_shifts: tuple[int, int]
    output_zero_point: int
    output_multiplier: int
    output_shift: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.inputs) != 2 or self.inputs[0] == self.inputs[1]:
            raise self._error("inputs", "two different layers", self.inputs)
        for field, low, high in (("zero_point", -128, 127), ("multiplier", 0, INT32_MAX), ("shift", -31, 0)):
            self._check_scaling(field, low, high)

    @property
    def output_shape(self) -> Shape:
        """Shape (E, F, M) of the ofmap, which is that of the inputs."""
        return self.input_shape

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the ifmaps."""
        return (self.input_shape, self.input_shape)

    def zero_point_after(self, zero_point: int) -> int:
        """Return the ofmap's zero point, which the layer fixes itself."""
        return self.output_zero_point

    def _check_scaling(self, field: str, low: int, high: int) -> None:
        """Check one field of both inputs and of the sum."""
        pair, single = getattr(self, f"input_{field}s"), getattr(self, f"output_{field}")
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(is_integer(v) and low <= v <= high for v in pair):
            raise self._error(f"input_{field}s", f"a tuple of 2 integers from {low} to {high}", pair)
        if not is_integer(single) or not low <= single <= high:
            raise self._error(f"output_{field}", f"an integer from {low} to {high}", single)

    def _combine(self, *ifmaps: np.ndarray) -> np.ndarray:
        names = ("zero_points", "multipliers", "shifts")
        inputs: dict[str, Any] = {f"input_{name}": getattr(self, f"input_{name}") for name in names}
        return operators.add(
            ifmaps[0],
            ifmaps[1],
            **inputs,
            output_zero_point=self.output_zero_point,
            output_multiplier=self.output_multiplier,
            output_shift=self.output_shift,
            minimum=self.minimum,
            maximum=self.maximum,
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Concat(Combining):
    """Concatenation along channels of feature maps that share their meaning.

    Parameters
    ----------
    inputs : tuple of str
        The layers whose ofmaps follow each other.
    channels : tuple of int
        Channels of each.
    """

    channels: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.inputs) < 2 or len(set(self.inputs)) < len(self.inputs):
            raise self._error("inputs", "two or more different layers", self.inputs)
        self._check_integers("channels", len(self.inputs), 1)
        if self.input_shape[2] != self.channels[0]:
            raise self._error("channels", f"{self.input_shape[2]} for the first input", self.channels)

    @property
    def output_shape(self) -> Shape:
        """Shape (E, F, M) of the ofmap."""
        return (*self.input_shape[:2], sum(self.channels))

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the ifmaps."""
        return tuple((*self.input_shape[:2], channels) for channels in self.channels)

    def _combine(self, *ifmaps: np.ndarray) -> np.ndarray:
        return np.concatenate(ifmaps, axis=3)


def addition_scales(first: float, second: float, output: float) -> dict[str, Any]:
    """Return multipliers and shifts of an :class:`Add` from the scales of its inputs and its ofmap.

    Source: ``CalculateOpDataAdd``, ``tensorflow/lite/micro/kernels/add_common.cc``.
    """
    twice = 2 * max(first, second)
    pairs = [quantize_multiplier(scale / twice) for scale in (first, second)]
    total = quantize_multiplier(twice / ((1 << operators.ADD_LEFT_SHIFT) * output))
    return {
        "input_multipliers": (pairs[0][0], pairs[1][0]),
        "input_shifts": (pairs[0][1], pairs[1][1]),
        "output_multiplier": total[0],
        "output_shift": total[1],
    }
