"""``eyas report``: the page of a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim.page.write import write_page


# The action's type is private to argparse: a type parameter of it exists only for type checkers.
def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    command = commands.add_parser("report", help="one HTML page of a sweep's store, and its plots as SVG and PNG")
    command.add_argument("database", type=Path, metavar="DATABASE", help="sweep.db in the sweep's folder")
    command.add_argument("--out", type=Path, metavar="DIR", help="default: the folder report beside DATABASE")


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    out = options.out if options.out is not None else options.database.parent / "report"
    paths = write_page(options.database, out)
    print(*(f"wrote {path}" for path in paths), sep="\n")
    if len(paths) == 1:
        print("no pictures: they need matplotlib, install the extra plot, pip install 'eyas[plot]'")
    return 0
