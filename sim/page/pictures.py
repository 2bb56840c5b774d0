"""The page's plots as files, drawn with matplotlib (extra ``plot``): the same sweep gives the same bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.files import write_text
from sim.pictures import require_matplotlib

WIDTH_INCHES = 7.0
#: Okabe and Ito's colours, as on the page.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00")
_LEVEL_COLOURS = tuple(COLOURS[index] for index in (2, 1, 3, 0, 4))
_GREY = "#8c8c8c"
#: Components of the area that a picture shows one by one.
MOST_COMPONENTS = 20
_STYLE: Any = {
    "svg.hashsalt": "eyas",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
Content = Mapping[str, Any]


def draw(content: Content, folder: Path) -> list[Path]:
    """Write ``pareto``, ``energy``, ``utilisation``, ``roofline`` and ``area`` as ``.svg`` and ``.png``.

    All but the first are of the machine that the page shows first; ``area`` is left out if it is not known.

    Parameters
    ----------
    content : mapping
        What the page draws, see :func:`sim.page.data.page_data`.
    folder : Path
        Where to.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    PlotError
        If matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib

    pictures: dict[str, Callable[[Content], Any]] = {
        "pareto": _pareto,
        "energy": _energy,
        "utilisation": _utilisation,
        "roofline": _roofline,
        "area": _area,
    }
    paths = []
    with matplotlib.rc_context(_STYLE):
        for name, make in pictures.items():
            figure = make(content)
            if figure is not None:
                paths += _save(figure, folder / name)
    return paths


def _save(figure: Any, path: Path) -> list[Path]:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is made: both files have the same, and it takes long
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg, png = path.with_suffix(".svg"), path.with_suffix(".png")
    write_text(svg, "\n".join(map(str.rstrip, text.getvalue().split("\n"))))
    temporary = png.with_name(f".{png.name}.writing")
    figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
    os.replace(temporary, png)
    return [svg, png]


def _figure(panels: Sequence[float]) -> tuple[Any, list[Any]]:
    """Return a figure and a panel below the other for each height in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, sum(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, height_ratios=list(panels), squeeze=False)[:, 0]
    for axes in rows:
        axes.set_axisbelow(True)
        axes.grid(True, alpha=0.3)
    return figure, list(rows)


def _prefixed(*axes: Any) -> None:
    """Number axes with prefixes (k, M, G) instead of powers of ten."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    for axis in axes:
        axis.set_major_formatter(EngFormatter(sep=""))
        axis.set_minor_formatter(NullFormatter())


def _best(content: Content) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return content["machines"][content["best"]], content["details"][str(content["best"])]


def _pareto(content: Content) -> Any:
    """Draw the first objective of the front against the last, as the page does at first."""
    keys = [objective["key"] for objective in content["objectives"]]
    up = content["front"][0]
    across = content["front"][-1] if len(content["front"]) > 1 else next(k for k in range(len(keys)) if k != up)
    figure, (axes,) = _figure([4.5])
    for machines, colour, size, label in (
        ([entry for entry in content["machines"] if not entry["front"]], _GREY, 14, "other machines"),
        ([entry for entry in content["machines"] if entry["front"]], COLOURS[0], 30, "on the front"),
    ):
        places = [(entry["figures"][across], entry["figures"][up]) for entry in machines]
        axes.scatter(*_columns(places), c=colour, s=size, edgecolors="black", linewidths=0.4, label=label, zorder=2)
    ringed = [(entry["figures"][across], entry["figures"][up]) for entry in content["machines"] if entry["verified"]]
    if ringed:
        axes.scatter(
            *_columns(ringed),
            s=95,
            facecolors="none",
            edgecolors=COLOURS[4],
            linewidths=1.5,
            label="ran on RTL",
            zorder=3,
        )
    line = lower_left([(entry["figures"][across], entry["figures"][up]) for entry in content["machines"]])
    axes.step(*_columns(line), where="post", color=COLOURS[0], linewidth=1, label="front of the two axes", zorder=1)
    _prefixed(axes.xaxis, axes.yaxis)
    axes.set_xlabel(_title(content["objectives"][across]))
    axes.set_ylabel(_title(content["objectives"][up]))
    axes.legend(fontsize=8)
    return figure


