"""Pictures of the benchmark, drawn with matplotlib (extra ``plot``): the same results give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from sim.benchmark.results import CYCLE_COUNTERS, ItemResult, eyeriss_layers, find, lower_bound_bytes
from sim.files import write_text
from sim.pictures import require_matplotlib

#: Narrow and with large letters, to be read on a phone.
WIDTH_INCHES = 5.0
_STYLE: Any = {
    "svg.hashsalt": "eyas",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_EYAS, _EYERISS, _DENSE, _BOUND = "#0b6e4f", "#c1666b", "#e4b7b9", "#888888"
_CYCLES: dict[str, tuple[str, str]] = {
    "busy": ("busy", "#0b6e4f"),
    "wait_load": ("waits for ifmaps", "#e08e45"),
    "wait_filter": ("waits for filters", "#c1666b"),
    "wait_drain": ("waits for drain", "#7b6d8d"),
    "wait_command": ("waits for commands", "#4a7fb5"),
    "rest": ("launch, flush, hold, start, end", "#bbbbbb"),
}
Series = Mapping[str, tuple[Sequence[float], str]]


def draw(results: Sequence[ItemResult], folder: Path) -> None:
    """Write ``performance_*.svg``: ``utilisation``, ``alexnet`` and ``vgg16`` (their traffic), and ``cycles``.

    Parameters
    ----------
    results : sequence of ItemResult
        All items.
    folder : Path
        Where to.
    """
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figures = {
            "utilisation": _utilisation(results),
            "alexnet": _traffic(find(results, "alexnet_b4"), "AlexNet, batch 4"),
            "vgg16": _traffic(find(results, "vgg16_b3"), "VGG-16, batch 3 (model)"),
            "cycles": _cycles(results),
        }
        for name, figure in figures.items():
            text = StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None})
            write_text(folder / f"performance_{name}.svg", "\n".join(map(str.rstrip, text.getvalue().split("\n"))))


def _figure(rows: Sequence[int]) -> tuple[Any, list[Any]]:
    """Return a figure and a panel for each entry, as high as its number of bars."""
    from matplotlib.figure import Figure

    heights = [0.9 + 0.19 * bars for bars in rows]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    panels = figure.subplots(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes in panels:
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        axes.grid(True, axis="x", alpha=0.3)
    return figure, list(panels)


def _bars(axes: Any, names: Sequence[str], series: Series, digits: int) -> None:
    """Draw groups of horizontal bars from the top down, each with its figure."""
    height = 0.84 / len(series)
    for index, (label, (values, colour)) in enumerate(series.items()):
        places = [place + (index - (len(series) - 1) / 2) * height for place in range(len(names))]
        bars = axes.barh(places, values, height=height, label=label, color=colour)
        axes.bar_label(bars, fmt=f"%.{digits}f", padding=2, fontsize=7)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.12 * max(max(values) for values, _ in series.values()))


def _legend(figure: Any, axes: Any, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)


def _utilisation(results: Sequence[ItemResult]) -> Any:
    pairs = [("alexnet_b4", "AlexNet, batch 4"), ("vgg16_b1", "VGG-16, batch 1 (Eyeriss: batch 3)")]
    shown = [(find(results, name), title) for name, title in pairs]
    figure, panels = _figure([2 * (len(result.layers) + 1) for result, _ in shown])
    for axes, (result, title) in zip(panels, shown, strict=True):
        own = [*result.layers, result.total]
        series = {
            "Eyas": ([100 * layer.utilisation(result.pes) for layer in own], _EYAS),
            "Eyeriss": ([100 * published.utilisation for published in eyeriss_layers(result)], _EYERISS),
        }
        _bars(axes, [layer.name for layer in own], series, 1)
        axes.set_title(f"{title}: MAC slots used, %", loc="left", fontsize=10)
    _legend(figure, panels[0], 2)
    return figure


def _traffic(result: ItemResult, title: str) -> Any:
    names = [layer.name for layer in result.layers]
    published = eyeriss_layers(result)[:-1]
    dram: dict[str, tuple[list[float], str]] = {
        "Eyas": ([layer.dram_bytes / 1e6 for layer in result.layers], _EYAS),
        "Eyeriss (DRAM: run-length coded)": ([entry.dram_rlc.bytes / 1e6 for entry in published], _EYERISS),
    }
    dense = [entry.dram_dense.bytes / 1e6 for entry in published if entry.dram_dense is not None]
    if dense:
        dram["Eyeriss, dense (computed)"] = (dense, _DENSE)
    dram["lower bound"] = ([lower_bound_bytes(result, layer) / 1e6 for layer in result.layers], _BOUND)
    buffer = {
        "Eyas": ([layer.glb_bytes / 1e6 for layer in result.layers], _EYAS),
        "Eyeriss": ([entry.glb.bytes / 1e6 for entry in published], _EYERISS),
    }
    figure, (upper, lower) = _figure([len(dram) * len(names), 2 * len(names)])
    _bars(upper, names, dram, 2)
    upper.set_title(f"{title}: DRAM, MB", loc="left", fontsize=10)
    _bars(lower, names, buffer, 1)
    lower.set_title(f"{title}: global buffer, MB", loc="left", fontsize=10)
    _legend(figure, upper, 2)
    return figure


def _cycles(results: Sequence[ItemResult]) -> Any:
    figure, (axes,) = _figure([2 * len(results)])
    names = [f"{result.item.name}{'' if result.item.rtl else ' (model)'}" for result in results]
    left = [0.0] * len(results)
    for key, (label, colour) in _CYCLES.items():
        values = [_share(result, key) for result in results]
        axes.barh(range(len(results)), values, left=left, height=0.7, color=colour, label=label)
        left = [start + value for start, value in zip(left, values, strict=True)]
    for place, result in enumerate(results):
        axes.text(1, place, f"{_share(result, 'busy'):.1f}", va="center", color="white", fontsize=8)
    axes.set_yticks(range(len(results)), names)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_title("Where the cycles went, %", loc="left", fontsize=10)
    _legend(figure, axes, 2)
    return figure


def _share(result: ItemResult, key: str) -> float:
    """Return the percentage of an item's cycles that went to one of ``_CYCLES``."""
    total = result.total
    if key != "rest":
        return 100 * total[f"cycle.execute.{key}"] / total.cycles
    shown = {f"cycle.execute.{name}" for name in _CYCLES}
    named = sum(total[name] for name in CYCLE_COUNTERS if name in shown)
    return 100 * (total.cycles - named) / total.cycles
