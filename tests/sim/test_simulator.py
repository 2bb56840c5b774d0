"""Building and running simulations, with the stand-in of ``standin.sv`` in place of the machine."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import sim.build
from sim.build import build, check_tools
from sim.simulator import Job, JobResult, SimulationError, run_jobs

STANDIN = (Path(__file__).parent / "standin.sv").read_text()
IMAGE = random.Random(0).randbytes(1001)
FAIL, HANG, CROSS, UNKNOWN, WAIT, SHORT = 0, 255, 254, 253, 252, 251
SIMULATORS = ("icarus", "verilator")


def job(commands: int, **changes: object) -> Job:
    """Return a job that copies ``commands`` words from 0x100 to 0x1000."""
    values: dict[str, object] = {
        "image": IMAGE,
        "memory_bytes": 1 << 16,
        "program_address": 0x100,
        "program_commands": commands,
        "window_base": 0x1000,
        "window_limit": 0x2000,
        "dump_base": 0x1000,
        "dump_limit": 0x1000 + 8 * commands,
        "timeout_cycles": 10_000,
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


def fails(folder: Path, *jobs: Job, text: str = STANDIN, simulator: str = "icarus", **options: object) -> str:
    """Run jobs that must fail, and return the message."""
    with pytest.raises(SimulationError) as caught:
        run_jobs(text, jobs, simulator=simulator, work=folder, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_jobs_share_a_simulator(simulator: str, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(IMAGE)
    jobs = [
        job(16),
        job(5, reset=False, image=IMAGE[:0x110], dump_base=0x103, dump_limit=0x2000),
        job(FAIL),
        job(3, reset=False, image=file),
        job(HANG, timeout_cycles=300),
        job(7, reset=False, dump_base=0x1003, dump_limit=0x1031),
        job(2, window_base=0x10000),
        job(2, window_base=0xFFF8 - 8, dump_base=0xFFF0, dump_limit=0x10000),
    ]
    results = run_jobs(STANDIN, jobs, simulator=simulator, work=tmp_path / "work")
    assert [result.done for result in results] == [True, True, False, True, False, True, False, True]
    assert [result.timed_out for result in results] == [index == 4 for index in range(len(jobs))]
    assert [result.error_code for result in results] == [0, 0, 2, 0, 0, 0, 4, 0]
    assert (results[2].error_command, results[2].error_address) == (5, 0x1234)
    assert results[0].dump == IMAGE[0x100:0x180]
    copied = IMAGE[0x100:0x110] + bytes(24)
    assert results[1].dump == IMAGE[0x103:0x110] + bytes(0xEF0) + copied + bytes(0x1000 - len(copied))
    assert results[3].dump == IMAGE[0x100:0x118]
    assert results[5].dump == IMAGE[0x103:0x131]
    assert results[7].dump == IMAGE[0x100:0x110]
    assert file.read_bytes() == IMAGE
    assert not list((tmp_path / "work").glob("*.image")) + list((tmp_path / "work").glob("*.dump"))


def test_both_simulators_and_latencies_agree(tmp_path: Path) -> None:
    def cycles(simulator: str, latency: int) -> list[int]:
        return [r.cycles for r in run_jobs(STANDIN, jobs, simulator=simulator, latency=latency, work=tmp_path)]

    jobs = [job(n) for n in (1, 2, 9, 16)]
    assert cycles("icarus", 40) == cycles("verilator", 40) == [2 * 40 + 2 * n + 1 for n in (1, 2, 9, 16)]
    assert cycles("icarus", 3) == cycles("verilator", 3) == [2 * 3 + 2 * n + 1 for n in (1, 2, 9, 16)]


def test_long_runs_report_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    jobs = [job(WAIT, window_limit=1_200_000, timeout_cycles=2_000_000, dump_limit=0x1000), job(4)]
    results = run_jobs(STANDIN, jobs, work=tmp_path, progress=lambda *event: seen.append(event))
    assert seen == [(0, 500_000), (0, 1_000_000), (0, results[0].cycles), (1, results[1].cycles)]
    assert 0 <= results[0].simulated_cycles - results[0].cycles < 10
    assert results[0].wall_seconds > 0.1


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(("commands", "reason"), [(CROSS, "a burst crosses 4 KiB"), (SHORT, "wlast is not at the")])
def test_broken_axi_rules_fail(simulator: str, commands: int, reason: str, tmp_path: Path) -> None:
    message = fails(tmp_path, job(3), job(commands), simulator=simulator)
    assert "job 1: the machine breaks the rules of AXI4" in message and reason in message


def test_unknown_outputs_fail(tmp_path: Path) -> None:
    message = fails(tmp_path, job(UNKNOWN))
    assert "job 0: an output of the machine is unknown" in message
    assert "unknown value in axi__wdata" in message


def test_unknown_signals_inside_fail_if_asked_for(tmp_path: Path) -> None:
    known = [("writing", "axi__wdata")]
    assert run_jobs(STANDIN, [job(3)], simulator="icarus", work=tmp_path, unknown_checks=known)[0].done
    message = fails(tmp_path, job(3), unknown_checks=[*known, ("busy", "data[77]")])
    assert "unknown value in eyas.data[77]" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("32'h53415945", "32'h0", "CSR identifier is 0x0 after reset, not 0x53415945"),
        ("csr__bvalid <= write", "csr__bvalid <= 0", "the write of CSR program_address was not answered"),
        ("csr__rresp, axi__arid", "axi__arid", "the read of CSR identifier was answered with an error"),
        ("raised <= raised & ~csr__wdata[1:0]", "raised <= raised", "the interrupt stays raised"),
        ("if (writing && axi__wready)", "if (writing) $finish; else if (axi__wready)", "the simulation has failed"),
        ("endmodule", "", "cannot compile the design"),
    ],
)
def test_faults_are_reported_with_the_log(old: str, new: str, expected: str, tmp_path: Path) -> None:
    assert old in STANDIN
    assert expected in fails(tmp_path, job(3), text=STANDIN.replace(old, new))


def test_icarus_refuses_what_may_not_start(tmp_path: Path) -> None:
    message = fails(tmp_path, job(3), text=STANDIN.replace("always_comb", "always @(*)"))
    assert message == "eyas.sv must use always_comb, not always @*, which Icarus may not start at time 0"


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Use an empty cache; the list grows with each compilation."""
    monkeypatch.setenv("EYAS_CACHE", str(tmp_path / "cache"))
    original: Callable[..., None] = sim.build._compile
    calls: list[str] = []

    def record(folder: Path, sources: dict[str, str], *rest: object) -> None:
        calls.append(sources["a.sv"])
        original(folder, sources, *rest)

    monkeypatch.setattr(sim.build, "_compile", record)
    return calls


