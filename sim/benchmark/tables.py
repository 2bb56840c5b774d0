"""Tables of the performance page, in Markdown; every figure comes from the results or from :mod:`golden.eyeriss`."""

from __future__ import annotations

from collections.abc import Sequence

from golden.eyeriss import PUBLISHED, Traffic
from sim.benchmark.checks import Check
from sim.benchmark.items import Item
from sim.benchmark.results import (
    CYCLE_COUNTERS,
    ItemResult,
    Measured,
    eyeriss_layers,
    find,
    lower_bound_bytes,
)

NONE = "-"
#: The items that stand beside Eyeriss's published run of the same batch.
BESIDE_EYERISS = ("alexnet_b4", "vgg16_b3")
#: Multipliers of the NNgen design that the single layers stand beside.
NNGEN_MULTIPLIERS = 144


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others are numbers."""
    lines = [list(heads), ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def millions(value: float, digits: int = 2) -> str:
    """Return a number in millions, which for bytes is MB."""
    return f"{value / 1e6:,.{digits}f}"


def percent(value: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * value:.1f}"


def _traffic(traffic: Traffic | None, digits: int = 2) -> str:
    return NONE if traffic is None else millions(traffic.bytes, digits)


def item_title(item: Item) -> str:
    """Return what the document calls an item."""
    model = "" if item.rtl else ", by the model only"
    return f"{item.title}, batch {item.batch}{model}"


def summary_table(results: Sequence[ItemResult]) -> str:
    """Return utilisation and DRAM traffic of every item beside their bars."""
    heads = ("", "utilisation, %", "bar", "beside it", "DRAM, MB", "bar", "Eyeriss RLC / dense, MB", "cycles", "equal")
    rows = []
    for result in results:
        item, total = result.item, result.total
        least, most = item.least_utilisation, item.most_dram_mb
        rows.append(
            [
                item_title(item),
                percent(total.utilisation(result.pes)),
                NONE if least is None else f">= {100 * least:g}",
                _beside(result),
                millions(total.dram_bytes),
                NONE if most is None else f"<= {most:g}",
                _eyeriss_dram(result),
                f"{total.cycles:,}",
                ("yes" if result.equal else "**no**") if item.rtl else "not run",
            ]
        )
    return markdown(heads, rows)


def _beside(result: ItemResult) -> str:
    item = result.item
    if item.nngen_cycles is not None:
        share = result.total.macs / (NNGEN_MULTIPLIERS * item.nngen_cycles)
        return f"NNgen {percent(share)} ({item.nngen_cycles:,} cycles)"
    if item.name in BESIDE_EYERISS:
        return f"Eyeriss {percent(PUBLISHED[item.network].total.utilisation)}"
    return NONE


def _eyeriss_dram(result: ItemResult) -> str:
    if result.item.name not in BESIDE_EYERISS:
        return NONE
    total = PUBLISHED[result.item.network].total
    return f"{_traffic(total.dram_rlc, 1)} / {_traffic(total.dram_dense, 1)}"


def checks_table(rows: Sequence[Check]) -> str:
    """Return figures beside their bars."""
    cells = [(check.item.name, check.what, check.value, check.bar, "yes" if check.met else "**no**") for check in rows]
    return markdown(("item", "what", "measured", "bar", "reached"), cells)


def words_table(results: Sequence[ItemResult]) -> str:
    """Return traffic beside Eyeriss's in bytes and in words."""
    rows = []
    for name in BESIDE_EYERISS:
        result = find(results, name)
        total, published = result.total, PUBLISHED[result.item.network].total
        title = item_title(result.item)
        dense = published.dram_dense
        for what, traffic in (("DRAM, run-length coded", published.dram_rlc), ("DRAM, dense, computed", dense)):
            own = (millions(total.dram_bytes), f"{millions(total.dram_bytes)} of 8 bits")
            rows.append([f"{title}: {what}", *own, _traffic(traffic, 1), _words(traffic)])
        own = (millions(total.glb_bytes, 1), f"{millions(total.glb_accesses, 1)} of 64 or 32 bits")
        rows.append([f"{title}: global buffer", *own, _traffic(published.glb, 1), _words(published.glb)])
    return markdown(("", "Eyas, MB", "Eyas, M words", "Eyeriss, MB", "Eyeriss, M words"), rows)


def _words(traffic: Traffic | None) -> str:
    return NONE if traffic is None else f"{millions(traffic.words, 1)} of 16 bits"


