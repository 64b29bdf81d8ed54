"""Minari datasets as contiguous arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.datasets.catalog import read_metadata, read_whole
from offline_trader.datasets.episodes import Array, Episode, read_episodes
from offline_trader.datasets.facts import METADATA_KEY
from offline_trader.errors import DataError, SchemaMismatch
from offline_trader.types import ObservationLayout

if TYPE_CHECKING:
    from offline_trader.learning.data import Transitions

__all__ = ["check_layout", "load_info", "load_transitions"]

_FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")


def check_layout(dataset_id: str, layout: ObservationLayout, root: Path | None = None) -> None:
    """Raise unless the dataset's observations have ``layout``.

    Raises:
        SchemaMismatch: the hashes differ; the message names both and the first different column.
        DataError: no such dataset, or metadata that cannot be read.
    """
    read_whole(dataset_id, root, lambda data: _check_layout(data, dataset_id, layout, verify=True))


def load_transitions(
    dataset_id: str,
    root: Path | None = None,
    *,
    layout: ObservationLayout | None = None,
    verify: bool = True,
) -> Transitions:
    """All transitions of a Minari dataset, episode after episode.

    Args:
        dataset_id: any Minari dataset with flat box observations and actions.
        root: folder of all datasets; by default where Minari looks.
        layout: if given, the dataset must have it.
        verify: compare the files with the dataset's checksums; False also takes datasets that
            have none, such as those that something else made.

    Raises:
        DataError: no such dataset (the message lists those there are), files that are not those
            which were published or have no checksums, spaces that are not flat boxes, or a part
            that is missing or does not fit.
        SchemaMismatch: another layout than ``layout``.
    """

    def read(data: Path) -> Transitions:
        if layout is not None:
            _check_layout(data, dataset_id, layout, verify=verify)
        return _transitions(data, read_metadata(data, verify=verify), verify=verify)

    return read_whole(dataset_id, root, read)


def load_info(
    dataset_id: str, name: str, root: Path | None = None, *, verify: bool = True
) -> Array:
    """One info of every step [M], in the order of :func:`load_transitions`.

    The value is that of the step's outcome: Minari stores one more an episode, of its reset,
    which is left out. ``load_info(id, "expert_action")`` are the labels without noise.

    Raises:
        DataError: no such dataset or info, or what :func:`load_transitions` refuses.
    """

    def read(data: Path) -> Array:
        names = (f"infos/{name}", "rewards")
        pieces: list[Array] = []
        metadata = read_metadata(data, verify=verify)
        for one in read_episodes(data, metadata, names, verify=verify):
            values, steps = one[names[0]], len(one["rewards"])
            more = len(values) - steps
            if more not in (0, 1) or any(values.shape[1:] != p.shape[1:] for p in pieces[:1]):
                raise DataError(
                    f"{data}, episode {len(pieces)}: info {name!r} of shape {values.shape}",
                    expected=f"{steps + 1} rows, one more than steps, of one width",
                )
            pieces.append(values[more:])
        if not pieces:
            raise DataError(f"dataset {dataset_id!r} holds no episodes")
        return np.concatenate(pieces)

    return read_whole(dataset_id, root, read)


def _check_layout(data: Path, dataset_id: str, layout: ObservationLayout, *, verify: bool) -> None:
    own = read_metadata(data, verify=verify).get(METADATA_KEY, {})
    stored = own.get("layout_hash")
    if stored == layout.hash:
        return
    if stored is None:
        raise SchemaMismatch(
            f"dataset {dataset_id!r} has no observation layout",
            expected=f"layout {layout.hash}",
            hint="collect it with this toolkit",
        )
    from offline_trader.features import changed_code

    kept = own["layout"]
    lists = (kept.get(key) for key in ("features", "portfolio"))
    theirs = [str(name) for names in lists if isinstance(names, list) for name in names]
    pairs = zip(theirs, layout.names, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(theirs), layout.size))
    column = f"column {at}" if tuple(theirs) != layout.names else "the feature schema"
    raise SchemaMismatch(
        f"dataset {dataset_id!r} has observation layout {stored} ({column} differs)",
        expected=f"layout {layout.hash}",
        hint=changed_code((e["name"], e["sha256"]) for e in own.get("own_features", ()))
        or "collect the dataset again with this version, or use the version that made it",
    )


def _transitions(data: Path, metadata: Mapping[str, Any], *, verify: bool) -> Transitions:
    from offline_trader.learning.data import Transitions

    steps = metadata["total_steps"]
    columns: dict[str, Array] = {}
    done = 0
    for number, episode in enumerate(read_episodes(data, metadata, _FIELDS, verify=verify)):
        stop = done + _check_rows(data, number, episode)
        if not columns:
            columns = _allocate(data, episode, steps)
        if stop <= steps:
            _fill(data, number, columns, slice(done, stop), episode)
        done = stop
    if not columns:
        raise DataError(f"{data} holds no episodes", expected="one or more")
    if done != steps:
        raise DataError(f"{data} holds {done} steps", expected=f"{steps}, as its metadata says")
    columns["timeouts"] &= ~columns["terminals"]
    try:
        return Transitions(**columns)
    except DataError as error:
        raise DataError(f"{data}: {error.found}", expected=error.expected) from error


def _check_rows(data: Path, number: int, episode: Episode) -> int:
    """Steps of an episode whose arrays fit together.

    Raises:
        DataError: they do not.
    """
    steps = len(episode["rewards"])
    for name, values in episode.items():
        wanted = steps + (name == "observations")
        flat = values.ndim == 1 or name in ("observations", "actions")
        if len(values) != wanted or not flat or not steps:
            raise DataError(
                f"{data}, episode {number}: {name} of shape {values.shape}",
                expected=f"{wanted or 1} rows: one observation more than steps, one number a step",
            )
    return steps


def _allocate(data: Path, episode: Episode, steps: int) -> dict[str, Array]:
    widths = {name: _flat(episode[name]).shape[1] for name in ("observations", "actions")}
    try:
        return {
            "observations": np.empty((steps, widths["observations"]), dtype=np.float32),
            "next_observations": np.empty((steps, widths["observations"]), dtype=np.float32),
            "actions": np.empty((steps, widths["actions"]), dtype=np.float32),
            "rewards": np.empty(steps, dtype=np.float32),
            "terminals": np.empty(steps, dtype=np.bool_),
            "timeouts": np.empty(steps, dtype=np.bool_),
            "episode_ids": np.empty(steps, dtype=np.int64),
        }
    except (MemoryError, ValueError) as error:
        raise DataError(
            f"{data}: {steps} steps of {widths['observations']} columns do not fit in memory"
        ) from error


def _fill(
    data: Path, number: int, columns: dict[str, Array], rows: slice, episode: Episode
) -> None:
    observations, actions = _flat(episode["observations"]), _flat(episode["actions"])
    for name, values in (("observations", observations), ("actions", actions)):
        if values.shape[1] != columns[name].shape[1]:
            raise DataError(
                f"{data}, episode {number}: {name} of {values.shape[1]} columns",
                expected=f"{columns[name].shape[1]}, as in those before",
            )
    # what lies beyond float32 becomes an infinity, which is refused with its row
    with np.errstate(over="ignore", invalid="ignore"):
        columns["observations"][rows] = observations[:-1]
        columns["next_observations"][rows] = observations[1:]
        columns["actions"][rows] = actions
        columns["rewards"][rows] = episode["rewards"]
    columns["terminals"][rows] = episode["terminations"]
    columns["timeouts"][rows] = episode["truncations"]
    columns["episode_ids"][rows] = number


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)
