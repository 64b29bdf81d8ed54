"""Writing Minari's HDF5 format array by array, and publishing a dataset by one rename.

Minari's own storage appends step by step through Python lists; here an episode's arrays are
written as they lie (:class:`EpisodeFile`). The layout is that of Minari's HDF5 storage: a group
``episode_N`` with ``observations`` [T + 1], ``actions``, ``rewards``, ``terminations``,
``truncations`` [T] and a group ``infos`` [T + 1], resizable along the first axis; the attribute
``behaviour`` is the number of the expert that acted, in the metadata's list.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.datasets import checksums
from offline_trader.datasets.disk import naming, sync
from offline_trader.datasets.episode_file import EpisodeFile
from offline_trader.datasets.episode_index import INDEX_FILE, EpisodeIndex, StoredArray
from offline_trader.datasets.episodes import MAIN_FILE
from offline_trader.datasets.replacing import WORK_FOLDER, remove_empty_folders, replace_dataset
from offline_trader.datasets.rollout import Part
from offline_trader.errors import ConfigError
from offline_trader.runs import atomic_write

if TYPE_CHECKING:
    import gymnasium

__all__ = ["DatasetWriter"]

_METADATA_FILE, _NAMESPACE_FILE = "metadata.json", "namespace_metadata.json"
_PER_STEP = ("actions", "rewards", "terminations", "truncations")


class DatasetWriter:
    """A dataset in the making, in a hidden folder; :meth:`publish` makes it appear whole.

    Used in a ``with`` block, and under the dataset's lock: what was not published is removed.

    Args:
        root: folder of all datasets.
        dataset_id: its id.
        spaces: observation and action space.
        spec: environment that Minari's ``recover_environment`` rebuilds.
    """

    def __init__(
        self,
        root: Path,
        dataset_id: str,
        spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
        spec: gymnasium.envs.registration.EnvSpec,
    ) -> None:
        from minari.dataset.minari_storage import MinariStorage

        self._root, self._dataset_id = root, dataset_id
        work = root / WORK_FOLDER / f"{dataset_id}.writing"
        work.parent.mkdir(parents=True, exist_ok=True)
        for left in work.parent.glob(f"{work.name}*"):  # by a kill
            shutil.rmtree(left, ignore_errors=True)
        self._folder = work.with_name(f"{work.name}-{os.getpid()}-{secrets.token_hex(4)}")
        self._folder.mkdir()
        self._data = self._folder / "data"
        try:
            with naming(self._data / _METADATA_FILE):
                self._storage = MinariStorage.new(
                    self._data, observation_space=spaces[0], action_space=spaces[1], env_spec=spec
                )
                self._file = EpisodeFile(self._data / MAIN_FILE)
        except BaseException:
            self._discard()
            raise
        self._arrays: tuple[StoredArray, ...] = ()
        self._starts: list[int] = []
        self._lengths: list[int] = []

    @property
    def folder(self) -> Path:
        """Where the dataset lies until it is published."""
        return self._folder

    def append(self, part: Part) -> None:
        """Add the episodes of ``part``."""
        arrays = {name: np.ascontiguousarray(values) for name, values in part.arrays().items()}
        per_step = {name: arrays[name] for name in _PER_STEP}
        per_row = {"observations": arrays["observations"]}
        per_row |= {f"infos/{name}": arrays[f"info.{name}"] for name in sorted(part.infos)}
        stops = np.cumsum(part.lengths)
        for index, (stop, length) in enumerate(
            zip(stops.tolist(), part.lengths.tolist(), strict=True)
        ):
            first = stop - length
            row = first + index  # every earlier episode has one observation more than steps
            episode = {
                **{name: values[row : row + length + 1] for name, values in per_row.items()},
                **{name: values[first:stop] for name, values in per_step.items()},
            }
            marks = {
                "id": len(self._lengths),
                "total_steps": length,
                "behaviour": int(part.behaviours[index]),
            }
            with naming(self._data / MAIN_FILE):
                self._starts.append(self._file.add(episode, marks))
            self._lengths.append(length)
            self._arrays = self._arrays or _stored(episode, length)

    def publish(
        self,
        metadata: dict[str, Any],
        *,
        overwrite: bool,
        beside: Callable[[float], None] | None = None,
    ) -> float:
        """Finish the files and move the dataset to its place in one rename; its size in MB.

        Args:
            metadata: Minari's metadata beside what its storage wrote.
            overwrite: replace a dataset of this id.
            beside: called with the size before the move: writes what lies beside the data.

        Raises:
            ConfigError: the id exists and ``overwrite`` is False.
        """
        import minari

        with naming(self._data / MAIN_FILE):
            self._file.close()
        index = EpisodeIndex(self._arrays, tuple(self._starts), tuple(self._lengths))
        with naming(self._data / INDEX_FILE):
            atomic_write(self._data / INDEX_FILE, index.to_bytes())
        with naming(self._data / _METADATA_FILE):
            self._storage.update_metadata(
                {
                    "dataset_id": self._dataset_id,
                    "minari_version": minari.__version__,
                    "total_episodes": len(self._lengths),
                    "total_steps": sum(self._lengths),
                    **metadata,
                }
            )
            size_mb = float(self._storage.get_size())
            self._storage.update_metadata({"dataset_size": size_mb})
        with naming(self._data / checksums.SUMS_FILE):
            checksums.write(self._data)
        if beside is not None:
            beside(size_mb)
        sync(self._folder)
        if (self._root / self._dataset_id).exists() and not overwrite:
            raise ConfigError(f"dataset {self._dataset_id!r} exists", hint="--overwrite")
        replace_dataset(self._root, self._dataset_id, self._folder)
        _announce_namespaces(self._root, self._dataset_id)
        remove_empty_folders(self._folder.parent, self._root)
        return size_mb

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.abandon()
        self._discard()

    def _discard(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        remove_empty_folders(self._folder.parent, self._root)


def _stored(episode: Mapping[str, NDArray[np.generic]], steps: int) -> tuple[StoredArray, ...]:
    """What the index says of the arrays of every episode."""
    return tuple(
        StoredArray(name, values.dtype.str, values.shape[1:], len(values) - steps)
        for name, values in episode.items()
    )


def _announce_namespaces(root: Path, dataset_id: str) -> None:
    """Give every folder above the dataset the file by which Minari knows a namespace."""
    for parent in Path(dataset_id).parents[:-1]:
        file = root / parent / _NAMESPACE_FILE
        if not file.exists():
            file.write_text("{}", encoding="utf-8")
