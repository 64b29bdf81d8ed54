"""The transitions of online lanes, packed as rows, the oldest overwritten when it is full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.learning.data.preprocessing import Preprocessing
from offline_trader.learning.data.rows import RowLayout
from offline_trader.types import BoolArray, Observations

__all__ = ["RingBuffer"]


class RingBuffer:
    """A fixed block of rows that :class:`~offline_trader.learning.data.sampler.Sampler` draws from.

    One-step transitions; returns to go and next actions are not known when a step is stored, and
    stay 0 (no algorithm that learns online reads them).

    Attributes:
        values: [capacity, W] float32, rows in the order of :class:`RowLayout`.
        layout: columns.
        count: rows that are filled.
    """

    def __init__(
        self, capacity: int, layout: RowLayout, preprocessing: Preprocessing, device: str = "cpu"
    ) -> None:
        self.values = torch.zeros((capacity, layout.width), device=device)
        self.layout = layout
        self.count = 0
        self._next = 0
        self._preprocessing = preprocessing
        self._columns = layout.slices()

    def add(
        self,
        observations: Observations,
        actions: NDArray[np.float32],
        rewards: NDArray[np.floating[Any]],
        next_observations: Observations,
        terminated: BoolArray,
    ) -> None:
        """Store one step of N lanes.

        Args:
            observations: [N, O] raw, before the step.
            actions: [N, A] as executed.
            rewards: [N] raw.
            next_observations: [N, O] raw, after the step; of a lane that ended (by termination or
                truncation) its final observation, not the first of its next episode.
            terminated: [N] True where there is nothing to bootstrap from. A truncation is False.
        """
        lanes = len(rewards)
        capacity = self.values.shape[0]
        if lanes > capacity:
            raise ConfigError(f"{lanes} lanes in a buffer of {capacity}", expected="more room")
        rows = np.zeros((lanes, self.layout.width), np.float32)
        rows[:, self._columns["observations"]] = self._preprocessing.observations(observations)
        rows[:, self._columns["next_observations"]] = self._preprocessing.observations(
            next_observations
        )
        rows[:, self._columns["actions"]] = actions
        rows[:, self._columns["rewards"]] = self._preprocessing.rewards(
            np.asarray(rewards, np.float32)
        )[:, None]
        rows[:, self._columns["terminals"]] = terminated[:, None]
        rows[:, self._columns["intervals"]] = 1.0
        stop = self._next + lanes
        first = min(stop, capacity) - self._next
        packed = torch.from_numpy(rows)
        self.values[self._next : self._next + first] = packed[:first]
        self.values[: lanes - first] = packed[first:]
        self.count = max(self.count, min(stop, capacity))
        self._next = stop % capacity

    def rewards(self) -> NDArray[np.float32]:
        """[count] rewards as they are stored."""
        column = self.values[: self.count, self._columns["rewards"]]
        return np.asarray(column.cpu().numpy()[:, 0])

    def rescale(self, preprocessing: Preprocessing) -> None:
        """Scale the stored rewards, raw until now, and from now on, with ``preprocessing``."""
        assert self._preprocessing.reward is None
        scaled = preprocessing.rewards(self.rewards())
        self.values[: self.count, self._columns["rewards"]] = torch.from_numpy(scaled)[:, None].to(
            self.values.device
        )
        self.scale_with(preprocessing)

    def state_dict(self) -> dict[str, Any]:
        """The filled rows and where the next one goes."""
        return {"rows": self.values[: self.count].cpu().clone(), "next": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            ConfigError: rows that do not fit this buffer.
        """
        rows = state["rows"]
        if rows.shape[0] > self.values.shape[0] or rows.shape[1] != self.values.shape[1]:
            raise ConfigError(
                f"saved rows of shape {tuple(rows.shape)}",
                expected=f"at most {tuple(self.values.shape)}",
            )
        self.count = rows.shape[0]
        self.values[: self.count] = rows.to(self.values.device)
        self._next = int(state["next"])

    def scale_with(self, preprocessing: Preprocessing) -> None:
        """Scale what is stored from now on; the rows that are there keep their values."""
        self._preprocessing = preprocessing
