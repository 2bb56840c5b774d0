"""A small sweep's store for the tests of the page: real costs, awkward labels, skipped and verified machines."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from hw.config import AcceleratorConfig, preset
from sim.area.resources import Resources
from sim.sweep.costs import Cost, Outcome, evaluate
from sim.sweep.space import Space, Workload
from sim.sweep.store import Store, Verification
from tests.sim.sweeping import CONV, FC

#: What would end the script that holds it, or become an element, if it were not escaped.
MARKUP = "</script><b>&amp;"
WORKLOADS = (Workload(MARKUP, CONV), Workload("lenet5", "lenet5", batch=2), Workload("fc", FC, layers=("fc",)))
REASON = f"layer {MARKUP} must fit"
DIFFERENCE = f"3 cycles, not 4 {MARKUP}"


def page_space(**changes: object) -> Space:
    """Return twenty machines and three workloads."""
    fields = {"rows": (2, 3, 4, 5), "cols": (2, 3, 4, 6, 7), "lanes": (8,)}
    return Space(**({"base": preset("tiny"), "fields": fields, "workloads": WORKLOADS} | changes))  # type: ignore[arg-type]


def area(config: AcceleratorConfig) -> SimpleNamespace:
    """Return an area of two components, made up: these tests are not about the model."""
    parts = {
        "pe": Resources(luts=90, gates=1000, sram_bits=4096) * config.pes,
        "drain": Resources(luts=700, gates=6000),
    }
    return SimpleNamespace(components=parts, total=parts["pe"] + parts["drain"])


def write_store(folder: Path, space: Space, *, broken: int = 1) -> Path:
    """Write the store of a space; the first ``broken`` machines cannot do the first workload, two others ran on RTL."""
    with Store(space, folder) as store:
        for index, candidate in enumerate(space.candidates()):
            store.add(candidate, _outcome(candidate.config, space.workloads, REASON if index < broken else ""))
        front = store.data().front
        if front:
            label = space.workloads[-1].name
            good, bad = front[len(front) // 3], front[-2 % len(front)]
            store.add_verified(good.candidate.id, {label: Verification(True, good.costs[label].cycles, "")})
            store.add_verified(bad.candidate.id, {label: Verification(False, 4, DIFFERENCE)})
        return store.path


def _outcome(config: AcceleratorConfig | None, workloads: tuple[Workload, ...], reason: str) -> Outcome:
    assert config is not None
    costs = {workload.name: evaluate(config, workload) for workload in workloads}
    if reason:
        costs[workloads[0].name] = reason
    return Outcome(
        costs={label: cost for label, cost in costs.items() if isinstance(cost, Cost)},
        reasons={label: cost for label, cost in costs.items() if isinstance(cost, str)},
        area=area(config),
    )
