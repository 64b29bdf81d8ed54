"""What an agent of the online loop leaves to the learner that it trains in a way of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.agents.learner import Learner
from offline_trader.learning.data import Preprocessing
from offline_trader.learning.settings import LearnerConfig
from offline_trader.types import BoolArray, Observations

__all__ = ["AroundLearner"]


class AroundLearner:
    """An :class:`~offline_trader.learning.agents.agent.Agent` but for its updates and its state.

    Args:
        learner: what acts, is exported and is trained in place.
    """

    learns_online = True
    columns: tuple[tuple[str, int], ...] = ()

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    @property
    def config(self) -> LearnerConfig:
        """The learner's."""
        return self.learner.config

    @property
    def preprocessing(self) -> Preprocessing:
        """The learner's."""
        return self.learner.preprocessing

    @property
    def action_size(self) -> int:
        """1."""
        return self.learner.action_size

    def policy(self) -> Learner:
        """The learner."""
        return self.learner

    def sample(self, observations: Observations, generator: torch.Generator) -> Any:
        """The learner's."""
        return self.learner.sample(observations, generator)

    def noted(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restart(self, lanes: BoolArray) -> None:
        """Nothing to do: it keeps no state of a lane."""

    def fit_reward_scale(self, rewards: NDArray[np.floating[Any]]) -> None:
        """The learner's."""
        self.learner.fit_reward_scale(rewards)

    def set_pace(self, target_entropy: float, rate: float) -> None:
        """The learner's."""
        self.learner.set_pace(target_entropy, rate)

    def snapshot(self) -> dict[str, Any]:
        """The learner's."""
        return self.learner.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.learner.restore(snapshot)
