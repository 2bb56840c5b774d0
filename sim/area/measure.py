"""Synthesis of one component, for ECP5 and for CMOS gates, with a cache on disk."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from hw.config import AcceleratorConfig
from sim import verilog
from sim.area.components import INSTANCE, Component, Resettable
from sim.area.memories import NAND2_TRANSISTORS
from sim.area.resources import Resources
from sim.files import write_text
from sim.synth import CELLS, SynthesisError, run_passes

#: Fields that do not decide a component have these values while it is synthesised: as small as the others allow.
SMALLEST = AcceleratorConfig(
    name="component",
    rows=2,
    cols=1,
    lanes=8,
    ifmap_lane_words=16,
    psum_bank_words=16,
    filter_lane_words=4096,
    filter_spad_words=8,
    ifmap_spad_words=4,
    psum_spad_words=2,
    parameter_words=8,
    psum_bits=24,
    drain_width=1,
    drain_fifo_beats=256,
    residual_fifo_beats=1024,
    queue_depth=2,
    burst_beats=4,
    outstanding_reads=2,
    outstanding_writes=2,
)

#: Yosys: once for ECP5 as ``sim.synth`` does it, without crossing borders of modules, and once for CMOS gates, where
#: every flip-flop is a plain one, so that enables and resets count as gates, and memories stay what they are. In
#: multipliers ABC's own script finds 1 to 3 % less transistors than this one and takes thirty times as long.
_PASSES = (
    "proc",
    "design -save start",
    "flatten",
    "tee -q -o memories.json stat -json",
    "design -load start",
    f"synth_ecp5 -noflatten -top {INSTANCE} -run begin:check",
    "flatten",
    "tee -q -o ecp5.json stat -json",
    "design -load start",
    f"synth -top {INSTANCE} -run begin:fine",
    "opt -fast -full",
    "techmap",
    "opt -fast",
    "dfflegalize -cell $_DFF_P_ 01",
    "opt_expr",
    "opt_merge",
    "opt_clean",
    "abc -g cmos -script +strash;dc2;strash;&get,-n;&nf;&put",
    "opt_clean",
    "flatten",
    "tee -q -o gates.json stat -tech cmos -json",
)
#: The loop that fills a memory with zeros: no cell depends on it, and reading it takes Yosys most of the time.
_ZEROING = re.compile(r"^ *for \(int i = .*\n", re.MULTILINE)


def reduced(component: Component, config: AcceleratorConfig) -> AcceleratorConfig:
    """Return a machine with the same component and everything else as small as possible.

    Parameters
    ----------
    component : Component
        The component.
    config : AcceleratorConfig
        A machine that has it.
    """
    return SMALLEST.with_fields({field: getattr(config, field) for field in component.fields})


def measure(component: Component, config: AcceleratorConfig) -> Resources:
    """Return what one instance of a component takes: synthesised, or from the cache.

    Parameters
    ----------
    component : Component
        The component.
    config : AcceleratorConfig
        The machine that it belongs to.

    Raises
    ------
    SynthesisError
        If pyosys is not installed or Yosys fails.
    """
    version, text = yosys_version(), _verilog(component, reduced(component, config))
    key = "\n".join((version, *_passes(component, text), text))
    path = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
    if not path.is_file():
        write_text(path, json.dumps(asdict(_synthesise(component, text))) + "\n")
    return Resources(**json.loads(path.read_text(encoding="utf-8")))


def yosys_version() -> str:
    """Return the version of Yosys that synthesises.

    Raises
    ------
    SynthesisError
        If pyosys is not installed.
    """
    try:
        return importlib.metadata.version("pyosys")
    except importlib.metadata.PackageNotFoundError:
        raise SynthesisError("synthesis needs the Python package pyosys: install the extra 'synth'") from None


def cache_folder() -> Path:
    """Return the user's folder for what has been synthesised, below ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eyas" / "area"


def _verilog(component: Component, config: AcceleratorConfig) -> str:
    hardware = component.build(config)
    if component.resettable:
        text = verilog.generate(Resettable(hardware), name="frame")
    else:
        text = verilog.generate(hardware, name=INSTANCE)
    return _ZEROING.sub("", text)


def _passes(component: Component, text: str) -> tuple[str, ...]:
    modules = {line.split("(")[0].split()[1] for line in text.splitlines() if line.startswith("module ")}
    top = component.inside or INSTANCE
    apart = modules - {top} if "*" in component.apart else modules & set(component.apart)
    read = (
        "read_verilog -sv design.v",
        *(f"blackbox {name}" for name in sorted(apart)),
        f"hierarchy -check -top {top}",
    )
    return (*read, *(line.replace(f"-top {INSTANCE}", f"-top {top}") for line in _PASSES))


def _synthesise(component: Component, text: str) -> Resources:
    with tempfile.TemporaryDirectory(prefix="eyas-area-") as temporary:
        folder = Path(temporary)
        (folder / "design.v").write_text(text, encoding="utf-8")
        run_passes(_passes(component, text), folder=folder)
        memories, ecp5, gates = (
            json.loads((folder / f"{name}.json").read_text())["modules"].popitem()[1]
            for name in ("memories", "ecp5", "gates")
        )
    _check_gates(gates["num_cells_by_type"])
    cells = {resource: ecp5["num_cells_by_type"].get(cell, 0) for resource, cell in CELLS.items()}
    transistors = int(gates["estimated_num_transistors"].rstrip("+"))
    return Resources(
        **counted(cells), gates=round(transistors / NAND2_TRANSISTORS), sram_bits=memories["num_memory_bits"]
    )


def counted(cells: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of ECP5 cells as resources.

    Parameters
    ----------
    cells : mapping of str to int
        By the keys of ``sim.synth.CELLS``.
    """
    return {
        "luts": cells["LUT4"] + 2 * cells["CCU2C"],
        "ffs": cells["FF"],
        "dsps": cells["DSP"],
        "brams": cells["BRAM"],
        "lut_rams": cells["LUT RAM"],
    }


def _check_gates(cells: Iterable[str]) -> None:
    """Check that Yosys knows the transistors of every gate; it leaves out the others without a word."""
    for cell in cells:
        if cell.startswith("$_") and "FF" in cell and cell != "$_DFF_P_":
            raise SynthesisError(f"flip-flops must be $_DFF_P_ to have their transistors counted, not {cell}")
