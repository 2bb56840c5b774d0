"""What a front can minimise, and where each figure comes from."""

from __future__ import annotations

from collections.abc import Iterable

#: Of a machine.
MACHINE_OBJECTIVES = ("pes", "global_buffer_bytes")
#: Of a machine's area, by the model of :mod:`sim.area.model`.
AREA_OBJECTIVES = ("luts", "ffs", "dsps", "brams", "gates", "sram_bits")
#: Of workloads: of all one after the other, or as ``cycles.LABEL`` of one; ``edp`` is energy times cycles.
COST_OBJECTIVES = ("cycles", "dram_bytes", "energy", "edp")


def known_objectives(labels: Iterable[str]) -> tuple[str, ...]:
    """Return every objective of a space whose workloads have these labels."""
    each = (f"{cost}.{label}" for label in labels for cost in COST_OBJECTIVES)
    return (*COST_OBJECTIVES, *MACHINE_OBJECTIVES, *AREA_OBJECTIVES, *each)
