"""Searches by Optuna: the same machines for the same seed, however the sweep runs, and better ones than by chance."""

from operator import le

import pytest

from sim.sweep import SweepError, sweep
from sim.sweep.constraint import Constraint
from sim.sweep.points import pareto_front
from sim.sweep.space import Search, Workload
from sim.sweep.store import Store
from sim.sweep.tune import GENERATION, tune
from tests.sim.sweeping import FC, small_space

pytest.importorskip("optuna", reason="needs the extra sweep")

#: 14,112 combinations, of which about a third meet the constraint.
FIELDS = {
    "rows": tuple(range(2, 16)),
    "cols": tuple(range(1, 15)),
    "ifmap_spad_words": (8, 16, 32, 64),
    "filter_spad_words": (64, 128, 256),
    "psum_spad_words": (4, 8, 16),
    "queue_depth": (2, 4),
}
POINTS = GENERATION + 16
STOP = GENERATION + 5


def tuned_space(sampler="nsga2", **changes):
    options = {
        "fields": FIELDS,
        "workloads": (Workload("fc", FC),),
        "constraints": (Constraint.parse("rows * cols <= 64"),),
        "objectives": ("cycles", "pes", "energy"),
        "search": Search("optuna", POINTS, 1, sampler),
    }
    return small_space(**(options | changes))


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_an_interrupted_search_goes_on_as_if_nothing_was(tmp_path, monkeypatch, sampler):
    space = tuned_space(sampler)
    whole = sweep(space, tmp_path / "whole", progress=False, jobs=1)
    assert len(whole.points) == POINTS and all(point.value("pes") <= 64 for point in whole.points)
    add, added = Store.add, []

    def stop(self, candidate, outcome):
        if len(added) == STOP:
            raise KeyboardInterrupt
        added.append(candidate.id)
        add(self, candidate, outcome)

    monkeypatch.setattr(Store, "add", stop)
    with pytest.raises(SweepError, match=f"holds the {STOP} machines that are done"):
        sweep(space, tmp_path / "part", progress=False, jobs=1)
    monkeypatch.setattr(Store, "add", lambda *arguments: (added.append(arguments[1].id), add(*arguments)))
    sweep(space, tmp_path / "part", progress=False, jobs=1)
    assert len(added) == len(set(added)) == POINTS, "nothing is costed twice"
    assert (tmp_path / "part" / "sweep.csv").read_bytes() == (tmp_path / "whole" / "sweep.csv").read_bytes()


def test_another_seed_tries_other_machines(tmp_path):
    found = [
        {point.candidate.id for point in sweep(space, tmp_path / str(seed), progress=False, jobs=1).points}
        for seed in (1, 2)
        for space in [tuned_space(search=Search("optuna", GENERATION, seed))]
    ]
    assert len(found[0] & found[1]) < GENERATION // 4


def test_a_small_space_is_exhausted(tmp_path):
    space = small_space(search=Search("optuna", 100))
    assert len(sweep(space, tmp_path, progress=False, jobs=1).points) == 8


def test_what_cannot_be_built_is_listed_and_does_not_stop_the_search(tmp_path):
    space = tuned_space(fields=FIELDS | {"queue_depth": (2, 3)}, search=Search("optuna", GENERATION))
    result = sweep(space, tmp_path, progress=False, jobs=1)
    reasons = {reason for _, _, reason in result.skipped}
    assert reasons == {"queue_depth must be a power of two, not 3"} and len(result.points) == GENERATION


class Formula:
    """A point whose figures are formulas, roughly those of a layer that is reloaded when the buffers are small."""

    complete = True

    def __init__(self, candidate):
        rows, cols, ifmap, filters, psums, _ = candidate.values.values()
        reloads = -(-512 // filters) * -(-64 // psums)
        cycles = -(-27 // rows) * -(-96 // cols) * (100 + 2000 // ifmap) + 1000 * reloads
        self._values = {"cycles": cycles, "pes": rows * cols, "energy": 10 * cycles + rows * cols * (filters + ifmap)}

    def value(self, objective):
        return self._values[objective]


@pytest.mark.parametrize(("sampler", "points"), [("tpe", 96), ("nsga2", 256)])
def test_a_search_is_better_than_chance(sampler, points):
    """Of what it finds less is dominated by as many random machines than of those by what it finds."""

    def front(candidates, space):
        values = [tuple(Formula(item).value(name) for name in space.objectives) for item in candidates]
        return {value for value, chosen in zip(values, pareto_front(values), strict=True) if chosen}

    def dominated(front, by):
        return sum(any(a != b and all(map(le, a, b)) for a in by) for b in front) / len(front)

    losses, wins = 0.0, 0.0
    for seed in range(2):
        space = tuned_space(search=Search("optuna", points, seed, sampler))
        tried = {}

        def evaluate(candidates, tried=tried):
            tried.update({item.id: item for item in candidates})
            return {item.id: Formula(item) for item in candidates}

        tune(space, evaluate)
        assert len(tried) == points
        found = front(tried.values(), space)
        chance = front(tuned_space(search=Search("random", points, seed)).candidates(), space)
        losses, wins = losses + dominated(found, chance), wins + dominated(chance, found)
    assert wins > 2 * losses
