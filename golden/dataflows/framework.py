"""How energy follows from reuse: equations (3) and (4) of the dataflow comparison, and the search for mappings.

The source of everything in this package, unless another is named: Chen, Emer, Sze, "Eyeriss: A Spatial Architecture
for Energy-Efficient Dataflow for Convolutional Neural Networks", ISCA 2016, sections IV to VI.

A datum's reuse is a product a x b x c x d over DRAM, global buffer, array and RF. Here the words that each level hands
down are counted instead: over all data of a type they are n*a, n*a*b, n*a*b*c and n*a*b*c*d, whole numbers also where
the factors differ from datum to datum, as at the edges of tiles. The last is always the number of MACs. The buffer
keeps nothing from a block of the ofmap to the next, also where some of it is needed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from golden.energy import EYERISS, EnergyTable

#: From far to near, by the names of :data:`golden.energy.LEVELS`.
STORAGE = ("dram", "glb", "array", "rf")
DATA = ("ifmap", "filter", "psum")

Count = np.ndarray
#: Words that DRAM, global buffer, array and RF hand down, for each candidate mapping.
Flow = tuple[Count, Count, Count, Count]


@dataclass(frozen=True)
class Layer:
    """A CONV or FC layer of square planes, in the paper's letters; ``C`` and ``M`` are those of one of the groups."""

    name: str
    C: int
    M: int
    H: int
    R: int
    E: int
    U: int = 1
    groups: int = 1

    def macs(self, batch: int) -> int:
        """Return the multiply-accumulates of one group."""
        return batch * self.M * self.C * (self.E * self.R) ** 2

    def words(self, data: str, batch: int) -> int:
        """Return how many words one group has of a type of :data:`DATA`; of psums, finished ones."""
        return {
            "ifmap": batch * self.C * self.H**2,
            "filter": self.M * self.C * self.R**2,
            "psum": batch * self.M * self.E**2,
        }[data]


@dataclass(frozen=True)
class Hardware:
    """What all mappings of a dataflow must fit: PEs, words of RF in each, words of global buffer."""

    pes: int
    rf_words: int
    buffer_words: int


@dataclass(frozen=True)
class Candidates:
    """Mappings of a layer, an entry of each array for each: parameters, active PEs, and what the levels hand down."""

    parameters: dict[str, Count]
    pes: Count
    ifmap: Flow
    filter: Flow
    psum: Flow


@dataclass(frozen=True)
class Dataflow:
    """A dataflow: its name, the words of RF that a PE needs for these layers, and its mappings of one of them."""

    key: str
    title: str
    rf_words: Callable[[Sequence[Layer]], int]
    candidates: Callable[[Layer, int, Hardware], Iterable[Candidates]]


@dataclass(frozen=True)
class Mapped:
    """The mapping of a layer that spends the least energy; counts are those of all groups."""

    layer: Layer
    macs: int
    parameters: dict[str, int]
    pes: int
    accesses: dict[str, dict[str, int]]
    reuse: dict[str, tuple[Fraction, ...]]

    def energy(self, table: EnergyTable = EYERISS) -> dict[str, dict[str, float]]:
        """Return the energy of moving each type of data, by level."""
        return {
            data: {level: table.costs[level] * count for level, count in levels.items()}
            for data, levels in self.accesses.items()
        }


def input_accesses(flow: Flow, strict: bool = False) -> Flow:
    """Return the accesses to each level for an input, as equation (3).

    A level without reuse is passed by and costs nothing (the equation's footnote; ``strict`` charges it all the same).
    """
    dram, *nearer = flow
    charged = [near if strict else np.where(near > far, near, 0) for far, near in zip(flow[:-1], nearer, strict=True)]
    return (dram, *charged)  # type: ignore[return-value]


def psum_accesses(flow: Flow, words: int) -> Flow:
    """Return the accesses to each level for psums, as equation (4); ``words`` of them are finished."""
    dram, buffer, array, rf = flow
    return 2 * dram - words, 2 * (buffer - dram), array - buffer, 2 * (rf - array)


