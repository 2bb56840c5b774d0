"""The space of a sweep: machines, constraints, workloads, objectives and the search."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hw.config import AcceleratorConfig, ConfigError
from sim.sweep.constraint import DERIVED, FIELDS, Constraint
from sim.sweep.errors import SweepError
from sim.sweep.objectives import known_objectives

__all__ = ["Candidate", "Constraint", "Search", "Space", "SweepError", "Workload", "load_space"]

METHODS = ("grid", "random", "optuna")
SAMPLERS = ("tpe", "nsga2")
#: A larger grid takes too long to enumerate.
MAXIMUM_GRID = 1_000_000
#: Combinations that a random search draws for each point asked for, and at least, before it takes what it has.
TRIES_PER_POINT, LEAST_TRIES = 100, 100_000
#: SQLite joins 64 tables at most.
MAXIMUM_WORKLOADS = 60


@dataclass(frozen=True)
class Workload:
    """A network, or some of its layers with inputs of their own, and the batch size."""

    name: str
    network: str
    batch: int = 1
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One point of the space: its swept fields, and the machine or the sentence why it cannot be built.

    ``id`` counts all combinations of the fields' values, the last field fastest.
    """

    name: str
    values: Mapping[str, object]
    config: AcceleratorConfig | None
    reason: str = ""
    id: int = 0


