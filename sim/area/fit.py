"""The model's coefficients, fitted on measured points, and how far it is off at points that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from sim.area.array_structures import ARRAY
from sim.area.components import COMPONENTS, Component
from sim.area.drain_structures import DRAIN
from sim.area.engine_structures import ENGINES
from sim.area.points import Point, load_points
from sim.area.resources import Resources
from sim.area.structure import Structure

#: Resources that are fitted; the others follow exactly from memories and multipliers.
FITTED = ("luts", "ffs", "gates")

#: By name of the component; the others have no field that decides them, no memory and no multiplier.
_STRUCTURES = ARRAY | ENGINES | DRAIN


class FitError(ValueError):
    """Points from which the model cannot be made; the message names the component."""


@dataclass(frozen=True)
class Law:
    """How a component's resources follow from the configuration.

    Parameters
    ----------
    component : Component
        The component.
    coefficients : dict of str to array
        By fitted resource, one for each number of the component's structure.
    measured : dict of tuple to Resources
        By values of its fields, if every value that they may have has been measured; otherwise empty.
    """

    component: Component
    coefficients: dict[str, list[float]]
    measured: dict[tuple[int, ...], Resources]

    def resources(self, config: AcceleratorConfig) -> Resources:
        """Return what one instance takes.

        Parameters
        ----------
        config : AcceleratorConfig
            The machine.
        """
        if self.measured:
            return self.measured[self.component.key(config)]
        structure = structure_of(self.component)
        fitted = {}
        for resource, coefficients in self.coefficients.items():
            logic = sum(map(float.__mul__, coefficients, map(float, _numbers(structure, resource, config))))
            fitted[resource] = max(0, round(logic + _beside_memories(structure, resource, config)))
        return Resources(**exact(self.component, config), **fitted)


@dataclass(frozen=True)
class Miss:
    """A prediction for a point that was left out of the fit.

    Parameters
    ----------
    component : str
        Name of the component.
    resource : str
        Name of the resource.
    predicted, measured : int
        What the model fitted on the other points says, and what synthesis says.
    """

    component: str
    resource: str
    predicted: int
    measured: int

    @property
    def error(self) -> float:
        """Difference as a fraction of what was measured; of 1 if that is nothing."""
        return abs(self.predicted - self.measured) / max(self.measured, 1)


def structure_of(component: Component) -> Structure:
    """Return what the sources say of a component.

    Parameters
    ----------
    component : Component
        The component.
    """
    return _STRUCTURES.get(component.name, Structure())


def exact(component: Component, config: AcceleratorConfig) -> dict[str, int]:
    """Return the resources that follow exactly from a component's memories and multipliers.

    Parameters
    ----------
    component : Component
        The component.
    config : AcceleratorConfig
        The machine.
    """
    structure = structure_of(component)
    memories = structure.memories(config)
    return {
        "dsps": structure.dsps(config),
        "brams": sum(memory.brams for memory in memories),
        "lut_rams": sum(memory.lut_rams for memory in memories),
        "sram_bits": sum(memory.sram_bits for memory in memories),
    }


def fit(component: Component, points: Sequence[Point]) -> Law:
    """Return a component's law.

    Least squares of the relative errors, so that a small component counts as much as a large one.

    Parameters
    ----------
    component : Component
        The component.
    points : sequence of Point
        Its measured points.

    Raises
    ------
    FitError
        If there are too few points.
    """
    structure = structure_of(component)
    if structure.logic is None:
        return Law(component, {}, {component.key(point.config): point.resources for point in points})
    coefficients = {}
    for resource in FITTED:
        numbers = np.array([_numbers(structure, resource, point.config) for point in points], dtype=float)
        if np.linalg.matrix_rank(numbers) < numbers.shape[1]:
            raise FitError(f"{component.name} has too few points for {numbers.shape[1]} coefficients of its {resource}")
        measured = np.array([getattr(point.resources, resource) for point in points], dtype=float)
        beside = np.array([_beside_memories(structure, resource, point.config) for point in points])
        coefficients[resource] = _least_squares(numbers, measured - beside, 1 / np.maximum(measured, 1)).tolist()
    return Law(component, coefficients, {})


def laws(points: Iterable[Point] | None = None) -> tuple[Law, ...]:
    """Return the law of every component.

    Parameters
    ----------
    points : iterable of Point, optional
        Measured points; by default those that come with the package.
    """
    by_component: dict[str, list[Point]] = {component.name: [] for component in COMPONENTS}
    for point in load_points() if points is None else points:
        by_component[point.component.name].append(point)
    return tuple(fit(component, by_component[component.name]) for component in COMPONENTS)


def leave_one_out(points: Iterable[Point] | None = None) -> list[Miss]:
    """Predict every point of a fitted component from all others.

    Parameters
    ----------
    points : iterable of Point, optional
        Measured points; by default those that come with the package.
    """
    points = tuple(load_points() if points is None else points)
    misses = []
    for component in COMPONENTS:
        own = [point for point in points if point.component is component]
        if structure_of(component).logic is None:
            continue
        for left_out in own:
            law = fit(component, [point for point in own if point is not left_out])
            predicted = law.resources(left_out.config)
            misses += [
                Miss(component.name, name, getattr(predicted, name), getattr(left_out.resources, name))
                for name in FITTED
            ]
    return misses


def predict_unseen(config: AcceleratorConfig) -> Resources:
    """Return a machine's area as the model predicts it without the points that are components of this machine.

    Components of which every value is measured keep their points.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """
    unseen = (
        point
        for point in load_points()
        if structure_of(point.component).logic is None
        or point.component.key(point.config) != point.component.key(config)
    )
    return sum((law.resources(config) * law.component.count(config) for law in laws(unseen)), Resources())


def summary(misses: Sequence[Miss]) -> tuple[float, float]:
    """Return the median and the greatest error.

    Parameters
    ----------
    misses : sequence of Miss
        At least one.
    """
    errors = [miss.error for miss in misses]
    return median(errors), max(errors)


def _numbers(structure: Structure, resource: str, config: AcceleratorConfig) -> Sequence[float]:
    basis = structure.basis(resource)
    return () if basis is None else basis(config)


def _beside_memories(structure: Structure, resource: str, config: AcceleratorConfig) -> float:
    """Registers, multiplexers and decoders that memories need beside their cells."""
    return sum(getattr(memory, resource) for memory in structure.memories(config))


def _least_squares(numbers: NDArray, values: NDArray, weights: NDArray) -> NDArray:
    return np.linalg.lstsq(numbers * weights[:, None], values * weights, rcond=None)[0]