def best_mapping(
    dataflow: Dataflow,
    layer: Layer,
    batch: int,
    hardware: Hardware,
    table: EnergyTable = EYERISS,
    strict: bool = False,
) -> Mapped | None:
    """Return the mapping with the least energy, or None if none fits; of equal ones, the first with the most PEs.

    Parameters
    ----------
    dataflow, layer, batch, hardware
        What to map on what.
    table : EnergyTable
        What an access costs.
    strict : bool
        As for :func:`input_accesses`.
    """
    best: tuple[tuple[float, int], Mapped] | None = None
    for some in dataflow.candidates(layer, batch, hardware):
        if not some.pes.size:
            continue
        accesses = _accesses(some, layer.words("psum", batch), strict)
        costs = np.zeros(some.pes.size)
        for one in accesses:
            costs += sum(table.costs[level] * count for level, count in zip(STORAGE, one, strict=True))
        equal = np.flatnonzero(costs == costs.min())
        index = int(equal[np.argmax(some.pes[equal])])
        rank = (float(costs[index]), -int(some.pes[index]))
        if best is None or rank < best[0]:
            best = rank, _mapped(layer, batch, some, accesses, index)
    return best[1] if best else None


def _accesses(some: Candidates, psums: int, strict: bool) -> list[Flow]:
    return [
        input_accesses(some.ifmap, strict),
        input_accesses(some.filter, strict),
        psum_accesses(some.psum, psums),
    ]


def _mapped(layer: Layer, batch: int, some: Candidates, accesses: Sequence[Flow], index: int) -> Mapped:
    flows = {"ifmap": some.ifmap, "filter": some.filter, "psum": some.psum}
    return Mapped(
        layer=layer,
        macs=layer.groups * layer.macs(batch),
        parameters={name: int(values[index]) for name, values in some.parameters.items()},
        pes=int(some.pes[index]),
        accesses={
            data: {name: layer.groups * int(count[index]) for name, count in zip(STORAGE, flow, strict=True)}
            for data, flow in zip(DATA, accesses, strict=True)
        },
        reuse={data: _factors(flow, index, layer.words(data, batch)) for data, flow in flows.items()},
    )


def _factors(flow: Flow, index: int, words: int) -> tuple[Fraction, ...]:
    """Return a, b, c and d, averages over all data of the type."""
    handed = [words, *(int(count[index]) for count in flow)]
    return tuple(Fraction(near, far) for far, near in zip(handed[:-1], handed[1:], strict=True))


def ceil(total: Count | int, part: Count | int) -> Count:
    """Return how many parts the total has, the last one perhaps smaller."""
    return -(-np.asarray(total) // part)


def sizes(total: int, most: int | None = None) -> list[int]:
    """Return the part sizes worth trying: of those that cut a total into equally many parts, the smallest."""
    parts = sorted({-(-total // count) for count in range(1, total + 1)})
    return [part for part in parts if most is None or part <= most]


def grid(**axes: Iterable[int]) -> dict[str, Count]:
    """Return all combinations of the axes' values."""
    arrays = np.meshgrid(*(np.array(list(values), dtype=np.int64) for values in axes.values()), indexing="ij")
    return {name: values.ravel() for name, values in zip(axes, arrays, strict=True)}


def cross(left: dict[str, Count], right: dict[str, Count]) -> dict[str, Count]:
    """Return every row of one beside every row of the other."""
    rows, others = (len(next(iter(side.values()))) for side in (left, right))
    return {name: np.repeat(values, others) for name, values in left.items()} | {
        name: np.tile(values, rows) for name, values in right.items()
    }


def keep(columns: dict[str, Count], mask: Count) -> dict[str, Count]:
    """Return the rows where the mask is set."""
    return {name: values[mask] for name, values in columns.items()}


def lines(layer: Layer, tile: Count | int) -> Count:
    """Return how many lines of an ifmap plane are read for ``E`` ofmap lines in tiles, those shared by tiles twice."""
    return layer.U * layer.E + (layer.R - layer.U) * ceil(layer.E, tile)


def span(layer: Layer, tile: Count | int) -> Count:
    """Return how many ifmap lines a tile of ofmap lines covers."""
    return layer.U * np.asarray(tile) + layer.R - layer.U


def flow(like: Count, *counts: Count | int) -> Flow:
    """Return the four counts as arrays as long as ``like``."""
    dram, buffer, array, rf = (np.broadcast_to(np.asarray(count, dtype=np.int64), like.shape) for count in counts)
    return dram, buffer, array, rf


def one_or_most(columns: dict[str, Count], most: Count) -> Iterator[dict[str, Count]]:
    """Yield the rows with ``k`` 1 and with ``k`` the most that fits, where anything fits.

    ``k`` is how many times the filters in the array fit among those in the buffer. Only these two can be best: with 1,
    ifmaps pass the buffer by; otherwise the more, the fewer DRAM reads.
    """
    fits = most >= 1
    yield keep(columns, fits) | {"k": np.ones(int(fits.sum()), dtype=np.int64)}
    yield keep(columns, most > 1) | {"k": most[most > 1]}
