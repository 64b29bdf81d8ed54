"""The pool of workers: seeds, folds, parts; progress, errors and Ctrl-C are brought home.

A worker is an interpreter of its own that takes one job after another. What a job returns does not
depend on the worker, so neither their number nor their place nor the order of the jobs changes a
result.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from offline_trader.errors import OfflineTraderError
from offline_trader.workers.asked import Workers
from offline_trader.workers.crew import Crew, Job, Worker
from offline_trader.workers.process import THREAD_SETTINGS

__all__ = ["Pool", "run_jobs"]

_MOST_LOSSES = 3
"""Of one job: after so many its machine is not at fault."""

_J = TypeVar("_J", bound=Job)


def run_jobs(
    jobs: Sequence[Job],
    workers: Workers,
    on_progress: Callable[[int, float], None],
    *,
    folder: Path | None = None,
    cores: int = 1,
) -> None:
    """Run ``jobs`` in their order, at most ``workers`` at once.

    Args:
        jobs: each can be done again where it was cut off.
        workers: so many processes, or a cluster.
        on_progress: gets (index of the job, what it reported).
        folder: where they write, which a cluster's machines must all see; None: nowhere.
        cores: that each uses.

    Raises:
        OfflineTraderError: a job's own error, or a process that was killed.
    """
    waiting = iter(jobs)
    place = {id(job): index for index, job in enumerate(jobs)}
    with Pool[Job](workers, folder=folder, cores=cores) as pool:
        pool.run(
            lambda: next(waiting, None),
            on_progress=lambda job, done: on_progress(place[id(job)], done),
        )


@dataclass(frozen=True)
class _Given(Generic[_J]):
    """A job with the number of workers that were lost over it."""

    job: _J
    losses: int = 0


class Pool(Generic[_J]):
    """Workers for the length of a ``with`` block; they begin when there is something to do.

    On Linux, with ``modules``, one process imports these and the workers are forked from it: one
    core imports instead of all of them. An error in a job or in this process, or Ctrl-C, interrupts
    all workers as Ctrl-C would and waits until they have put their files in order. When this
    process is killed they end at once: an orphan would go on writing to what a resumed command
    works on. A machine of a cluster that is lost gives its job back, and another does it again.

    Args:
        workers: how many at most, or a cluster.
        modules: what every job imports.
        one_thread: whether maths in a worker have one thread, whatever this process uses.
        folder: where jobs write, which a cluster's machines must all see; None: nowhere.
        cores: that each job uses, which a cluster keeps free for it.
        replace: whether a process that ends by itself is replaced, as a lost machine always is.

    Attributes:
        losses: workers that were replaced.

    Raises:
        ConfigError: entering a cluster that cannot be reached, or has too few cores.
    """

    def __init__(
        self,
        workers: Workers,
        modules: Sequence[str] = (),
        *,
        one_thread: bool = False,
        folder: Path | None = None,
        cores: int = 1,
        replace: bool = False,
    ) -> None:
        self._asked, self._modules, self._one_thread = workers, modules, one_thread
        self._folder, self._cores, self._replace = folder, cores, replace
        self.losses = 0
        self._stopping = False
        self._before: dict[str, str | None] = {}
        self._crew: Crew | None = None

    @property
    def workers(self) -> int:
        """How many at most."""
        return self._entered.size

    @property
    def forked(self) -> bool:
        """Whether one process imports for all workers."""
        return self._entered.forked

    def wait_for_imports(self) -> None:
        """Returns when workers can begin at once."""
        self._entered.wait_for_imports()

    def __enter__(self) -> Pool[_J]:
        if self._one_thread:
            self._before = {name: os.environ.get(name) for name in THREAD_SETTINGS}
            os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
        try:
            self._crew = self._made()
        except BaseException:
            self._restore_threads()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._entered.interrupt()
            self._entered.close()
        finally:
            self._restore_threads()

    def run(
        self,
        take: Callable[[], _J | None],
        *,
        on_progress: Callable[[_J, float], None] | None = None,
        on_done: Callable[[_J, Any], None] | None = None,
    ) -> None:
        """Do what ``take`` gives until it gives nothing and nothing runs.

        Args:
            take: a job that can begin now, or None; asked again after each that is done.
            on_progress: gets a job and what it reported.
            on_done: gets a job and what it returned.

        Raises:
            OfflineTraderError: a job's own error, or a process that was killed.
        """
        crew = self._entered
        running: dict[Worker, _Given[_J]] = {}
        waiting: deque[_Given[_J]] = deque()
        while True:
            while len(running) + len(waiting) < crew.size and (job := take()) is not None:
                waiting.append(_Given(job))
            while waiting and (worker := crew.free()) is not None:
                running[worker] = waiting.popleft()
                worker.send(running[worker].job)
            if not running and not waiting:
                return
            for worker, kind, value in crew.messages():
                if kind == "progress" and on_progress is not None:
                    on_progress(running[worker].job, value)
                elif kind == "done":
                    given = running.pop(worker)
                    if on_done is not None:
                        on_done(given.job, value)
                elif kind == "lost" or (kind == "ended" and self._replace):
                    self.losses += 1
                    # one that is lost before it had a job is lost over the next one
                    lost = running.pop(worker, None) or (waiting.popleft() if waiting else None)
                    if lost is not None and not self._stopping:
                        waiting.appendleft(_again(lost, value))
                elif kind == "error":
                    raise value
                elif kind == "ended":
                    raise _ended(value)

    def stop(self) -> None:
        """From now on what a lost worker did is not done again; callable from another thread."""
        self._stopping = True

    @property
    def _entered(self) -> Crew:
        assert self._crew is not None, "inside `with Pool(...) as pool`"
        return self._crew

    def _made(self) -> Crew:
        if isinstance(self._asked, int):
            from offline_trader.workers.processes import Processes

            return Processes(self._asked, self._modules)
        from offline_trader.workers.cluster import Cluster

        return Cluster(self._asked, self._folder, self._cores)

    def _restore_threads(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _again(given: _Given[_J], reason: object) -> _Given[_J]:
    """The job once more.

    Raises:
        OfflineTraderError: it was lost too often.
    """
    if given.losses + 1 >= _MOST_LOSSES:
        raise OfflineTraderError(
            f"a job was lost {_MOST_LOSSES} times with the worker that did it, last: {reason}",
            hint="look at the memory of the cluster's machines; what was finished is kept",
        )
    return _Given(given.job, given.losses + 1)


def _ended(code: int | None) -> OfflineTraderError:
    return OfflineTraderError(
        f"a worker process ended by itself with code {code}",
        hint="if memory ran out, lower --workers; then go on: what was finished is kept",
    )
