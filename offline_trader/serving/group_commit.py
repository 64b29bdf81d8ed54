"""Group commit: the decisions that a server makes at once reach the disk at once.

The requests that are ready run one after the other, each stages its rows and says what is to happen
when they are on disk; then the store is written once for all of them, and all are answered. While
the disk works for several, the next ones are decided, and share the next synchronisation. A lone
request is written at once, without another thread, and waits for nobody; but where the disk was
slow the time before, so that a loop that waits would leave everybody else waiting, too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from offline_trader.errors import DataError, RiskHalt
from offline_trader.serving.audit_log import Commits
from offline_trader.serving.desk import Desk
from offline_trader.serving.one_turn import Turn

__all__ = ["GroupCommit", "WhenDurable"]

WhenDurable = Callable[[RiskHalt | None], None]
"""What is to happen when rows are on disk; or why they are not, and nothing may be ordered."""
_SLOW_S = 0.05
"""A disk that took longer is waited for in the other thread."""
_LOG = logging.getLogger("offline_trader.serving")


class _Waiting(NamedTuple):
    """Who waits, and how many batches were lost when its rows were staged."""

    then: WhenDurable
    failures: int


class GroupCommit:
    """Of desks whose logs are in one store; on the thread of an event loop.

    Args:
        desks: all that stage rows for the store.
        turn: at whose end it writes.
    """

    def __init__(self, commits: Commits, desks: Sequence[Desk], turn: Turn) -> None:
        self._commits, self._desks, self._turn = commits, desks, turn
        self._waiting: list[_Waiting] = []
        self._busy = self._slow = False
        self._since = 0.0

    def when_durable(self, then: WhenDurable) -> None:
        """Calls ``then`` once everything that was staged until now is on disk, or lost.

        If it is lost, no desk of the store orders anything until it is opened anew.
        """
        self._waiting.append(_Waiting(then, self._commits.failures))
        if not self._busy:
            self._busy = True
            self._turn.add(self._write)

    def _write(self) -> None:
        begun, self._waiting = self._waiting, []
        loop, halt = asyncio.get_running_loop(), None
        self._since = time.monotonic()
        try:
            if len(begun) > 1 or self._slow:
                self._commits.start(partial(_soon, loop, partial(self._ended, begun)))
                return
            self._commits.write()
        except Exception as error:
            halt = self._stop(error)
        self._answer(begun, halt)

    def _ended(self, begun: Sequence[_Waiting]) -> None:
        halt = None
        try:
            self._commits.settle()
        except Exception as error:
            halt = self._stop(error)
        self._answer(begun, halt)

    def _answer(self, begun: Sequence[_Waiting], halt: RiskHalt | None) -> None:
        """All of them; ``halt``: why what they wait for is not on disk."""
        self._slow = time.monotonic() - self._since > _SLOW_S
        self._busy = bool(self._waiting)
        if self._busy:
            self._turn.add(self._write)
        if halt is None and any(each.failures != self._commits.failures for each in begun):
            halt = self._stop(self._commits.lost)  # whoever wrote, and could not
        for each in begun:
            try:
                each.then(halt)
            except Exception:  # the others wait, too
                _LOG.exception("a request failed")

    def _stop(self, error: BaseException | None) -> RiskHalt:
        """No order until the desks are opened anew; the first reason stays."""
        if not isinstance(error, DataError):
            _LOG.error("rows were not written", exc_info=error)
            error = DataError("the server made a mistake", expected="rows that can be written")
        for desk in self._desks:
            if not desk.broken:
                desk.stop(error)
        return RiskHalt(self._desks[0].broken, expected=error.expected, hint=error.hint)


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """From another thread; a loop that has ended answers nobody."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
