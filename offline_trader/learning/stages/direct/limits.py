"""A limit on the drawdown, held by a price on it: the Lagrangian of a constrained objective.

Maximise the objective J subject to ``q(D) ≤ d``: D is the deepest drawdown of a window of the log,
q the depth that the share ``tail`` of the windows exceeds, so that the others keep to the limit.
With ``g = q(D)/d − 1`` the augmented Lagrangian (Hestenes 1969, Powell 1969)

    J(θ) − (max(0, λ + ρg)² − λ²) / 2ρ

is climbed in θ, and after every update ``λ ← max(0, λ + ηg)``: λ is the price of the limit at the
saddle point, ρ = 10η damps its swings.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["DrawdownLimit", "allowed_share", "exceeded_by", "worst_drawdowns"]

_DAMPING = 10.0


def worst_drawdowns(rewards: Tensor) -> Tensor:
    """[B] deepest falls of the log equity from its running maximum, the start included, of rewards
    [T, B] that are log changes of equity."""
    equity = rewards.cumsum(dim=0)
    peak = equity.cummax(dim=0).values.clamp(min=0.0)
    return (peak - equity).amax(dim=0).clamp(min=0.0)


def exceeded_by(values: Tensor, share: float) -> Tensor:
    """What ``share`` of ``values`` [B] exceeds: the mean of those whose rank from the top is
    between half of it and one and a half times it, whose slope is less noisy than one value's."""
    first = min(len(values) - 1, math.floor(0.5 * share * len(values)))
    last = max(first + 1, min(len(values), round(1.5 * share * len(values))))
    return torch.topk(values, last).values[first:].mean()


def allowed_share(tail: float, windows: int) -> float:
    """Share of independent windows that may be beyond a limit which at most ``tail`` of all
    windows are to exceed: a standard error of such a share less, so that it is held on others."""
    return max(0.0, tail - math.sqrt(tail * (1.0 - tail) / max(1, windows)))


class DrawdownLimit:
    """The limit with its price.

    Args:
        limit: d, largest drawdown, as a share of the peak: 0.1 is 10 %.
        tail: share of the windows that may be deeper.
        rate: η.

    Attributes:
        price: λ.
    """

    def __init__(self, limit: float, tail: float, rate: float) -> None:
        self._limit, self._tail, self._rate = -math.log1p(-limit), tail, rate
        self.price = 0.0

    def excess(self, rewards: Tensor) -> Tensor:
        """g of realised rewards [T, B], differentiable; at most 0 where the limit is kept."""
        return exceeded_by(worst_drawdowns(rewards), self._tail) / self._limit - 1.0

    def penalty(self, excess: Tensor) -> Tensor:
        """What is taken off the objective."""
        damping = _DAMPING * self._rate
        raised = (self.price + damping * excess).clamp(min=0.0)
        return (raised.square() - self.price**2) / (2.0 * damping)

    def move(self, excess: float) -> None:
        """Raise the price where the limit was broken, lower it where it was kept."""
        self.price = max(0.0, self.price + self._rate * excess)
