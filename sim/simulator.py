"""Run programs on the Verilog of a machine, with a DRAM model, in one simulator process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocotb_tools.check_results import get_results

from sim.bench import EVENTS_FILE, JOBS_VARIABLE
from sim.build import ROOT, SimulationError, build, check_tools, log_tail, runner

__all__ = ["Job", "JobResult", "SimulationError", "run_jobs"]

WORD_BYTES = 8
_LEAST_WORDS = {"verilator": 1 << 23, "icarus": 1 << 17}
"""Words of a compiled memory model, at least; more come in steps of four, so that the cache has few sizes."""
_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Job:
    """One program to run.

    Parameters
    ----------
    image : bytes or Path
        Contents of DRAM from address 0 on; the rest of it is zero.
    memory_bytes : int
        Size of DRAM; accesses behind it answer SLVERR.
    program_address, program_commands, window_base, window_limit : int
        Values of the CSRs of these names.
    dump_base, dump_limit : int
        First byte to return and first byte behind those.
    timeout_cycles : int
        Cycles after which to give up.
    reset : bool
        Whether to reset the whole system before; otherwise only if the job before timed out.

    Raises
    ------
    SimulationError
        If image, dump or memory size contradict each other.
    """

    image: bytes | Path
    memory_bytes: int
    program_address: int
    program_commands: int
    window_base: int
    window_limit: int
    dump_base: int
    dump_limit: int
    timeout_cycles: int
    reset: bool = True

    def __post_init__(self) -> None:
        if self.memory_bytes <= 0 or self.memory_bytes % WORD_BYTES:
            raise SimulationError(f"memory_bytes must be a positive multiple of 8, not {self.memory_bytes}")
        size = self.image.stat().st_size if isinstance(self.image, Path) else len(self.image)
        if size > self.memory_bytes:
            raise SimulationError(f"image must have at most memory_bytes = {self.memory_bytes} bytes, not {size}")
        if not 0 <= self.dump_base <= self.dump_limit <= self.memory_bytes:
            raise SimulationError(
                f"dump_base and dump_limit must be in order and at most memory_bytes = {self.memory_bytes}, "
                f"not {self.dump_base} and {self.dump_limit}"
            )
        if self.timeout_cycles <= 0:
            raise SimulationError(f"timeout_cycles must be positive, not {self.timeout_cycles}")


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a program did.

    Parameters
    ----------
    done : bool
        Whether the program ran to its end; if not, it failed or timed out.
    timed_out : bool
        Whether there was no interrupt in time.
    error_code, error_command, error_address, cycles : int
        CSRs of these names; ``cycles`` has 64 bits.
    dump : bytes
        The part of DRAM that was asked for.
    wall_seconds : float
        Time the simulator took from start to interrupt.
    simulated_cycles : int
        Cycles simulated in it.
    """

    done: bool
    timed_out: bool
    error_code: int
    error_command: int
    error_address: int
    cycles: int
    dump: bytes
    wall_seconds: float
    simulated_cycles: int


def run_jobs(
    verilog: str,
    jobs: Sequence[Job],
    *,
    simulator: str = "verilator",
    waves: bool = False,
    latency: int = 40,
    work: Path,
    progress: Callable[[int, int], None] | None = None,
    unknown_checks: Sequence[tuple[str, str]] = (),
) -> list[JobResult]:
    """Run programs one after the other.

    Parameters
    ----------
    verilog : str
        Text of the design; its top module is ``eyas``.
    jobs : sequence of Job
        The programs.
    simulator : str
        ``"verilator"`` or ``"icarus"``.
    waves : bool
        Whether to record waves, in ``work`` (``waves.vcd`` or ``waves.fst``).
    latency : int
        Latency of DRAM in cycles.
    work : Path
        Folder for the logs and files of this run.
    progress : callable, optional
        Called now and then, from another thread, with the index of a job and the cycles it has run.
    unknown_checks : sequence of (str, str)
        Signals that must be known under Icarus while another one is not zero: (enable, data), as paths from ``eyas``.

    Returns
    -------
    list of JobResult
        One for each job.

    Raises
    ------
    SimulationError
        If the simulation cannot be built or fails, the machine breaks the rules of AXI4, or an output is unknown.
    """
    if latency < 1:
        raise SimulationError(f"latency must be at least 1, not {latency}")
    check_tools(simulator)
    folder = build(
        _sources(verilog, unknown_checks),
        simulator=simulator,
        toplevel="top",
        parameters={"WORDS": _words(jobs, simulator)},
        waves=waves,
    )
    work = work.resolve()
    _write(jobs, work)
    with _reporting(work / EVENTS_FILE, progress):
        _simulate(folder, work, simulator=simulator, waves=waves, latency=latency)
    results = _results(jobs, work)
    for path in (*work.glob("*.image"), *work.glob("*.dump")):
        path.unlink()
    return results


