"""A dataflow on several layers: energy per MAC by level and by type of data, DRAM accesses, active PEs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from golden.dataflows.framework import DATA, STORAGE, Dataflow, Hardware, Layer, Mapped, best_mapping
from golden.dataflows.storage import hardware
from golden.energy import EYERISS, EnergyTable


@dataclass(frozen=True)
class Total:
    """The mapped layers of a dataflow on a machine; ``missing`` names the layers that do not fit it, if any."""

    dataflow: str
    batch: int
    machine: Hardware
    layers: tuple[Mapped, ...]
    missing: tuple[str, ...]
    table: EnergyTable

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def by_level(self) -> dict[str, float]:
        """Energy per MAC at each level of :data:`golden.energy.LEVELS`, from the MAC outwards."""
        energies = [layer.energy(self.table) for layer in self.layers]
        moved = {level: sum(energy[data][level] for energy in energies for data in DATA) for level in STORAGE}
        return {"mac": self.table.costs["mac"]} | {level: moved[level] / self.macs for level in reversed(STORAGE)}

    @property
    def by_data(self) -> dict[str, float]:
        """Energy per MAC of moving each type of data."""
        energies = [layer.energy(self.table) for layer in self.layers]
        return {data: sum(sum(energy[data].values()) for energy in energies) / self.macs for data in DATA}

    @property
    def energy(self) -> float:
        """Energy per MAC, the MAC's own included."""
        return sum(self.by_level.values())

    @property
    def dram(self) -> float:
        """DRAM accesses per MAC."""
        return sum(layer.accesses[data]["dram"] for layer in self.layers for data in DATA) / self.macs

    @property
    def active_pes(self) -> float:
        """PEs at work, on average over the time."""
        return self.macs / sum(layer.macs / layer.pes for layer in self.layers)


def total(
    dataflow: Dataflow,
    layers: Sequence[Layer],
    pes: int,
    batch: int,
    machine_layers: Sequence[Layer] | None = None,
    table: EnergyTable = EYERISS,
    strict: bool = False,
) -> Total:
    """Map layers, each as it spends the least energy.

    Parameters
    ----------
    dataflow, layers, pes, batch
        What to map on how many PEs.
    machine_layers : sequence of Layer, optional
        What layers the RFs are for (default: ``layers``).
    table, strict
        As for :func:`golden.dataflows.framework.best_mapping`.
    """
    machine = hardware(dataflow, machine_layers or layers, pes)
    mapped = {layer.name: best_mapping(dataflow, layer, batch, machine, table, strict) for layer in layers}
    return Total(
        dataflow=dataflow.key,
        batch=batch,
        machine=machine,
        layers=tuple(one for one in mapped.values() if one),
        missing=tuple(name for name, one in mapped.items() if not one),
        table=table,
    )
