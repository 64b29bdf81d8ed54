"""What is climbed: a number made of the rewards of windows, all differentiable.

Rewards [T, B] are log changes of equity (or a market's own), in units of the scale of its gains.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from offline_trader.learning.settings import DirectConfig

__all__ = ["objective"]


def objective(rewards: Tensor, config: DirectConfig, scale: float = 1.0) -> Tensor:
    """The objective of r = rewards [T, B] / scale by name, higher is better; per bar.

    - growth: ``mean r``;
    - mean_variance: ``mean r − ½λ·var r`` (Markowitz 1952);
    - quadratic: ``mean(r − ½λr²)``, the utility without the mean taken off (Gârleanu & Pedersen
      2013, equation 2, in realised form);
    - sharpe: ``mean r / sd r`` over all bars of the update (Moody & Saffell 2001);
    - cvar: the mean over the worst ``tail`` of the windows of their mean reward (Rockafellar &
      Uryasev 2000).
    """
    if config.objective == "growth":
        return rewards.mean() / scale
    rewards = rewards / scale
    if config.objective == "mean_variance":
        return rewards.mean() - 0.5 * config.risk_aversion * rewards.var(correction=0)
    if config.objective == "quadratic":
        return rewards.mean() - 0.5 * config.risk_aversion * rewards.square().mean()
    if config.objective == "sharpe":
        # a policy without a position has no spread: its ratio is 0 and its slope finite
        return rewards.mean() / (rewards.var(correction=0) + 1e-8).sqrt()
    windows = rewards.mean(dim=0)
    worst = math.ceil(config.tail * len(windows))
    return torch.topk(windows, worst, largest=False).values.mean()
