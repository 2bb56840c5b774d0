"""Random networks of one to a few layers on the machine: bytes, counters and cycles equal the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from compiler.assemble import Step, steps
from compiler.graph import Add, Concat, Network, NetworkError
from compiler.mapper import Mapper
from golden.machine import LATENCY_CYCLES
from hw.config import AcceleratorConfig, preset
from sim.run import run_tasks
from tests.sim.drawing import random_networks
from tests.sim.layers import LayerCase, NetworkCase, build, task

#: Presets with the number of random networks in `make test` and in `make test-all`; they have three layers on average.
COUNTS = {"tiny": (60, 500), "small": (45, 420), "eyeriss": (15, 130)}

#: What the machine refuses; random layers are small, so few of them meet these limits.
LIMITS = (
    "must fit the buffers of config",
    "must fit in 32 bits",
    "window height of layer",
    "stride of layer",
    "padding of layer",
    "must be stored like its ofmap to be added to it",
)
MOST_REFUSED = 0.05

#: Random networks that once differed from their prediction, by preset.
FOUND = {
    # The psum banks' places started anew with each group, before drain had read the group before.
    "group after group": (
        "tiny",
        NetworkCase(
            input_shape=(1, 22, 39),
            zero_point=127,
            batch=2,
            seed=490,
            layers=(
                LayerCase(kind="max", window=(2, 1), stride=(4, 3), padding=(1, 0, 0, 0)),
                LayerCase(
                    kind="conv", filters=117, groups=39, window=(4, 1), padding=(3, 0, 0, 0), bias=False, seed=122
                ),
            ),
        ),
    ),
    # The flush read psums of the pass before at the chain's head before its tail had written them.
    "depthwise flush": (
        "tiny",
        NetworkCase(
            input_shape=(20, 17, 3),
            zero_point=29,
            batch=1,
            seed=286,
            layers=(LayerCase(kind="conv", filters=3, groups=3, window=(8, 3), stride=(4, 3), weight=2, seed=266),),
        ),
    ),
    # A strip began with a window below one image, beyond the first rows of the next image, which it then missed.
    "window below the image": (
        "small",
        NetworkCase(
            input_shape=(6, 12, 7),
            zero_point=2,
            batch=2,
            seed=171,
            layers=(
                LayerCase(kind="conv", filters=3, window=(3, 6), padding=(4, 4, 5, 0), weight=2, bias=False, seed=577),
            ),
        ),
    ),
    # The prediction let a waiting read go a few cycles late when a burst ended.
    "read port": (
        "small",
        NetworkCase(
            input_shape=(22, 22, 2),
            zero_point=-43,
            batch=2,
            seed=1,
            layers=(
                LayerCase(kind="max", minimum=0, maximum=32),
                LayerCase(kind="conv", weight=20, bias=False, per_channel=False, zero_point=127, seed=1),
                LayerCase(kind="fc", weight=2, bias=False, per_channel=False, zero_point=-128, maximum=7, seed=1),
            ),
        ),
    ),
    # The same with wide passes on many columns.
    "read port, many columns": (
        "eyeriss",
        NetworkCase(
            input_shape=(21, 12, 23),
            zero_point=1,
            batch=3,
            seed=88,
            layers=(
                LayerCase(
                    kind="conv",
                    filters=23,
                    groups=23,
                    window=(5, 6),
                    padding=(0, 3, 6, 4),
                    weight=1,
                    per_channel=False,
                    zero_point=127,
                    seed=164,
                ),
            ),
        ),
    ),
}


@cache
def drawn(name: str, *, long: bool = False) -> tuple[NetworkCase, ...]:
    """Return the random networks of a preset; those of `make test-all` are other ones than those of `make test`."""
    return tuple(random_networks(COUNTS[name][long], seed=2 if long else 1))


def count_layers(*, long: bool) -> int:
    """Return the number of random layers of all presets."""
    return sum(len(case.layers) for name in COUNTS for case in drawn(name, long=long))


def run_cases(
    cases: Sequence[NetworkCase], config: AcceleratorConfig, work: Path, *, latency_cycles: int = LATENCY_CYCLES
) -> None:
    """Run the cases that the machine can compute in one simulator process; few must be refused."""
    mapper, tasks, kept, refused = Mapper(config=config), [], [], []
    for case in cases:
        try:
            tasks.append(task(case, config, mapper=mapper))
            kept.append(case)
        except NetworkError as error:
            assert any(limit in str(error) for limit in LIMITS), f"{error}\n{case}"
            refused.append(case)
    assert len(refused) < MOST_REFUSED * len(cases), f"{len(refused)} of {len(cases)} are refused: {refused}"
    outcomes = run_tasks(config, tasks, work=work, latency_cycles=latency_cycles)
    failures = [
        f"{case}\n{outcome.differences()}" for case, outcome in zip(kept, outcomes, strict=True) if not outcome.equal
    ]
    assert not failures, f"{len(failures)} of {len(kept)} networks differ on {config}:\n" + "\n\n".join(failures)


@pytest.mark.parametrize("name", COUNTS)
def test_random_networks(name: str, tmp_path: Path) -> None:
    found = [case for preset_name, case in FOUND.values() if preset_name == name]
    run_cases([*found, *drawn(name)], preset(name), tmp_path)


def test_there_are_at_least_200_layers() -> None:
    assert count_layers(long=False) >= 200


@pytest.mark.long
@pytest.mark.parametrize("name", COUNTS)
def test_many_random_networks(name: str, tmp_path: Path) -> None:
    run_cases(drawn(name, long=True), preset(name), tmp_path)


@pytest.mark.long
def test_there_are_at_least_2000_layers() -> None:
    assert count_layers(long=True) >= 2000


def test_all_parameters_are_drawn() -> None:
    cases = [case for name in COUNTS for case in drawn(name)]
    layers = [layer for case in cases for layer in case.layers]
    convolutions = [layer for layer in layers if layer.kind == "conv"]
    shifts = [int(shift) for case in cases for layer in build(case).layers for shift in getattr(layer, "shift", ())]
    assert {layer.kind for layer in layers} == {"conv", "fc", "max", "average", "add", "concat"}
    assert {case.batch for case in cases} == {1, 2, 3}
    assert min(shifts) < 0 < max(shifts)
    assert {stride for layer in layers for stride in layer.stride} == {1, 2, 3, 4}
    assert {*range(1, 8)} <= {size for layer in layers for size in layer.window}
    assert any(layer.window[0] == 1 < layer.window[1] for layer in convolutions)
    assert any(layer.window[1] == 1 < layer.window[0] for layer in convolutions)
    assert any(layer.window[0] > preset("eyeriss").rows for layer in layers)
    assert any(len(set(layer.padding)) > 2 for layer in convolutions)
    assert any(1 < layer.groups < layer.filters for layer in convolutions)
    assert any(1 < layer.groups == layer.filters for layer in convolutions)


def test_additions_are_drawn_in_all_forms() -> None:
    networks = [build(case) for name in COUNTS for case in drawn(name)]
    todo = [step for network in networks for step in steps(network)]
    fused = [step for step in todo if len(step.parts) == 2]
    alone = [step for step in todo if isinstance(step.parts[0], Add)]
    assert {_own(step) for step in fused} == {0, 1}
    assert alone and len(fused) > len(alone)
    assert any(_adds_a_sum(network) for network in networks)
    multipliers = [multiplier for step in [*fused, *alone] for multiplier in _addition(step).input_multipliers]
    assert min(multipliers) < 1 << 30 < max(multipliers)


def _adds_a_sum(network: Network) -> bool:
    additions = [layer for layer in network.layers if isinstance(layer, Add)]
    return any(isinstance(source, Add) for layer in additions for source in network.sources(layer.name))


def _addition(step: Step) -> Add:
    addition = step.parts[-1]
    assert isinstance(addition, Add)
    return addition


def _own(step: Step) -> int:
    """Return which input of a fused addition the layer before makes."""
    return _addition(step).inputs.index(step.parts[0].name)


def test_concatenations_are_drawn_in_all_forms() -> None:
    cases = [case for name in COUNTS for case in drawn(name)]
    networks = [(case.batch, build(case)) for case in cases]
    wholes = [(batch, network, whole) for batch, network in networks for whole in network.layers]
    concats = [(batch, network, whole) for batch, network, whole in wholes if isinstance(whole, Concat)]
    assert {len(whole.channels) for _, _, whole in concats} == {2, 3}
    assert any(whole.channels[-1] % 8 for _, _, whole in concats)
    read = [batch for batch, network, whole in concats if _is_read(network, whole.name)]
    assert {1} < set(read) and len(read) < len(concats)


def _is_read(network: Network, name: str) -> bool:
    sources = [source for layer in network.layers for source in network.sources(layer.name)]
    return any(source is not None and source.name == name for source in sources)


@pytest.mark.parametrize("latency_cycles", [1, 7, 100])
def test_other_dram_latencies(latency_cycles: int, tmp_path: Path) -> None:
    run_cases(random_networks(15, seed=3), preset("tiny"), tmp_path, latency_cycles=latency_cycles)


@pytest.mark.long
@pytest.mark.parametrize(
    "fields",
    [
        {"queue_depth": 2, "outstanding_reads": 1, "outstanding_writes": 1, "burst_beats": 4},
        {"drain_width": 1, "drain_fifo_beats": 16, "outstanding_writes": 2},
        {"rows": 3, "cols": 5, "psum_spad_words": 3, "ifmap_spad_words": 16, "filter_spad_words": 24},
        {"rows": 9, "cols": 2, "lanes": 32, "ifmap_lane_words": 64, "psum_bank_words": 48, "drain_width": 16},
        {"rows": 5, "cols": 3, "ifmap_lane_words": 32, "parameter_words": 20, "filter_lane_words": 16},
        {"cols": 9, "residual_fifo_beats": 16, "drain_width": 8, "drain_fifo_beats": 16, "queue_depth": 2},
    ],
    ids=lambda fields: ",".join(f"{name}={value}" for name, value in fields.items()),
)
def test_other_machines(fields: dict[str, int], tmp_path: Path) -> None:
    config = preset("tiny").with_fields({"name": "other", **fields})
    run_cases(random_networks(60, seed=4), config, tmp_path)
