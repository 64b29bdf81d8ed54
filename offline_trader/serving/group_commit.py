"""Group commit: the decisions that a server makes at once reach the disk at once.

The handlers of an event loop that are ready run one after the other, each stages its rows and waits
here; then the store is written once for all of them, and all are answered. Under load a batch is
what arrived while the one before was written, so the disk's synchronisation is shared by as many
as wait for it, and a lone request waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from offline_trader.errors import DataError
from offline_trader.serving.audit_log import Commits
from offline_trader.serving.desk import Desk

__all__ = ["GroupCommit"]


class GroupCommit:
    """Of desks whose logs are in one store.

    Args:
        desks: all that stage rows for the store.
    """

    def __init__(self, commits: Commits, desks: Sequence[Desk]) -> None:
        self._commits, self._desks = commits, desks
        self._waiting: list[asyncio.Future[None]] = []
        self._failures = commits.failures

    async def durable(self) -> None:
        """Returns once everything that was staged until now is on disk.

        Raises:
            RiskHalt: it is not; no desk of the store orders anything until it is opened anew.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._failures = self._commits.failures
            loop.call_soon(self._write)
        written: asyncio.Future[None] = loop.create_future()
        self._waiting.append(written)
        await written

    def _write(self) -> None:
        begun, self._waiting = self._waiting, []
        waiting = [each for each in begun if not each.done()]  # a client that has gone does not
        try:
            self._commits.write()
            if self._commits.failures != self._failures:  # somebody wrote in between, and could not
                raise DataError("rows were lost", expected="a store that can be written")
        except DataError as error:
            halts = [desk.stop(error) for desk in self._desks]
            for each in waiting:
                each.set_exception(halts[0])
        else:
            for each in waiting:
                each.set_result(None)
