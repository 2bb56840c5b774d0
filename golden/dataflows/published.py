"""What the paper published, from ``published.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Published:
    """Energy per MAC relative to row stationary at batch 1, and DRAM accesses per MAC, by dataflow; where and when."""

    source: str
    pes: int
    batch: int
    energy: dict[str, float]
    dram: dict[str, float]
    buffer_ratio: float
    difference_kilobytes: float

    @property
    def order(self) -> list[str]:
        """The dataflows, from the least energy to the most."""
        return sorted(self.energy, key=self.energy.__getitem__)


def _load() -> Published:
    data = tomllib.loads((Path(__file__).parent / "published.toml").read_text(encoding="utf-8"))
    return Published(
        source=data["source"],
        pes=data["pes"],
        batch=data["batch"],
        energy=data["energy_per_mac"],
        dram=data["dram_accesses_per_mac"],
        **data["storage"],
    )


PUBLISHED = _load()
