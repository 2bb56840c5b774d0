"""Whether the results of ``eyas bench`` reach their bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.benchmark.items import Item
from sim.benchmark.results import ItemResult


@dataclass(frozen=True)
class Check:
    """A figure beside its bar, as texts, and whether it is reached."""

    item: Item
    what: str
    value: str
    bar: str
    met: bool


def checks(result: ItemResult) -> list[Check]:
    """Return everything that an item must show."""
    item, total = result.item, result.total
    rows = []
    if item.rtl:
        value = "equal" if result.equal else "differ"
        rows.append(("bytes, counters and cycles", value, "equal", result.equal))
    if (least := item.least_utilisation) is not None:
        share = total.utilisation(result.pes)
        rows.append(("utilisation", f"{share:.1%}", f">= {least:.0%}", share >= least))
    if (mb := item.most_dram_mb) is not None:
        rows.append(("DRAM", f"{total.dram_bytes / 1e6:.2f} MB", f"<= {mb:g} MB", total.dram_bytes <= mb * 1e6))
    if (most := item.most_glb_accesses) is not None:
        value = f"{total.glb_accesses / 1e6:.1f} M"
        rows.append(("global-buffer accesses", value, f"<= {most / 1e6:g} M", total.glb_accesses <= most))
    if (ratio := item.most_depthwise) is not None:
        for layer in result.depthwise:
            binds, times = layer.binding
            rows.append((f"cycles of {layer.name}", f"{times:.3f} x {binds}", f"<= {ratio:g} x", times <= ratio))
    return [Check(item, *row) for row in rows]


def missed(results: Sequence[ItemResult]) -> list[Check]:
    """Return the bars that are not reached."""
    return [check for result in results for check in checks(result) if not check.met]
