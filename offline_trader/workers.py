"""The pool of worker processes: seeds, folds; progress, errors and Ctrl-C are brought home.

A worker is an interpreter of its own that takes one job after another. What a job returns does not
depend on the worker, so neither the number of workers nor the order of the jobs changes a result.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from offline_trader.errors import OfflineTraderError

__all__ = ["Job", "Pool", "Report", "carry", "run_jobs", "usable_cores"]

Report = Callable[[float], None]
_PATIENCE_SECONDS = 30.0
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Job(Protocol):
    """Something picklable to do; it may call ``report`` with how far it has come."""

    def __call__(self, report: Report, /) -> object:
        """Do it; what it returns goes to the parent."""
        ...


_J = TypeVar("_J", bound=Job)
_CARRIED: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []


def carry(state: Callable[[], Any], restore: Callable[[Any], None]) -> None:
    """Have every worker begin with ``restore(state())``, the state being this process's.

    For what a user said or what was found once, which a new interpreter does not know. Both are
    functions of a module; what ``state`` returns can be pickled.
    """
    _CARRIED.append((state, restore))


def usable_cores() -> int:
    """How many cores this process may use: those it is bound to, where the system says so (Linux),
    otherwise all of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(jobs: Sequence[Job], workers: int, on_progress: Callable[[int, float], None]) -> None:
    """Run ``jobs`` in their order, at most ``workers`` at once.

    ``on_progress`` gets (index of the job, what it reported).

    Raises:
        OfflineTraderError: a job's own error, or a process that was killed.
    """
    waiting = iter(jobs)
    place = {id(job): index for index, job in enumerate(jobs)}
    with Pool[Job](workers) as pool:
        pool.run(
            lambda: next(waiting, None),
            on_progress=lambda job, done: on_progress(place[id(job)], done),
        )


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: Connection


class Pool(Generic[_J]):
    """Workers for the length of a ``with`` block; they begin when there is something to do.

    On Linux, with ``modules``, one process imports these and the workers are forked from it: one
    core imports instead of all of them. An error in a job or in this process, or Ctrl-C, interrupts
    all workers as Ctrl-C would and waits until they have put their files in order. When this
    process is killed they end at once: an orphan would go on writing to what a resumed command
    works on.

    Args:
        workers: how many at most.
        modules: what every job imports.
        one_thread: whether maths in a worker have one thread, whatever this process uses.
    """

    def __init__(
        self, workers: int, modules: Sequence[str] = (), *, one_thread: bool = False
    ) -> None:
        self.workers = workers
        self.forked = sys.platform == "linux" and bool(modules)
        self._context: Any = multiprocessing.get_context("forkserver" if self.forked else "spawn")
        if self.forked:
            self._context.set_forkserver_preload(list(modules))
        self._one_thread = one_thread
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> Pool[_J]:
        if self._one_thread:
            self._before = {name: os.environ.get(name) for name in _THREAD_SETTINGS}
            os.environ.update(dict.fromkeys(_THREAD_SETTINGS, "1"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                _interrupt([each.process for each in self._all])
            for each in self._all:
                each.pipe.close()  # ends it; that takes a second, and nobody waits
        finally:
            for name, value in self._before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def wait_for_imports(self) -> None:
        """Returns when workers can begin at once. One that is forked earlier would begin after an
        interruption, too, and complain that its pool is gone."""
        if self.forked:
            first = self._context.Process(target=_nothing)
            first.start()
            first.join()

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
        running: dict[Connection, tuple[_Worker, _J]] = {}
        while True:
            while len(running) < self.workers and (job := take()) is not None:
                worker = self._idle.pop() if self._idle else self._begun()
                with suppress(BrokenPipeError):  # it has ended, as reading from it will tell
                    worker.pipe.send(job)
                running[worker.pipe] = (worker, job)
            if not running:
                return
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                worker, job = running[pipe]
                kind, value = _received(worker)
                if kind == "progress" and on_progress is not None:
                    on_progress(job, value)
                if kind == "done":
                    del running[pipe]
                    self._idle.append(worker)
                    if on_done is not None:
                        on_done(job, value)

    def _begun(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        carried = [(restore, state()) for state, restore in _CARRIED]
        process = self._context.Process(target=_work, args=(theirs, carried))
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._all.append(worker)
        return worker


def _received(worker: _Worker) -> tuple[str, Any]:
    """The next message of a worker.

    Raises:
        OfflineTraderError: a job's own error, or the process has ended.
    """
    try:
        kind, value = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        raise OfflineTraderError(
            f"a worker process ended by itself with code {worker.process.exitcode}",
            hint="if memory ran out, lower --workers; then go on: what was finished is kept",
        ) from None
    if kind == "error":
        raise value
    return kind, value


def _interrupt(processes: list[BaseProcess]) -> None:
    """End what still runs as Ctrl-C would; by force only what does not answer."""
    for process in processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)
    for process in processes:
        process.join(_PATIENCE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _work(pipe: Connection, carried: Sequence[tuple[Callable[[Any], None], Any]]) -> None:
    """What a worker process does, after it has taken over the parent's state."""
    for restore, state in carried:
        restore(state)
    signal.signal(signal.SIGINT, _interrupt_once)
    _end_with_the_parent()
    try:
        while True:
            try:
                job = pipe.recv()
            except EOFError:
                return
            pipe.send(("done", job(lambda done: pipe.send(("progress", done)))))
    except (KeyboardInterrupt, BrokenPipeError):
        raise SystemExit(130) from None
    except Exception as error:
        pipe.send(("error", error))


def _interrupt_once(*_: Any) -> None:
    """Ctrl-C reaches the process from the terminal and from its parent: the second must not
    disturb what the first one set off."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _nothing() -> None:
    return
