"""The performance page, written from the results of ``eyas bench``."""

from __future__ import annotations

from collections.abc import Sequence

from sim.benchmark import text
from sim.benchmark.checks import checks, missed
from sim.benchmark.results import CYCLE_COUNTERS, ItemResult, eyeriss_layers, find
from sim.benchmark.tables import (
    BESIDE_EYERISS,
    buffer_table,
    checks_table,
    cycles_table,
    depthwise_table,
    item_title,
    layers_table,
    percent,
    speed_table,
    summary_table,
    words_table,
)


def summary(results: Sequence[ItemResult]) -> str:
    """Return every item's figures and every bar as text for the terminal."""
    bars = [check for result in results for check in checks(result)]
    lost = missed(results)
    verdict = f"{len(lost)} of {len(bars)} bars missed" if lost else f"all {len(bars)} bars reached"
    return "\n\n".join((summary_table(results), checks_table(bars), verdict))


def document(results: Sequence[ItemResult]) -> str:
    """Return the page; the same results give the same text.

    Parameters
    ----------
    results : sequence of ItemResult
        All items of :data:`sim.benchmark.items.ITEMS`.
    """
    alexnet, vgg, vgg_one = (find(results, name) for name in ("alexnet_b4", "vgg16_b3", "vgg16_b1"))
    blocks = ["# Performance", text.HEAD]
    blocks += ["## How it was measured", _method(results)]
    blocks += ["## What it shows", summary_table(results), text.SUMMARY, _verdict(results)]
    blocks += ["## Beside Eyeriss, in bytes and in words", words_table(results), text.WORDS, _above(results)]
    blocks += [_picture("Utilisation of each layer beside Eyeriss's", "utilisation")]
    blocks += ["## AlexNet, batch 4", _picture("AlexNet: DRAM and global-buffer traffic", "alexnet")]
    blocks += [layers_table(alexnet), text.LAYERS]
    blocks += ["### AlexNet: global buffer", buffer_table(alexnet), text.BUFFER]
    blocks += ["## VGG-16", text.VGG, _picture("VGG-16: DRAM and global-buffer traffic", "vgg16")]
    blocks += [layers_table(vgg, vgg_one), "### VGG-16: global buffer, batch 3", buffer_table(vgg)]
    blocks += ["## MobileNetV1: depthwise layers", *_depthwise(results)]
    blocks += ["## Where the cycles went", _picture("Where the cycles went", "cycles")]
    blocks += [cycles_table(results), text.CYCLES]
    blocks += ["## Speed of the simulation", speed_table(results), text.SPEED]
    return "\n\n".join(blocks) + "\n"


def _picture(title: str, name: str) -> str:
    return f"![{title}](pictures/performance_{name}.svg)"


def _method(results: Sequence[ItemResult]) -> str:
    machine = find(results, "alexnet_b4").machine
    parts = {name: machine[f"{name}_buffer_bytes"] / 1024 for name in ("ifmap", "psum", "filter")}
    return text.METHOD.format(
        **machine,
        buffer=sum(parts.values()),
        split=", ".join(f"{name} {size:.1f}" for name, size in parts.items()),
        scratchpads=machine["scratchpad_bytes"] / 1024,
        latency=results[0].steps[0]["latency_cycles"],
    )


def _verdict(results: Sequence[ItemResult]) -> str:
    """Return whether all bars are reached; where not, what the counters say about it."""
    count, lost = sum(len(checks(result)) for result in results), missed(results)
    if not lost:
        return f"All {count} bars are reached."
    reasons = [_reason(find(results, name)) for name in dict.fromkeys(check.item.name for check in lost)]
    return "\n\n".join((f"{len(lost)} of {count} bars are missed:", checks_table(lost), "\n".join(reasons)))


def _reason(result: ItemResult) -> str:
    total = result.total
    idle = [name for name in CYCLE_COUNTERS if name != "cycle.execute.busy"]
    most = sorted(idle, key=lambda name: -total[name])[:2]
    spent = ", ".join(f"`{name}` {percent(total[name] / total.cycles)} %" for name in most)
    filled = percent(total.macs / (result.pes * total["cycle.execute.busy"]))
    binds, ratio = total.binding
    return (
        f"- `{result.item.name}`: {filled} % of the MAC slots are filled while the array is busy; most other cycles: "
        f"{spent}. The whole run takes {ratio:.3f} x the cycles of what binds it: {binds}."
    )


def _above(results: Sequence[ItemResult]) -> str:
    """Return where Eyas moves more bytes than Eyeriss."""
    lines = []
    for result in (find(results, name) for name in BESIDE_EYERISS):
        pairs = list(zip([*result.layers, result.total], eyeriss_layers(result), strict=True))
        dram = [layer.name for layer, other in pairs if layer.dram_bytes > other.dram_rlc.bytes]
        buffer = [layer.name for layer, other in pairs if layer.glb_bytes > other.glb.bytes]
        lines.append(
            f"- {item_title(result.item)}: DRAM, beside run-length coded: {', '.join(dram) or 'nowhere'}; "
            f"global buffer: {', '.join(buffer) or 'nowhere'}."
        )
    return "Where Eyas moves more bytes than Eyeriss:\n\n" + "\n".join(lines)


def _depthwise(results: Sequence[ItemResult]) -> list[str]:
    result, alone = find(results, "mobilenet_v1"), find(results, "mobilenet_v1_depthwise")
    bar = result.item.most_depthwise
    assert bar is not None
    needed = sum(max(layer.bounds.values()) for layer in result.layers)
    above = [f"{layer.name} ({layer.binding[1]:.3f})" for layer in alone.layers if layer.binding[1] > bar]
    prose = text.DEPTHWISE.format(bar=bar, whole=result.total.cycles / needed, above=", ".join(above) or "none")
    return [depthwise_table(result, alone), prose]
