"""Writing Minari's HDF5 format array by array, and publishing a dataset by one rename.

Minari's own storage appends step by step through Python lists; here an episode's arrays are
written as they lie. The layout is that of Minari's HDF5 storage: a group ``episode_N`` with
``observations`` [T + 1], ``actions``, ``rewards``, ``terminations``, ``truncations`` [T] and a
group ``infos`` [T + 1], resizable along the first axis.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from offline_trader.datasets.catalog import WORK_FOLDER, remove_empty_folders
from offline_trader.datasets.rollout import Part
from offline_trader.errors import ConfigError

if TYPE_CHECKING:
    import gymnasium

__all__ = ["DatasetWriter"]

_MAIN_FILE = "main_data.hdf5"
_NAMESPACE_FILE = "namespace_metadata.json"
_CHUNK_ROWS = 8192


class DatasetWriter:
    """A dataset in the making, in a hidden folder; :meth:`publish` makes it appear whole.

    Args:
        root: folder of all datasets.
        dataset_id: its id.
        spaces: observation and action space.
        spec: environment that Minari's ``recover_environment`` rebuilds.
        labels: name of every behaviour, by index.
    """

    def __init__(
        self,
        root: Path,
        dataset_id: str,
        spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
        spec: gymnasium.envs.registration.EnvSpec,
        labels: Sequence[str],
    ) -> None:
        from minari.dataset.minari_storage import MinariStorage

        self._root, self._dataset_id, self._labels = root, dataset_id, tuple(labels)
        self._folder = root / WORK_FOLDER / f"{dataset_id}.writing"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        data = self._folder / "data"
        self._storage = MinariStorage.new(
            data, observation_space=spaces[0], action_space=spaces[1], env_spec=spec
        )
        self._file = h5py.File(data / _MAIN_FILE, "w", track_order=True)
        self.episodes = 0
        self.steps = 0

    @property
    def folder(self) -> Path:
        """Where the dataset lies until it is published."""
        return self._folder

    def append(self, part: Part) -> None:
        """Add the episodes of ``part``."""
        stops = np.cumsum(part.lengths)
        for index, (stop, length) in enumerate(zip(stops, part.lengths, strict=True)):
            first = int(stop - length)
            row = first + index  # every earlier episode has one observation more than steps
            group = self._file.create_group(f"episode_{self.episodes}")
            rewards = np.asarray(part.rewards[first:stop])
            _write(group, "observations", part.observations[row : row + length + 1])
            _write(group, "actions", part.actions[first:stop])
            _write(group, "rewards", rewards)
            _write(group, "terminations", part.terminations[first:stop])
            _write(group, "truncations", part.truncations[first:stop])
            infos = group.create_group("infos")
            for name, values in part.infos.items():
                _write(infos, name, values[row : row + length + 1])
            group.attrs["id"] = self.episodes
            group.attrs["total_steps"] = int(length)
            group.attrs["rewards_sum"] = float(rewards.sum())
            group.attrs["behaviour"] = self._labels[int(part.behaviours[index])]
            self.episodes += 1
            self.steps += int(length)

    def publish(self, metadata: dict[str, Any], *, overwrite: bool) -> float:
        """Finish the files and move the dataset to its place in one rename; its size in MB.

        Args:
            metadata: Minari's metadata beside what its storage wrote.
            overwrite: replace a dataset of this id.

        Raises:
            ConfigError: the id exists and ``overwrite`` is False.
        """
        import minari

        self._file.close()
        self._storage.update_metadata(
            {
                "dataset_id": self._dataset_id,
                "minari_version": minari.__version__,
                "total_episodes": self.episodes,
                "total_steps": self.steps,
                **metadata,
            }
        )
        size_mb = float(self._storage.get_size())
        self._storage.update_metadata({"dataset_size": size_mb})
        target = self._root / self._dataset_id
        target.parent.mkdir(parents=True, exist_ok=True)
        _announce_namespaces(self._root, self._dataset_id)
        if target.exists():
            if not overwrite:
                raise ConfigError(f"dataset {self._dataset_id!r} exists", hint="--overwrite")
            old = self._folder.with_suffix(".old")
            shutil.rmtree(old, ignore_errors=True)
            os.replace(target, old)
            os.replace(self._folder, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(self._folder, target)
        remove_empty_folders(self._folder.parent, self._root)
        return size_mb


def _write(group: h5py.Group, name: str, values: NDArray[np.generic]) -> None:
    """A resizable dataset in as few chunks as sensible: Minari appends along the first axis.

    By h5py's low level, which makes the thousands of small datasets three times as fast.
    """
    values = np.ascontiguousarray(values)
    shape = values.shape
    layout, kind = _layout(shape), h5py.h5t.py_create(values.dtype, logical=True)
    space = h5py.h5s.create_simple(shape, (h5py.h5s.UNLIMITED, *shape[1:]))
    made = h5py.h5d.create(group.id, name.encode(), kind, space, layout)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


@lru_cache(maxsize=256)
def _layout(shape: tuple[int, ...]) -> h5py.h5p.PropDCID:
    """Creation properties: chunked, space not filled first."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((min(shape[0], _CHUNK_ROWS), *shape[1:]))
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    return properties


def _announce_namespaces(root: Path, dataset_id: str) -> None:
    """Give every folder above the dataset the file by which Minari knows a namespace."""
    for parent in Path(dataset_id).parents[:-1]:
        file = root / parent / _NAMESPACE_FILE
        if not file.exists():
            file.write_text(json.dumps({}), encoding="utf-8")
