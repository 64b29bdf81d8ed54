"""The arrays of one episode of a dataset after another, whatever it is stored in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from offline_trader.datasets import checksums
from offline_trader.datasets.episode_index import INDEX_FILE, Array, Episode, EpisodeIndex
from offline_trader.errors import DataError, OfflineTraderError

if TYPE_CHECKING:
    import h5py

__all__ = ["MAIN_FILE", "Array", "Episode", "guarded", "read_episodes"]

T = TypeVar("T")

MAIN_FILE = "main_data.hdf5"
_INFOS = "infos/"
_MOST_PACKED = 1100
"""How many bytes one stored byte can stand for: a little more than zlib can do."""


def read_episodes(
    data: Path, metadata: Mapping[str, Any], names: Sequence[str], *, verify: bool
) -> Iterator[Episode]:
    """The arrays ``names`` of every episode, in order.

    Args:
        data: the dataset's ``data`` folder.
        metadata: what :func:`offline_trader.datasets.catalog.read_metadata` read there.
        names: such as ``rewards`` or ``infos/drawdown``.
        verify: compare the files with their checksums. An error may come after the last episode.

    Raises:
        DataError: files that are not those which were published, that have no checksums or cannot
            be read, or an array that is missing or not of numbers.
    """
    sums = checksums.read(data) if verify else None
    if verify and sums is None:
        raise DataError(
            f"{data} has no {checksums.SUMS_FILE}: whether its numbers are those that were "
            "written cannot be told",
            expected="a dataset made by offline-trader collect",
            hint="offline-trader datasets seal ID takes it as it is; in Python, verify=False",
        )
    if metadata.get("data_format", "hdf5") != "hdf5":
        if sums is not None:
            checksums.check_folder(data, sums)
        return guarded(_by_minari(data, metadata, names), data)
    index = None if sums is None else _index(data, sums)
    if sums is None or index is None:
        if sums is not None:
            checksums.check_file(data / MAIN_FILE, sums)
        return guarded(_by_library(data, metadata, names), data / MAIN_FILE)
    known = [one.name for one in index.arrays]
    for name in names:
        if name not in known:
            raise _missing(data / MAIN_FILE, name, known)
    return guarded(index.read(data / MAIN_FILE, names, sums[MAIN_FILE]), data / MAIN_FILE)


def _index(data: Path, sums: Mapping[str, str]) -> EpisodeIndex | None:
    """Where the episodes lie; None where nobody has written that down."""
    file = data / INDEX_FILE
    if not {INDEX_FILE, MAIN_FILE} <= sums.keys():
        return None
    try:
        content, size = file.read_bytes(), (data / MAIN_FILE).stat().st_size
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    checksums.check_bytes(file, content, sums)
    try:
        return EpisodeIndex.from_bytes(content, size)
    except (ValueError, TypeError, OverflowError, DataError) as error:
        checksums.check_file(data / MAIN_FILE, sums)  # perhaps it is that file which was cut
        reason = error.found if isinstance(error, DataError) else repr(error)
        raise DataError(f"{file} is not the index of {MAIN_FILE}: {reason}") from error


def guarded(found: Iterator[T], place: Path) -> Iterator[T]:
    """``found``, with whatever its reader raises told as what it is: a file that is wrong.

    The libraries that read files of others answer damage with any exception at all.

    Raises:
        DataError: ``place`` cannot be read.
    """
    try:
        yield from found
    except OfflineTraderError:
        raise
    except Exception as error:
        raise DataError(
            f"{place} cannot be read: {type(error).__name__}: {error}",
            expected="a dataset in one of Minari's formats with flat observations and actions",
            hint="collect or download it again",
        ) from error


def _by_library(data: Path, metadata: Mapping[str, Any], names: Sequence[str]) -> Iterator[Episode]:
    import h5py

    with h5py.File(data / MAIN_FILE, "r") as file:
        for number in range(metadata["total_episodes"]):
            group = file[f"episode_{number}"]
            yield {name: _stored(group, name, data / MAIN_FILE) for name in names}


def _stored(group: h5py.Group, name: str, file: Path) -> Array:
    """The array ``name`` of an episode, after a look at what it would take."""
    import h5py

    if name.startswith(_INFOS) and name not in group:
        known = [_INFOS + one for one in group.get("infos", ())]
        raise _missing(file, name, known)
    found = group[name]
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "biuf" or found.ndim < 1:
        raise DataError(
            f"{file}, {group.name}: {name} is not a flat box", expected="one array of numbers"
        )
    if Path(found.file.filename) != file or found.external or found.is_virtual:
        raise DataError(
            f"{file}, {group.name}: {name} lies in another file, which no checksum covers",
            expected="every array inside the file itself",
        )
    stored = found.id.get_storage_size()
    if found.nbytes > _MOST_PACKED * stored:
        raise DataError(
            f"{file}, {group.name}: {name} has {found.nbytes:,} bytes, of which {stored:,} are "
            "stored"
        )
    return np.asarray(found[()])


def _by_minari(data: Path, metadata: Mapping[str, Any], names: Sequence[str]) -> Iterator[Episode]:
    from minari.dataset.minari_storage import MinariStorage

    for key in ("observation_space", "action_space"):
        if key not in metadata:  # Minari would make the environment, by code that a file names
            raise DataError(f"{data / 'metadata.json'} lacks {key}")
    storage = MinariStorage.read(data)
    for found in storage.get_episodes(range(metadata["total_episodes"])):
        infos = {_INFOS + key: value for key, value in (found.get("infos") or {}).items()}
        arrays = {**found, **infos}
        for name in names:
            if name not in arrays:
                raise _missing(data, name, list(infos))
            one = arrays[name]
            if not isinstance(one, np.ndarray) or one.dtype.kind not in "biuf" or one.ndim < 1:
                raise DataError(f"{data}: {name} is not a flat box", expected="an array of numbers")
        yield {name: arrays[name] for name in names}


def _missing(file: Path, name: str, known: Sequence[str]) -> DataError:
    infos = sorted(one.removeprefix(_INFOS) for one in known if one.startswith(_INFOS))
    if name.startswith(_INFOS):
        return DataError(
            f"{file} has no info {name.removeprefix(_INFOS)!r}", expected=f"one of {infos}"
        )
    return DataError(f"{file} has no {name}", expected="episodes as Minari stores them")
