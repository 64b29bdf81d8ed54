"""Forecast and policy in two layers: a policy that sees the market through a forecast alone.

A policy of all features, trained on a few thousand bars, finds in their noise what is not there.
With ``direct.market_input = forecast`` the market's part of its observation is two numbers, the
out-of-fold forecasts of the next gain and of its size, so what is learned from rewards are a few
thresholds. In use the forecasts are those of models fitted on all rows; being linear, they go into
the actor's first layer::

    z = (ŷ(x) − m) / s,   W x̃ + b  =  w·z + U p̃ + β,   ŷ(x) = c₀ + C x

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
from offline_trader.learning.stages.direct.volatility import VolatilityForecast
from offline_trader.types import FloatArray

__all__ = ["ForecastPolicy"]

_SPREAD = 0.1
_ROUNDING = 1e-9
_SEEN = 2
"""Numbers by which the market is seen."""


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
        volatility: of their size.
        seed: of the policy's first weights.

    Attributes:
        learner: the policy that is trained; its observation is both forecasts and P numbers.
        market: ``market`` seen through the out-of-fold forecasts.

    Raises:
        ConfigError: an actor with other layers than linear ones with ReLU.
    """

    def __init__(
        self,
        learner: Learner,
        market: DirectMarket,
        forecast: Forecast,
        volatility: VolatilityForecast,
        seed: int,
    ) -> None:
        if _transfer.actor_layers(learner.algo) is None:
            raise ConfigError(
                "direct.market_input = forecast with this actor",
                expected="linear layers with ReLU, or direct.market_input = features",
            )
        told = np.stack([forecast.values.sum(axis=1), volatility.values], axis=1)
        self._coefficients = np.stack(
            [forecast.coefficients.sum(axis=1), volatility.coefficients], axis=1
        )
        self._intercept = np.array([forecast.intercept.sum(), volatility.intercept])
        self._mean, spread = told.mean(axis=0), told.std(axis=0)
        varies = spread > _ROUNDING * np.abs(self._mean)
        self._scale = np.where(varies, spread, 1.0)
        self._whole = learner
        self._width = width = market.log.features.shape[1]
        seen = ((told - self._mean) / self._scale).astype(np.float32)
        self.market = market.with_features(seen)
        scales = learner.preprocessing
        own = _Scales(
            np.concatenate([np.zeros(_SEEN), scales.mean[width:]]),
            np.concatenate([np.ones(_SEEN), scales.scale[width:]]),
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
        rows = torch.from_numpy((per_unit * scales.scale[:width, None]).T).to(torch.float32)
        ours, theirs = (_transfer.actor_layers(each.algo) for each in (self.learner, self._whole))
        assert ours is not None
        assert theirs is not None
        with torch.no_grad():
            (first, *inner), (into, *others) = ((*hidden, head) for hidden, head in (ours, theirs))
            market = first.weight[:, :_SEEN]
            into.weight[:, :width] = market @ rows.to(market.device)
            into.weight[:, width:] = first.weight[:, _SEEN:]
            offset = torch.from_numpy(at_mean).to(market.device, torch.float32)
            into.bias.copy_(first.bias + market @ offset)
            for small, large in zip(inner, others, strict=True):
                large.weight.copy_(small.weight)
                large.bias.copy_(small.bias)
        _transfer.set_spread(self._whole.algo, _SPREAD)
