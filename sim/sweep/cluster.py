"""A Dask cluster that evaluates tasks (extra ``dask``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

from sim.sweep.errors import SweepError
from sim.sweep.pool import TaskLost
from sim.sweep.sources import sources_hash

Task = TypeVar("Task")
Result = TypeVar("Result")

CONNECT_SECONDS = 20
#: To wait for the first worker.
WORKER_SECONDS = 60


class Cluster(Generic[Task, Result]):
    """A client of a running scheduler; workers that die lose nothing, the scheduler gives their tasks to others.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://127.0.0.1:8786``.
    function : callable
        Evaluates a task; must be importable on the workers.

    Raises
    ------
    SweepError
        If Dask is not installed, nothing answers, or the workers lack this version of Eyas.
    """

    def __init__(self, address: str, function: Callable[[Task], Result]) -> None:
        try:
            import distributed
        except ImportError:
            raise SweepError("--scheduler needs dask: install the extra dask, pip install 'eyas[dask]'") from None
        self._address = address
        self._function = function
        try:
            self._client: Any = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            first = (str(error) or type(error).__name__).splitlines()[0]
            raise SweepError(
                f"scheduler must be the address of a running dask scheduler, not {address} ({first})"
            ) from None
        try:
            self._check_workers()
        except BaseException:
            self._client.close()
            raise

    def _check_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise SweepError(
                f"the scheduler {self._address} must have a worker, none came in {WORKER_SECONDS} s"
            ) from None
        try:
            found = set(self._client.run(worker_sources).values())
        except Exception as error:  # whatever the worker says
            raise SweepError(f"the workers of {self._address} must have Eyas installed: {error}") from None
        if found != {sources_hash()}:
            raise SweepError(f"the workers of {self._address} must have this version of Eyas, some have another")

    def __enter__(self) -> Cluster[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result | TaskLost]]:
        """Yield each task with its result as they are done.

        Raises
        ------
        SweepError
            If the scheduler is gone.
        """
        import distributed

        futures = {self._client.submit(self._function, task, pure=False): task for task in tasks}
        try:
            for future in distributed.as_completed(list(futures), loop=self._client.loop):
                task = futures.pop(future)
                yield task, self._result(future)
        finally:
            self._client.cancel(list(futures))

    def _result(self, future: Any) -> Result | TaskLost:
        from distributed.scheduler import KilledWorker

        gone = f"the scheduler {self._address} is gone: start it again and repeat the command, which goes on"
        if future.status == "finished":
            try:
                return future.result()
            except (OSError, CancelledError):  # between the two
                raise SweepError(gone) from None
        error = future.exception() if future.status == "error" else None
        if error is None:
            raise SweepError(gone)
        if isinstance(error, KilledWorker):
            return TaskLost("its process died again and again")
        return TaskLost(f"{type(error).__name__}: {error}")


def worker_sources() -> str:
    """Return the hash of the sources where it runs."""
    return sources_hash()
