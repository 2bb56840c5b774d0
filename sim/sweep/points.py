"""The machines of a sweep with what is known of them, and the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sim.sweep.costs import Cost
from sim.sweep.objectives import AREA_OBJECTIVES, MACHINE_OBJECTIVES
from sim.sweep.space import Candidate, Space

if TYPE_CHECKING:
    from sim.area.model import Area

#: Begins what :attr:`Point.verified` says of a machine that is not as predicted.
DIFFERS = "DIFFERS"


@dataclass
class Point:
    """One machine of the space with its costs by workload.

    Members
    -------
    energies : dict
        Energy of each workload, in the unit of the space's table.
    area : Area or None
        By component.
    reasons : dict
        Why a workload, or the machine (under ``""``), was skipped.
    unexpected : bool
        Whether a reason is no statement about the machine: an exception, or a process that died.
    front : bool
        Whether no other machine is at least as good in every objective and better in one.
    verified : str
        What ran on RTL and how it compared; empty if nothing did.
    """

    candidate: Candidate
    costs: dict[str, Cost] = field(default_factory=dict)
    energies: dict[str, float] = field(default_factory=dict)
    area: Area | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    unexpected: bool = False
    front: bool = False
    verified: str = ""

    @property
    def complete(self) -> bool:
        """Whether every workload has a cost."""
        return not self.reasons

    def value(self, objective: str) -> float:
        """Return what the front minimises: a figure of the machine, of a workload, or of all workloads together."""
        if objective in MACHINE_OBJECTIVES:
            return int(getattr(self.candidate.config, objective))
        if objective in AREA_OBJECTIVES:
            assert self.area is not None
            return int(getattr(self.area.total, objective))
        name, _, workload = objective.partition(".")
        labels = [workload] if workload else list(self.costs)
        if name == "edp":
            return self._sum("energy", labels) * self._sum("cycles", labels)
        return self._sum(name, labels)

    def _sum(self, name: str, labels: Sequence[str]) -> float:
        if name == "energy":
            return sum(self.energies[label] for label in labels)
        return sum(getattr(self.costs[label], name) for label in labels)


@dataclass
class SweepData:
    """The machines that are stored, by their candidates' numbers."""

    space: Space
    points: list[Point]

    def __post_init__(self) -> None:
        complete = [point for point in self.points if point.complete]
        values = [[point.value(name) for name in self.space.objectives] for point in complete]
        for point, on_front in zip(complete, pareto_front(values), strict=True):
            point.front = on_front

    @property
    def front(self) -> list[Point]:
        """Points of the front, by the last objective, then the others."""
        names = list(reversed(self.space.objectives))
        chosen = [point for point in self.points if point.front]
        return sorted(chosen, key=lambda point: [point.value(name) for name in names])

    @property
    def skipped(self) -> Iterator[tuple[str, str, str]]:
        """Machine, workload (or nothing) and reason of all that has no cost."""
        for point in self.points:
            for label, reason in point.reasons.items():
                yield point.candidate.name, label, reason

    @property
    def failed(self) -> int:
        """Machines skipped for no reason of their own: an exception, or a process that died."""
        return sum(point.unexpected for point in self.points)

    @property
    def verified(self) -> bool:
        """Whether everything that ran on RTL was as predicted."""
        return not any(point.verified.startswith(DIFFERS) for point in self.points)

    def spread(self, count: int) -> list[Point]:
        """Return ``count`` points of the front: the least in the last objective, and from there in even steps."""
        front = self.front
        count = min(count, len(front))
        return [front[index * len(front) // count] for index in range(count)]


def pareto_front(values: Sequence[Sequence[float]]) -> list[bool]:
    """Return for each point whether no other is at least as small in all values and smaller in one.

    In lexicographic order only an earlier point can dominate, and if one does, one of the front does: each point is
    compared with the front so far. Values are replaced by their ranks, so whole numbers of any size stay exact.
    """
    if not values:
        return []
    ranks = np.empty((len(values), len(values[0])), np.int64)
    for column in range(ranks.shape[1]):
        order = {value: rank for rank, value in enumerate(sorted({row[column] for row in values}))}
        ranks[:, column] = [order[row[column]] for row in values]
    distinct, inverse = np.unique(ranks, axis=0, return_inverse=True)
    front = np.empty_like(distinct)
    count = 0
    chosen = np.zeros(len(distinct), bool)
    for index, row in enumerate(distinct):
        if not (front[:count] <= row).all(axis=1).any():
            chosen[index] = True
            front[count] = row
            count += 1
    return [bool(chosen[index]) for index in inverse.reshape(-1)]
