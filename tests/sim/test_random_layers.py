"""Random networks of one to three layers on the machine: bytes, counters and cycles equal the prediction."""

from pathlib import Path

import pytest

from compiler.graph import NetworkError
from compiler.mapper import Mapper
from hw.config import AcceleratorConfig, preset
from sim.run import Outcome, run_tasks
from tests.sim.layers import NetworkCase, examples, network_cases, task

#: Presets with the number of random networks in `make test` and in `make test-all`; they have two layers on average.
COUNTS = {"tiny": (60, 500), "small": (45, 400), "eyeriss": (15, 120)}

#: What the mapper refuses: each network of the lot that is refused must be for one of these limits.
LIMITS = ("must fit the buffers", "must be at most", "must fit in")


def run_cases(cases: list[NetworkCase], config: AcceleratorConfig, work: Path, **options) -> list[Outcome]:
    """Run the cases that the machine can compute in one simulator process; few must be refused."""
    mapper, tasks, kept, refused = Mapper(config=config), [], [], []
    for case in cases:
        try:
            tasks.append(task(case, config, mapper=mapper))
            kept.append(case)
        except NetworkError as error:
            assert any(limit in str(error) for limit in LIMITS), error
            refused.append(case)
    assert len(refused) <= 0.05 * len(cases), f"{len(refused)} of {len(cases)} networks are refused"
    outcomes = run_tasks(config, tasks, work=work, **options)
    failures = [
        f"{case}\n{outcome.differences()}" for case, outcome in zip(kept, outcomes, strict=True) if not outcome.equal
    ]
    assert not failures, "\n\n".join(failures)
    return outcomes


@pytest.mark.parametrize("name", COUNTS)
def test_random_networks(name, tmp_path):
    outcomes = run_cases(examples(network_cases(), COUNTS[name][0], seed=1), preset(name), tmp_path)
    layers = sum(len(outcome.task.program.layers) for outcome in outcomes)
    assert layers >= COUNTS[name][0]


def test_there_are_at_least_200_layers():
    cases = [case for count, _ in COUNTS.values() for case in examples(network_cases(), count, seed=1)]
    assert sum(len(case.layers) for case in cases) >= 200


@pytest.mark.long
@pytest.mark.parametrize("name", COUNTS)
def test_many_random_networks(name, tmp_path):
    run_cases(examples(network_cases(), COUNTS[name][1], seed=2), preset(name), tmp_path)


@pytest.mark.parametrize("latency_cycles", [1, 7, 100])
def test_other_dram_latencies(latency_cycles, tmp_path):
    cases = examples(network_cases(), 12, seed=3)
    run_cases(cases, preset("tiny"), tmp_path, latency_cycles=latency_cycles)


@pytest.mark.long
@pytest.mark.parametrize(
    "fields",
    [
        {"queue_depth": 2, "outstanding_reads": 1, "outstanding_writes": 1, "burst_beats": 4},
        {"drain_width": 1, "drain_fifo_beats": 16, "outstanding_writes": 2},
        {"rows": 3, "cols": 5, "psum_spad_words": 3, "ifmap_spad_words": 16, "filter_spad_words": 24},
        {"rows": 9, "cols": 2, "lanes": 32, "ifmap_lane_words": 64, "psum_bank_words": 48},
    ],
)
def test_other_machines(fields, tmp_path):
    run_cases(examples(network_cases(), 60, seed=4), preset("tiny").with_fields({"name": "other", **fields}), tmp_path)
