"""The actor of a d3rlpy algorithm as a policy of stable-baselines3, which imitation trains."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import torch

from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.settings import CloneConfig
from offline_trader.learning.stages.lean_import import import_stable_baselines3

import_stable_baselines3()

from stable_baselines3.common.policies import BasePolicy  # noqa: E402

__all__ = ["D3rlpyActorPolicy"]


class D3rlpyActorPolicy(BasePolicy):  # type: ignore[misc]
    """The actor of a d3rlpy algorithm, dressed as a stable-baselines3 policy.

    Its parameters are the actor's own. Observations are taken as the learner's networks take
    them: scaled.
    """

    def __init__(self, learner: Learner, config: CloneConfig) -> None:
        size = len(learner.preprocessing.mean)
        super().__init__(
            gym.spaces.Box(-np.inf, np.inf, (size,), np.float32),
            gym.spaces.Box(-1.0, 1.0, (learner.action_size,), np.float32),
        )
        self.actor = learner.actor
        self._algo = learner.algo
        self._clip = config.action_clip
        self._min_std = config.min_std
        self._fit_mean = config.fit == "mean"
        self._device = next(self.actor.parameters()).device

    @property
    def device(self) -> torch.device:
        """The actor's; imitation asks twice a batch."""
        return self._device

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Deterministic actions [B, A]."""
        return torch.tanh(_d3rlpy.actor_output(self._algo, observations)[0])

    def _predict(self, observation: torch.Tensor, deterministic: bool = False) -> torch.Tensor:
        return self.forward(observation)

    def evaluate_actions(
        self, observations: torch.Tensor, actions: torch.Tensor
    ) -> tuple[None, torch.Tensor, torch.Tensor]:
        """No value, log-likelihood [B] of actions [B, A] (or what ``fit`` takes instead), entropy
        before the squash [B]."""
        mu, log_std, before = _d3rlpy.actor_output(self._algo, observations)
        floor = torch.full_like(mu, math.log(self._min_std))
        log_std = floor if log_std is None else torch.maximum(log_std.expand_as(mu), floor)
        clipped = actions.clamp(-self._clip, self._clip)
        if before:
            error = torch.atanh(clipped) - (mu.detach() if self._fit_mean else mu)
            jacobian = torch.log1p(-clipped.square())
        else:
            error = clipped - torch.tanh(mu)
            jacobian = torch.zeros_like(mu)
        constant = 0.5 * math.log(2.0 * math.pi)
        log_density = -0.5 * (error / log_std.exp()).square() - log_std - constant - jacobian
        if before and self._fit_mean:
            distance = (actions - torch.tanh(mu)) / self._min_std
            log_density = log_density - 0.5 * distance.square()
        entropy = log_std + constant + 0.5
        return None, log_density.sum(dim=1), entropy.sum(dim=1)
