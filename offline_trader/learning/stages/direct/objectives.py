"""What is climbed: a number made of the rewards of windows, all differentiable.

Rewards [T, B] are log changes of equity (or a market's own), in units of the scale of its gains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from offline_trader.learning.settings import DirectConfig

__all__ = ["objective", "of_components"]

_ADDED_SPREAD = 0.1
"""Of the gains' standard deviation."""


def objective(
    rewards: Tensor, config: DirectConfig, scale: float = 1.0, realised: Tensor | None = None
) -> Tensor:
    """The objective of r = rewards [T, B] / scale by name, higher is better; per bar.

    With x = realised / scale, by default r:

    - growth: ``mean r``;
    - mean_variance: ``mean r − ½λ·var x`` (Markowitz 1952);
    - quadratic: ``mean(r − ½λx²)``, the utility without the mean taken off (Gârleanu & Pedersen
      2013, equation 2, in realised form);
    - sharpe: ``mean r / √(var x + 0.1²)`` over all bars of the update: the ratio of Moody & Saffell
      (2001), and of policies with the same one the larger: a tenth of the gains' spread is added.
      With a ``risk_target`` τ it is ``mean r · 2τ / (var x + τ²)``, the ratio at a spread of τ, and
      of policies with the same one that with this spread is best; a mean below 0 counts as it would
      without a spread, ``mean r · 2/τ``: else what loses would lose less by more risk. The slopes
      of a loss are those without a target (:func:`_at_risk`);
    - cvar: the mean over the worst ``tail`` of the windows of their mean x (Rockafellar & Uryasev
      2000);
    - components: see :func:`of_components`.

    Args:
        rewards: of which noise may have been taken off: their mean is that of the realised ones.
        config: the objective and its numbers.
        scale: of the gains.
        realised: [T, B] rewards as they were: without the noise there is no risk.
    """
    x = rewards if realised is None else realised
    if config.objective == "components":
        return of_components(rewards, x, config.weights, scale)
    if config.objective == "growth":
        return rewards.mean() / scale
    mean, x = rewards.mean() / scale, x / scale
    if config.objective == "mean_variance":
        return mean - 0.5 * config.risk_aversion * x.var(correction=0)
    if config.objective == "quadratic":
        return mean - 0.5 * config.risk_aversion * x.square().mean()
    if config.objective == "sharpe":
        spread, target = x.var(correction=0), config.risk_target
        # without it nothing would say how much to hold: one percent has the ratio of a hundred
        ratio = mean / (spread + _ADDED_SPREAD**2).sqrt()
        return ratio if target == 0.0 else _at_risk(ratio, mean, spread, target)
    windows = x.mean(dim=0)
    worst = math.ceil(config.tail * len(windows))
    return torch.topk(windows, worst, largest=False).values.mean()


def _at_risk(ratio: Tensor, mean: Tensor, spread: Tensor, target: float) -> Tensor:
    """The ratio at a spread of ``target``; the slopes of a loss are those of the ``ratio`` itself.

    Its own lead to holding less of everything, 2/τ a unit of the mean where a gain has
    2τ/(var + τ²). A training that begins at a loss, as most do, comes to no trade by them before
    it has found what to trade on, and from there no slope leads back.
    """
    if mean > 0.0:
        return 2.0 * target * mean / (spread + target**2)
    return ratio + (2.0 / target * mean - ratio).detach()


def of_components(
    rewards: Tensor, realised: Tensor, weights: Sequence[float], scale: float
) -> Tensor:
    """``w_p·P + w_r·R + w_c·C`` of windows: the components of a step that have a slope.

    With the realised simple returns x of a window's bars, D the drawdown since it began and s the
    scale of the gains:

    - profit ``P = (mean r − ½ mean (−g)⁺)/s``, g a window's growth a bar: windows that lose count
      1.5 times;
    - risk ``R = −mean[(e^(10 (D − 5 %)⁺) − 1) + (VaR₉₅ − 2 %)⁺ + σ]/s``, VaR and σ of the window;
    - consistency ``C = mean x / sd x`` over all bars.

    The share of exposures above 95 % is no part of the risk here: rewards do not tell it.

    Args:
        rewards: [T, B] r, which noise may have been taken off.
        realised: [T, B] log changes of equity: of what is left without noise there is no risk.
        weights: of the six components.
        scale: s.
    """
    x = torch.expm1(realised)
    profit = rewards.mean() - 0.5 * (-realised.mean(dim=0)).clamp(min=0.0).mean()
    equity = realised.cumsum(dim=0)
    fallen = -torch.expm1(equity - equity.cummax(dim=0).values.clamp(min=0.0))
    at_risk = -x.kthvalue(math.ceil(0.05 * len(x)), dim=0).values
    spread = (x.var(dim=0, correction=0) + 1e-12).sqrt()
    risk = torch.expm1(10.0 * (fallen - 0.05).clamp(min=0.0)).mean()
    risk = risk + ((at_risk - 0.02).clamp(min=0.0) + spread).mean()
    steady = x.mean() / (x.var(correction=0) + 1e-12).sqrt()
    return (weights[0] * profit - weights[1] * risk) / scale + weights[5] * steady
