"""Forecast and policy in two layers: a policy that sees the market through a forecast alone.

A policy of all features, trained on a few thousand bars, finds in their noise what is not there.
With ``direct.market_input = forecast`` the market's part of its observation is one number, the
out-of-fold forecast of the next gain, so what is learned from rewards are a few thresholds. In
use the forecast is that of a model fitted on all rows; being linear, it goes into the actor's
first layer::

    z = (ŷ(x) − m) / s,   W x̃ + b  =  w z + U p̃ + β,   ŷ(x) = c₀ + c·x

so the actor keeps its shape: d3rlpy opens it, the export traces it, later stages move it freely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.stages.direct.forecast import Forecast
from offline_trader.learning.stages.direct.market import DirectMarket
from offline_trader.types import FloatArray

__all__ = ["ForecastPolicy"]

_SPREAD = 0.1


@dataclass(frozen=True)
class _Scales:
    mean: FloatArray
    scale: FloatArray


class ForecastPolicy:
    """A policy of (forecast, portfolio), and its way into a learner's actor.

    Args:
        learner: whose actor it is written into.
        market: with the features that the learner sees.
        forecast: of the market's gains.
        seed: of the policy's first weights.

    Attributes:
        learner: the policy that is trained; its observation is the forecast and P numbers.
        market: ``market`` seen through the out-of-fold forecast.

    Raises:
        ConfigError: an actor with other layers than linear ones with ReLU.
    """

    def __init__(
        self, learner: Learner, market: DirectMarket, forecast: Forecast, seed: int
    ) -> None:
        if _transfer.actor_layers(learner.algo) is None:
            raise ConfigError(
                "direct.market_input = forecast with this actor",
                expected="linear layers with ReLU, or direct.market_input = features",
            )
        values = forecast.values.sum(axis=1)
        spread = float(values.std())
        self._mean, self._scale = float(values.mean()), spread if spread > 0.0 else 1.0
        self._coefficients = forecast.coefficients.sum(axis=1)
        self._intercept = float(forecast.intercept.sum())
        self._whole = learner
        self._width = width = market.log.features.shape[1]
        seen = ((values - self._mean) / self._scale).astype(np.float32)[:, None]
        self.market = market.with_features(seen)
        scales = learner.preprocessing
        own = _Scales(
            np.concatenate([[0.0], scales.mean[width:]]),
            np.concatenate([[1.0], scales.scale[width:]]),
        )
        self.learner = make_learner(learner.config, len(own.mean), own, seed)

    def write(self) -> None:
        """Make the whole learner's actor the present policy.

        The actor's spread becomes 0.1 before the squash, in every state.
        """
        scales, width = self._whole.preprocessing, self._width
        per_unit = self._coefficients / self._scale
        at_mean = (self._intercept + scales.mean[:width] @ self._coefficients - self._mean) / (
            self._scale
        )
        row = torch.from_numpy(per_unit * scales.scale[:width]).to(torch.float32)
        ours, theirs = (_transfer.actor_layers(each.algo) for each in (self.learner, self._whole))
        assert ours is not None
        assert theirs is not None
        with torch.no_grad():
            (first, *inner), (into, *others) = ((*hidden, head) for hidden, head in (ours, theirs))
            market = first.weight[:, :1]
            into.weight[:, :width] = market * row.to(market.device)
            into.weight[:, width:] = first.weight[:, 1:]
            into.bias.copy_(first.bias + market[:, 0] * float(at_mean))
            for small, large in zip(inner, others, strict=True):
                large.weight.copy_(small.weight)
                large.bias.copy_(small.bias)
        _transfer.set_spread(self._whole.algo, _SPREAD)
