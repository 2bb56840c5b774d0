"""Area of a machine: its Verilog through Yosys for Lattice ECP5, listed by component."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring

from hw.config import AcceleratorConfig
from hw.eyas import Eyas
from sim import verilog

#: Resource -> ECP5 cell. A CCU2C is two bits of a carry chain and takes the place of two LUT4.
CELLS: dict[str, str] = {
    "LUT4": "LUT4",
    "CCU2C": "CCU2C",
    "FF": "TRELLIS_FF",
    "DSP": "MULT18X18D",
    "BRAM": "DP16KD",
    "LUT RAM": "TRELLIS_DPR16X4",
}

_RUN_PASSES = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin.read().splitlines():
    libyosys.run_pass(line, design)
"""


class SynthesisError(RuntimeError):
    """A synthesis that cannot be done; the message says why."""


@dataclass(frozen=True)
class Usage:
    """What all instances of a component inside another one take, with everything inside them.

    Parameters
    ----------
    depth : int
        How deep in the hierarchy; the top is 0.
    component : str
        Name of the module.
    instances : int
        How often it is there.
    resources : dict of str to int
        Number of cells by resource, the keys of ``CELLS``.
    """

    depth: int
    component: str
    instances: int
    resources: dict[str, int]


def run_passes(passes: Sequence[str], *, folder: Path) -> str:
    """Run Yosys passes in a process of their own and return their log.

    Parameters
    ----------
    passes : sequence of str
        Commands of Yosys.
    folder : Path
        Current folder of the process.

    Raises
    ------
    SynthesisError
        If pyosys is not installed or a pass fails.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise SynthesisError("synthesis needs the Python package pyosys: install the extra 'synth'")
    result = subprocess.run(
        [sys.executable, "-c", _RUN_PASSES],
        input="\n".join(passes),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        errors = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("ERROR")]
        raise SynthesisError(f"Yosys has failed: {errors[-1] if errors else result.stderr[-500:]}")
    return result.stdout


def synthesise_component(component: wiring.Component, *, name: str) -> list[Usage]:
    """Return the area of a component and of the components inside it, the outer ones first.

    Components are synthesised apart, so nothing is optimised across their borders.

    Parameters
    ----------
    component : wiring.Component
        Component to synthesise.
    name : str
        Name of its module.

    Raises
    ------
    SynthesisError
        If pyosys is missing; if there are latches, combinational loops, undriven or doubly driven wires; or if a
        memory is neither in block RAM nor in LUT RAM.
    """
    with tempfile.TemporaryDirectory(prefix="eyas-synth-") as temporary:
        folder = Path(temporary)
        (folder / "design.v").write_text(verilog.generate(component, name=name), encoding="utf-8")
        run_passes(
            (
                "read_verilog -sv design.v",
                f"hierarchy -check -top {name}",
                "proc",
                "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr",
                "design -save hierarchy",
                "flatten",
                "check -assert",
                "design -load hierarchy",
                f"synth_ecp5 -noflatten -top {name} -run begin:map_ffram",
                "select -assert-none t:$mem_v2",
                f"synth_ecp5 -noflatten -top {name} -run map_ffram:check",
                "check -assert",
                "tee -q -o area.json stat -json",
            ),
            folder=folder,
        )
        modules = json.loads((folder / "area.json").read_text())["modules"]
    cells = {module.removeprefix("\\"): found["num_cells_by_type"] for module, found in modules.items()}
    return list(_usages(cells, name, 1, 0))


def synthesise(config: AcceleratorConfig) -> list[Usage]:
    """Return the area of a machine by component.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Raises
    ------
    SynthesisError
        As in ``synthesise_component``.
    """
    return synthesise_component(Eyas(config=config), name="eyas")


def _resources(cells: Mapping[str, Mapping[str, int]], component: str) -> dict[str, int]:
    """Count the cells of one instance and of what is inside it."""
    resources = {resource: cells[component].get(cell, 0) for resource, cell in CELLS.items()}
    for inner, count in cells[component].items():
        if inner in cells:
            for resource, number in _resources(cells, inner).items():
                resources[resource] += count * number
    return resources


def _usages(cells: Mapping[str, Mapping[str, int]], component: str, instances: int, depth: int) -> Iterator[Usage]:
    one = _resources(cells, component)
    yield Usage(depth, component, instances, {resource: instances * number for resource, number in one.items()})
    for inner in sorted(cells[component]):
        if inner in cells:
            yield from _usages(cells, inner, instances * cells[component][inner], depth + 1)


def table(usages: Sequence[Usage]) -> str:
    """Return usages as text, one line each, indented by depth.

    Parameters
    ----------
    usages : sequence of Usage
        Result of ``synthesise``.
    """
    head = ("component", "instances", *CELLS)
    rows = [
        ("  " * usage.depth + usage.component, str(usage.instances), *map(str, usage.resources.values()))
        for usage in usages
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = (
        row[0].ljust(widths[0])
        + "".join(cell.rjust(width + 2) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in (head, *rows)
    )
    return "\n".join(lines) + "\n"


def csv_table(usages: Sequence[Usage]) -> str:
    """Return usages as comma-separated values.

    Parameters
    ----------
    usages : sequence of Usage
        Result of ``synthesise``.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("depth", "component", "instances", *CELLS))
    writer.writerows((u.depth, u.component, u.instances, *u.resources.values()) for u in usages)
    return file.getvalue()
