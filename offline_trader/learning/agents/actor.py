"""The deterministic actor of a learner as a plain torch module, which the export traces."""

from __future__ import annotations

import torch

from offline_trader.learning.agents.learner import Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy

__all__ = ["DeterministicActor"]


class DeterministicActor(torch.nn.Module):
    """Scaled observations [B, O] float32 → ``tanh(mu)`` [B, A] in [−1, 1].

    It shares the learner's weights as they are when it is made; it is not meant to be trained.
    """

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        learner.engine.flush()
        self.policy = learner.actor
        self._algo = learner.algo

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        """Actions [B, A]."""
        return torch.tanh(_d3rlpy.actor_output(self._algo, scaled)[0])
