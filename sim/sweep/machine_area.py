"""The area of a machine, and how a store keeps it: by component."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from hw.config import AcceleratorConfig
from sim.sweep.errors import SweepError

if TYPE_CHECKING:
    from sim.area.model import Area

#: Columns of a store.
AREA_COLUMNS = ("luts", "ffs", "dsps", "brams", "lut_rams", "gates", "sram_bits")


def machine_area(config: AcceleratorConfig) -> Area | None:
    """Return the area of a machine by the fitted model; None where there is no model."""
    try:
        from sim.area.model import area
    except ModuleNotFoundError:
        return None
    return area(config)


def check_area(config: AcceleratorConfig) -> None:
    """Check that there is a model of area.

    Raises
    ------
    SweepError
        If there is none.
    """
    if machine_area(config) is None:
        raise SweepError("objectives of area must have the model sim.area.model, which is not installed")


def area_to_json(area: Area | None) -> str | None:
    """Return an area as JSON."""
    if area is None:
        return None
    return json.dumps({name: dataclasses.asdict(part) for name, part in area.components.items()})


def area_from_json(text: str | None) -> Area | None:
    """Return the area that :func:`area_to_json` wrote."""
    if text is None:
        return None
    from sim.area.model import Area
    from sim.area.resources import Resources

    return Area({name: Resources(**part) for name, part in json.loads(text).items()})
