"""What a disk takes to make bytes durable, without a database: the floor under a durable answer."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["COMMIT_BYTES", "Synchronised", "synchronised"]

COMMIT_BYTES = 2 * (4_096 + 24)
"""What SQLite's log in WAL mode gets of one decision: a page of rows and one of their index."""
_FILE_BYTES = 4_000_000


class Synchronised:
    """A file whose bytes are written over and made durable, as SQLite writes over its log once it
    has been copied into the database.

    Args:
        place: of the file.
    """

    def __init__(self, place: Path) -> None:
        self._file = os.open(place, os.O_RDWR | os.O_CREAT)
        os.pwrite(self._file, bytes(_FILE_BYTES), 0)
        os.fsync(self._file)
        self._content, self._count = os.urandom(COMMIT_BYTES), 0

    def once(self) -> None:
        """:data:`COMMIT_BYTES` more are durable."""
        offset = self._count * COMMIT_BYTES % (_FILE_BYTES - COMMIT_BYTES)
        os.pwrite(self._file, self._content, offset)
        os.fdatasync(self._file)
        self._count += 1

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._file)


def synchronised(folder: Path, times: int = 100) -> list[float]:
    """ms of each of so many synchronisations of a file in ``folder``."""
    file, found = Synchronised(folder / "synchronised"), []
    for _ in range(times):
        begun = time.perf_counter()
        file.once()
        found.append((time.perf_counter() - begun) * 1e3)
    file.close()
    return found
