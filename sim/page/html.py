"""The page's text: template, style and script in one file, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from typing import Any

from sim.page.data import objective_text
from sim.sweep.energy import cached_table
from sim.sweep.points import SweepData
from sim.sweep.space import Workload

SCRIPTS = ("dom.js", "scatter.js", "table.js", "bars.js", "machine.js", "array.js", "main.js")


def page(data: SweepData, content: Mapping[str, Any]) -> str:
    """Return the HTML of a sweep.

    Parameters
    ----------
    data : SweepData
        The sweep.
    content : mapping
        What the script draws, see :func:`sim.page.data.page_data`.
    """
    style, script = _asset("page.css"), "\n".join(map(_asset, SCRIPTS))
    complete = sum(point.complete for point in data.points)
    names = ", ".join(map(workload_text, data.space.workloads))
    parts = {
        "title": escape(f"Sweep of {len(data.points)} machines"),
        "lead": escape(f"{names}: {complete} machines costed, {len(data.front)} on the Pareto front."),
        "front_text": _front_text(data),
        "space": _space(data),
        "skipped": _skipped(data),
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "data": embedded(content),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))


def embedded(content: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the element it stands in."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def workload_text(workload: Workload) -> str:
    """Return what a workload is: label, network, layers and batch."""
    network = "" if workload.network == workload.name else f" ({workload.network})"
    layers = f" {', '.join(workload.layers)}" if workload.layers else ""
    return f"{workload.name}{network}{layers}, batch {workload.batch}"


def _asset(name: str) -> str:
    return files("sim.page").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return what a content security policy calls an inline text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _front_text(data: SweepData) -> str:
    unit = cached_table(data.space.energy_table).unit
    names = " and ".join(objective_text(name, unit)[0] for name in data.space.objectives)
    summed = " Figures of several networks are added up." if len(data.space.workloads) > 1 else ""
    return escape(f"On the front is every machine that no other beats in {names}.{summed}")


def _space(data: SweepData) -> str:
    """Return what was swept as a list of terms."""
    space = data.space
    table = cached_table(space.energy_table)
    search = space.search
    points = [] if search.method == "grid" else [f"{search.points} points, seed {search.seed}"]
    entries: list[tuple[str, str]] = [
        ("networks", "; ".join(map(workload_text, space.workloads))),
        ("base machine", space.base.name),
        *((name, ", ".join(map(str, values))) for name, values in space.fields.items()),
        ("constraints", "; ".join(constraint.text for constraint in space.constraints) or "none"),
        ("search", ", ".join([search.method, *points])),
        ("combinations", f"{space.size:,} before constraints, {len(data.points):,} machines in the store"),
        ("objectives", ", ".join(space.objectives)),
        ("energy table", f"{table.name}, unit {table.unit}: {table.source}"),
    ]
    rows = (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in entries)
    return f"<dl>{''.join(rows)}</dl>"


def _skipped(data: SweepData) -> str:
    """Return what has no cost, with the reasons, folded away."""
    skipped = list(data.skipped)
    if not skipped:
        return "<p>Nothing was skipped.</p>"
    machines = sum(not point.complete for point in data.points)
    title = f"{machines} of {len(data.points)} machines have no cost of every network"
    head = "".join(f'<th scope="col" class="text">{name}</th>' for name in ("machine", "network", "reason"))
    body = "".join(_row(entry) for entry in skipped)
    return (
        f"<details><summary>{escape(title)}</summary>"
        '<div class="scroll" role="region" aria-label="Table of what was skipped" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _row(entry: Iterable[str]) -> str:
    machine, label, reason = entry
    cells = (machine, label or "all", reason)
    return "<tr>" + "".join(f'<td class="text wide">{escape(text)}</td>' for text in cells) + "</tr>"
