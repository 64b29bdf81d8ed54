"""One turn of the event loop: what has come is read, decided on, written; then the next.

Everything that came together is taken in before anything of it is done, so that decisions follow
one another closely and share what is done after them, such as the way to the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

__all__ = ["Turn"]

_LOG = logging.getLogger("offline_trader.serving")


class Turn:
    """What is to be done when everything that has come was read; one for all connections."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []
        self._awaited = False

    def add(self, call: Callable[[], None]) -> None:
        """Do this, too, after what was added before; within a turn, at the end of it."""
        self._calls.append(call)
        if not self._awaited:
            self._awaited = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        while self._calls:
            calls, self._calls = self._calls, []
            for call in calls:
                try:
                    call()
                except Exception:  # the others wait, too
                    _LOG.exception("a request failed")
        self._awaited = False
