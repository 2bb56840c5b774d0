"""Random networks for the tests that run them on the machine: seeded, the same ones on every run."""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import Any

from compiler.graph import Shape
from tests.sim.drawing_layers import BLOCK, MOST_OPERATIONS, clamp, conv, geometry, same, scaling, weighted, zero_point
from tests.sim.layers import INPUT, LayerCase, Made, NetworkCase, make_layer

_STEPS = ("layer", "layer", "layer", "residual", "residual", "sum", "concat")
_KINDS = ("conv", "conv", "conv", "depthwise", "fc", "max", "average")


def random_networks(count: int, *, seed: int, most_steps: int = 3) -> list[NetworkCase]:
    """Return ``count`` networks of one to ``most_steps`` layers or groups of layers that belong together."""
    rng = Random(seed)
    return [_random_network(rng, most_steps) for _ in range(count)]


def _random_network(rng: Random, most_steps: int) -> NetworkCase:
    height, width = (rng.randint(1, rng.choice((8, 24))) for _ in range(2))
    channels = rng.choice((rng.randint(1, 8), rng.randint(1, 40), BLOCK * rng.randint(1, 4)))
    shape, zero = (height, width, channels), zero_point(rng)
    sketch = Sketch(rng, shape, zero)
    for _ in range(rng.randint(1, most_steps)):
        sketch.step()
    return NetworkCase(
        input_shape=shape,
        zero_point=zero,
        batch=rng.randint(1, 3),
        seed=rng.randint(0, 999),
        layers=tuple(sketch.layers),
    )


class Sketch:
    """A network while it is drawn.

    Parameters
    ----------
    rng : Random
        Draws.
    shape, zero_point
        Of the network's input.

    Members
    -------
    layers : list of LayerCase
        So far.
    """

    def __init__(self, rng: Random, shape: Shape, zero_point: int) -> None:
        self.rng = rng
        self.layers: list[LayerCase] = []
        self._parts: set[int] = set()  # of concatenations
        self._made: dict[int, Made] = {INPUT: (shape, zero_point)}

    def step(self) -> None:
        """Draw and append a layer, or a few that belong together."""
        step = self.rng.choice(_STEPS)
        if step == "layer":
            self._layer(self._any())
        elif step == "residual":
            self._residual()
        elif step == "sum":
            self._sum()
        else:
            self._concat()

    def _append(self, kind: str, inputs: tuple[int, ...], **values: Any) -> int:
        index = len(self.layers)
        named = () if inputs == (index - 1,) else inputs
        case = LayerCase(kind=kind, inputs=named, **values)
        layer = make_layer(case, index, [self._made[source] for source in inputs])
        self.layers.append(case)
        self._made[index] = layer.output_shape, layer.zero_point_after(self._made[inputs[0]][1])
        return index

    def _one_in(self, chances: int) -> bool:
        return self.rng.randrange(chances) == 0

    def _any(self) -> int:
        """Return the layer before, or now and then any earlier one."""
        last = len(self.layers) - 1
        return self.rng.randint(INPUT, last) if self._one_in(4) else last

    def _layer(self, source: int) -> int:
        rng, shape = self.rng, self._made[source][0]
        kind = rng.choice(_KINDS)
        if kind in ("max", "average"):
            whole = self._one_in(6) and math.prod(shape[:2]) <= 256
            window = {"window": shape[:2]} if whole else geometry(rng, shape, pool=True)
            return self._append(kind, (source,), **window, **clamp(rng))
        if kind == "fc":
            filters = rng.randint(1, max(1, min(70, MOST_OPERATIONS // math.prod(shape))))
            return self._append("fc", (source,), filters=filters, **weighted(rng))
        return self._append("conv", (source,), **conv(rng, shape, depthwise=kind == "depthwise"), **weighted(rng))

    def _keeping(self, source: int) -> int:
        """Append a convolution, or now and then a pool, that keeps the shape."""
        rng, shape = self.rng, self._made[source][0]
        if self._one_in(8):
            return self._append("max", (source,), **same(rng, shape, shape[2]), **clamp(rng))
        divisors = [groups for groups in range(1, shape[2] + 1) if shape[2] % groups == 0]
        possible = [groups for groups in divisors if math.prod(shape) * shape[2] // groups <= MOST_OPERATIONS]
        groups = rng.choice(possible[:1] * 2 + possible) if possible else shape[2]
        window = same(rng, shape, shape[2] * shape[2] // groups)
        return self._append("conv", (source,), filters=shape[2], groups=groups, **window, **weighted(rng))

    def _is_addable(self, index: int) -> bool:
        """Whether a feature map is stored as ofmaps are: neither packed nor part of a concatenation."""
        packed = index == INPUT and self._made[index][0][2] <= BLOCK // 2
        return not packed and index not in self._parts

    def _residual(self) -> None:
        """Append a layer and add what it reads to it, with another layer between or beside now and then."""
        source = self._any()
        if not self._is_addable(source):
            source = self._layer(source)
        layer = self._keeping(source)
        if self._one_in(6):
            self._layer(self.rng.choice((layer, source)))
        self._add(layer, source)

    def _sum(self) -> None:
        """Append an addition of any two layers, preferably of the last one, or a residual if no two have one shape."""
        addable = [index for index in self._made if self._is_addable(index)]
        pairs = itertools.combinations(addable, 2)
        alike = [(one, other) for one, other in pairs if self._made[one][0] == self._made[other][0]]
        if not alike:
            self._residual()
            return
        last = [pair for pair in alike if len(self.layers) - 1 in pair]
        self._add(*self.rng.choice(last or alike))

    def _add(self, *inputs: int) -> int:
        order = tuple(self.rng.sample(inputs, 2))
        values = {"zero_point": zero_point(self.rng), "scaling": scaling(self.rng), **clamp(self.rng)}
        return self._append("add", order, **values)

    def _concat(self) -> None:
        """Append layers of one width and height, their concatenation, and mostly a layer that reads it."""
        source, count = self._any(), self.rng.randint(2, 3)
        stride = (self.rng.randint(1, 2), self.rng.randint(1, 2))
        parts: list[int] = []
        for number in range(count):
            parts.append(self._part(source, stride, last=number == count - 1, known=source in parts))
        self._append("concat", tuple(parts))
        self._parts |= set(parts)
        if not self._one_in(4):
            self._layer(len(self.layers) - 1)

    def _part(self, source: int, stride: tuple[int, int], *, last: bool, known: bool) -> int:
        """Append a convolution, or a pool if its channels fit; or return ``source`` itself if that can be a part."""
        rng, (shape, zero) = self.rng, self._made[source]
        if last or shape[2] % BLOCK == 0:
            free = not known and source != INPUT and source not in self._parts
            if free and stride == (1, 1) and self._one_in(2):
                return source
            if self._one_in(4):
                return self._append("max", (source,), stride=stride, **same(rng, shape, shape[2]), **clamp(rng))
        most = MOST_OPERATIONS // math.prod(shape)
        if last:
            filters = rng.randint(1, max(1, min(20, most)))
        else:
            filters = BLOCK * rng.randint(1, max(1, min(3, most // BLOCK)))
        values = same(rng, shape, shape[2] * filters) | weighted(rng) | {"zero_point": zero}
        return self._append("conv", (source,), filters=filters, stride=stride, **values)
