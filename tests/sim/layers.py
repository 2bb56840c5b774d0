"""Random layers for the tests that run them on the machine: hypothesis strategies, and what they draw as programs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from compiler.graph import Conv, FullyConnected, Layer, Network, Pool, Quantisation
from compiler.mapper import Mapper
from compiler.program import compile_network
from golden.arithmetic import quantize_multiplier
from hw.config import AcceleratorConfig
from sim.run import Task, network_task

Drawn = TypeVar("Drawn")
Shape = tuple[int, int, int]

#: Most MACs (or pool operations) of one layer, so that hundreds of layers take seconds.
MOST_OPERATIONS = 60_000

_CHANNELS = st.one_of(st.integers(1, 8), st.integers(1, 40))
_WINDOWS = st.one_of(st.integers(1, 3), st.integers(1, 7), st.integers(1, 16))
_ACTIVATION = st.one_of(st.sampled_from((-128, 0, 127)), st.integers(-128, 127))
_SEED = st.integers(0, 999)


@dataclass(frozen=True, kw_only=True)
class LayerCase:
    """The parameters of one random layer; its ``repr`` is what replays it.

    Parameters
    ----------
    kind : str
        ``"conv"``, ``"fc"``, ``"max"`` or ``"average"``.
    filters, groups : int
        M and groups of a convolution; M of a fully connected layer.
    window, stride : (height, width)
        R and S; U down and across.
    padding : (top, bottom, left, right)
        Around the ifmap.
    weight : int
        Greatest absolute weight; small ones need left shifts.
    bias, per_channel : bool
        Whether there is a bias; whether each channel has a multiplier of its own.
    zero_point, minimum, maximum : int
        Of the ofmap.
    seed : int
        Of weights, bias and multipliers.
    """

    kind: str
    filters: int = 1
    groups: int = 1
    window: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    weight: int = 127
    bias: bool = True
    per_channel: bool = True
    zero_point: int = 0
    minimum: int = -128
    maximum: int = 127
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class NetworkCase:
    """A few random layers, each reading the one before; ``task(case, config)`` replays it."""

    input_shape: Shape
    zero_point: int
    batch: int
    seed: int
    layers: tuple[LayerCase, ...]


def network_cases(*, most_layers: int = 3) -> st.SearchStrategy[NetworkCase]:
    """Return a strategy for networks of one to ``most_layers`` layers over all layer parameters."""
    return _network_cases(most_layers)


@st.composite
def _network_cases(draw: st.DrawFn, most_layers: int) -> NetworkCase:
    shape = (draw(st.integers(1, 24)), draw(st.integers(1, 24)), draw(_CHANNELS))
    case = {"input_shape": shape, "zero_point": draw(_ACTIVATION), "batch": draw(st.integers(1, 3))}
    layers = []
    for _ in range(draw(st.integers(1, most_layers))):
        layers.append(draw(_layer_cases(shape)))
        shape = _layer(layers[-1], "layer", shape, 0).output_shape
    return NetworkCase(**case, seed=draw(_SEED), layers=tuple(layers))  # type: ignore[arg-type]


@st.composite
def _layer_cases(draw: st.DrawFn, shape: Shape) -> LayerCase:
    kind = draw(st.sampled_from(("conv", "conv", "conv", "depthwise", "fc", "max", "average")))
    minimum = draw(st.one_of(st.just(-128), _ACTIVATION))
    maximum = draw(st.one_of(st.just(127), st.integers(minimum, 127)))
    values: dict[str, Any] = {"minimum": minimum, "maximum": maximum}
    if kind in ("max", "average"):
        return LayerCase(kind=kind, **_draw_pool(draw, shape, kind), **values)
    values |= {"zero_point": draw(_ACTIVATION), "seed": draw(_SEED), "weight": draw(st.sampled_from((1, 2, 20, 127)))}
    values |= {"bias": draw(st.booleans()), "per_channel": draw(st.booleans())}
    if kind == "fc":
        most = max(1, min(70, MOST_OPERATIONS // math.prod(shape)))
        return LayerCase(kind="fc", filters=draw(st.integers(1, most)), **values)
    return LayerCase(kind="conv", **_draw_conv(draw, shape, depthwise=kind == "depthwise"), **values)


def _draw_conv(draw: st.DrawFn, shape: Shape, *, depthwise: bool) -> dict[str, Any]:
    channels = shape[2]
    divisors = [groups for groups in range(1, channels + 1) if channels % groups == 0]
    groups = channels if depthwise else draw(st.one_of(st.just(1), st.sampled_from(divisors)))
    (above, below, height, down), (left, right, width, across) = (draw(_axis(size, _WINDOWS)) for size in shape[:2])
    geometry = {"window": (height, width), "stride": (down, across), "padding": (above, below, left, right)}
    positions = math.prod(
        (size + pads - window) // stride + 1
        for size, pads, window, stride in (
            (shape[0], above + below, height, down),
            (shape[1], left + right, width, across),
        )
    )
    most = max(1, min(40, MOST_OPERATIONS // (positions * height * width * channels)))
    per_group = draw(st.one_of(st.just(1), st.integers(1, 8))) if groups > 1 else draw(st.integers(1, most))
    return {"filters": groups * per_group, "groups": groups, **geometry}


def _draw_pool(draw: st.DrawFn, shape: Shape, kind: str) -> dict[str, Any]:
    if draw(st.integers(0, 5)) == 0 and math.prod(shape[:2]) <= 256:
        return {"window": shape[:2]}
    (above, below, height, down), (left, right, width, across) = (
        draw(_axis(size, _WINDOWS, pool=True)) for size in shape[:2]
    )
    return {"window": (height, width), "stride": (down, across), "padding": (above, below, left, right)}


@st.composite
def _axis(
    draw: st.DrawFn, size: int, windows: st.SearchStrategy[int], *, pool: bool = False
) -> tuple[int, int, int, int]:
    """Draw padding before and after, window and stride along one axis of ``size`` pixels."""
    window = draw(windows)
    most = window - 1 if pool else window + 1
    before, after = (draw(st.one_of(st.just(0), st.integers(0, most))) for _ in range(2))
    return before, after, min(window, size + before + after), draw(st.integers(1, 4))


def build(case: NetworkCase) -> Network:
    """Return the network that a case describes."""
    layers: list[Layer] = []
    shape, zero_point = case.input_shape, case.zero_point
    for index, layer_case in enumerate(case.layers):
        layers.append(_layer(layer_case, f"layer{index}", shape, zero_point))
        shape, zero_point = layers[-1].output_shape, layers[-1].zero_point_after(zero_point)
    return Network(
        name=repr(case),
        input_shape=case.input_shape,
        input_quantisation=Quantisation(zero_point=case.zero_point),
        layers=tuple(layers),
    )


def task(case: NetworkCase, config: AcceleratorConfig, *, mapper: Mapper | None = None) -> Task:
    """Return the program of a case with a seeded random input.

    Raises
    ------
    compiler.graph.NetworkError
        If the machine cannot compute a layer.
    """
    program = compile_network(build(case), config, batch=case.batch, mapper=mapper)
    rng = np.random.default_rng(case.seed)
    return network_task(program, rng.integers(-128, 128, (case.batch, *case.input_shape), dtype=np.int8))


def examples(strategy: st.SearchStrategy[Drawn], count: int, *, seed: int) -> list[Drawn]:
    """Return ``count`` different things drawn from a strategy, the same ones on every run."""
    found: dict[Drawn, None] = {}

    @hypothesis.seed(seed)
    @settings(
        max_examples=2 * count,  # hypothesis repeats itself now and then
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(drawn: Drawn) -> None:
        found[drawn] = None

    collect()
    assert len(found) >= count
    return list(found)[:count]


def _layer(case: LayerCase, name: str, shape: Shape, zero_point: int) -> Layer:
    common = {"name": name, "input_shape": shape, "minimum": case.minimum, "maximum": case.maximum}
    geometry = {"stride": case.stride, "padding": case.padding}
    if case.kind in ("max", "average"):
        return Pool(kind=case.kind, window=case.window, **geometry, **common)  # type: ignore[arg-type]
    rng = np.random.default_rng(case.seed)
    depth = math.prod(shape) if case.kind == "fc" else math.prod(case.window) * shape[2] // case.groups
    weights = rng.integers(-case.weight, case.weight + 1, (case.filters, depth), dtype=np.int8)
    spread = math.sqrt(depth) * (case.weight + 1) * 100  # about 1.5 standard deviations of the psums
    factors = 2.0 ** rng.uniform(-2, 2, case.filters if case.per_channel else 1)
    pairs = [quantize_multiplier(float(factor) * 100 / spread) for factor in factors]
    values = {
        "bias": rng.integers(-spread // 2, spread // 2 + 1, case.filters) if case.bias else None,
        "multiplier": np.broadcast_to([multiplier for multiplier, _ in pairs], case.filters),
        "shift": np.broadcast_to([shift for _, shift in pairs], case.filters),
        "input_zero_point": zero_point,
        "output_zero_point": case.zero_point,
    }
    if case.kind == "fc":
        return FullyConnected(filters=weights, **values, **common)  # type: ignore[arg-type]
    filters = weights.reshape(case.filters, *case.window, -1)
    return Conv(filters=filters, groups=case.groups, **geometry, **values, **common)  # type: ignore[arg-type]
