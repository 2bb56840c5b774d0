"""A search by Optuna (extra ``sweep``): a multi-objective optimiser that chooses which machines are costed.

Trials come in generations. A generation's asks depend on the seed and on what was told before, and results are told
by the trial's number, so neither the number of processes nor an interruption changes which machines are tried:
a search that goes on asks again from the start, and takes the machines that are stored from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sim.sweep.errors import SweepError
from sim.sweep.points import Point
from sim.sweep.space import Candidate, Space

#: Trials asked at once; also the population of NSGA-II.
GENERATION = 32
#: Generations without a new machine after which the space counts as exhausted.
PATIENCE = 20

#: Cost candidates that are not stored yet, and return the points of all of them by number.
Evaluate = Callable[[Sequence[Candidate]], dict[int, Point]]


def check_optuna() -> None:
    """Check that Optuna is there.

    Raises
    ------
    SweepError
        If it is not installed.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise SweepError("search.method = 'optuna' needs optuna: pip install 'eyas[sweep]'") from None


def tune(space: Space, evaluate: Evaluate) -> None:
    """Cost as many machines as the search asks for, or all that it finds.

    Parameters
    ----------
    space : Space
        What is searched.
    evaluate : callable
        Costs and stores machines.

    Raises
    ------
    SweepError
        If no machine meets the constraints.
    """
    study = _study(space)
    tried: dict[int, Point] = {}
    barren = 0
    while len(tried) < min(space.search.points, space.size) and barren < PATIENCE:
        trials = [study.ask() for _ in range(GENERATION)]
        chosen = [_candidate(space, trial) for trial in trials]
        fresh = {item.id: item for item in chosen if item is not None and item.id not in tried}
        new = list(fresh.values())[: space.search.points - len(tried)]
        barren = 0 if new else barren + 1
        tried |= evaluate(new)
        for trial, candidate in zip(trials, chosen, strict=True):
            _tell(study, space, trial, tried.get(candidate.id) if candidate else None)
    if not tried:
        raise space.empty()


def _study(space: Space) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = space.search.seed
    sampler: Any
    if space.search.sampler == "tpe":
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=GENERATION, constant_liar=True)
    else:
        sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=GENERATION)
    return optuna.create_study(directions=["minimize"] * len(space.objectives), sampler=sampler)


def _candidate(space: Space, trial: Any) -> Candidate | None:
    """Return the machine of a trial, whose parameters are positions in the fields' lists of values."""
    number = 0
    for field, values in space.fields.items():
        number = number * len(values) + trial.suggest_int(field, 0, len(values) - 1)
    return space.candidate(number)


def _tell(study: Any, space: Space, trial: Any, point: Point | None) -> None:
    """Tell a trial's values; one without a machine, or whose machine was skipped, has failed."""
    import optuna

    if point is None or not point.complete:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, [float(point.value(objective)) for objective in space.objectives])
