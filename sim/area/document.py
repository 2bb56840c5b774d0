"""The generated tables of ``docs/area.md``: how far the model is off."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from sim.area.components import COMPONENTS
from sim.area.fit import FITTED, Miss, leave_one_out, predict_unseen, structure_of, summary
from sim.area.points import Machine, load_machines, load_points, points_version
from sim.area.resources import NAMES, Resources
from sim.files import write_text

BEGIN, END = "<!-- begin: python -m sim.area.document -->\n", "<!-- end -->\n"
#: What the resources are called in tables.
_CALLED = {"luts": "LUT4", "ffs": "FF", "gates": "NAND2"}


def tables() -> str:
    """Return the tables as Markdown."""
    return f"{_components(leave_one_out())}\n{_machines(load_machines())}"


def document(text: str) -> str:
    """Return a document with its tables made anew.

    Parameters
    ----------
    text : str
        A document with the two marks between which the tables are.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document must have the marks {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}\n{tables()}\n{end}{after}"


def _components(misses: list[Miss]) -> str:
    heads = ("component", "decided by", "points", *(f"{_CALLED[name]} median, max" for name in FITTED))
    rows = []
    for component in COMPONENTS:
        count = sum(point.component is component for point in load_points())
        own = [miss for miss in misses if miss.component == component.name]
        errors = [_error([miss for miss in own if miss.resource == name]) for name in FITTED]
        if structure_of(component).logic is None:
            errors = ["all measured", "", ""]
        rows.append((component.name, " ".join(f"`{field}`" for field in component.fields), str(count), *errors))
    all_errors = [_error([miss for miss in misses if miss.resource == name]) for name in FITTED]
    rows.append(("all fitted", "", str(len(misses) // len(FITTED)), *all_errors))
    return (
        f"Error of points left out, in per cent of what was measured (Yosys {points_version()}, {len(load_points())}\n"
        f"points):\n\n{_markdown(heads, rows)}"
    )


def _error(misses: list[Miss]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in summary(misses)) if misses else ""


def _machines(machines: Iterable[Machine]) -> str:
    heads = ("machine", "rows x cols", "", *NAMES)
    rows = []
    for machine in machines:
        predicted, size = predict_unseen(machine.config), f"{machine.config.rows} x {machine.config.cols}"
        rows.append((machine.config.name, size, "components measured", *_numbers(machine.summed)))
        if machine.whole:
            rows.append(("", "", "measured as a whole", *_numbers(machine.whole)[:5], "", ""))
        rows.append(("", "", "model", *_numbers(predicted)))
        rows.append(("", "", "model's error", *_errors(predicted, machine)))
    return (
        "Whole machines, each predicted without the points that are components of it (errors against the machine\n"
        f"synthesised as a whole, or else against its components synthesised):\n\n{_markdown(heads, rows)}"
    )


def _numbers(resources: Resources) -> tuple[str, ...]:
    return tuple(f"{getattr(resources, name):,}" for name in NAMES)


def _errors(predicted: Resources, machine: Machine) -> tuple[str, ...]:
    """In per cent of what was measured as a whole, or else of the sum."""
    texts = []
    for name in NAMES:
        summed = getattr(machine.summed, name)
        measured = getattr(machine.whole, name) if machine.whole and getattr(machine.whole, name) else summed
        texts.append(
            "0" if getattr(predicted, name) == measured else f"{_percent(getattr(predicted, name), measured)} %"
        )
    return tuple(texts)


def _percent(value: int, reference: int) -> str:
    return f"{100 * (value - reference) / reference:+.1f}"


def _markdown(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    marks = ["---" if head in ("component", "decided by", "machine", "rows x cols", "") else "---:" for head in heads]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, marks, *rows)) + "\n"


def main(path: Path) -> None:
    """Make the tables of a document anew."""
    write_text(path, document(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
