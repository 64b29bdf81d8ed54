"""One process at a time: a lock on what two must not write at once.

The lock is the operating system's own (``flock``, ``LockFileEx``), so it ends with its process,
however that ends; where a file system has none, ``filelock`` goes by a marker that names the
owner's process and host. Beside the lock lies a note of who holds it, for the message to others.
The owner removes both; what a kill leaves behind blocks nobody.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from offline_trader.codec import parse_json, to_json
from offline_trader.errors import ConfigError

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["locked"]

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What a file system answers that has no locks or whose lock server does not run."""
_TRIES = 100
"""How often the lock's folder may be taken away by one who leaves, before that is an error."""
_LOOKS, _BETWEEN_LOOKS_S = 20, 0.01
"""At the note of a lock's owner."""


@contextmanager
def locked(path: Path, what: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock at ``path`` for the block, against other processes and other threads.

    Args:
        path: the lock's own file, made here with its folder; not a file that holds anything.
        what: what it protects, as the beginning of a message: ``dataset 'own/first-v0'``.
        wait_s: how long to wait for another to let go, in seconds.

    Raises:
        ConfigError: another process has it; the message names its number, host and start.
        OSError: the place cannot be written.
    """
    from filelock import Timeout

    note = path.with_name(f"{path.name}.owner")
    try:
        held = _acquire(path, wait_s)
    except Timeout:
        raise ConfigError(
            f"{what} is in use by {_owner(note)}",
            expected="one process at a time",
            hint="wait until it has ended",
        ) from None
    try:
        with suppress(OSError):  # a full disk: the lock holds without its note
            note.write_text(to_json(_myself()), encoding="utf-8")
        yield
    finally:
        for file in (note, path):  # still held: who opened this file before locks nothing by it
            with suppress(OSError):
                file.unlink(missing_ok=True)
        held.release()


def _acquire(path: Path, wait_s: float) -> BaseFileLock:
    from filelock import FileLock, SoftFileLock

    marker = path.with_name(f"{path.name}.marker")
    for attempt in range(1, _TRIES + 1):
        lock: BaseFileLock = FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=wait_s)
        except (FileNotFoundError, FileExistsError):  # the latter from mkdir, of a folder just gone
            if attempt == _TRIES:
                raise
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            lock = SoftFileLock(marker)
            lock.acquire(timeout=wait_s)
        break
    return lock


def _myself() -> dict[str, object]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": now}


def _owner(note: Path) -> str:
    """Who holds the lock, as far as the note beside it can be read.

    One who has just taken the lock is given a moment to write it.
    """
    for _ in range(_LOOKS):
        try:
            found = parse_json(note.read_bytes())
            return f"process {found['pid']} on {found['host']} since {found['started']}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(_BETWEEN_LOOKS_S)
    return "another process"
