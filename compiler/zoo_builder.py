"""Builds networks with random weights layer by layer and follows how large their activations are."""

from __future__ import annotations

from typing import Any

from compiler.graph import Concat, Layer, Network, Pool, Quantisation, Shape
from compiler.synthetic import LINEAR_RMS, RELU_RMS, RELU_ZERO_POINT, random_add, random_conv, random_fully_connected
from golden.operators import NO_PADDING, Padding, same_padding

MAXIMUM_GAIN = 1.2
"""How much a max pool raises the root mean square deep in a network, where neighbours are alike."""
AVERAGE_GAIN = 0.9
"""The same of an average over the last feature map."""


class Builder:
    """Appends layers, each reading the one before unless told otherwise.

    Parameters
    ----------
    name : str
        Name of the network, which seeds its weights.
    input_shape : (H, W, C)
        Shape of its input.
    """

    def __init__(self, name: str, input_shape: Shape) -> None:
        self._name = name
        self._input_shape = input_shape
        self._layers: dict[str, Layer] = {}
        self._rms: dict[str, float] = {}

    @property
    def last(self) -> str:
        """Name of the last layer."""
        return next(reversed(self._layers))

    def shape(self, name: str) -> Shape:
        """Return the shape of a layer's ofmap; no name stands for the network's input."""
        return self._layers[name].output_shape if name else self._input_shape

    def network(self) -> Network:
        """Return the network."""
        quantisation = Quantisation(zero_point=RELU_ZERO_POINT)
        layers = tuple(self._layers.values())
        return Network(name=self._name, input_shape=self._input_shape, input_quantisation=quantisation, layers=layers)

    def conv(
        self,
        name: str,
        m: int,
        size: int,
        *,
        stride: int = 1,
        pad: int | None = None,
        groups: int = 1,
        relu: bool = True,
        source: str | None = None,
    ) -> str:
        """Append a convolution, padded as TFLite's SAME unless ``pad`` says how much on every side."""
        origin = self._origin(source)
        shape = self.shape(origin)
        step = (stride, stride)
        padding: Padding = (pad,) * 4 if pad is not None else same_padding(shape[:2], (size, size), step)
        filters = (m, size, size, shape[2] // groups)
        geometry: dict[str, Any] = {"stride": step, "padding": padding, "groups": groups, "relu": relu}
        rms = self._rms.get(origin, RELU_RMS)
        layer = random_conv(self._name, name, shape, filters, inputs=_named(source), input_rms=rms, **geometry)
        return self._append(layer, RELU_RMS if relu else LINEAR_RMS)

    def depthwise(self, name: str, *, stride: int) -> str:
        """Append a 3 x 3 depthwise convolution."""
        channels = self.shape(self.last)[2]
        return self.conv(name, channels, 3, stride=stride, groups=channels)

    def maximum(
        self,
        name: str,
        size: int,
        stride: int,
        padding: Padding = NO_PADDING,
        *,
        source: str | None = None,
        gain: float = MAXIMUM_GAIN,
    ) -> str:
        """Append a max pool; ``gain`` says how much it raises the root mean square of the activations."""
        origin = self._origin(source)
        shape = self.shape(origin)
        geometry: dict[str, Any] = {"window": (size, size), "stride": (stride, stride), "padding": padding}
        layer = Pool(name=name, input_shape=shape, kind="max", inputs=_named(source), **geometry)
        return self._append(layer, gain * self._rms[origin])

    def average(self, name: str) -> str:
        """Append an average pool over the whole feature map."""
        shape = self.shape(self.last)
        window = (shape[0], shape[1])
        layer = Pool(name=name, input_shape=shape, kind="average", window=window, stride=window)
        return self._append(layer, AVERAGE_GAIN * self._rms[self.last])

    def fc(self, name: str, m: int, *, relu: bool = False) -> str:
        """Append a fully connected layer."""
        shape, rms = self.shape(self.last), self._rms.get(self.last, RELU_RMS)
        layer = random_fully_connected(self._name, name, shape, m, relu=relu, input_rms=rms)
        return self._append(layer, RELU_RMS if relu else LINEAR_RMS)

    def add(self, name: str, first: str, second: str) -> str:
        """Append an addition with ReLU."""
        layer = random_add(
            self._name,
            name,
            self.shape(first),
            (first, second),
            zero_points=(self._zero_point(first), self._zero_point(second)),
            input_rms=(self._rms[first], self._rms[second]),
        )
        return self._append(layer, RELU_RMS)

    def concat(self, name: str, sources: tuple[str, ...]) -> str:
        """Append a concatenation."""
        shapes = [self.shape(source) for source in sources]
        channels = tuple(shape[2] for shape in shapes)
        return self._append(Concat(name=name, input_shape=shapes[0], inputs=sources, channels=channels), RELU_RMS)

    def _origin(self, source: str | None) -> str:
        if source is not None:
            return source
        return self.last if self._layers else ""

    def _zero_point(self, name: str) -> int:
        return self._layers[name].zero_point_after(RELU_ZERO_POINT)

    def _append(self, layer: Layer, rms: float) -> str:
        self._layers[layer.name] = layer
        self._rms[layer.name] = rms
        return layer.name


def _named(source: str | None) -> tuple[str, ...]:
    return () if source is None else (source,)