def _sources(verilog: str, unknown_checks: Sequence[tuple[str, str]]) -> dict[str, str]:
    checks = "".join(f"`CHECK_KNOWN(eyas.{enable}, eyas.{data})\n" for enable, data in unknown_checks)
    return {
        **{name: (ROOT / "sim" / name).read_text() for name in ("top.sv", "dram.sv")},
        "eyas.sv": verilog,
        "unknown_checks.svh": checks,
    }


def _words(jobs: Sequence[Job], simulator: str) -> int:
    words = _LEAST_WORDS[simulator]
    while words * WORD_BYTES < max((job.memory_bytes for job in jobs), default=0):
        words *= 4
    return words


def _write(jobs: Sequence[Job], work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    for path in (*work.glob("*.image"), *work.glob("*.dump"), work / EVENTS_FILE):
        path.unlink(missing_ok=True)
    fields = (
        *("program_address", "program_commands", "window_base", "window_limit"),
        *("dump_base", "dump_limit", "timeout_cycles", "reset"),
    )
    listed = []
    for index, job in enumerate(jobs):
        listed.append({name: getattr(job, name) for name in fields} | {"words": job.memory_bytes // WORD_BYTES})
        image = work / f"{index}.image"
        if isinstance(job.image, Path) and job.image.stat().st_size % WORD_BYTES == 0:
            image.symlink_to(job.image.resolve())
        else:
            contents = job.image.read_bytes() if isinstance(job.image, Path) else job.image
            image.write_bytes(contents + bytes(-len(contents) % WORD_BYTES))
    (work / "jobs.json").write_text(json.dumps(listed))


def _simulate(folder: Path, work: Path, *, simulator: str, waves: bool, latency: int) -> None:
    log, results = work / "simulation.log", work / "results.xml"
    plusargs = [f"+latency={latency}", f"+directory={work}", "+verilator+error+limit+1000"]
    if waves and simulator == "icarus":
        plusargs.append(f"+dumpfile_path={work / 'waves.fst'}")
    try:
        runner(simulator).test(
            test_module="sim.bench",
            hdl_toplevel="top",
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=work,
            results_xml=str(results),
            plusargs=plusargs,
            test_args=["--trace-file", str(work / "waves.vcd")] if waves and simulator == "verilator" else [],
            extra_env={JOBS_VARIABLE: str(work / "jobs.json")},
            waves=waves,
            log_file=log,
        )
        tests, failed = get_results(results)
    except (RuntimeError, SystemExit) as error:
        raise SimulationError(f"the simulation has failed ({error}); {log} ends:\n{log_tail(log)}") from None
    if failed or not tests:
        raise SimulationError(f"the simulation has failed; {log} ends:\n{log_tail(log)}")


def _results(jobs: Sequence[Job], work: Path) -> list[JobResult]:
    found = {event["job"]: event["result"] for event in _events(work / EVENTS_FILE) if "result" in event}
    if len(found) != len(jobs):
        raise SimulationError(f"the simulation has returned {len(found)} of {len(jobs)} results")
    results = []
    for index, job in enumerate(jobs):
        dump = (work / f"{index}.dump").read_bytes()
        begin = job.dump_base % WORD_BYTES
        dump = dump[begin : begin + job.dump_limit - job.dump_base]
        if len(dump) != job.dump_limit - job.dump_base:
            raise SimulationError(f"the simulation has returned {len(dump)} bytes for job {index}")
        results.append(JobResult(dump=dump, **found[index]))
    return results


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a file that may still be written."""
    if path.is_file():
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


@contextmanager
def _reporting(path: Path, progress: Callable[[int, int], None] | None) -> Iterator[None]:
    """Call ``progress`` while the body runs, for each event that appears in the file."""
    if progress is None:
        yield
        return
    stop, told = threading.Event(), 0

    def tell() -> None:
        nonlocal told
        for event in list(_events(path))[told:]:
            told += 1
            result = event.get("result", event)
            progress(event["job"], result.get("cycles", 0))

    def poll() -> None:
        while not stop.wait(_POLL_SECONDS):
            tell()
        tell()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
