"""Minari datasets as contiguous arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.datasets.catalog import METADATA_KEY, dataset_metadata, dataset_path
from offline_trader.errors import DataError, SchemaMismatch
from offline_trader.types import ObservationLayout

if TYPE_CHECKING:
    from offline_trader.learning.transitions import Transitions

__all__ = ["check_layout", "load_info", "load_transitions"]

Array = NDArray[Any]
_FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")


def check_layout(dataset_id: str, layout: ObservationLayout, root: Path | None = None) -> None:
    """Raise unless the dataset's observations have ``layout``.

    Raises:
        SchemaMismatch: the hashes differ; the message names both and the first different column.
        DataError: no such dataset.
    """
    own = dataset_metadata(dataset_id, root).get(METADATA_KEY, {})
    stored = own.get("layout_hash") if isinstance(own, dict) else None
    if stored == layout.hash:
        return
    if stored is None:
        raise SchemaMismatch(
            f"dataset {dataset_id!r} has no observation layout",
            expected=f"layout {layout.hash}",
            hint="collect it with this toolkit",
        )
    theirs = ObservationLayout.from_dict(own["layout"]).names
    pairs = zip(theirs, layout.names, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(theirs), layout.size))
    column = f"column {at}" if theirs != layout.names else "the feature schema"
    raise SchemaMismatch(
        f"dataset {dataset_id!r} has observation layout {stored} ({column} differs)",
        expected=f"layout {layout.hash}",
        hint="collect the dataset again with this version, or use the version that made it",
    )


def load_transitions(
    dataset_id: str, root: Path | None = None, *, layout: ObservationLayout | None = None
) -> Transitions:
    """All transitions of a Minari dataset, episode after episode.

    Args:
        dataset_id: any Minari dataset with flat box observations and actions.
        root: folder of all datasets; by default where Minari looks.
        layout: if given, the dataset must have it.

    Raises:
        DataError: no such dataset (the message lists those there are), or spaces that are not
            flat boxes, or a part of the file that is missing.
        SchemaMismatch: another layout than ``layout``.
    """
    from offline_trader.learning.transitions import Transitions

    metadata = dataset_metadata(dataset_id, root)
    if layout is not None:
        check_layout(dataset_id, layout, root)
    steps = int(metadata["total_steps"])
    columns: dict[str, Array] = {}
    ids = np.empty(steps, dtype=np.int64)
    done = 0
    for number, episode in enumerate(_episodes(dataset_id, metadata, root)):
        stop = done + len(episode["rewards"])
        if not columns:
            columns = _allocate(dataset_id, episode, steps)
        observations = _flat(episode["observations"])
        if stop > steps or len(observations) != stop - done + 1:
            raise DataError(
                f"dataset {dataset_id!r}, episode {number}: {stop - done} steps, "
                f"{len(observations)} observations",
                expected=f"one observation more than steps, {steps} steps in all",
            )
        columns["observations"][done:stop] = observations[:-1]
        columns["next_observations"][done:stop] = observations[1:]
        columns["actions"][done:stop] = _flat(episode["actions"])
        columns["rewards"][done:stop] = episode["rewards"]
        columns["terminals"][done:stop] = episode["terminations"]
        columns["timeouts"][done:stop] = episode["truncations"]
        ids[done:stop] = number
        done = stop
    if done != steps or not columns:
        raise DataError(
            f"dataset {dataset_id!r} holds {done} steps", expected=f"{steps}, as its metadata says"
        )
    columns["timeouts"] &= ~columns["terminals"]
    return Transitions(**columns, episode_ids=ids)


def load_info(dataset_id: str, name: str, root: Path | None = None) -> Array:
    """One info of every step [M], in the order of :func:`load_transitions`.

    The value is that of the step's outcome: Minari stores one more an episode, of its reset,
    which is left out. ``load_info(id, "expert_action")`` are the labels without noise.

    Raises:
        DataError: no such dataset or info.
    """
    metadata = dataset_metadata(dataset_id, root)
    pieces = []
    for episode in _episodes(dataset_id, metadata, root, infos=True):
        if name not in episode:
            known = sorted(set(episode) - set(_FIELDS))
            raise DataError(
                f"dataset {dataset_id!r} has no info {name!r}", expected=f"one of {known}"
            )
        pieces.append(np.asarray(episode[name])[-len(episode["rewards"]) :])
    return np.concatenate(pieces)


def _episodes(
    dataset_id: str, metadata: dict[str, Any], root: Path | None, *, infos: bool = False
) -> Iterator[dict[str, Array]]:
    """The arrays of one episode after another, read straight from the file where it is HDF5."""
    path = dataset_path(dataset_id, root) / "data"
    if metadata.get("data_format", "hdf5") != "hdf5":
        yield from _minari_episodes(path)
        return
    import h5py

    try:
        with h5py.File(path / "main_data.hdf5", "r") as file:
            for number in range(int(metadata["total_episodes"])):
                group = file[f"episode_{number}"]
                episode = {name: group[name][()] for name in _FIELDS}
                if infos and "infos" in group:
                    stored = group["infos"].items()
                    arrays = {k: v[()] for k, v in stored if isinstance(v, h5py.Dataset)}
                    episode.update(arrays)
                yield episode
    except (OSError, KeyError) as error:
        raise DataError(
            f"dataset {dataset_id!r}: {path / 'main_data.hdf5'} cannot be read: {error}",
            expected="Minari's HDF5 format with flat observations",
            hint="collect or download it again",
        ) from error


def _minari_episodes(path: Path) -> Iterator[dict[str, Array]]:
    import minari

    for episode in minari.MinariDataset(path).iterate_episodes():
        infos = {k: v for k, v in (episode.infos or {}).items() if isinstance(v, np.ndarray)}
        yield {**{name: getattr(episode, name) for name in _FIELDS}, **infos}


def _allocate(dataset_id: str, episode: dict[str, Array], steps: int) -> dict[str, Array]:
    for name in ("observations", "actions"):
        if not isinstance(episode[name], np.ndarray) or episode[name].dtype.kind not in "fiu":
            raise DataError(
                f"dataset {dataset_id!r} has {name} that are not a flat box",
                expected="one array of numbers",
            )
    width = _flat(episode["observations"]).shape[1]
    return {
        "observations": np.empty((steps, width), dtype=np.float32),
        "next_observations": np.empty((steps, width), dtype=np.float32),
        "actions": np.empty((steps, _flat(episode["actions"]).shape[1]), dtype=np.float32),
        "rewards": np.empty(steps, dtype=np.float32),
        "terminals": np.empty(steps, dtype=np.bool_),
        "timeouts": np.empty(steps, dtype=np.bool_),
    }


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)
