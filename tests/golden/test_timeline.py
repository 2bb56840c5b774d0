"""The timing core compiled and in plain Python: the same predictions, from code that is never stale."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType

import pytest

from compiler.graph import NetworkError
from compiler.networks import network
from compiler.program import Program, compile_network
from golden import compiled, machine
from golden.machine import DeadlockError, Prediction, predict
from hw.config import AcceleratorConfig, preset
from tests.sim.drawing import random_networks
from tests.sim.layers import build

TINY = preset("tiny")
#: Presets, and machines with little of what engines wait for.
MACHINES = (
    TINY,
    preset("small"),
    preset("eyeriss"),
    *(
        TINY.with_fields({"name": "other", **fields})
        for fields in (
            {"queue_depth": 2, "outstanding_reads": 1, "outstanding_writes": 1, "burst_beats": 4},
            {"drain_width": 1, "drain_fifo_beats": 16, "outstanding_writes": 2},
            {"rows": 9, "cols": 2, "lanes": 32, "ifmap_lane_words": 64, "psum_bank_words": 48, "drain_width": 16},
            {"cols": 9, "residual_fifo_beats": 16, "drain_width": 8, "drain_fifo_beats": 16, "queue_depth": 2},
            {"filter_lane_words": 16, "outstanding_reads": 64, "outstanding_writes": 64, "burst_beats": 256},
        )
    ),
)
LATENCIES_CYCLES = (1, 7, 40, 100)
NETWORKS = 12


def programs(config: AcceleratorConfig, seed: int) -> list[Program]:
    """Return the programs of a few random networks."""
    made = []
    for case in random_networks(NETWORKS, seed=seed):
        try:
            made.append(compile_network(build(case), config, batch=case.batch))
        except NetworkError:
            continue
    assert len(made) > NETWORKS // 2
    return made


def both(config: AcceleratorConfig, program: Program, latency_cycles: int = 40) -> tuple[Prediction, Prediction]:
    """Return what plain Python and what machine code predicts."""
    plain, quick = (
        predict(config, program.commands, latency_cycles=latency_cycles, compiled=choice) for choice in (False, True)
    )
    return plain, quick


@pytest.mark.parametrize("seed", range(len(MACHINES)), ids=lambda seed: f"{MACHINES[seed].name}{seed}")
def test_compiled_and_plain_predict_the_same(seed: int) -> None:
    pytest.importorskip("numba")
    config = MACHINES[seed]
    for program, latency_cycles in zip(programs(config, seed), itertools.cycle(LATENCIES_CYCLES), strict=False):
        plain, quick = both(config, program, latency_cycles)
        assert plain == quick, program.network.name


@pytest.mark.parametrize("name", ["tiny", "small", "eyeriss"])
def test_compiled_and_plain_predict_lenet5_the_same(name: str) -> None:
    pytest.importorskip("numba")
    plain, quick = both(preset(name), compile_network(network("lenet5"), preset(name)))
    assert plain == quick


@pytest.mark.parametrize("choice", [False, True])
def test_a_deadlock_names_what_waits(choice: bool) -> None:
    if choice:
        pytest.importorskip("numba")
    program = compile_network(network("lenet5"), TINY)
    index = next(i for i, (name, _) in enumerate(program.commands) if name == "load.filter")
    commands = program.commands[:index] + program.commands[index + 1 :]
    with pytest.raises(DeadlockError, match="queues wait with .*mac: execute.pass"):
        predict(TINY, commands, compiled=choice)


@pytest.mark.parametrize("choice", [False, True])
def test_a_program_without_an_end_is_a_deadlock_of_nothing(choice: bool) -> None:
    if choice:
        pytest.importorskip("numba")
    with pytest.raises(DeadlockError, match="queues wait with nothing"):
        predict(TINY, [("mark", {"dram_address": 0, "last": 0})], compiled=choice)


def test_a_pass_without_its_layer_is_refused() -> None:
    commands = compile_network(network("lenet5"), TINY).commands
    without = [command for command in commands if command[0] != "execute.layer"]
    with pytest.raises(ValueError, match="command execute.pass needs a command execute.layer before it"):
        predict(TINY, without, compiled=False)


def test_a_strip_below_its_tile_is_refused() -> None:
    commands = [
        (name, fields | {"rows": 0} if name == "drain.layer" else fields)
        for name, fields in compile_network(network("lenet5"), TINY).commands
    ]
    with pytest.raises(ValueError, match="drain.strip.row must be less than drain.layer.rows"):
        predict(TINY, commands, compiled=False)


def test_the_model_is_imported_without_numba() -> None:
    code = "import sys, golden.machine; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_machine_code_is_used_once_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.delenv(compiled.SWITCH, raising=False)
    monkeypatch.setattr(machine, "_predicted_commands", 0)
    assert not machine._pays(machine.PLAIN_COMMANDS) and machine._pays(1)


def test_the_switch_keeps_everything_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.SWITCH, "0")
    monkeypatch.setattr(machine, "_predicted_commands", machine.PLAIN_COMMANDS)
    assert not machine._pays(1)


def test_without_numba_everything_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compiled.SWITCH, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not compiled.available()
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match="compiled predictions need numba"):
        compiled._import_numba()


@pytest.fixture
def core(tmp_path, monkeypatch):
    """Return a function that makes modules of given texts the timing core, and returns the first one's ``f``."""

    def make(**texts: str) -> Callable[[], int]:
        functions = []
        for name, text in texts.items():
            path = tmp_path / f"{name}.py"
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
            module = ModuleType(name)
            module.__file__ = str(path)
            monkeypatch.setitem(sys.modules, name, module)
        for name in reversed(texts):
            module = sys.modules[name]
            exec(compile(texts[name], str(module.__file__), "exec"), vars(module))
            functions += [value for value in vars(module).values() if isinstance(value, FunctionType)]
        monkeypatch.setattr(compiled, "_functions", list(dict.fromkeys(functions)))
        return vars(sys.modules[next(iter(texts))])["f"]

    return make


def test_the_fingerprint_is_of_the_sources_and_of_imported_integers(core) -> None:
    text = "from hw.spec import COUNTER_BITS\ndef f(): return COUNTER_BITS"
    core(core_a=text)
    first = compiled.fingerprint()
    core(core_a=text)
    assert compiled.fingerprint() == first
    sys.modules["core_a"].COUNTER_BITS = 1  # as if hw/spec.py had changed
    assert compiled.fingerprint() != first
    core(core_a=text + " + 1")
    assert compiled.fingerprint() != first


def test_machine_code_is_kept_but_not_for_another_source(core, tmp_path, monkeypatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    values, hits = [], 0
    for value in (1, 1, 2):  # the entry's own file, which is all that numba looks at, stays as it is
        f = core(core_a="from core_b import g\ndef f(): return g()", core_b=f"def g(): return {value}")
        code = compiled.machine_code.__wrapped__(f)
        values.append(code())
        hits += sum(code.stats.cache_hits.values())
    assert values == [1, 1, 2] and hits == 1


def test_the_cache_is_where_the_user_keeps_caches(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert compiled.cache_folder("key") == tmp_path / "cache" / "eyas" / "timing-key"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compiled.cache_folder("key") == tmp_path / ".cache" / "eyas" / "timing-key"


def test_a_cache_that_cannot_be_written_is_not_used(tmp_path, monkeypatch) -> None:
    (tmp_path / "eyas").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled.cache_folder("key") is None
