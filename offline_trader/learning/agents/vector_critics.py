"""Critics with a head per objective, and the losses of a soft actor-critic under weights.

Heads are those of the objectives, one of the entropy to come, whose weight is 1, and, under a
limit, one of what it limits. So ``Σ w_k Q_k + Q_H`` is the soft value of the weighted reward: the
temperature is in no head but that of the entropy, and may change without all others being wrong.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.engines import PlainAdam, without_dynamo
from offline_trader.learning.estimators import scalarised, vector_target
from offline_trader.learning.settings import LearnerConfig

__all__ = ["VectorCritics", "squashed_sample"]

_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)


def squashed_sample(mu: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
    """Actions [B, A] of ``tanh(mu + σ ε)``, and their log densities [B] (Haarnoja et al. 2018,
    appendix C), with ε from torch's global generator."""
    noise = torch.randn_like(mu)
    before = mu + log_std.exp() * noise
    # log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u)), which does not lose its digits
    squash = 2.0 * (math.log(2.0) - before - nn.functional.softplus(-2.0 * before))
    density = (-0.5 * noise.square() - log_std - _LOG_ROOT - squash).sum(dim=1)
    return torch.tanh(before), density


class VectorCritics:
    """C critics of H heads with targets, and their optimizer.

    Args:
        config: hidden layers, number of critics, rates, discount.
        inputs: columns of scaled observation and preference.
        action_size: A.
        heads: H, the last of which but for limits is the entropy's.
    """

    def __init__(self, config: LearnerConfig, inputs: int, action_size: int, heads: int) -> None:
        self._config = config
        self.critics = nn.ModuleList(
            _critic(config, inputs + action_size, heads) for _ in range(config.n_critics)
        ).to(config.device)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        with without_dynamo():
            self._optimizer = PlainAdam(self.critics.parameters(), lr=config.critic_lr, fused=True)

    def values(self, seen: Tensor, actions: Tensor, *, target: bool = False) -> Tensor:
        """[C, B, H]."""
        wide = torch.cat([seen, actions], dim=1)
        return torch.stack([each(wide) for each in (self.targets if target else self.critics)])

    def set_rate(self, rate: float) -> None:
        """Learn with the share ``rate`` of the configured rate."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate * self._config.critic_lr

    def update(
        self,
        before: tuple[Tensor, Tensor],
        rewards: Tensor,
        after: tuple[Tensor, Tensor],
        weights: Tensor,
        terminals: Tensor,
    ) -> Tensor:
        """A step towards the vector target; [H] mean squared errors.

        Args:
            before: observations and actions.
            rewards: [B, H]; of the entropy's head nothing yet.
            after: next observations and actions drawn there.
            weights: [B, H].
            terminals: [B].
        """
        with torch.no_grad():
            told = self.values(*after, target=True)
            target = vector_target(rewards, told, weights, terminals, self._config.gamma)
        errors = (self.values(*before) - target).square().mean(dim=1)
        with without_dynamo():
            self._optimizer.zero_grad(set_to_none=True)
        errors.sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        with torch.no_grad():
            sides = (self.targets, self.critics)
            ours, theirs = ([each.data for each in side.parameters()] for side in sides)
            torch._foreach_lerp_(ours, theirs, self._config.tau)
        return errors.detach().mean(dim=0)

    def lowest(self, seen: Tensor, actions: Tensor, weights: Tensor) -> Tensor:
        """[B] of each row the lowest scalarised value of the critics, whose slopes are the
        actions' alone."""
        self.critics.requires_grad_(False)
        found = scalarised(self.values(seen, actions), weights).amin(dim=0)
        self.critics.requires_grad_(True)
        return found

    @without_dynamo()
    def state_dict(self) -> dict[str, Any]:
        """Copies of networks and moments."""
        state = {
            "critics": dict(self.critics.state_dict()),
            "targets": dict(self.targets.state_dict()),
            "optimizer": self._optimizer.state_dict(),
        }
        return copy.deepcopy(state)

    @without_dynamo()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.critics.load_state_dict(state["critics"])
        self.targets.load_state_dict(state["targets"])
        _d3rlpy.load_moments(self._optimizer, state["optimizer"])


def _critic(config: LearnerConfig, inputs: int, heads: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in config.hidden:
        layers += [nn.Linear(inputs, units), nn.ReLU()]
        layers += [nn.LayerNorm(units)] if config.layer_norm else []
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, heads))
