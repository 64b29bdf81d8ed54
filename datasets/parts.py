"""Finished parts of a collection on disk: what a killed collection continues from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.codec import read_object, to_json
from offline_trader.datasets import checksums
from offline_trader.datasets.disk import naming, sync
from offline_trader.datasets.replacing import WORK_FOLDER, remove_empty_folders
from offline_trader.datasets.rollout import Part
from offline_trader.errors import ConfigError, DataError
from offline_trader.runs import atomic_write

__all__ = ["PartStore"]

_CONFIG = "collection.json"


class PartStore:
    """A hidden folder beside the datasets with one folder a part.

    A part appears by a rename, so it is there in full or not at all.

    Args:
        root: folder of all datasets.
        dataset_id: the dataset being collected.
    """

    def __init__(self, root: Path, dataset_id: str) -> None:
        self.path = root / WORK_FOLDER / dataset_id
        self._root = root
        self._dataset_id = dataset_id

    def open(self, config: dict[str, Any], *, resume: bool) -> None:
        """Start anew, or continue an unfinished collection of the same configuration.

        Raises:
            ConfigError: an unfinished collection is there and ``resume`` is False, or it was
                started with another configuration.
            DataError: its configuration cannot be read.
        """
        file = self.path / _CONFIG
        if not file.is_file():
            shutil.rmtree(self.path, ignore_errors=True)
            with naming(file):
                atomic_write(file, to_json(config, indent=1, sort_keys=True).encode())
            return
        if not resume:
            raise ConfigError(
                f"an unfinished collection of {self._dataset_id!r} is in {self.path}",
                hint="--resume continues it, --overwrite starts over",
            )
        hint = "--overwrite starts over"
        before = read_object(file, what="the settings of a collection", hint=hint)
        changed = sorted(key for key in {*before, *config} if before.get(key) != config.get(key))
        if changed:
            key = changed[0]
            raise ConfigError(
                f"the unfinished collection of {self._dataset_id!r} has other settings: "
                f"{', '.join(changed)}",
                expected=f"{key} = {before.get(key)}, not {config.get(key)}",
                hint="repeat the settings, or start over with --overwrite",
            )

    def save(self, index: int, part: Part) -> None:
        """Store part ``index``; it appears at once."""
        temporary = self.path / f".part-{index:05d}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, values in part.arrays().items():
            file = temporary / f"{name}.npy"
            with naming(file):
                np.save(file, values)
        with naming(temporary / checksums.SUMS_FILE):
            checksums.write(temporary)
        sync(temporary)
        temporary.rename(self._folder(index))

    def holds(self, index: int) -> bool:
        """Whether part ``index`` is there; :meth:`load` says whether it is sound."""
        return self._folder(index).is_dir()

    def load(self, index: int) -> Part | None:
        """Part ``index``, memory-mapped; None where it is not there or not what was stored."""
        folder = self._folder(index)
        try:
            sums = checksums.read(folder)
            if sums is None:
                raise DataError(f"{folder} is not whole")
            checksums.check_folder(folder, sums)
        except DataError:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return Part.from_arrays(
            {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}
        )

    def remove(self) -> None:
        """Delete the parts, and empty folders above them."""
        shutil.rmtree(self.path, ignore_errors=True)
        remove_empty_folders(self.path.parent, self._root)

    def _folder(self, index: int) -> Path:
        return self.path / f"part-{index:05d}"
