"""What the lanes of online training did since the last row of the log."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.stages.lanes import LaneStep
from offline_trader.types import BoolArray

__all__ = ["Activity"]

_BINS = 21


@dataclass
class Activity:
    """What the lanes did since the last row of the log."""

    actions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    reward: float = 0.0
    steps: int = 0
    episodes: int = 0
    trades: int = 0

    def add(self, actions: NDArray[np.float32], step: LaneStep, traded: BoolArray | None) -> None:
        edges = np.clip(((actions + 1.0) * (_BINS / 2.0)).astype(np.int64), 0, _BINS - 1)
        self.actions += np.bincount(edges.ravel(), minlength=_BINS)
        self.reward += float(step.rewards.sum())
        self.steps += len(step.rewards)
        self.episodes += int((step.terminated | step.truncated).sum())
        self.trades += 0 if traded is None else int(np.count_nonzero(traded))

    def measures(self, has_trades: bool) -> dict[str, float]:
        """Mean reward, entropy of the histogram of executed actions (nats), trades a step."""
        shares = self.actions[self.actions > 0] / max(1, int(self.actions.sum()))
        values = {
            "reward": self.reward / max(1, self.steps),
            "action_entropy": float(-(shares * np.log(shares)).sum()),
            "episodes": float(self.episodes),
        }
        return values | ({"trade_rate": self.trades / max(1, self.steps)} if has_trades else {})
