"""``eyas sweep``: from a space of machines to a Pareto front."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sim.sweep.errors import SweepInterrupted
from sim.sweep.run import EXPORTS, sweep
from sim.sweep.space import load_space

#: Exit statuses: RTL differs, or machines could not be evaluated; Ctrl-C, as shells say it.
DIFFERENT, INTERRUPTED = 1, 130


# The action's type is private to argparse: a type parameter of it exists only for type checkers.
def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    command = commands.add_parser("sweep", help="predict networks on many machines; store, table and Pareto front")
    command.add_argument("space", type=Path, metavar="SPACE.toml")
    command.add_argument(
        "--verify",
        type=int,
        default=0,
        metavar="K",
        help="run K machines on their Verilog: those of the front in even steps, from the least in the last objective",
    )
    command.add_argument(
        "--verify-cycles",
        type=int,
        default=200_000,
        metavar="N",
        help="verify workloads of at most N cycles, or a machine's shortest one (default 200000)",
    )
    command.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    command.add_argument("--scheduler", metavar="ADDRESS", help="evaluate on a Dask cluster (needs the extra dask)")
    command.add_argument("--fresh", action="store_true", help="begin anew instead of going on")
    command.add_argument(
        "--export",
        choices=EXPORTS,
        default="csv",
        help="parquet: sweep.parquet as well (needs the extra sweep)",
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="default build/sweep/SPACE")


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    space = load_space(options.space)
    if options.verify > 0:
        from sim.build import check_tools  # with the simulator, which nothing else here needs

        check_tools("verilator")
    out = options.out if options.out is not None else Path("build/sweep") / options.space.stem
    try:
        result = sweep(
            space,
            out,
            verify=options.verify,
            verify_cycles=options.verify_cycles,
            jobs=options.jobs,
            scheduler=options.scheduler,
            fresh=options.fresh,
            export=options.export,
        )
    except SweepInterrupted as stop:
        print(f"eyas: {stop}", file=sys.stderr)
        return INTERRUPTED
    print(result.summary())
    return 0 if result.verified and not result.failed else DIFFERENT
