"""A place of a Ray cluster: an actor beside one worker process, whose messages it passes on unread.

The process is the same as on one machine, so a job's bytes are, too; Ray only says where it runs.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from offline_trader import __version__
from offline_trader.workers.process import end_as_ctrl_c_would, work

__all__ = ["Orders", "Station"]


@dataclass(frozen=True)
class Orders:
    """What a worker needs to know before its first job.

    Attributes:
        home: the folder that it works in: the user's.
        token: a file that it must see, in the folder where jobs write; None: they write nowhere.
        environment: variables that are set.
        path: where modules are found that are not there: those of the user's own.
        carried: of :func:`offline_trader.workers.process.carried_state`.
        version: of the package, which must be the same everywhere.
    """

    home: Path
    token: Path | None
    environment: Mapping[str, str]
    path: Sequence[str]
    carried: bytes
    version: str = __version__


class Station:
    """One worker process; it ends with this actor, and that with its machine's Ray."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def begin(self, orders: Orders) -> str | None:
        """Start the process; what keeps it from that, if anything does."""
        if orders.version != __version__:
            return f"offline-trader {__version__} there, {orders.version} here"
        if orders.token is not None and not orders.token.is_file():
            return f"{orders.token.parent} is not the same folder there as here"
        if not orders.home.is_dir():
            return f"there is no folder {orders.home}"
        os.chdir(orders.home)
        os.environ.update(orders.environment)
        sys.path += [each for each in orders.path if each not in sys.path]
        with suppress(AttributeError):  # or the process imports what Ray began this one with
            del sys.modules["__main__"].__file__
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, orders.carried))
        self._process.start()
        theirs.close()
        return None

    def work(self, job: bytes) -> bytes | int | None:
        """Hand on a pickled job; the first message, as :meth:`listen`."""
        assert self._pipe is not None
        with suppress(BrokenPipeError):  # it has ended, as reading from it will tell
            self._pipe.send_bytes(job)
        return self.listen()

    def listen(self) -> bytes | int | None:
        """The next message, pickled; or the code with which the process ended."""
        assert self._pipe is not None
        assert self._process is not None
        try:
            return self._pipe.recv_bytes()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return self._process.exitcode

    def interrupt(self) -> None:
        """End the process as Ctrl-C would."""
        if self._process is not None:
            end_as_ctrl_c_would([self._process])
