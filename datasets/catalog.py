"""Where datasets lie on disk, and what their metadata says; Minari's own places and files."""

from __future__ import annotations

import json
import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from offline_trader.errors import ConfigError, DataError

__all__ = [
    "METADATA_KEY",
    "WORK_FOLDER",
    "check_dataset_id",
    "dataset_metadata",
    "dataset_path",
    "datasets_root",
    "list_datasets",
    "own_metadata",
    "remove_empty_folders",
]

METADATA_KEY = "offline_trader"
WORK_FOLDER = ".collecting"
"""Hidden folder under the root for what is not finished; Minari lists no hidden folders."""
_ID = re.compile(r"(?:[-_\w][-_\w/]*[-_\w]/)?[-_\w]+-v\d+")


def datasets_root(root: Path | str | None = None) -> Path:
    """``root``, else ``$MINARI_DATASETS_PATH``, else ``~/.minari/datasets``: Minari's own rule."""
    if root is not None:
        return Path(root).absolute()  # Minari joins relative paths twice
    named = os.environ.get("MINARI_DATASETS_PATH")
    return Path(named).absolute() if named else Path.home() / ".minari" / "datasets"


def check_dataset_id(dataset_id: str) -> None:
    """Raise :class:`ConfigError` unless ``dataset_id`` is one that Minari reads."""
    if not _ID.fullmatch(dataset_id):
        raise ConfigError(
            f"dataset id {dataset_id!r}",
            expected="name-v0 or namespace/name-v0: letters, digits, - and _ (two or more of them "
            "in a namespace), then a version",
        )


def list_datasets(root: Path | str | None = None) -> dict[str, dict[str, Any]]:
    """Minari metadata of every dataset under ``root``, by id; unreadable ones are left out."""
    base = datasets_root(root)
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(base.glob("**/data/metadata.json")):
        folder = path.parent.parent.relative_to(base)
        if any(part.startswith(".") for part in folder.parts):
            continue
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(metadata, dict) and metadata.get("dataset_id") == folder.as_posix():
            found[folder.as_posix()] = metadata
    return found


def dataset_path(dataset_id: str, root: Path | str | None = None) -> Path:
    """Folder of an existing dataset; its ``data`` folder is what Minari reads.

    Raises:
        ConfigError: not an id.
        DataError: no such dataset; the message lists those there are.
    """
    check_dataset_id(dataset_id)
    path = datasets_root(root) / dataset_id
    if (path / "data" / "metadata.json").is_file():
        return path
    known = list(list_datasets(root))
    near = get_close_matches(dataset_id, known, n=1)
    raise DataError(
        f"no dataset {dataset_id!r} in {datasets_root(root)}",
        expected=f"one of {', '.join(known)}" if known else "a collected dataset; there are none",
        hint=f"did you mean {near[0]!r}?" if near else "offline-trader collect makes one",
    )


def dataset_metadata(dataset_id: str, root: Path | str | None = None) -> dict[str, Any]:
    """All of a dataset's Minari metadata; what this toolkit added is under ``offline_trader``.

    Raises:
        ConfigError: not an id.
        DataError: no such dataset, or metadata that is not JSON.
    """
    path = dataset_path(dataset_id, root) / "data" / "metadata.json"
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{path} holds a {type(metadata).__name__}", expected="a JSON object")
    return metadata


def own_metadata(dataset_id: str, root: Path | str | None = None) -> dict[str, Any]:
    """What this toolkit stored with a dataset: layout, scaler, market, experts, seeds, scores.

    Raises:
        ConfigError: not an id.
        DataError: no such dataset, or one that something else made.
    """
    own = dataset_metadata(dataset_id, root).get(METADATA_KEY)
    if not isinstance(own, dict):
        raise DataError(
            f"dataset {dataset_id!r} has no {METADATA_KEY!r} metadata",
            expected="a dataset made by offline-trader collect",
        )
    return own


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
