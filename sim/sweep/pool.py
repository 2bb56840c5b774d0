"""Processes that evaluate tasks; one that dies costs its task a try, not the sweep."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Generic, TypeVar

from sim.sweep.errors import SweepError

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Times that a task is given to a process.
TRIES = 2
#: Processes that may die one after the other before any was ready; then nothing can be computed here.
STARTS = 4
_JOIN_SECONDS = 5


class TaskLost(Exception):
    """A task whose processes died; the message says how."""


@dataclass
class _Worker:
    """A process; ``task`` is the number of the task that it has."""

    process: SpawnProcess
    connection: Connection
    ready: bool = False
    task: int | None = None


class Pool(Generic[Task, Result]):
    """Up to ``jobs`` processes, started by spawn, that live until the pool is left.

    Parameters
    ----------
    jobs : int
        Processes; with one, tasks are evaluated in this process.
    function : callable
        Evaluates a task; must be importable by name.
    """

    def __init__(self, jobs: int, function: Callable[[Task], Result]) -> None:
        self._jobs = jobs
        self._function = function
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def __enter__(self) -> Pool[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_JOIN_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result | TaskLost]]:
        """Yield each task with its result as they are done.

        Raises
        ------
        SweepError
            If processes cannot be started.
        """
        if self._jobs <= 1:
            for task in tasks:
                yield task, self._function(task)
            return
        waiting, tries = deque(range(len(tasks))), [0] * len(tasks)
        left = len(tasks)
        while left:
            self._start(min(self._jobs, left))
            self._assign(waiting, tasks)
            for worker in self._readable():
                number = worker.task
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    status = self._bury(worker)
                    if number is None:
                        continue
                    tries[number] += 1
                    if tries[number] < TRIES:
                        waiting.append(number)
                        continue
                    message = TaskLost(f"its process died {TRIES} times, the last time {status}")
                worker.task = None
                if number is None:  # not a result: it is ready
                    worker.ready, self._failed_starts = True, 0
                else:
                    left -= 1
                    yield tasks[number], message

    def _start(self, count: int) -> None:
        while len(self._workers) < count:
            context = multiprocessing.get_context("spawn")
            own, other = context.Pipe()
            process = context.Process(target=_serve, args=(other, self._function), daemon=True)
            with _no_interrupt():
                process.start()
            other.close()
            self._workers.append(_Worker(process, own))

    def _assign(self, waiting: deque[int], tasks: Sequence[Task]) -> None:
        for worker in self._workers:
            if worker.ready and worker.task is None and waiting:
                worker.task = waiting.popleft()
                with suppress(OSError):  # if it has died, its connection is readable, and ends
                    worker.connection.send(tasks[worker.task])

    def _readable(self) -> list[_Worker]:
        ready = wait([worker.connection for worker in self._workers])
        return [worker for worker in self._workers if worker.connection in ready]

    def _bury(self, worker: _Worker) -> str:
        """Forget a worker that has died; return how it did."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join(_JOIN_SECONDS)
        code = worker.process.exitcode
        status = f"by signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"with status {code}"
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts == STARTS:
                raise SweepError(f"worker processes must be able to start, the last one ended {status}: try --jobs 1")
        return status


def _serve(connection: Connection, function: Callable[[Task], object]) -> None:
    """Evaluate tasks until the other side is gone."""
    message: object = None  # the first one says that it is ready
    while True:
        try:
            connection.send(message)
            task = connection.recv()
        except (EOFError, OSError):
            return
        message = function(task)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Let processes that are started here ignore Ctrl-C, which goes to all processes of a terminal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
