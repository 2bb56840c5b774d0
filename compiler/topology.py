"""How the layers of a network hang together, and what its input means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compiler.combining import Add, Concat
from compiler.layers import Layer, NetworkError, Shape, is_integer
from compiler.weighted import Weighted


@dataclass(frozen=True)
class Quantisation:
    """What an int8 activation q means: ``scale * (q - zero_point)``."""

    scale: float = 1.0
    zero_point: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise NetworkError(f"scale must be a finite number above 0, not {self.scale!r}")
        if not is_integer(self.zero_point) or not -128 <= self.zero_point <= 127:
            raise NetworkError(f"zero_point must be an integer from -128 to 127, not {self.zero_point!r}")

    def quantise(self, real: np.ndarray) -> np.ndarray:
        """Return the nearest int8 activations."""
        return np.clip(np.round(real / self.scale) + self.zero_point, -128, 127).astype(np.int8)

    def dequantise(self, activations: np.ndarray) -> np.ndarray:
        """Return the real numbers that int8 activations mean."""
        return self.scale * (activations.astype(np.float64) - self.zero_point)


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """Layers in the order in which they are computed.

    Parameters
    ----------
    name : str
        Name of the network.
    input_shape : (H, W, C)
        Shape of its input.
    input_quantisation : Quantisation
        Meaning of its input.
    layers : tuple of Layer
        Each reads the layer before it, or earlier ones that it names.

    Raises
    ------
    NetworkError
        If names repeat or a layer does not fit the one it reads.
    """

    name: str
    input_shape: Shape
    input_quantisation: Quantisation
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.layers, tuple) or not self.layers:
            raise NetworkError(f"layers of network {self.name} must be a tuple of at least one, not {self.layers!r}")
        shapes, zero_points = {"": self.input_shape}, {"": self.input_quantisation.zero_point}
        for layer, sources in zip(self.layers, self._sources(), strict=True):
            if layer.name in shapes:
                raise NetworkError(f"name of a layer must be unique in network {self.name}, not {layer.name!r} again")
            for source, shape in zip(sources, layer.input_shapes, strict=True):
                if source not in shapes:
                    raise NetworkError(f"inputs of layer {layer.name} must be an earlier layer, not {source!r}")
                if shape != shapes[source]:
                    raise _misfit(layer, "input_shape", shapes[source], source, shape)
            self._check_zero_points(layer, [zero_points[source] for source in sources], sources)
            shapes[layer.name] = layer.output_shape
            zero_points[layer.name] = layer.zero_point_after(zero_points[sources[0]])

    @staticmethod
    def _check_zero_points(layer: Layer, made: Sequence[int], sources: Sequence[str]) -> None:
        """Check that a layer expects the zero points that its inputs have."""
        expected: Sequence[int] = made
        if isinstance(layer, Weighted):
            expected = [layer.input_zero_point]
        elif isinstance(layer, Add):
            expected = layer.input_zero_points
        elif isinstance(layer, Concat):
            expected = [made[0]] * len(made)
        for value, wanted, source in zip(expected, made, sources, strict=True):
            if value != wanted:
                raise _misfit(layer, "input_zero_point", wanted, source, value)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input."""
        return sum(layer.macs for layer in self.layers)

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``.

        Raises
        ------
        NetworkError
            If there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise NetworkError(f"layer of network {self.name} must be one of {names}, not {name!r}")

    def source(self, name: str) -> Layer | None:
        """Return the layer that the layer called ``name`` reads first, or None for the network's input."""
        return self.sources(name)[0]

    def sources(self, name: str) -> tuple[Layer | None, ...]:
        """Return the layers that the layer called ``name`` reads; None stands for the network's input."""
        sources = self._sources()[self.layers.index(self.layer(name))]
        return tuple(self.layer(source) if source else None for source in sources)

    def input_zero_point(self, name: str) -> int:
        """Return the zero point of the ifmap of the layer called ``name``."""
        source = self.source(name)
        if source is None:
            return self.input_quantisation.zero_point
        return source.zero_point_after(self.input_zero_point(source.name))

    def reference(self, ifmap: np.ndarray) -> dict[str, np.ndarray]:
        """Return every layer's ofmap (N, E, F, M) by name, in order, for an int8 input (N, H, W, C)."""
        fmaps = {"": ifmap}
        for layer, sources in zip(self.layers, self._sources(), strict=True):
            fmaps[layer.name] = layer.reference(*(fmaps[source] for source in sources))
        del fmaps[""]
        return fmaps

    def _sources(self) -> list[tuple[str, ...]]:
        """For each layer the names of those it reads; an empty name is the network's input."""
        before = ["", *(layer.name for layer in self.layers)]
        return [layer.inputs or (name,) for layer, name in zip(self.layers, before, strict=False)]


def _misfit(layer: Layer, field: str, wanted: object, source: str, value: object) -> NetworkError:
    origin = f"layer {source} makes it" if source else "the network's input is"
    return NetworkError(f"{field} of layer {layer.name} must be {wanted}, as {origin}, not {value!r}")