def layers_table(result: ItemResult, alone: ItemResult | None = None) -> str:
    """Return utilisation and DRAM traffic of each layer beside Eyeriss's.

    Parameters
    ----------
    result : ItemResult
        CONV layers at Eyeriss's batch.
    alone : ItemResult, optional
        The same layers at batch 1, for more columns.
    """
    dense = PUBLISHED[result.item.network].total.dram_dense is not None
    heads = ["layer", "cycles", "utilisation, %", "Eyeriss, %", "DRAM, MB", "Eyeriss RLC, MB"]
    heads += ["Eyeriss dense, MB"] if dense else []
    heads += ["lower bound, MB", "each datum once, MB"]
    if alone is not None:
        heads[1:1] = ["batch 1 cycles", "batch 1 utilisation, %", "batch 1 DRAM, MB"]
    rows = []
    ones = [*alone.layers, alone.total] if alone is not None else []
    for index, (layer, published) in enumerate(
        zip([*result.layers, result.total], eyeriss_layers(result), strict=True)
    ):
        row = [layer.name, f"{layer.cycles:,}", percent(layer.utilisation(result.pes)), percent(published.utilisation)]
        row += [millions(layer.dram_bytes), _traffic(published.dram_rlc, 1)]
        row += [_traffic(published.dram_dense)] if dense else []
        row += _bounds(result, layer)
        if alone is not None:
            one = ones[index]
            row[1:1] = [f"{one.cycles:,}", percent(one.utilisation(alone.pes)), millions(one.dram_bytes)]
        rows.append(row)
    return markdown(heads, rows)


def _bounds(result: ItemResult, layer: Measured) -> list[str]:
    """Return lower bound and bytes of each datum once of a layer, or of all for their sum."""
    layers = [layer] if layer.shape is not None else result.layers
    bound = sum(lower_bound_bytes(result, each) for each in layers)
    return [millions(bound), millions(sum(each.once_bytes or 0 for each in layers))]


def buffer_table(result: ItemResult) -> str:
    """Return the global-buffer accesses of each layer beside Eyeriss's."""
    heads = ["layer", "ifmap reads, M", "filter reads, M", "psum reads, M", "psum writes, M", "by execute, M"]
    heads += ["by execute, MB", "Eyeriss, M words", "Eyeriss, MB", "load's writes, M", "drain's reads, M"]
    rows = []
    for layer, published in zip([*result.layers, result.total], eyeriss_layers(result), strict=True):
        reads = [layer[f"glb.{name}"] for name in ("ifmap.read", "filter.read", "psum.read", "psum.write")]
        others = [layer["glb.ifmap.write"] + layer["glb.filter.write"], layer["glb.psum.drain"]]
        own = [*reads, layer.glb_accesses, layer.glb_bytes, published.glb.words, published.glb.bytes, *others]
        rows.append([layer.name, *(millions(value) for value in own)])
    return markdown(heads, rows)


def depthwise_table(result: ItemResult, alone: ItemResult) -> str:
    """Return the cycles of each depthwise layer beside what each resource needs at least.

    Parameters
    ----------
    result : ItemResult
        The whole network.
    alone : ItemResult
        Its depthwise layers, each a program of its own.
    """
    rows = []
    for layer, one in zip(result.depthwise, alone.layers, strict=True):
        binds, ratio = layer.binding
        needs = [f"{cycles:,}" for cycles in layer.bounds.values()]
        row = [layer.name, f"{layer.cycles:,}", *needs, binds, f"{ratio:.3f}"]
        binds, ratio = one.binding
        rows.append([*row, f"{one.cycles:,}", binds, f"{ratio:.3f}"])
    heads = ("layer", "cycles", "array", "DRAM beats", "lane reads", "drain", "binds", "ratio")
    return markdown((*heads, "alone: cycles", "alone: binds", "alone: ratio"), rows)


def cycles_table(results: Sequence[ItemResult]) -> str:
    """Return where the cycles of every item went, in percent."""
    names = [name.removeprefix("cycle.execute.").replace("_", " ") for name in CYCLE_COUNTERS]
    rows = []
    for result in results:
        total = result.total
        spent = [total[name] for name in CYCLE_COUNTERS]
        shares = [f"{100 * cycles / total.cycles:.2f}" for cycles in (*spent, total.cycles - sum(spent))]
        filled = total.macs / (result.pes * total["cycle.execute.busy"])
        bus = percent(total.bounds["DRAM beats"] / total.cycles)
        rows.append([item_title(result.item), f"{total.cycles:,}", *shares, percent(filled), bus])
    return markdown(("", "cycles", *names, "start and end", "MAC slots filled while busy", "DRAM bus at work"), rows)


def speed_table(results: Sequence[ItemResult]) -> str:
    """Return how fast every item was simulated."""
    rows = []
    for result in results:
        if result.item.rtl:
            cycles, seconds = result.total.cycles, max(result.wall_seconds, 1e-9)
            rows.append([item_title(result.item), f"{cycles:,}", f"{seconds:.1f}", f"{cycles / seconds:,.0f}"])
    return markdown(("", "cycles", "seconds", "simulated cycles per second"), rows)
