"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from offline_trader.workers.crew import Job, Message
from offline_trader.workers.process import carried_state, end_as_ctrl_c_would, work

__all__ = ["Processes"]


@dataclass(frozen=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection

    def send(self, job: Job) -> None:
        """Give it a job."""
        with suppress(BrokenPipeError):  # it has ended, as reading from it will tell
            self.pipe.send(job)


class Processes:
    """A crew of this machine; when this process is killed they end at once, for an orphan would go
    on writing to what a resumed command works on.

    Args:
        size: how many at most.
        modules: what every job imports: on Linux one process imports it, and they are forked.
    """

    def __init__(self, size: int, modules: Sequence[str] = ()) -> None:
        self.size = size
        self.forked = sys.platform == "linux" and bool(modules)
        self._context: Any = multiprocessing.get_context("forkserver" if self.forked else "spawn")
        if self.forked:
            self._context.set_forkserver_preload(list(modules))
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def wait_for_imports(self) -> None:
        """Returns when workers can begin at once. One that is forked earlier would begin after an
        interruption, too, and complain that its pool is gone."""
        if self.forked:
            first = self._context.Process(target=_nothing)
            first.start()
            first.join()

    def free(self) -> _Worker | None:
        """One with nothing to do, begun now if there are fewer than :attr:`size`."""
        if not self._idle and len(self._busy) == self.size:
            return None
        worker = self._idle.pop() if self._idle else self._begun()
        self._busy[worker.pipe] = worker
        return worker

    def messages(self) -> Sequence[Message]:
        """What the busy ones say next."""
        return [self._message(pipe) for pipe in wait(list(self._busy))]  # type: ignore[arg-type]

    def interrupt(self) -> None:
        """As Ctrl-C would, which the terminal may have told them already."""
        end_as_ctrl_c_would([each.process for each in self._all])

    def close(self) -> None:
        """Their pipes end them; that takes a second, and nobody waits."""
        for each in self._all:
            each.pipe.close()

    def _message(self, pipe: Connection) -> Message:
        worker = self._busy[pipe]
        try:
            kind, value = pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            del self._busy[pipe]
            return worker, "ended", worker.process.exitcode
        if kind == "done":
            del self._busy[pipe]
            self._idle.append(worker)
        return worker, kind, value

    def _begun(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, carried_state()))
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._all.append(worker)
        return worker


def _nothing() -> None:
    return
