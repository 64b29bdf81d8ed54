"""The transitions of a dataset as contiguous arrays: what a sampler gathers from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.types import BoolArray, IntArray

__all__ = ["Transitions", "concatenate"]

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Transitions:
    """M transitions, the episodes one after another, the steps of an episode in time order.

    Every array is made C-contiguous, of the dtype named here, and read-only; an array that is so
    already (a memory map, too) is kept without a copy.

    Attributes:
        observations: [M, O] float32, raw (unscaled) observation at t.
        actions: [M, A] float32 in [-1, 1], the action taken at t.
        rewards: [M] float32, the reward of the step from t to t + 1.
        next_observations: [M, O] float32, observation at t + 1; at the last step of an episode
            its final observation, never the first one of the next episode.
        terminals: [M] bool, the episode was terminated at t + 1 (there is nothing to bootstrap).
        timeouts: [M] bool, the episode was truncated at t + 1 (bootstrapping goes on).
        episode_ids: [M] int64, non-decreasing; equal for the steps of one episode.

    Raises:
        DataError: shapes that do not fit, non-finite numbers, actions outside [-1, 1], a step
            that is terminal and truncated, an episode's end within an episode.
    """

    observations: Float32Array
    actions: Float32Array
    rewards: Float32Array
    next_observations: Float32Array
    terminals: BoolArray
    timeouts: BoolArray
    episode_ids: IntArray

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            array = getattr(self, name)
            fixed = np.ascontiguousarray(array, dtype=dtype)
            if isinstance(array, np.memmap) and fixed.dtype == array.dtype:
                fixed = array if array.flags.c_contiguous else fixed
            if fixed.flags.writeable:
                fixed = fixed.view()
                fixed.flags.writeable = False
            object.__setattr__(self, name, fixed)
        _check_shapes(self)
        _check_values(self)
        _check_episodes(self)

    def __len__(self) -> int:
        return int(self.rewards.shape[0])

    @property
    def observation_size(self) -> int:
        """O."""
        return int(self.observations.shape[1])

    @property
    def action_size(self) -> int:
        """A."""
        return int(self.actions.shape[1])

    @property
    def ends(self) -> BoolArray:
        """[M] bool: the last step of its episode."""
        ends = np.ones(len(self), dtype=np.bool_)
        ends[:-1] = self.episode_ids[1:] != self.episode_ids[:-1]
        return ends

    @property
    def episode_count(self) -> int:
        """Number of episodes."""
        return int(self.ends.sum())

    def returns_to_go(self, gamma: float) -> Float32Array:
        """Discounted return from every step to its episode's end, [M] float32.

        ``G_t = r_t + gamma * G_{t+1}``, with 0 after the last recorded step. One pass over the
        steps-to-the-end, vectorised over the episodes.
        """
        starts, lengths = _episode_spans(self.ends)
        returns = np.zeros(len(self), dtype=np.float64)
        carried = np.zeros(len(starts), dtype=np.float64)
        order = np.argsort(-lengths, kind="stable")
        starts, lengths = starts[order], lengths[order]
        alive = np.searchsorted(-lengths, -np.arange(1, lengths[0] + 1), side="right")
        stops = starts + lengths
        for back in range(1, int(lengths[0]) + 1):
            rows = stops[: alive[back - 1]] - back
            carried[: alive[back - 1]] = self.rewards[rows] + gamma * carried[: alive[back - 1]]
            returns[rows] = carried[: alive[back - 1]]
        return returns.astype(np.float32)

    def take_episodes(self, episode_ids: Sequence[int] | IntArray) -> Transitions:
        """The transitions of the named episodes, in their present order."""
        keep = np.isin(self.episode_ids, np.asarray(episode_ids, dtype=np.int64))
        return Transitions(**{name: getattr(self, name)[keep] for name in _DTYPES})


_DTYPES: dict[str, type[np.generic]] = {
    "observations": np.float32,
    "actions": np.float32,
    "rewards": np.float32,
    "next_observations": np.float32,
    "terminals": np.bool_,
    "timeouts": np.bool_,
    "episode_ids": np.int64,
}


def concatenate(parts: Sequence[Transitions]) -> Transitions:
    """All parts after one another, with the episodes numbered anew from 0.

    Raises:
        DataError: no parts, or observations or actions of different widths.
    """
    if not parts:
        raise DataError("no transitions to join", expected="at least one dataset")
    for field in ("observation_size", "action_size"):
        sizes = sorted({getattr(part, field) for part in parts})
        if len(sizes) > 1:
            raise DataError(f"datasets with {field} {sizes}", expected="one width")
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in _DTYPES
        if name != "episode_ids"
    }
    ends = np.concatenate([part.ends for part in parts])
    numbers = np.concatenate([[0], np.cumsum(ends)[:-1]]).astype(np.int64)
    return Transitions(**columns, episode_ids=numbers)


def _episode_spans(ends: BoolArray) -> tuple[IntArray, IntArray]:
    stops = np.flatnonzero(ends) + 1
    starts = np.concatenate([[0], stops[:-1]])
    return starts.astype(np.int64), (stops - starts).astype(np.int64)


def _check_shapes(data: Transitions) -> None:
    count = data.rewards.shape[0] if data.rewards.ndim == 1 else -1
    if count < 1:
        raise DataError(
            f"rewards of shape {data.rewards.shape}", expected="[M] with at least one transition"
        )
    for name in _DTYPES:
        array = getattr(data, name)
        rank = 2 if name in ("observations", "actions", "next_observations") else 1
        if array.ndim != rank or array.shape[0] != count:
            raise DataError(
                f"{name} of shape {array.shape}",
                expected=f"{rank} axes with {count} transitions on the first",
            )
    if data.observations.shape != data.next_observations.shape:
        raise DataError(
            f"next_observations of shape {data.next_observations.shape}",
            expected=f"the shape of observations, {data.observations.shape}",
        )


def _check_values(data: Transitions) -> None:
    for name in ("observations", "actions", "rewards", "next_observations"):
        bad = _first_bad_row(getattr(data, name))
        if bad is not None:
            raise DataError(f"{name}, transition {bad}: not a finite number")
    low, high = float(data.actions.min()), float(data.actions.max())
    if low < -1.0 or high > 1.0:
        raise DataError(f"actions from {low:g} to {high:g}", expected="actions in [-1, 1]")


def _first_bad_row(array: Float32Array, block: int = 1 << 18) -> int | None:
    """First row with a NaN or infinity; in blocks, so that a memory map is not held at once."""
    for start in range(0, array.shape[0], block):
        part = array[start : start + block].reshape(min(block, array.shape[0] - start), -1)
        finite = np.isfinite(part).all(axis=1)
        if not finite.all():
            return start + int(np.flatnonzero(~finite)[0])
    return None


def _check_episodes(data: Transitions) -> None:
    if bool((np.diff(data.episode_ids) < 0).any()):
        raise DataError("episode_ids fall", expected="episodes one after another")
    both = data.terminals & data.timeouts
    if bool(both.any()):
        row = int(np.flatnonzero(both)[0])
        raise DataError(
            f"transition {row} is both a termination and a truncation", expected="one of the two"
        )
    inside = (data.terminals | data.timeouts) & ~data.ends
    if bool(inside.any()):
        row = int(np.flatnonzero(inside)[0])
        raise DataError(
            f"transition {row} ends an episode, and transition {row + 1} has its episode_id",
            expected="a new episode_id after every termination or truncation",
        )
