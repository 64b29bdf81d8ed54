"""What a disk takes to make bytes durable, without a database: the floor under a durable answer."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["COMMIT_BYTES", "synchronised"]

COMMIT_BYTES = 2 * (4_096 + 24)
"""What SQLite's log in WAL mode gets of one decision: a page of rows and one of their index."""
_FILE_BYTES = 4_000_000


def synchronised(folder: Path, times: int = 100) -> list[float]:
    """ms of each ``fdatasync`` after :data:`COMMIT_BYTES` were written over those of a file.

    SQLite writes over its log in the same way once it has been copied into the database.

    Args:
        folder: on the disk.
        times: synchronisations.
    """
    place = os.open(folder / "synchronised", os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(place, bytes(_FILE_BYTES), 0)
        os.fsync(place)
        found, content = [], os.urandom(COMMIT_BYTES)
        for i in range(times):
            begun = time.perf_counter()
            os.pwrite(place, content, i * COMMIT_BYTES % (_FILE_BYTES - COMMIT_BYTES))
            os.fdatasync(place)
            found.append((time.perf_counter() - begun) * 1e3)
    finally:
        os.close(place)
    return found
