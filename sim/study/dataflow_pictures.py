"""Pictures of the dataflow study, drawn with matplotlib (extra ``plot``): the same results give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from golden.dataflows.published import PUBLISHED
from golden.dataflows.totals import Total
from sim.files import write_text
from sim.pictures import require_matplotlib
from sim.study.dataflow_tables import LEVEL_TITLES
from sim.study.dataflows import SHOWN_LEVELS, Study, moved

PICTURES = ("energy", "dram")

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
_COLOURS = {
    **{"dram": "#c1666b", "glb": "#e08e45", "array": "#7b6d8d", "rf": "#0b6e4f", "mac": "#bbbbbb"},
    **{"ifmap": "#4a7fb5", "filter": "#e08e45", "psum": "#0b6e4f"},
}
_DATA_TITLES = {"ifmap": "ifmaps", "filter": "filters", "psum": "psums", "mac": "MAC"}


def draw(study: Study, folder: Path) -> None:
    """Write ``dataflows_energy.svg`` and ``dataflows_dram.svg``.

    Parameters
    ----------
    study : Study
        The results.
    folder : Path
        Where to.
    """
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        for name, figure in zip(PICTURES, (_energy(study), _dram(study)), strict=True):
            text = StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None})
            lines = map(str.rstrip, text.getvalue().split("\n"))
            write_text(folder / f"dataflows_{name}.svg", "\n".join(lines))


def _sorted(study: Study) -> list[Total]:
    return sorted(study.compared, key=lambda one: one.energy)


def _energy(study: Study) -> Any:
    from matplotlib.figure import Figure

    totals, unit = _sorted(study), study.unit.energy
    figure = Figure(figsize=(WIDTH_INCHES, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    levels = {level: [one.by_level[level] / unit for one in totals] for level in SHOWN_LEVELS}
    data = {name: [moved(one)[name] / unit for one in totals] for name in _DATA_TITLES}
    _stack(upper, totals, levels, LEVEL_TITLES, "Energy per MAC by level (RS at batch 1: 1)")
    _stack(lower, totals, data, _DATA_TITLES, "The same by type of data")
    return figure


def _stack(
    axes: Any, totals: Sequence[Total], parts: Mapping[str, Sequence[float]], titles: Mapping[str, str], title: str
) -> None:
    """Draw a bar for each dataflow in parts, its figure behind it."""
    left = [0.0] * len(totals)
    for name, values in parts.items():
        axes.barh(_places(totals), values, left=left, height=0.5, color=_COLOURS[name], label=titles[name])
        left = [start + value for start, value in zip(left, values, strict=True)]
    for place, energy in zip(_places(totals), left, strict=True):
        axes.text(energy + 0.04, place, f"{energy:.3f}", va="center", fontsize=8)
    _published(axes, totals, PUBLISHED.energy)
    _finish(axes, totals, title, 1.15 * max(left))


def _dram(study: Study) -> Any:
    from matplotlib.figure import Figure

    totals = _sorted(study)
    figure = Figure(figsize=(WIDTH_INCHES, 3.2), layout="constrained")
    axes = figure.subplots()
    values = [one.dram for one in totals]
    axes.barh(_places(totals), values, height=0.5, color=_COLOURS["dram"], label="this study")
    for place, value in zip(_places(totals), values, strict=True):
        axes.text(value + 0.0004, place, f"{value:.5f}", va="center", fontsize=8)
    _published(axes, totals, PUBLISHED.dram)
    _finish(axes, totals, "DRAM accesses per MAC", 1.2 * max(values))
    return figure


def _places(totals: Sequence[Total]) -> list[float]:
    return [place - 0.1 for place in range(len(totals))]


def _published(axes: Any, totals: Sequence[Total], figures: Mapping[str, float]) -> None:
    """Draw the published figures as thin bars below."""
    values = [figures[one.dataflow] for one in totals]
    axes.barh([place + 0.25 for place in range(len(totals))], values, height=0.14, color="black", label="published")


def _finish(axes: Any, totals: Sequence[Total], title: str, right: float) -> None:
    axes.set_yticks(range(len(totals)), [one.dataflow for one in totals])
    axes.set_ylim(len(totals) - 0.5, -0.5)
    axes.set_xlim(0, right)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    axes.grid(True, axis="x", alpha=0.3)
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=6, frameon=False, fontsize=8, columnspacing=1)