def test_equal_simulations_are_compiled_once(compiled: list[str], tmp_path: Path) -> None:
    def make(text: str = "module a; parameter P = 1; endmodule", **options: object) -> Path:
        arguments: dict[str, object] = {"simulator": "icarus", "toplevel": "a"} | options
        return build({"a.sv": text}, **arguments)  # type: ignore[arg-type]

    first = make()
    assert make() == first and len(compiled) == 1
    others = {make("module a; endmodule"), make(parameters={"P": 2}), make(flags=["-Wno-portbind"]), make(waves=True)}
    assert len(others | {first}) == 5 == len(compiled)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {path.name for path in {first, *others}}
    assert [path.name for path in first.iterdir()] == ["sim.vvp"]


def test_failed_compilations_leave_nothing_behind(compiled: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(SimulationError, match="syntax error"):
            build({"a.sv": "module a; nonsense"}, simulator="icarus", toplevel="a")
    assert len(compiled) == 2
    assert not list((tmp_path / "cache").iterdir())


def test_the_first_of_two_compilations_wins(
    compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[..., None] = sim.build._compile

    def overtaken(*arguments: object) -> None:
        monkeypatch.setattr(sim.build, "_compile", original)
        first = build({"a.sv": "module a; endmodule"}, simulator="icarus", toplevel="a")
        os.utime(first / "sim.vvp", (1, 1))
        original(*arguments)

    monkeypatch.setattr(sim.build, "_compile", overtaken)
    target = build({"a.sv": "module a; endmodule"}, simulator="icarus", toplevel="a")
    assert len(compiled) == 2 and (target / "sim.vvp").stat().st_mtime == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [target.name]


@pytest.mark.parametrize(
    ("simulator", "program"),
    [("icarus", "iverilog"), ("verilator", "g++"), ("verilator", "perl"), ("verilator", "make")],
)
def test_missing_tools_are_named(simulator: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"iverilog", "vvp", "g++", "perl", "make"} - {program}:
        tool = tmp_path / name
        tool.touch()
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulationError) as caught:
        check_tools(simulator)
    expected = rf"simulator {simulator} needs {re.escape(program)}, which is not on PATH: install \S+"
    assert re.fullmatch(expected, str(caught.value))
    (tmp_path / program).touch()
    (tmp_path / program).chmod(0o755)
    check_tools(simulator)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_bytes": 1000}, "image must have at most memory_bytes = 1000 bytes, not 1001"),
        ({"memory_bytes": 1001}, "memory_bytes must be a positive multiple of 8, not 1001"),
        ({"dump_base": 0x1001, "dump_limit": 0x1000}, "dump_base and dump_limit must be in order .* not 4097 and 4096"),
        ({"dump_limit": 0x10001}, "dump_base and dump_limit must be in order .* 65536, not 4096 and 65537"),
        ({"timeout_cycles": 0}, "timeout_cycles must be positive, not 0"),
    ],
)
def test_wrong_jobs_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        job(1, **changes)


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    assert fails(tmp_path, job(1), simulator="vcs") == "simulator must be one of verilator, icarus, not 'vcs'"
    assert fails(tmp_path, job(1), latency=0) == "latency must be at least 1, not 0"


@pytest.mark.parametrize(("simulator", "file"), [("icarus", "waves.fst"), ("verilator", "waves.vcd")])
def test_waves(simulator: str, file: str, tmp_path: Path) -> None:
    results: list[JobResult] = run_jobs(STANDIN, [job(3)], simulator=simulator, work=tmp_path, waves=True)
    assert results[0].done
    assert (tmp_path / file).stat().st_size > 1000
