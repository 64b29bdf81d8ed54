"""What a disk may do to a collection: be full, and hold back what was written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["NO_ROOM", "naming", "sync", "sync_entries"]

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system answers where a file may not grow: full disk, used quota, limit of a file."""


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Let an ``OSError`` of the block name ``file`` where it names none, as writing does."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        # numpy's own error, where fewer bytes were written than asked, has no number
        number = errno.ENOSPC if error.errno is None else error.errno
        raise OSError(number, os.strerror(number), str(file)) from error


def sync(folder: Path) -> None:
    """Have everything in ``folder`` on the disk before anything that follows."""
    folders = [folder]
    for path in folder.rglob("*"):
        if path.is_dir():
            folders.append(path)
            continue
        with naming(path), path.open("rb+") as file:
            os.fsync(file.fileno())
    for one in folders:
        sync_entries(one)


def sync_entries(folder: Path) -> None:
    """Have the names in ``folder`` on the disk, where the system lets a folder be opened."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
