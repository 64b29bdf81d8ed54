"""The scales that a learner applies to raw observations and rewards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.types import FloatArray, Scaler

__all__ = ["Preprocessing", "RewardScale", "Scaler", "fit_reward_scale"]


@dataclass(frozen=True)
class RewardScale:
    """Rewards are learned from as ``(r - mean) / scale``."""

    mean: float
    scale: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.scale) and self.scale > 0):
            raise ConfigError(
                f"reward scale {self.scale}, mean {self.mean}", expected="finite, > 0"
            )


@dataclass(frozen=True)
class Preprocessing:
    """Scales and discount of a learner.

    Attributes:
        mean, scale: [O] float64 of the observations.
        reward: scale of the rewards, None for raw ones.
        gamma: discount per step.
    """

    mean: FloatArray
    scale: FloatArray
    reward: RewardScale | None
    gamma: float

    def observations(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """[..., O] float32, scaled in float32 as d3rlpy does it."""
        mean, scale = self.mean.astype(np.float32), self.scale.astype(np.float32)
        return np.asarray((np.asarray(raw, np.float32) - mean) / scale, np.float32)

    def rewards(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """[...] float32."""
        if self.reward is None:
            return np.asarray(raw, np.float32)
        return np.asarray((np.asarray(raw, np.float64) - self.reward.mean) / self.reward.scale,
                          np.float32)  # fmt: skip


def fit_reward_scale(rewards: NDArray[np.floating], kind: str) -> RewardScale | None:
    """Scale of ``rewards`` [M]: ``standard`` centres, ``scale`` does not, ``none`` gives None.

    Rewards without spread keep scale 1.
    """
    if kind == "none":
        return None
    mean, deviation = float(np.mean(rewards, dtype=np.float64)), float(np.std(rewards, dtype="f8"))
    return RewardScale(mean if kind == "standard" else 0.0, deviation if deviation > 0 else 1.0)
