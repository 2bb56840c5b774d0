"""Sweeps: machines of a space costed by the cost model, the Pareto front, and proof of some points on RTL."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim.sweep.cluster import Cluster
from sim.sweep.costs import Outcome, Task, evaluate_machine
from sim.sweep.errors import SweepError, SweepInterrupted
from sim.sweep.files import PlotError, check_parquet, write_csv, write_parquet, write_picture
from sim.sweep.machine_area import check_area
from sim.sweep.objectives import AREA_OBJECTIVES
from sim.sweep.points import Point, SweepData
from sim.sweep.pool import Pool, TaskLost
from sim.sweep.progress import Progress
from sim.sweep.space import Candidate, Space
from sim.sweep.store import Store
from sim.sweep.tune import check_optuna, tune

EXPORTS = ("csv", "parquet")
Executor = Pool[Task, Outcome] | Cluster[Task, Outcome]


@dataclass
class SweepResult(SweepData):
    """All points by their numbers, and where they were written."""

    files: list[Path] = field(default_factory=list)
    note: str = ""

    def summary(self) -> str:
        """Return the front as a table, what was skipped and why, and the files."""
        objectives = self.space.objectives
        lines = [f"{len(self.points)} machines, {len(self.front)} on the front of {', '.join(objectives)}:", ""]
        width = max((len(point.candidate.name) for point in self.front), default=0)
        heads = [f"{objective:>14}" for objective in objectives]
        lines.append("  ".join(["machine".ljust(width), *heads, "on RTL"]))
        for point in self.front:
            figures = [f"{_figure(point.value(name)):>{max(14, len(name))}}" for name in objectives]
            lines.append("  ".join([point.candidate.name.ljust(width), *figures, point.verified]).rstrip())
        lines += ["", *(f"skipped {name}{f', {label}' if label else ''}: {why}" for name, label, why in self.skipped)]
        if self.failed:
            lines.append(f"{self.failed} machines were skipped by errors that are not their own")
        lines += [*(f"wrote {path}" for path in self.files), *([self.note] if self.note else [])]
        return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}" if value < 1e6 else f"{value:,.0f}"


def sweep(
    space: Space,
    out: Path,
    *,
    progress: bool = True,
    verify: int = 0,
    verify_cycles: int | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    fresh: bool = False,
    export: str = "csv",
) -> SweepResult:
    """Cost the machines of a space, store the results in a folder, and verify some machines of the front.

    What an earlier, interrupted sweep of the same space has stored is not costed again.

    Parameters
    ----------
    space : Space
        What to sweep.
    out : Path
        Folder for ``sweep.db``, ``sweep.csv`` and ``sweep.png``; the table is the same for the same space, whatever
        ``jobs`` and ``scheduler`` are and however often the sweep was interrupted.
    progress : bool
        Whether to say on standard error how far the sweep is.
    verify : int
        Machines of the front to run on RTL, from the one that is least in the last objective upwards, in even steps.
    verify_cycles : int, optional
        Predicted cycles of a workload that runs on RTL, at most; by default 200,000. A machine whose workloads are
        all longer runs the shortest.
    jobs : int, optional
        Processes; by default one per core.
    scheduler : str, optional
        Address of a Dask scheduler whose workers evaluate machines instead.
    fresh : bool
        Whether to forget what is stored.
    export : str
        ``csv``, or ``parquet`` for ``sweep.parquet`` as well.

    Raises
    ------
    SweepError
        If an option is not allowed, no machine meets the constraints, or the folder holds another sweep.
    SweepInterrupted
        If the user interrupts it.
    SimulationError
        If the simulation cannot be built or run.
    """
    _check_options(space, verify, verify_cycles, jobs, export)
    candidates = _first_candidates(space)
    with Store(space, out, fresh=fresh) as store:
        try:
            _cost_all(space, store, candidates, progress, jobs or len(os.sched_getaffinity(0)), scheduler)
            files, note = _write(store, out, export)
            if verify:
                _verify(store, out, verify, verify_cycles, progress)
                files, note = _write(store, out, export)
        except KeyboardInterrupt:
            raise SweepInterrupted(
                f"the sweep was interrupted, {store.path} holds the {len(store.ids())} machines that are done: "
                "the same command goes on from there"
            ) from None
        data = store.data()
    return SweepResult(space, data.points, files, note)


def _check_options(space: Space, verify: int, verify_cycles: int | None, jobs: int | None, export: str) -> None:
    if verify < 0:
        raise SweepError(f"verify must be at least 0, not {verify}")
    if verify_cycles is not None and verify_cycles < 1:
        raise SweepError(f"verify_cycles must be at least 1, not {verify_cycles}")
    if jobs is not None and jobs < 1:
        raise SweepError(f"jobs must be at least 1, not {jobs}")
    if export not in EXPORTS:
        raise SweepError(f"export must be one of {', '.join(EXPORTS)}, not {export!r}")
    if export == "parquet":
        check_parquet()
    if space.search.method == "optuna":
        check_optuna()
    if set(space.objectives) & set(AREA_OBJECTIVES):
        check_area(space.base)


def _first_candidates(space: Space) -> list[Candidate]:
    """Return all candidates of a grid or a random search; one of the others, so that there is one."""
    if space.search.method != "optuna":
        return space.candidates()
    found = next((item for item in map(space.candidate, space.shuffled()) if item is not None), None)
    if found is None:
        raise space.empty()
    return [found]


def _cost_all(
    space: Space, store: Store, candidates: Sequence[Candidate], progress: bool, jobs: int, scheduler: str | None
) -> None:
    tuned = space.search.method == "optuna"
    stored = store.ids()
    count = space.search.points if tuned else len(candidates)
    if not tuned and len(stored) == count:
        return
    told = Progress(progress, count, len(stored))
    executor: Executor = Cluster(scheduler, evaluate_machine) if scheduler else Pool(min(jobs, count), evaluate_machine)
    with executor:
        if not tuned:
            todo = [candidate for candidate in candidates if candidate.id not in stored]
            _cost(store, executor, todo, told)
            return

        def evaluate(chosen: Sequence[Candidate]) -> dict[int, Point]:
            _cost(store, executor, [candidate for candidate in chosen if candidate.id not in stored], told)
            return store.points([candidate.id for candidate in chosen])

        tune(space, evaluate)


def _cost(store: Store, executor: Executor, candidates: Sequence[Candidate], told: Progress) -> None:
    """Evaluate candidates and store each as it is done."""
    by_id = {candidate.id: candidate for candidate in candidates}
    tasks = []
    for candidate in candidates:
        if candidate.config is None:
            store.add(candidate, Outcome())
            told.step()
        else:
            tasks.append(Task(candidate.id, candidate.config, store.space.workloads))
    for task, result in executor.run(tasks):
        store.add(by_id[task.id], Outcome.lost(str(result)) if isinstance(result, TaskLost) else result)
        told.step()


def _write(store: Store, out: Path, export: str) -> tuple[list[Path], str]:
    """Write the files from what is stored; return them, and what is missing."""
    data = store.data()
    store.add_front(point.candidate.id for point in data.points if point.front)
    files, note = [store.path, write_csv(data, out)], ""
    if export == "parquet":
        files.append(write_parquet(store.path, out))
    try:
        files.append(write_picture(data, out))
    except PlotError as error:
        note = str(error)
    return files, note


def _verify(store: Store, out: Path, count: int, verify_cycles: int | None, progress: bool) -> None:
    from sim.sweep.verify import VERIFY_CYCLES, verify  # with the simulator, which processes that cost do not need

    told = Progress(progress, count)
    for point in store.data().spread(count):
        told.say(f"verifying {point.candidate.name} on RTL")
        work = out / "simulation" / f"machine{point.candidate.id}"
        store.add_verified(point.candidate.id, verify(store.space, point, work, verify_cycles or VERIFY_CYCLES))
