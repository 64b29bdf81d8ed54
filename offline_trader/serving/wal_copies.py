"""SQLite's write-ahead log is copied into its database beside the commits, and not in one of them.

By itself SQLite copies it within the commit that made it a thousand pages long: hundreds of pages
and two synchronisations more, while whoever asked for that commit waits.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

__all__ = ["WalCopies"]

_PAGE_BYTES = 4_096
_LONG = 1_000
"""Pages of the log from which on it is copied; SQLite's own measure."""
_LONGEST = 16 * _LONG
"""Where SQLite copies it in a commit all the same, should nobody else have done it."""
_COPY = "PRAGMA wal_checkpoint(PASSIVE)"
"""Waits for no reader and no writer; what they still need stays."""


class WalCopies:
    """Of one file in WAL mode.

    Another thread copies what is there, through a connection of its own. What was committed
    meanwhile, a few pages, is copied between two commits; SQLite then writes over the log from its
    beginning, which costs a synchronisation less than a file that grows.

    Args:
        file: of the database, which exists.
        writer: that commits to it.
    """

    def __init__(self, file: Path, writer: sqlite3.Connection) -> None:
        self._writer = writer
        self._copier = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._copier.execute("SELECT 1 FROM sqlite_master").fetchone()  # opens the file now
        writer.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST}")
        self._pages = 0
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None

    def committed(self, characters: int) -> None:
        """So much more is in the log, which may be long enough to be copied now."""
        self._pages += 2 + characters // _PAGE_BYTES
        if self._pages < _LONG or self._under_way is not None:
            return
        with suppress(RuntimeError):  # no thread is left: SQLite copies it in the end
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "log into database")
            self._under_way = self._thread.submit(self._copy, self._copier)

    def finish(self) -> None:
        """Between two commits: copy what was committed since the other thread copied the rest."""
        if self._under_way is not None and self._under_way.done():
            self._under_way, self._pages = None, 0
            self._copy(self._writer)

    def close(self) -> None:
        """Nothing is copied any more."""
        if self._thread is not None:
            self._thread.shutdown()
        self._copier.close()

    @staticmethod
    def _copy(connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):  # what is not copied stays in the log, which is on disk
            connection.execute(_COPY).fetchall()
