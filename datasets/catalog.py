"""Where datasets lie on disk, and what their metadata says; Minari's own places and files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from offline_trader.codec import parse_json
from offline_trader.datasets import checksums
from offline_trader.datasets.facts import METADATA_KEY, DatasetFacts, check_kinds, read_facts
from offline_trader.datasets.replacing import comes_back, identity
from offline_trader.errors import ConfigError, DataError, OfflineTraderError, did_you_mean

__all__ = [
    "Catalog",
    "check_dataset_id",
    "dataset_facts",
    "dataset_metadata",
    "dataset_path",
    "datasets_root",
    "list_datasets",
    "read_metadata",
    "read_whole",
    "scan_datasets",
]

T = TypeVar("T")

_ID = re.compile(r"(?:[-_\w][-_\w/]*[-_\w]/)?[-_\w]+-v\d+")
_METADATA_FILE = "metadata.json"
_COUNTS = ("total_episodes", "total_steps")
_READS = 20
_DEPTH = 32


@dataclass(frozen=True)
class Catalog:
    """The datasets under a root.

    Attributes:
        datasets: Minari metadata by id.
        unreadable: why, by folder.
    """

    datasets: dict[str, dict[str, Any]]
    unreadable: dict[str, str]


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


def scan_datasets(root: Path | str | None = None) -> Catalog:
    """Every dataset under ``root``, those that cannot be read with the reason."""
    base = datasets_root(root)
    found = Catalog({}, {})
    for path in sorted(base.glob(f"**/data/{_METADATA_FILE}")):
        folder = path.parent.parent.relative_to(base)
        if any(part.startswith(".") for part in folder.parts):
            continue
        name = folder.as_posix()
        try:
            metadata = read_metadata(path.parent)
            if metadata.get("dataset_id") != name:
                raise DataError(f"{path} is of dataset {_shown(metadata.get('dataset_id'))}")
        except DataError as error:
            found.unreadable[name] = error.found
        else:
            found.datasets[name] = metadata
    return found


def list_datasets(root: Path | str | None = None) -> dict[str, dict[str, Any]]:
    """Minari metadata of every dataset under ``root``, by id; unreadable ones are left out."""
    return scan_datasets(root).datasets


def dataset_path(dataset_id: str, root: Path | str | None = None) -> Path:
    """Folder of an existing dataset; its ``data`` folder is what Minari reads.

    Raises:
        ConfigError: not an id.
        DataError: no such dataset; the message lists those there are.
    """
    check_dataset_id(dataset_id)
    base = datasets_root(root)
    file = base / dataset_id / "data" / _METADATA_FILE
    if file.is_file() or comes_back(base, dataset_id, file):
        return base / dataset_id
    known = list(list_datasets(root))
    raise DataError(
        f"no dataset {dataset_id!r} in {base}",
        expected=f"one of {', '.join(known)}" if known else "a collected dataset; there are none",
        hint=did_you_mean(dataset_id, known, otherwise="offline-trader collect makes one"),
    )


def read_whole(dataset_id: str, root: Path | str | None, read: Callable[[Path], T]) -> T:
    """What ``read`` makes of the dataset's ``data`` folder, all of it of one dataset.

    A dataset that is replaced meanwhile is read anew: ``read`` sees the old one or the new one.

    Raises:
        ConfigError: not an id.
        DataError: no such dataset, or what ``read`` raises.
    """
    for attempt in range(1, _READS + 1):
        data = dataset_path(dataset_id, root) / "data"
        before = identity(data / _METADATA_FILE)
        try:
            result = read(data)
        except OfflineTraderError:
            if identity(data / _METADATA_FILE) == before or attempt == _READS:
                raise
            continue
        if identity(data / _METADATA_FILE) == before:
            return result
    raise DataError(f"dataset {dataset_id!r} is replaced again and again while it is read")


def read_metadata(data: Path, *, verify: bool = True) -> dict[str, Any]:
    """The metadata in a dataset's ``data`` folder, compared with its checksum where it has one.

    Raises:
        DataError: it cannot be read, is not what was written, or has other types than Minari's.
    """
    file = data / _METADATA_FILE
    sums = checksums.read(data) if verify else None
    try:
        if not file.is_file():
            raise DataError(f"{file} is not a file")
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    if sums is not None:
        checksums.check_bytes(file, content, sums)
    try:
        metadata = parse_json(content)
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{file} holds a {type(metadata).__name__}", expected="a JSON object")
    if _is_deep(metadata):
        raise DataError(f"{file} is nested more than {_DEPTH} times", expected="Minari's metadata")
    _check_counts(metadata, file)
    if METADATA_KEY in metadata:
        check_kinds(metadata[METADATA_KEY], file)
    return metadata


def _check_counts(metadata: dict[str, Any], file: Path) -> None:
    for key in _COUNTS:
        count = metadata.get(key)
        if type(count) is not int or not 0 <= count < 1 << 63:
            raise DataError(
                f"{file}: {key} is {_shown(count)}", expected="a whole number, 0 or more"
            )
    size = metadata.get("dataset_size", 0.0)
    if type(size) not in (int, float) or not 0 <= size < 1e15:
        raise DataError(f"{file}: dataset_size is {_shown(size)}", expected="a number of MB")
    if not isinstance(metadata.get("data_format", ""), str):
        raise DataError(f"{file}: data_format is {_shown(metadata['data_format'])}")


def dataset_metadata(dataset_id: str, root: Path | str | None = None) -> dict[str, Any]:
    """All of a dataset's Minari metadata; what this toolkit added is under ``offline_trader``.

    Raises:
        ConfigError: not an id.
        DataError: no such dataset, or metadata that are damaged or of other types.
    """
    return read_whole(dataset_id, root, read_metadata)


def dataset_facts(dataset_id: str, root: Path | str | None = None) -> DatasetFacts:
    """What this toolkit stored with a dataset: layout, scaler, market, experts, seeds, scores.

    Raises:
        ConfigError: not an id.
        DataError: no such dataset, one that something else made, or facts that are missing, of
            other types or contradict each other.
    """

    def read(data: Path) -> DatasetFacts:
        metadata = read_metadata(data)
        if METADATA_KEY not in metadata:
            raise DataError(
                f"dataset {dataset_id!r} has no {METADATA_KEY!r} metadata",
                expected="a dataset made by offline-trader collect",
            )
        return read_facts(metadata[METADATA_KEY], data / _METADATA_FILE)

    return read_whole(dataset_id, root, read)


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text[:40]}{'…' * (len(text) > 40)} ({type(value).__name__})"


def _is_deep(tree: object) -> bool:
    """Whether lists and mappings lie in each other deeper than any that Minari writes."""
    level: list[Any] = [tree]
    for _ in range(_DEPTH):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
    return bool(level)
