"""Goals in hindsight: relabelling of sampled transitions (Andrychowicz et al. 2017).

A transition that missed its goal reached something. Of every k + 1 sampled rows k get another goal,
and every row's reward is found anew, by one function, from what was achieved **after** its
transition. Which goal depends on its kind (docs/goals.md):

- controllable goals, ``future``: what was achieved after a transition of the same episode, from the
  row's own to the last that is stored, drawn uniformly;
- outcomes, in which chance has a part: a goal drawn independently of what came out. With
  ``future`` an outcome of probability p would be seen with p (1 + k) / (1 + k p), so a gamble would
  look better than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.data.batch import Batch, Drawn
from offline_trader.learning.data.preprocessing import Preprocessing
from offline_trader.learning.data.ring_buffer import RingBuffer
from offline_trader.learning.data.transforms import Columns
from offline_trader.types import BoolArray, IntArray

__all__ = ["GoalColumns", "Hindsight"]

Tensor = torch.Tensor


@dataclass(frozen=True)
class GoalColumns:
    """Where goals lie in an observation, and what reaching one is worth.

    Attributes:
        desired: [G] neighbouring columns of the goal.
        achieved: [G] neighbouring columns of what is achieved in that observation.
        rewards: (achieved after the transition, goal, whether the episode terminated), tensors
            [B, G], [B, G] and [B, 1], raw → [B, 1] or [B].
        draw: lowest and highest goal of goals drawn independently of the outcome; None: ``future``.
    """

    desired: slice
    achieved: slice
    rewards: Callable[[Tensor, Tensor, Tensor], Tensor]
    draw: tuple[float, float] | None = None


class Hindsight:
    """Relabels k of k + 1 sampled rows, as a transform.

    Args:
        goals: columns and rewards.
        capacity: rows of the ring buffer that online rows are stored in.
        scales: of the stored observations and rewards.
        k: relabelled rows for each one that keeps its goal; 0: none is relabelled.
        widen: makes rows with goals of the offline data's raw columns; None: there are none.
        seed: of the draws.
        device: of the batches.
    """

    columns: tuple[tuple[str, int], ...] = ()

    def __init__(
        self,
        goals: GoalColumns,
        capacity: int,
        scales: Callable[[], Preprocessing],
        *,
        k: float = 4.0,
        widen: Callable[[Columns], Columns] | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self._goals, self._scales, self._widen = goals, scales, widen
        self._share = k / (k + 1.0)
        self._device = device
        self._generator = torch.Generator(device).manual_seed(seed)
        observed = scales()
        self._affine = [
            torch.tensor(values[columns].astype(np.float32), device=device)
            for columns in (goals.desired, goals.achieved)
            for values in (observed.mean, observed.scale)
        ]
        self._online = _Episodes(capacity)
        self._offline: Tensor | None = None
        self._relabelled, self._reward, self._rows = 0.0, 0.0, 0

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """The columns; which rows belong to one episode is kept."""
        if online:
            ended = np.asarray(columns["terminals"], bool) | np.asarray(columns["timeouts"], bool)
            self._online.add(ended)
            return columns
        if self._widen is None:
            raise ConfigError(
                "offline data in a training with goals", hint="set online.offline_share=0"
            )
        wide = self._widen(columns)
        left = torch.from_numpy(_steps_left(np.asarray(wide["episode_ids"])))
        self._offline = left.to(self._device)
        return wide

    def sampled(self, batch: Batch) -> Batch:
        """The batch with some goals changed, and all rewards found anew."""
        if self._share <= 0.0:
            return batch
        goals = self._goals
        matrix, where = batch.matrix, batch.layout.slices()
        offset, after = where["observations"].start, where["next_observations"].start
        mean, scale, achieved_mean, achieved_scale = self._affine
        width = len(mean)
        draws = torch.rand((2 + width, len(matrix)), generator=self._generator, device=self._device)
        desired = slice(after + goals.desired.start, after + goals.desired.stop)
        if goals.draw is None:
            other = self._future(batch, draws[1], after) * achieved_scale + achieved_mean
        else:
            low, high = goals.draw
            other = low + (high - low) * draws[2:].T
        changed = (draws[0] < self._share)[:, None]
        kept = matrix[:, desired]
        scaled = torch.where(changed, (other - mean) / scale, kept)
        matrix[:, desired] = scaled
        matrix[:, offset + goals.desired.start : offset + goals.desired.stop] = scaled
        reached = matrix[:, after + goals.achieved.start : after + goals.achieved.stop]
        raw = goals.rewards(
            reached * achieved_scale + achieved_mean,
            scaled * scale + mean,
            matrix[:, where["terminals"]],
        ).reshape(-1, 1)
        reward = self._scales().reward
        matrix[:, where["rewards"]] = (
            raw.to(matrix.dtype) if reward is None else (raw - reward.mean) / reward.scale
        )
        self._note(changed, raw)
        return batch

    def _future(self, batch: Batch, draws: Tensor, after: int) -> Tensor:
        """[B, G] scaled, achieved at a row of the same episode, the row's own or a later one."""
        parts = [self._later(each, draws[each.rows], after) for each in batch.drawn]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _later(self, part: Drawn, draws: Tensor, after: int) -> Tensor:
        capacity = part.source.values.shape[0]
        if isinstance(part.source, RingBuffer):
            left, stride = self._online.steps_left(part.indices), self._online.lanes
        else:
            assert self._offline is not None
            left, stride = self._offline[part.indices], 1
        ahead = torch.minimum((draws * (left + 1)).long(), left)
        rows = (part.indices + ahead * stride) % capacity
        columns = self._goals.achieved
        values = part.source.values[:, after + columns.start : after + columns.stop]
        return values[rows]

    def _note(self, changed: Tensor, rewards: Tensor) -> None:
        self._relabelled += float(changed.sum())
        self._reward += float(rewards.sum())
        self._rows += len(changed)

    def metrics(self) -> Mapping[str, float]:
        """Since the last call: share of relabelled rows, mean reward of all of them, raw."""
        if not self._rows:
            return {}
        found = {
            "relabelled": self._relabelled / self._rows,
            "goal_reward": self._reward / self._rows,
        }
        self._relabelled, self._reward, self._rows = 0.0, 0.0, 0
        return found

    def state_dict(self) -> dict[str, Any]:
        """Generator, episodes of the stored rows, counters."""
        return {
            "generator": self._generator.get_state(),
            "episodes": self._online.state_dict(),
            "metrics": [self._relabelled, self._reward, self._rows],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._generator.set_state(state["generator"])
        self._online.load_state_dict(state["episodes"])
        self._relabelled, self._reward, self._rows = state["metrics"]


class _Episodes:
    """Which rows of a ring buffer belong to one episode, and how many of it come after each.

    N lanes store a row each at every step, so a row's lane goes on N rows later. A row keeps its
    step and the number of its episode, an episode its last step so far. Numbers come round again
    lane by lane, when the rows of an episode are long overwritten; so are earlier rows of an
    episode before later ones, and those ahead of a row that is there are there, too.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.lanes = 0
        self._steps = 0
        self._step_of = torch.zeros(capacity, dtype=torch.int64)
        self._episode_of = torch.zeros(capacity, dtype=torch.int64)
        self._last = torch.zeros(0, dtype=torch.int64)
        self._begun: IntArray = np.zeros(0, np.int64)

    def add(self, ended: BoolArray) -> None:
        """A row of every lane is stored next; ``ended`` [N]: it is the last of its episode."""
        n = len(ended)
        if not self.lanes:
            self._set_lanes(n)
        if n != self.lanes:
            raise ConfigError(f"{n} lanes after {self.lanes}", expected="one number of lanes")
        lanes = np.arange(n)
        rows = torch.from_numpy((self._steps * n + lanes) % self._capacity)
        episode = torch.from_numpy(lanes + n * (self._begun % (len(self._last) // n)))
        self._step_of[rows] = self._steps
        self._episode_of[rows] = episode
        self._last[episode] = self._steps
        self._begun = self._begun + ended
        self._steps += 1

    def steps_left(self, rows: Tensor) -> Tensor:
        """[B] steps of the same episode that are stored after each of the ``rows`` [B]."""
        where = rows.cpu()
        left = self._last[self._episode_of[where]] - self._step_of[where]
        return left.to(rows.device)

    def _set_lanes(self, n: int) -> None:
        self.lanes = n
        self._last = torch.zeros(n * (self._capacity // n + 2), dtype=torch.int64)
        self._begun = np.zeros(n, np.int64)

    def state_dict(self) -> dict[str, Any]:
        """All of it; of the rows those that are filled."""
        filled = min(self._steps * self.lanes, self._capacity)
        return {
            "numbers": [self.lanes, self._steps, self._capacity],
            "begun": torch.from_numpy(self._begun.copy()),
            "step_of": self._step_of[:filled].clone(),
            "episode_of": self._episode_of[:filled].clone(),
            "last": self._last.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            ConfigError: of a buffer with another capacity.
        """
        lanes, self._steps, capacity = state["numbers"]
        if capacity != self._capacity:
            raise ConfigError(f"a checkpoint of {capacity} rows", expected=str(self._capacity))
        if lanes:
            self._set_lanes(lanes)
        self._begun = state["begun"].numpy().copy()
        filled = len(state["step_of"])
        self._step_of[:filled], self._episode_of[:filled] = state["step_of"], state["episode_of"]
        self._last[:] = state["last"]


def _steps_left(episode_ids: IntArray) -> IntArray:
    """[M] steps of the same episode after each, of episodes one after another."""
    ends = np.append(np.flatnonzero(np.diff(episode_ids)), len(episode_ids) - 1)
    rows = np.arange(len(episode_ids))
    return np.asarray(ends[np.searchsorted(ends, rows)] - rows, np.int64)
