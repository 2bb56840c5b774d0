"""Pictures of sweeps and reports, drawn with matplotlib (extra ``plot``)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH_INCHES = 5.0
"""Of one panel."""


class PlotError(RuntimeError):
    """A picture that cannot be drawn; the message says what is missing."""


@dataclass(frozen=True)
class PicturePoint:
    """One machine in a panel: where it is, its global buffer, and whether RTL has confirmed it."""

    pes: int
    cycles: int
    buffer_kib: float
    verified: bool = False


def front_line(points: Sequence[PicturePoint]) -> list[tuple[int, int]]:
    """Return (PEs, cycles) of the machines that nothing with as few PEs beats, by PEs."""
    line: list[tuple[int, int]] = []
    for pes, cycles in sorted({(point.pes, point.cycles) for point in points}):
        if not line or cycles < line[-1][1]:
            line.append((pes, cycles))
    return line


def pareto_picture(panels: Mapping[str, Sequence[PicturePoint]], path: Path) -> None:
    """Draw cycles against PEs with the Pareto front, a panel per title.

    Parameters
    ----------
    panels : mapping of str to sequence of PicturePoint
        The machines by the panel's title.
    path : Path
        File to write; its ending says the format.

    Raises
    ------
    PlotError
        If matplotlib is not installed.
    """
    figure = _figure(len(panels))
    for index, (title, points) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), index + 1)
        pes, cycles = [point.pes for point in points], [point.cycles for point in points]
        dots = axes.scatter(pes, cycles, c=[point.buffer_kib for point in points], s=22, zorder=2)
        axes.step(*_columns(front_line(points)), where="post", color="black", linewidth=1, label="Pareto front")
        proved = [(point.pes, point.cycles) for point in points if point.verified]
        if proved:
            axes.scatter(*_columns(proved), s=90, facecolors="none", edgecolors="red", label="equal on RTL", zorder=3)
        if points:
            axes.set_yscale("log")
            figure.colorbar(dots, ax=axes, label="global buffer (KiB)")
            axes.legend(loc="upper right")
        axes.set_title(title)
        axes.set_xlabel("PEs")
        axes.set_ylabel("cycles")
        axes.grid(True, which="both", alpha=0.2)
    _save(figure, path)


def utilisation_picture(report: Mapping[str, Any], path: Path) -> None:
    """Draw each layer's utilisation, and the total, of a ``report.json``.

    Parameters
    ----------
    report : mapping
        As :func:`sim.report.make_report` returns it.
    path : Path
        File to write; its ending says the format.

    Raises
    ------
    PlotError
        If matplotlib is not installed.
    """
    figure = _figure(1)
    axes = figure.add_subplot()
    names = [layer["name"] for layer in report["layers"]]
    bars = axes.bar(names, [100 * layer["utilisation"] for layer in report["layers"]])
    axes.bar_label(bars, fmt="%.1f")
    total = 100 * report["total"]["utilisation"]
    axes.axhline(total, color="black", linestyle="--", label=f"total {total:.1f} %")
    axes.set_ylim(0, 110)
    axes.set_ylabel("MACs / (PEs x cycles), %")
    axes.set_title(f"{report['network']} on {report['config']}, batch {report['batch']}")
    axes.tick_params(axis="x", rotation=45)
    axes.legend(loc="lower right")
    _save(figure, path)


def require_matplotlib() -> None:
    """Check that pictures can be drawn.

    Raises
    ------
    PlotError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise PlotError("pictures need matplotlib: install the extra plot, pip install 'eyas[plot]'") from None


def _figure(panels: int) -> Any:
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_INCHES * max(1, panels), 4.0), layout="constrained")


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [first for first, _ in pairs], [second for _, second in pairs]


def _save(figure: Any, path: Path) -> None:
    """Write a file whole or not at all; the same picture gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.writing")
    metadata = {"Software": None} if path.suffix == ".png" else None
    figure.savefig(temporary, format=path.suffix.removeprefix("."), dpi=150, metadata=metadata)
    os.replace(temporary, path)
