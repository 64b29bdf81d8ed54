"""Writing Minari's HDF5 format array by array, and publishing a dataset by one rename.

Minari's own storage appends step by step through Python lists; here an episode's arrays are
written as they lie (:class:`EpisodeFile`). The layout is that of Minari's HDF5 storage: a group
``episode_N`` with ``observations`` [T + 1], ``actions``, ``rewards``, ``terminations``,
``truncations`` [T] and a group ``infos`` [T + 1], resizable along the first axis; the attribute
``behaviour`` is the number of the expert that acted, in the metadata's list.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.datasets.catalog import WORK_FOLDER, remove_empty_folders
from offline_trader.datasets.episode_file import EpisodeFile
from offline_trader.datasets.rollout import Part
from offline_trader.errors import ConfigError

if TYPE_CHECKING:
    import gymnasium

__all__ = ["DatasetWriter", "put_back"]

_MAIN_FILE = "main_data.hdf5"
_NAMESPACE_FILE = "namespace_metadata.json"
_PER_STEP = ("actions", "rewards", "terminations", "truncations")


class DatasetWriter:
    """A dataset in the making, in a hidden folder; :meth:`publish` makes it appear whole.

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
        self._folder = root / WORK_FOLDER / f"{dataset_id}.writing"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        data = self._folder / "data"
        self._storage = MinariStorage.new(
            data, observation_space=spaces[0], action_space=spaces[1], env_spec=spec
        )
        self._file = EpisodeFile(data / _MAIN_FILE)
        self.episodes = 0
        self.steps = 0

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
            self._file.add(
                {
                    **{name: values[row : row + length + 1] for name, values in per_row.items()},
                    **{name: values[first:stop] for name, values in per_step.items()},
                },
                {
                    "id": self.episodes,
                    "total_steps": length,
                    "behaviour": int(part.behaviours[index]),
                },
            )
            self.episodes += 1
            self.steps += length

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
        if beside is not None:
            beside(size_mb)
        target = self._root / self._dataset_id
        target.parent.mkdir(parents=True, exist_ok=True)
        _announce_namespaces(self._root, self._dataset_id)
        if target.exists():
            if not overwrite:
                raise ConfigError(f"dataset {self._dataset_id!r} exists", hint="--overwrite")
            old = _replaced(self._root, self._dataset_id)
            shutil.rmtree(old, ignore_errors=True)
            os.replace(target, old)
            os.replace(self._folder, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(self._folder, target)
        remove_empty_folders(self._folder.parent, self._root)
        return size_mb


def put_back(root: Path, dataset_id: str) -> None:
    """Let the dataset reappear whose replacement was killed between the two renames it takes."""
    old = _replaced(root, dataset_id)
    if old.exists() and not (root / dataset_id).exists():
        os.replace(old, root / dataset_id)


def _replaced(root: Path, dataset_id: str) -> Path:
    """Where a dataset lies while another takes its place."""
    return root / WORK_FOLDER / f"{dataset_id}.old"


def _announce_namespaces(root: Path, dataset_id: str) -> None:
    """Give every folder above the dataset the file by which Minari knows a namespace."""
    for parent in Path(dataset_id).parents[:-1]:
        file = root / parent / _NAMESPACE_FILE
        if not file.exists():
            file.write_text(json.dumps({}), encoding="utf-8")