@dataclass(frozen=True)
class Search:
    """Which points of the space are costed.

    Parameters
    ----------
    method : str
        ``grid`` (all), ``random`` or ``optuna``.
    points : int
        Machines that ``random`` and ``optuna`` cost.
    seed : int
        Of the same.
    sampler : str
        Of ``optuna``: ``tpe``, which needs the fewest machines for a good front, or ``nsga2``, which itself takes less
        time where they are more than some hundred.

    Raises
    ------
    SweepError
        If a value is not allowed.
    """

    method: str = "grid"
    points: int = 0
    seed: int = 0
    sampler: str = "tpe"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SweepError(f"search.method must be one of {', '.join(METHODS)}, not {self.method!r}")
        if self.sampler not in SAMPLERS:
            raise SweepError(f"search.sampler must be one of {', '.join(SAMPLERS)}, not {self.sampler!r}")
        if self.method != "grid" and self.points < 1:
            raise SweepError(f"search.points must be at least 1 for method {self.method!r}, not {self.points}")
        if self.method == "grid" and self.points:
            raise SweepError(f"search.points must go with method 'random' or 'optuna', not {self.points} with 'grid'")
        if not 0 <= self.seed < 1 << 32:
            raise SweepError(f"search.seed must be from 0 to {(1 << 32) - 1}, not {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Space:
    """What to sweep.

    Parameters
    ----------
    base : AcceleratorConfig
        Machine that gives the fields that are not swept.
    fields : mapping of str to tuple
        Values of each swept field.
    workloads : tuple of Workload
        What every machine computes.
    constraints : tuple of Constraint
        Which combinations belong to the space.
    objectives : tuple of str
        What the front minimises.
    energy_table : str
        Name or path of the energy table.
    search : Search
        Which points are costed.

    Raises
    ------
    SweepError
        If a field or an objective does not exist, or something is missing or there twice.
    """

    base: AcceleratorConfig
    fields: Mapping[str, tuple[object, ...]]
    workloads: tuple[Workload, ...]
    constraints: tuple[Constraint, ...] = ()
    objectives: tuple[str, ...] = ("cycles", "pes")
    energy_table: str = "eyeriss"
    search: Search = Search()

    def __post_init__(self) -> None:
        for field, values in self.fields.items():
            _check_field(field, values)
        names = [workload.name for workload in self.workloads]
        if not names or len(set(names)) < len(names) or not all(names):
            raise SweepError(f"networks must be at least one, with different labels, not {names}")
        if len(names) > MAXIMUM_WORKLOADS:
            raise SweepError(f"networks must be at most {MAXIMUM_WORKLOADS}, not {len(names)}")
        known = known_objectives(names)
        for objective in self.objectives:
            if objective not in known:
                raise SweepError(f"objectives must be some of {', '.join(known)}, not {objective!r}")
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            given = list(self.objectives) or "an empty list"
            raise SweepError(f"objectives must be different ones of {', '.join(known)}, not {given}")
        if self.size >= 1 << 63:
            raise SweepError(f"fields must have fewer than 2**63 combinations, not {self.size}")
        if self.search.method == "grid" and self.size > MAXIMUM_GRID:
            raise SweepError(
                f"fields must have at most {MAXIMUM_GRID} combinations for a grid, not {self.size}: "
                "set method = 'random' or 'optuna' under [search]"
            )

    @property
    def size(self) -> int:
        """Combinations of the fields' values, whether they meet the constraints or not."""
        return math.prod(len(values) for values in self.fields.values())

    def combination(self, index: int) -> dict[str, object]:
        """Return the values of combination number ``index``; the last field changes fastest."""
        chosen: dict[str, object] = {}
        for field, values in reversed(list(self.fields.items())):
            index, position = divmod(index, len(values))
            chosen[field] = values[position]
        return {field: chosen[field] for field in self.fields}

    def candidate(self, index: int) -> Candidate | None:
        """Return the candidate of combination number ``index``, None if it does not meet the constraints."""
        values = self.combination(index)
        everything = {**self._base_values, **values}
        early = [constraint for constraint in self.constraints if constraint.names <= set(FIELDS)]
        if not all(constraint.holds(everything) for constraint in early):
            return None
        name = "_".join(f"{field}{value}" for field, value in values.items()) or self.base.name
        try:
            config = self.base.with_fields({"name": name, **values})
        except ConfigError as error:
            return Candidate(name, values, None, str(error), index)
        everything |= {derived: getattr(config, derived) for derived in DERIVED}
        if not all(constraint.holds(everything) for constraint in self.constraints):
            return None
        return Candidate(name, values, config, id=index)

    def candidates(self) -> list[Candidate]:
        """Return the candidates of a grid or a random search in the order of their combinations' numbers.

        A random search that finds fewer than it shall returns these.

        Raises
        ------
        SweepError
            If there are none.
        """
        order = iter(range(self.size)) if self.search.method == "grid" else self.shuffled()
        found = []
        for index in order:
            candidate = self.candidate(index)
            if candidate is not None:
                found.append(candidate)
                if self.search.method != "grid" and len(found) == self.search.points:
                    break
        if not found:
            raise self.empty()
        return sorted(found, key=lambda candidate: candidate.id)

    def shuffled(self) -> Iterator[int]:
        """Yield different combinations' numbers by the search's seed: a Fisher-Yates shuffle of which only moves exist.

        A space with more combinations than a search has tries is not exhausted.
        """
        generator = random.Random(self.search.seed)
        moved: dict[int, int] = {}
        for position in range(min(self.size, max(LEAST_TRIES, TRIES_PER_POINT * self.search.points))):
            chosen = generator.randrange(position, self.size)
            yield moved.get(chosen, chosen)
            moved[chosen] = moved.pop(position, position)

    def empty(self) -> SweepError:
        """Return the error of a space in which no machine was found."""
        names = " and ".join(constraint.text for constraint in self.constraints)
        return SweepError(f"constraints must leave at least one machine, {names} leaves none")

    @cached_property
    def _base_values(self) -> dict[str, object]:
        return dataclasses.asdict(self.base)


def _check_field(field: str, values: tuple[object, ...]) -> None:
    if field not in FIELDS:
        raise SweepError(f"fields must be some of {', '.join(FIELDS)}, not {field!r}")
    kind, plural = (bool, "true and false") if field == "counters" else (int, "integers")
    for value in values:
        if type(value) is not kind:
            raise SweepError(f"values of fields.{field} must be {plural}, not {value!r}")
    if not values or len(set(values)) < len(values):
        raise SweepError(f"fields.{field} must be a list of different values, not {list(values)}")


def load_space(path: Path) -> Space:
    """Return the space that a TOML file declares.

    Raises
    ------
    SweepError
        If the file cannot be read or says something that is not allowed.
    """
    from sim.sweep.space_file import read_space  # it needs the classes above

    return read_space(path)
