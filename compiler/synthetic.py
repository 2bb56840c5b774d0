"""Layers and feature maps with seeded random values, scaled so that activations use the int8 range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from compiler.combining import Add, addition_scales
from compiler.layers import Layer, NetworkError, Pool, Shape
from compiler.topology import Network, Quantisation
from compiler.weighted import Conv, FullyConnected, deferred
from golden.arithmetic import quantize_multiplier
from golden.operators import NO_PADDING, Padding, Pair

RELU_ZERO_POINT = -128
"""Zero point of activations after ReLU: all 256 values are positive."""
ACTIVATION_SCALE = 80.0
"""Standard deviation, in steps, aimed at before ReLU: 256 steps are 3.2 of them."""
RELU_RMS = ACTIVATION_SCALE / math.sqrt(2)
"""Root mean square of such activations after ReLU."""
LINEAR_RMS = 40.0
"""Standard deviation, in steps, aimed at for outputs of both signs."""

_WEIGHT_RMS = 127 / math.sqrt(3)


def generator(*names: str) -> np.random.Generator:
    """Return a random generator that depends on the names alone, on every machine."""
    return np.random.default_rng(list("/".join(names).encode()))


def relu_like(rng: np.random.Generator, shape: tuple[int, ...], zero_point: int = RELU_ZERO_POINT) -> np.ndarray:
    """Return random int8 activations as after ReLU: about half of them ``zero_point``, the rest above."""
    values = rng.normal(0, ACTIVATION_SCALE, shape).round()
    return np.clip(np.maximum(values, 0) + zero_point, -128, 127).astype(np.int8)


def random_conv(
    network: str,
    name: str,
    input_shape: Shape,
    filter_shape: tuple[int, int, int, int],
    *,
    stride: Pair = (1, 1),
    padding: Padding = NO_PADDING,
    groups: int = 1,
    relu: bool = True,
    inputs: tuple[str, ...] = (),
    input_rms: float = RELU_RMS,
) -> Conv:
    """Return a convolution with random filters, bias and requantisation, seeded by its names.

    Parameters
    ----------
    input_rms : float
        Root mean square of the ifmap, in steps from its zero point.

    Other parameters are those of :class:`compiler.weighted.Conv`.
    """
    rng = generator(network, name)
    m, depth = filter_shape[0], math.prod(filter_shape[1:])
    return Conv(
        name=name,
        input_shape=input_shape,
        inputs=inputs,
        filters=_random_filters(network, name, filter_shape),
        stride=stride,
        padding=padding,
        groups=groups,
        **_random_requantisation(rng, m, depth, relu, input_rms, per_channel=True),
    )


def random_fully_connected(
    network: str, name: str, input_shape: Shape, outputs: int, *, relu: bool = True, input_rms: float = RELU_RMS
) -> FullyConnected:
    """Return a fully connected layer with random filters, bias and one multiplier, seeded by its names."""
    depth = math.prod(input_shape)
    return FullyConnected(
        name=name,
        input_shape=input_shape,
        filters=_random_filters(network, name, (outputs, depth)),
        **_random_requantisation(generator(network, name), outputs, depth, relu, input_rms, per_channel=False),
    )


def random_add(
    network: str,
    name: str,
    shape: Shape,
    inputs: tuple[str, str],
    *,
    zero_points: tuple[int, int],
    input_rms: tuple[float, float],
) -> Add:
    """Return an addition with ReLU whose input scales, near each other, are seeded by its names.

    Parameters
    ----------
    network, name : str
        Names of the network and of the layer.
    shape : (H, W, C)
        Of both inputs and the ofmap.
    inputs : (str, str)
        The layers that are added.
    zero_points : (int, int)
        Of their ofmaps.
    input_rms : (float, float)
        Root mean squares of their ofmaps, in steps from the zero point.
    """
    scales = generator(network, name).uniform(0.75, 1.25, 2)
    total = math.hypot(*(scale * rms for scale, rms in zip(scales, input_rms, strict=True)))
    # ReLU takes half the power of a sum that is around zero, and little where one of the inputs is positive already
    kept = total if RELU_ZERO_POINT in zero_points else total / math.sqrt(2)
    return Add(
        name=name,
        input_shape=shape,
        inputs=inputs,
        input_zero_points=zero_points,
        output_zero_point=RELU_ZERO_POINT,
        **addition_scales(float(scales[0]), float(scales[1]), kept / RELU_RMS),
    )


def _random_filters(network: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    def make() -> np.ndarray:
        return generator(network, name, "filters").integers(-127, 128, shape, dtype=np.int8)

    return deferred(shape, make)


def _random_requantisation(
    rng: np.random.Generator, m: int, depth: int, relu: bool, input_rms: float, *, per_channel: bool
) -> dict[str, Any]:
    spread = math.sqrt(depth) * _WEIGHT_RMS * input_rms  # standard deviation of the psums
    aim = ACTIVATION_SCALE if relu else LINEAR_RMS
    reals = aim / spread * (rng.uniform(0.75, 1.25, m) if per_channel else np.ones(m))
    pairs = [quantize_multiplier(real) for real in reals]
    return {
        "bias": rng.normal(0, spread / 8, m).round().astype(np.int32),
        "multiplier": np.array([multiplier for multiplier, _ in pairs]),
        "shift": np.array([shift for _, shift in pairs]),
        "input_zero_point": RELU_ZERO_POINT,
        "output_zero_point": RELU_ZERO_POINT if relu else 0,
    }


#: Keys of each kind of layer that text can describe; None must be given.
_KEYS: dict[str, dict[str, int | None]] = {
    "conv": {
        "C": None,
        "M": None,
        "H": None,
        "W": None,
        "R": None,
        "S": None,
        "pad": 0,
        "stride": 1,
        "groups": 1,
        "relu": 0,
    },
    "fc": {"C": None, "M": None, "relu": 0},
    "maxpool": {"C": None, "H": None, "W": None, "R": None, "S": None, "pad": 0, "stride": 1},
    "avgpool": {"C": None, "H": None, "W": None, "R": None, "S": None, "pad": 0, "stride": 1},
}
_LEAST = {"pad": 0, "relu": 0}


def parse_layer(text: str) -> Network:
    """Return the network of one layer, with random weights seeded by ``text``, that a text describes.

    Parameters
    ----------
    text : str
        ``kind:key=value,...``, such as ``conv:C=16,M=16,H=32,W=32,R=3,S=3,pad=1,stride=1,groups=1,relu=1``,
        ``fc:C=400,M=120``, ``maxpool:C=16,H=10,W=10,R=2,S=2,stride=2`` or ``avgpool:...``.

    Raises
    ------
    NetworkError
        If the kind or a key is unknown, a key is missing or a value is not allowed.
    """
    kind, _, rest = text.partition(":")
    if kind not in _KEYS:
        raise NetworkError(f"kind of layer must be one of {', '.join(_KEYS)}, not {kind!r}")
    layer = _build(kind, text, _values(kind, rest))
    return Network(
        name=text,
        input_shape=layer.input_shape,
        input_quantisation=Quantisation(zero_point=RELU_ZERO_POINT),
        layers=(layer,),
    )


def _values(kind: str, rest: str) -> dict[str, int]:
    given: dict[str, int] = {}
    keys = _KEYS[kind]
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if key not in keys:
            raise NetworkError(f"key of {kind} must be one of {', '.join(keys)}, not {key!r}")
        if key in given:
            raise NetworkError(f"{key} of {kind} must be given once, not again as {value!r}")
        low = _LEAST.get(key, 1)
        if not value.isdecimal() or int(value) < low or (key == "relu" and int(value) > 1):
            allowed = "0 or 1" if key == "relu" else f"an integer from {low} up"
            raise NetworkError(f"{key} of {kind} must be {allowed}, not {value!r}")
        given[key] = int(value)
    missing = [key for key, default in keys.items() if default is None and key not in given]
    if missing:
        raise NetworkError(f"{missing[0]} of {kind} must be given as {missing[0]}=..., not left out")
    return {key: default for key, default in keys.items() if default is not None} | given


def _build(kind: str, text: str, v: Mapping[str, int]) -> Layer:
    if kind == "fc":
        return random_fully_connected(text, kind, (1, 1, v["C"]), v["M"], relu=bool(v["relu"]))
    shape, stride, padding = (v["H"], v["W"], v["C"]), (v["stride"],) * 2, (v["pad"],) * 4
    if kind != "conv":
        pool = "max" if kind == "maxpool" else "average"
        return Pool(name=kind, input_shape=shape, kind=pool, window=(v["R"], v["S"]), stride=stride, padding=padding)
    if v["C"] % v["groups"] or v["M"] % v["groups"]:
        raise NetworkError(f"groups of conv must be a divisor of C = {v['C']} and M = {v['M']}, not {v['groups']}")
    filters = (v["M"], v["R"], v["S"], v["C"] // v["groups"])
    geometry: dict[str, Any] = {"stride": stride, "padding": padding, "groups": v["groups"]}
    return random_conv(text, kind, shape, filters, **geometry, relu=bool(v["relu"]))
