"""Jobs in processes of their own, a few at once, with progress, errors and Ctrl-C brought home."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from offline_trader.errors import OfflineTraderError

__all__ = ["Job", "Report", "run_jobs", "usable_cores"]

Report = Callable[[float], None]
_PATIENCE_SECONDS = 30.0


class Job(Protocol):
    """Something picklable to do; it calls ``report`` with how far it has come."""

    def __call__(self, report: Report, /) -> None:
        """Do it."""
        ...


@dataclass(frozen=True)
class _Running:
    index: int
    process: BaseProcess


def usable_cores() -> int:
    """How many cores this process may use: those it is bound to, where the system says so (Linux),
    otherwise all of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(jobs: Iterable[Job], workers: int, on_progress: Callable[[int, float], None]) -> None:
    """Run ``jobs``, at most ``workers`` at once, each in a fresh interpreter.

    An error in one, or Ctrl-C, interrupts the others as Ctrl-C would, waits until they have put
    their files in order, and is raised here. ``on_progress`` gets (index of the job, what it
    reported).

    Raises:
        OfflineTraderError: a job's own error, or a process that was killed.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(enumerate(jobs))[::-1]
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                index, job = waiting.pop()
                reader, writer = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(job, writer))
                process.start()
                writer.close()
                running[reader] = _Running(index, process)
            ready = wait(list(running))
            for reader, one in [pair for pair in running.items() if pair[0] in ready]:
                if _receive(reader, one, on_progress):
                    one.process.join()
                    del running[reader]
                    reader.close()
    finally:
        _interrupt([one.process for one in running.values()])


def _receive(reader: Connection, one: _Running, on_progress: Callable[[int, float], None]) -> bool:
    """Take one message; whether the job is done."""
    try:
        kind, value = reader.recv()
    except EOFError:
        one.process.join()
        raise OfflineTraderError(
            f"a worker process ended by itself with code {one.process.exitcode}",
            hint="if memory ran out, lower --workers; then go on with --resume",
        ) from None
    if kind == "error":
        raise value
    if kind == "progress":
        on_progress(one.index, value)
    return bool(kind == "done")


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


def _work(job: Job, writer: Connection) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        job(lambda done: writer.send(("progress", done)))
        writer.send(("done", None))
    except (KeyboardInterrupt, BrokenPipeError):
        raise SystemExit(130) from None
    except Exception as error:
        writer.send(("error", error))


def _interrupt_once(*_: Any) -> None:
    """Ctrl-C reaches the process from the terminal and from its parent: the second must not
    disturb what the first one set off."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
