"""``eyas study``: comparisons that anyone can run again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sim.files import write_text

STUDIES = {
    "dataflows": "energy of six dataflows under the same area beside the published figures (ISCA 2016)",
    "speed": "machines costed a second beside the searches of nn_dataflow and ZigZag",
}

#: Exit status if the published order does not come out.
DIFFERENT = 1


# The action's type is private to argparse: a type parameter of it exists only for type checkers.
def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    command = commands.add_parser("study", help="run a comparison again")
    studies = "; ".join(f"{name}: {what}" for name, what in STUDIES.items())
    command.add_argument("study", choices=STUDIES, metavar="STUDY", help=studies)
    command.add_argument(
        "--documents", type=Path, metavar="DIR", help="dataflows: write its page (needs the extra plot)"
    )
    command.add_argument(
        "--nn-dataflow", type=Path, metavar="PYTHON", help="speed: an interpreter with nn-dataflow 2.1"
    )
    command.add_argument("--zigzag", type=Path, metavar="PYTHON", help="speed: an interpreter with zigzag-dse 3.9.1")
    command.add_argument("--batch", type=int, default=1, metavar="N", help="speed: images (default 1)")


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    return {"dataflows": _dataflows, "speed": _speed}[options.study](options)


def _tell(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


def _speed(options: argparse.Namespace) -> int:
    from sim.study.speed import StudyError, compare, rivals, table

    if options.batch < 1:
        raise StudyError(f"--batch must be at least 1, not {options.batch}")
    print(table(compare(rivals(options.nn_dataflow, options.zigzag, options.batch), options.batch, _tell)))
    return 0


def _dataflows(options: argparse.Namespace) -> int:
    from sim.study.dataflow_report import document, summary
    from sim.study.dataflows import run_study

    if options.documents is not None:
        from sim.pictures import require_matplotlib

        require_matplotlib()
    study = run_study(_tell)
    print(summary(study))
    if options.documents is not None:
        from sim.study.dataflow_pictures import draw

        draw(study, options.documents / "pictures")
        write_text(options.documents / "dataflows.md", document(study))
    return 0 if study.reproduced else DIFFERENT
