"""``eyas area``: a machine's area by component, from the model or measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hw.config import PRESETS, AcceleratorConfig, ConfigError, preset
from sim.area.measure import yosys_version
from sim.area.model import Area, area, measured_area
from sim.area.points import POINTS, points_version, refit
from sim.area.resources import NAMES, Resources
from sim.files import write_text

#: Heads of the columns.
HEADS = {
    "luts": "LUT4",
    "ffs": "FF",
    "dsps": "DSP",
    "brams": "BRAM",
    "lut_rams": "LUT RAM",
    "gates": "NAND2",
    "sram_bits": "SRAM bit",
}
_NOTE = (
    "Lattice ECP5: LUT4 with two for each CCU2C, FF, MULT18X18D, DP16KD and TRELLIS_DPR16X4; any technology: NAND2\n"
    "equivalents of logic and flip-flops, bits of all memories. For the clock rate: eyas synth CONFIG --place.\n"
)


# The action's type is private to argparse: a type parameter of it exists only for type checkers.
def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's commands."""
    command = commands.add_parser(
        "area", help="area by component, from the fitted model (clock rate: synth --place)", description=_NOTE
    )
    command.add_argument("config", metavar="CONFIG", nargs="?", help=", ".join(PRESETS))
    command.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field")
    command.add_argument(
        "--synthesise", action="store_true", help="synthesise every component, too (needs the extra synth; cached)"
    )
    command.add_argument(
        "--refit", action="store_true", help="measure the model's points again (needs the extra synth; half an hour)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    if options.config is None and not options.refit:
        raise ConfigError(f"config must be one of {', '.join(PRESETS)}, or --refit must be given")
    if options.refit:
        _refit()
    if options.config is not None:
        config = _config(options.config, options.set)
        print(table(area(config), "model"))
        if options.synthesise:
            print(comparison(area(config), measured_area(config)))
        print(_NOTE, end="")
    return 0


def table(areas: Area, title: str) -> str:
    """Return an area as text, a line for each component and for the whole.

    Parameters
    ----------
    areas : Area
        The area.
    title : str
        Head of the first column.
    """
    rows = [(name, *_numbers(resources)) for name, resources in areas.components.items()]
    return _aligned([(title, *HEADS.values()), *rows, ("machine", *_numbers(areas.total))])


def comparison(model: Area, measured: Area) -> str:
    """Return a model beside what was measured as text, and the difference in per cent.

    Parameters
    ----------
    model, measured : Area
        Of the same machine.
    """
    pairs = [(name, each, measured.components[name]) for name, each in model.components.items()]
    rows = [
        (name, *(_beside(getattr(ours, resource), getattr(theirs, resource)) for resource in NAMES))
        for name, ours, theirs in (*pairs, ("machine", model.total, measured.total))
    ]
    return _aligned([("measured (model's error)", *HEADS.values()), *rows])


def _config(name: str, changes: Sequence[str]) -> AcceleratorConfig:
    values: dict[str, object] = {}
    for text in changes:
        field, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set must be FIELD=VALUE, not {text!r}")
        values[field] = value
    config = preset(name)
    return config.with_fields({"name": f"{config.name}-custom", **values}) if values else config


def _refit() -> None:
    before = points_version()
    write_text(POINTS, refit(lambda line: print(line, file=sys.stderr, flush=True)))
    print(f"{POINTS}: measured with Yosys {yosys_version()}, before with {before}")


def _numbers(resources: Resources) -> tuple[str, ...]:
    return tuple(f"{getattr(resources, name):,}" for name in NAMES)


def _beside(model: int, measured: int) -> str:
    if model == measured:
        return f"{measured:,}"
    return f"{measured:,} ({100 * (model - measured) / measured:+.1f} %)" if measured else f"{measured:,} ({model:+,})"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """First column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        row[0].ljust(widths[0])
        + "".join(cell.rjust(width + 2) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
    return "\n".join(lines) + "\n"
