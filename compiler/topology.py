"""How the layers of a network hang together, and what its input means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        Each reads the layer before it, or an earlier one that it names.

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
        for layer, source in zip(self.layers, self._sources(), strict=True):
            if layer.name in shapes:
                raise NetworkError(f"name of a layer must be unique in network {self.name}, not {layer.name!r} again")
            if source not in shapes:
                raise NetworkError(f"inputs of layer {layer.name} must be an earlier layer, not {source!r}")
            if layer.input_shape != shapes[source]:
                raise _misfit(layer, "input_shape", shapes[source], source)
            if isinstance(layer, Weighted) and layer.input_zero_point != zero_points[source]:
                raise _misfit(layer, "input_zero_point", zero_points[source], source)
            shapes[layer.name] = layer.output_shape
            zero_points[layer.name] = layer.zero_point_after(zero_points[source])

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
        """Return the layer that the layer called ``name`` reads, or None for the network's input."""
        source = self._sources()[self.layers.index(self.layer(name))]
        return self.layer(source) if source else None

    def input_zero_point(self, name: str) -> int:
        """Return the zero point of the ifmap of the layer called ``name``."""
        source = self.source(name)
        if source is None:
            return self.input_quantisation.zero_point
        return source.zero_point_after(0) if isinstance(source, Weighted) else self.input_zero_point(source.name)

    def reference(self, ifmap: np.ndarray) -> dict[str, np.ndarray]:
        """Return every layer's ofmap (N, E, F, M) by name, in order, for an int8 input (N, H, W, C)."""
        fmaps = {"": ifmap}
        for layer, source in zip(self.layers, self._sources(), strict=True):
            fmaps[layer.name] = layer.reference(fmaps[source])
        del fmaps[""]
        return fmaps

    def _sources(self) -> list[str]:
        """For each layer the name of the one it reads; empty for the network's input."""
        before = ["", *(layer.name for layer in self.layers)]
        return [layer.inputs[0] if layer.inputs else name for layer, name in zip(self.layers, before, strict=False)]


def _misfit(layer: Layer, field: str, wanted: object, source: str) -> NetworkError:
    origin = f"layer {source} makes it" if source else "the network's input is"
    return NetworkError(f"{field} of layer {layer.name} must be {wanted}, as {origin}, not {getattr(layer, field)!r}")
