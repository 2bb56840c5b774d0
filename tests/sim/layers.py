"""Random networks for the tests that run them on the machine: what describes one, and what it is as a program."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from compiler.graph import Add, Concat, Conv, FullyConnected, Layer, Network, Pool, Quantisation, Shape
from compiler.mapper import Mapper
from compiler.program import compile_network
from golden.arithmetic import quantize_multiplier
from hw.config import AcceleratorConfig
from sim.run import Task, network_task

Pair = tuple[int, int]
Made = tuple[Shape, int]  # shape and zero point of a feature map

#: Index of a network's input among what layers read.
INPUT = -1


@dataclass(frozen=True, kw_only=True)
class LayerCase:
    """The parameters of one random layer; its ``repr`` is what replays it.

    Parameters
    ----------
    kind : str
        ``"conv"``, ``"fc"``, ``"max"``, ``"average"``, ``"add"`` or ``"concat"``.
    inputs : tuple of int
        Indices of the layers that it reads, :data:`INPUT` for the network's input; empty means the one before.
    filters, groups : int
        M and groups of a convolution; M of a fully connected layer.
    window, stride : (height, width)
        R and S; U down and across.
    padding : (top, bottom, left, right)
        Around the ifmap.
    weight : int
        Greatest absolute weight.
    gain : int
        Logarithm to base 2 of what multiplies all multipliers; activations saturate more often, left shifts appear.
    bias, per_channel : bool
        Whether there is a bias; whether each channel has a multiplier of its own.
    scaling : three of (multiplier, shift)
        Of an addition's first input, second input, and sum.
    zero_point, minimum, maximum : int
        Of the ofmap.
    seed : int
        Of weights, bias and multipliers.
    """

    kind: str
    inputs: tuple[int, ...] = ()
    filters: int = 1
    groups: int = 1
    window: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    weight: int = 127
    gain: int = 0
    bias: bool = True
    per_channel: bool = True
    scaling: tuple[Pair, ...] = ()
    zero_point: int = 0
    minimum: int = -128
    maximum: int = 127
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class NetworkCase:
    """A few random layers, each reading earlier ones; ``task(case, config)`` replays it."""

    input_shape: Shape
    zero_point: int
    batch: int
    seed: int
    layers: tuple[LayerCase, ...]


def build(case: NetworkCase) -> Network:
    """Return the network that a case describes."""
    layers: list[Layer] = []
    made: dict[int, Made] = {INPUT: (case.input_shape, case.zero_point)}
    for index, layer_case in enumerate(case.layers):
        sources = layer_case.inputs or (index - 1,)
        layers.append(make_layer(layer_case, index, [made[source] for source in sources]))
        made[index] = layers[-1].output_shape, layers[-1].zero_point_after(made[sources[0]][1])
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


def make_layer(case: LayerCase, index: int, sources: list[Made]) -> Layer:
    """Return the layer that a case describes, number ``index`` of its network, which reads ``sources``."""
    inputs = tuple(f"layer{source}" if source != INPUT else "" for source in case.inputs)
    shape, zero_point = sources[0]
    common = {"name": f"layer{index}", "input_shape": shape, "inputs": inputs}
    if case.kind == "concat":
        return Concat(channels=tuple(channels for (_, _, channels), _ in sources), **common)  # type: ignore[arg-type]
    common |= {"minimum": case.minimum, "maximum": case.maximum}
    if case.kind == "add":
        return _add(case, (zero_point, sources[1][1]), common)
    geometry = {"stride": case.stride, "padding": case.padding}
    if case.kind in ("max", "average"):
        return Pool(kind=case.kind, window=case.window, **geometry, **common)  # type: ignore[arg-type]
    return _weighted(case, shape, zero_point, geometry, common)


def _add(case: LayerCase, zero_points: Pair, common: dict[str, object]) -> Add:
    first, second, total = case.scaling
    return Add(
        input_zero_points=zero_points,
        input_multipliers=(first[0], second[0]),
        input_shifts=(first[1], second[1]),
        output_zero_point=case.zero_point,
        output_multiplier=total[0],
        output_shift=total[1],
        **common,  # type: ignore[arg-type]
    )


def _weighted(
    case: LayerCase, shape: Shape, zero_point: int, geometry: dict[str, object], common: dict[str, object]
) -> Layer:
    rng = np.random.default_rng(case.seed)
    depth = math.prod(shape) if case.kind == "fc" else math.prod(case.window) * shape[2] // case.groups
    weights = rng.integers(-case.weight, case.weight + 1, (case.filters, depth), dtype=np.int8)
    spread = math.sqrt(depth) * (case.weight + 1) * 100  # about 1.5 standard deviations of the psums
    factors = 2.0 ** (case.gain + rng.uniform(-2, 2, case.filters if case.per_channel else 1))
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
