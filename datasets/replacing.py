"""One dataset takes another's place: one writer at a time, and readers who never see a half.

A folder cannot be renamed over one that holds something, so it takes two renames: the old dataset
moves aside, the new one into its place. Between the two there is none, for some microseconds, or
until someone looks where the process was killed there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from offline_trader.datasets.disk import sync_entries
from offline_trader.errors import ConfigError
from offline_trader.locks import locked

__all__ = [
    "WORK_FOLDER",
    "comes_back",
    "dataset_lock",
    "identity",
    "put_back",
    "remove_empty_folders",
    "replace_dataset",
]

WORK_FOLDER = ".collecting"
"""Hidden folder under the root for what is not finished; Minari lists no hidden folders."""
_WAIT_S, _PAUSE_S = 2.0, 0.01
"""How long a dataset may be away between the two renames before somebody is taken for killed."""


@contextmanager
def dataset_lock(base: Path, dataset_id: str) -> Iterator[None]:
    """Hold a dataset for the block against every other process that would write it.

    Raises:
        ConfigError: another process has it.
    """
    lock = base / WORK_FOLDER / f"{dataset_id}.lock"
    try:
        with locked(lock, f"dataset {dataset_id!r} in {base}"):
            yield
    finally:
        remove_empty_folders(lock.parent, base)


def replace_dataset(base: Path, dataset_id: str, made: Path) -> None:
    """Move the finished dataset ``made`` into its place, perhaps another's; under the lock."""
    target, old = base / dataset_id, _aside(base, dataset_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)
    os.replace(made, target)
    sync_entries(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def put_back(base: Path, dataset_id: str) -> None:
    """End what a kill has left of a replacement: the old dataset reappears, or goes; under the
    lock."""
    old = _aside(base, dataset_id)
    if old.exists() and not (base / dataset_id / "data").exists():
        os.replace(old, base / dataset_id)
    shutil.rmtree(old, ignore_errors=True)


def comes_back(base: Path, dataset_id: str, file: Path) -> bool:
    """Whether ``file`` of a dataset that is not there appears: it is being replaced, or was."""
    old = _aside(base, dataset_id)
    patience = time.monotonic() + _WAIT_S
    while old.exists() and not file.is_file():
        if time.monotonic() > patience:
            with suppress(ConfigError, OSError), dataset_lock(base, dataset_id):
                put_back(base, dataset_id)
            break
        time.sleep(_PAUSE_S)
    return file.is_file()


def identity(file: Path) -> tuple[int, int, int] | None:
    """What tells a file from another of its name; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def remove_empty_folders(folder: Path, root: Path) -> None:
    """Remove ``folder`` and the folders above it, up to ``root``, as far as they are empty."""
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent


def _aside(base: Path, dataset_id: str) -> Path:
    """Where a dataset lies while another takes its place."""
    return base / WORK_FOLDER / f"{dataset_id}.old"
