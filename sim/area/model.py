"""The area of a machine, from the fitted model: fast enough to sweep with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hw.config import AcceleratorConfig
from sim.area.components import COMPONENTS
from sim.area.fit import Law, laws
from sim.area.measure import measure
from sim.area.resources import Resources

__all__ = ["Area", "Resources", "area", "measured_area"]


@dataclass(frozen=True)
class Area:
    """What a machine takes.

    Parameters
    ----------
    components : dict of str to Resources
        By component, all its instances together.
    """

    components: Mapping[str, Resources]

    @property
    def total(self) -> Resources:
        """The whole machine."""
        return sum(self.components.values(), Resources())

    @property
    def groups(self) -> dict[str, Resources]:
        """By the first part of the components' names: ``array``, ``global_buffer``, ``drain`` and so on."""
        groups: dict[str, Resources] = {}
        for name, resources in self.components.items():
            group = name.split(".")[0]
            groups[group] = groups.get(group, Resources()) + resources
        return groups


def area(config: AcceleratorConfig) -> Area:
    """Return a machine's area as the model predicts it.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """
    return Area({law.component.name: _one(law, config) * law.component.count(config) for law in _laws()})


def measured_area(config: AcceleratorConfig) -> Area:
    """Return a machine's area with every component synthesised, or taken from the cache.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Raises
    ------
    SynthesisError
        If pyosys is not installed or Yosys fails.
    """
    return Area({each.name: measure(each, config) * each.count(config) for each in COMPONENTS})


#: What has been predicted: by component, then by the values of the fields that decide it.
_known: dict[str, dict[tuple[int, ...], Resources]] = {component.name: {} for component in COMPONENTS}


@cache
def _laws() -> tuple[Law, ...]:
    return laws()


def _one(law: Law, config: AcceleratorConfig) -> Resources:
    """Predict one instance; machines of a sweep differ in few components."""
    known, key = _known[law.component.name], law.component.key(config)
    if key not in known:
        known[key] = law.resources(config)
    return known[key]