def lower_left(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the places that no other beats in both figures, from left to right."""
    line: list[tuple[float, float]] = []
    for place in sorted(set(places)):
        if not line or place[1] < line[-1][1]:
            line.append(place)
    return line


def _columns(places: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [across for across, _ in places], [up for _, up in places]


def _title(objective: Mapping[str, str]) -> str:
    label, unit = objective["label"], objective["unit"]
    return label if label == unit else f"{label} ({unit})"


def _bars(content: Content) -> tuple[Any, list[Any]]:
    """Return a panel for each network, as high as it has layers, the layers' names down its side."""
    machine, details = _best(content)
    figure, panels = _figure([0.9 + 0.2 * len(layers) for layers in details["layers"]])
    for axes, layers, workload in zip(panels, details["layers"], content["workloads"], strict=True):
        axes.set_yticks(range(len(layers)), [layer["name"] for layer in layers], fontsize=8)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_title(f"{workload['name']} on machine #{machine['id']}", loc="left", fontsize=10)
    return figure, panels


def _energy(content: Content) -> Any:
    figure, panels = _bars(content)
    for axes, layers in zip(panels, _best(content)[1]["layers"], strict=True):
        left = [0.0] * len(layers)
        for index, (level, colour) in enumerate(zip(content["levels"], _LEVEL_COLOURS, strict=True)):
            values = [layer["cost"][3][index] for layer in layers]
            outline = {"edgecolor": "black", "linewidth": 0.3}
            axes.barh(range(len(layers)), values, left=left, color=colour, label=level, **outline)
            left = [start + value for start, value in zip(left, values, strict=True)]
        _prefixed(axes.xaxis)
        axes.set_xlabel(f"energy ({content['energy']['unit']})")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=5, frameon=False, fontsize=9)
    return figure


def _utilisation(content: Content) -> Any:
    figure, panels = _bars(content)
    machine, details = _best(content)
    for axes, layers in zip(panels, details["layers"], strict=True):
        shares = [100 * layer["cost"][0] / (machine["pes"] * layer["cost"][1]) for layer in layers]
        bars = axes.barh(range(len(layers)), shares, color=COLOURS[0])
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
        axes.set_xlim(0, 110)
        axes.set_xlabel("utilisation: MACs / (PEs x cycles), %")
    return figure


def _roofline(content: Content) -> Any:
    machine, details = _best(content)
    figure, (axes,) = _figure([4.5])
    pes, bus = machine["pes"], machine["bus"]
    intensities = [pes / bus]
    for workload, layers, colour in zip(content["workloads"], details["layers"], _cycled(COLOURS), strict=False):
        costs = [layer["cost"] for layer in layers if layer["cost"][0] and layer["cost"][2]]
        places = [(macs / dram, macs / cycles) for macs, cycles, dram, *_ in costs]
        intensities += [across for across, _ in places]
        axes.scatter(*_columns(places), s=24, color=colour, edgecolors="black", linewidths=0.4, label=workload["name"])
    ends = sorted({min(intensities) / 1.5, pes / bus, max(intensities) * 1.5})
    axes.plot(ends, [min(pes, bus * value) for value in ends], color="black", linewidth=1.2, zorder=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _prefixed(axes.xaxis, axes.yaxis)
    axes.set_xlabel("MACs per DRAM byte")
    axes.set_ylabel("MACs per cycle")
    axes.set_title(f"machine #{machine['id']}: {pes} PEs, {bus} bytes of DRAM a cycle", loc="left", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def _cycled(colours: Sequence[str]) -> list[str]:
    """Return colours for as many networks as a space can have."""
    return list(colours) * 12


def _area(content: Content) -> Any:
    """Draw gates by component, the largest ones."""
    machine, details = _best(content)
    if details["area"] is None:
        return None
    index = [resource["key"] for resource in content["resources"]].index("gates")
    parts = sorted(((counts[index], name) for name, counts in details["area"].items() if counts[index]), reverse=True)
    shown = parts[:MOST_COMPONENTS]
    figure, (axes,) = _figure([1.0 + 0.22 * len(shown)])
    bars = axes.barh(range(len(shown)), [count for count, _ in shown], color=COLOURS[0])
    axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=7)
    axes.set_yticks(range(len(shown)), [name for _, name in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.margins(x=0.15)
    _prefixed(axes.xaxis)
    axes.set_xlabel("logic gates (NAND2 equivalents)")
    axes.set_title(f"machine #{machine['id']}", loc="left", fontsize=10)
    return figure
