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

__all__ = ["RingBuffer"]

_STORED = ("observations", "next_observations", "actions", "rewards", "terminals", "intervals")


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

    def add(self, step: Mapping[str, NDArray[Any]]) -> None:
        """Store one step of N lanes.

        Args:
            step: columns by name, [N, w] or, of one number a row, [N]: ``observations`` and
                ``actions`` before the step; ``next_observations`` after it (of a lane that ended
                its final observation, not the first of its next episode); ``rewards``, raw;
                ``terminals``, True where there is nothing to bootstrap from (a truncation is
                False); and the further columns of the layout, which are stored as they are.

        Raises:
            ConfigError: more lanes than the buffer has rows, or a column that is missing.
        """
        lanes = len(step["rewards"])
        capacity = self.values.shape[0]
        if lanes > capacity:
            raise ConfigError(f"{lanes} lanes in a buffer of {capacity}", expected="more room")
        lacking = [name for name, _ in self.layout.further if name not in step]
        if lacking:
            raise ConfigError(
                f"a step without {', '.join(lacking)}",
                hint="a transform that asks for a column puts it into what is stored",
            )
        rows = np.zeros((lanes, self.layout.width), np.float32)
        scales = self._preprocessing
        scaled: dict[str, NDArray[Any]] = {
            "observations": scales.observations(step["observations"]),
            "next_observations": scales.observations(step["next_observations"]),
            "rewards": scales.rewards(np.asarray(step["rewards"], np.float32)),
            "intervals": np.ones(lanes),
        }
        for name in (*_STORED, *(name for name, _ in self.layout.further)):
            values = scaled[name] if name in scaled else step[name]
            rows[:, self._columns[name]] = values[:, None] if values.ndim == 1 else values
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
