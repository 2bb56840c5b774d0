"""Measured points: what the model is fitted on, and whole machines to compare it with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hw.config import AcceleratorConfig
from sim.area.components import BY_NAME, COMPONENTS, Component
from sim.area.measure import SMALLEST, counted, measure, yosys_version
from sim.area.resources import Resources
from sim.synth import synthesise

#: The points that come with the package.
POINTS = Path(__file__).with_name("points.json")


@dataclass(frozen=True)
class Point:
    """A component with some values of its fields, and what it takes.

    Parameters
    ----------
    component : Component
        The component.
    config : AcceleratorConfig
        A machine with these values; its other fields are as small as they may be.
    resources : Resources
        What one instance takes.
    """

    component: Component
    config: AcceleratorConfig
    resources: Resources


@dataclass(frozen=True)
class Machine:
    """A machine of which every component has been synthesised.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    summed : Resources
        What its components take together.
    whole : Resources or None
        What it takes if it is synthesised as a whole, which gives no gates and no bits; None if it has not been.
    """

    config: AcceleratorConfig
    summed: Resources
    whole: Resources | None


def load_points(path: Path = POINTS) -> tuple[Point, ...]:
    """Return measured points.

    Parameters
    ----------
    path : Path
        File; by default the one that comes with the package.
    """
    return tuple(
        Point(BY_NAME[each["component"]], SMALLEST.with_fields(each["fields"]), Resources(**each["resources"]))
        for each in _load(path)["points"]
    )


def load_machines(path: Path = POINTS) -> tuple[Machine, ...]:
    """Return measured machines.

    Parameters
    ----------
    path : Path
        File; by default the one that comes with the package.
    """
    return tuple(
        Machine(
            AcceleratorConfig(**each["fields"]),
            Resources(**each["summed"]),
            Resources(**each["whole"]) if each["whole"] else None,
        )
        for each in _load(path)["machines"]
    )


def points_version(path: Path = POINTS) -> str:
    """Return the version of Yosys that the points were measured with.

    Parameters
    ----------
    path : Path
        File; by default the one that comes with the package.
    """
    return _load(path)["yosys"]


def refit(tell: Callable[[str], None], path: Path = POINTS) -> str:
    """Measure all points and machines of a file again and return its new text.

    To add a point or a machine, write its fields into the file first.

    Parameters
    ----------
    tell : function
        Takes a line about each step.
    path : Path
        File; by default the one that comes with the package.

    Raises
    ------
    SynthesisError
        If pyosys is not installed or Yosys fails.
    """
    old = _load(path)
    points = []
    for entry in old["points"]:
        component = BY_NAME[entry["component"]]
        resources = asdict(measure(component, SMALLEST.with_fields(entry["fields"])))
        tell(f"{component.name} {entry['fields']}: {resources}")
        points.append({"component": component.name, "fields": entry["fields"], "resources": resources})
    machines = [_machine(entry, tell) for entry in old["machines"]]
    return (
        f'{{\n"yosys": {json.dumps(yosys_version())},\n"points": [\n{_lines(points)}\n],\n'
        f'"machines": [\n{_lines(machines)}\n]\n}}\n'
    )


def _machine(entry: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    config = AcceleratorConfig(**entry["fields"])
    summed = sum((measure(each, config) * each.count(config) for each in COMPONENTS), Resources())
    tell(f"machine {config.name}: {asdict(summed)}")
    whole = None
    if entry["whole"] is not None:
        whole = counted(synthesise(config)[0].resources)
        tell(f"machine {config.name} as a whole: {whole}")
    return {"fields": entry["fields"], "summed": asdict(summed), "whole": whole}


def _lines(entries: Iterable[dict[str, Any]]) -> str:
    return ",\n".join(map(json.dumps, entries))


@cache
def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
