"""Random parameters of single layers, for :mod:`tests.sim.drawing`."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from compiler.graph import Shape, addition_scales
from golden.arithmetic import INT32_MAX
from tests.sim.layers import Pair

#: Most MACs (or pool operations) of one layer, so that hundreds of layers take seconds.
MOST_OPERATIONS = 60_000

#: Channels of a pixel and block on the presets.
BLOCK = 8


def zero_point(rng: Random) -> int:
    """Draw an activation, the extreme ones and zero often."""
    return rng.choice((-128, 0, 127)) if rng.randrange(2) else rng.randint(-128, 127)


def clamp(rng: Random) -> dict[str, int]:
    """Draw least and greatest activation."""
    minimum = zero_point(rng) if rng.randrange(2) else -128
    return {"minimum": minimum, "maximum": rng.randint(minimum, 127) if rng.randrange(2) else 127}


def weighted(rng: Random) -> dict[str, Any]:
    """Draw what layers with filters have, but for their geometry."""
    values: dict[str, Any] = {"zero_point": zero_point(rng), "seed": rng.randint(0, 999)}
    values |= {"weight": rng.choice((1, 2, 20, 127)), "gain": rng.choice((0, 0, 0, 0, 0, 2, 4))}
    values |= {"bias": rng.random() < 0.5, "per_channel": rng.random() < 0.5}
    return values | clamp(rng)


def conv(rng: Random, shape: Shape, *, depthwise: bool) -> dict[str, Any]:
    """Draw filters, groups and geometry of a convolution."""
    channels = shape[2]
    divisors = [groups for groups in range(1, channels + 1) if channels % groups == 0]
    groups = channels if depthwise else rng.choice((1, rng.choice(divisors)))
    values = geometry(rng, shape, pool=False)
    (height, width), (down, across), pads = values["window"], values["stride"], values["padding"]
    rows = (shape[0] + sum(pads[:2]) - height) // down + 1
    columns = (shape[1] + sum(pads[2:]) - width) // across + 1
    most = max(1, min(40, MOST_OPERATIONS // (rows * columns * height * width * channels)))
    per_group = rng.randint(1, rng.choice((1, 8))) if groups > 1 else rng.randint(1, most)
    return {"filters": groups * per_group, "groups": groups, **values}


def geometry(rng: Random, shape: Shape, *, pool: bool) -> dict[str, Any]:
    """Draw window, stride and padding."""
    (above, below, height, down), (left, right, width, across) = (_axis(rng, size, pool=pool) for size in shape[:2])
    return {"window": (height, width), "stride": (down, across), "padding": (above, below, left, right)}


def _axis(rng: Random, size: int, *, pool: bool) -> tuple[int, int, int, int]:
    """Draw padding before and after, window and stride along one axis of ``size`` pixels."""
    window = rng.randint(1, rng.choice((1, 3, 7, 16)))
    most = window - 1 if pool else window + 1
    before, after = (rng.choice((0, rng.randint(0, most))) for _ in range(2))
    return before, after, min(window, size + before + after), rng.randint(1, 4)


def same(rng: Random, shape: Shape, operations: int) -> dict[str, Any]:
    """Draw window and padding that keep height and width; ``operations`` are those of one pixel and tap."""
    most = MOST_OPERATIONS // (math.prod(shape[:2]) * operations)
    height = rng.randint(1, max(1, min(5, most)))
    width = rng.randint(1, max(1, min(5, most // height)))
    above, left = rng.randrange(height), rng.randrange(width)
    return {"window": (height, width), "padding": (above, height - 1 - above, left, width - 1 - left)}


def scaling(rng: Random) -> tuple[Pair, ...]:
    """Draw multipliers and shifts of an addition: mostly of scales near each other, else any."""
    if rng.randrange(4):
        first, second, total = (2.0 ** rng.uniform(-3, 3) for _ in range(3))
        scales = addition_scales(first, second, total)
        inputs = zip(scales["input_multipliers"], scales["input_shifts"], strict=True)
        return (*inputs, (scales["output_multiplier"], scales["output_shift"]))
    multipliers = (0, 1, 1 << 30, INT32_MAX)
    shifts = (0, -1, -31)
    return tuple(
        (rng.choice((*multipliers, rng.randint(0, INT32_MAX))), rng.choice((*shifts, rng.randint(-31, 0))))
        for _ in range(3)
    )
