"""A forecast of the size of the next gain, fitted out of fold as that of the gain itself is.

How far a price will move can be told far better than where it will go: large moves follow large
ones. Regressed is the mean |gain| of the next bars on the features, which hold the volatility of
several spans (a heterogeneous autoregression, Corsi 2009; absolute gains tell the next ones better
than squares do, Forsberg & Ghysels 2007), by the ridge regression of
:func:`~offline_trader.learning.stages.direct.forecast.fit_forecast`: cross-fitted. Where
it tells next to nothing it is one number: a policy sees nothing, and all days weigh alike.

It is used twice. A policy sees it beside the forecast of the gain: how much to hold is a matter of
both (Moreira & Muir 2017). And the gains are regressed with its inverse squares as weights: a calm
day tells more of a slope than a wild one does (weighted least squares with the errors' size
fitted to their absolute values, Davidian & Carroll 1987), and a regression that weighs all days
alike takes the few wild ones for a signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.learning.stages.direct.forecast import fit_forecast
from offline_trader.learning.stages.direct.market import Log
from offline_trader.types import FloatArray

__all__ = ["VolatilityForecast", "fit_volatility"]

_LEAST = 0.3
"""Of the mean size of a gain: what a row may weigh is bounded, and a line may fall below zero."""
_LEAST_TOLD = 0.01
"""Of the sizes' variance, out of fold: of less no forecast is made. Markets whose moves come in
clusters have ten times as much."""


@dataclass(frozen=True)
class VolatilityForecast:
    """Forecasts of the mean |gain| of the next bars, all moments of a bar together.

    Attributes:
        values: [R] float64; row t's model has not seen the gains of its block.
        coefficients: [F] of raw features, intercept: the same model fitted on all rows, for rows
            that the log does not hold.
    """

    values: FloatArray
    coefficients: FloatArray
    intercept: float

    @property
    def weights(self) -> FloatArray:
        """[R] inverse squares of the sizes, bounded; all 1 where nothing moves."""
        level = float(np.abs(self.values).mean())
        if level <= 0.0:
            return np.ones(len(self.values))
        return np.asarray(1.0 / np.square(np.maximum(self.values / level, _LEAST)))


def fit_volatility(
    log: Log, folds: int = 5, embargo: int = 5, horizon: int = 5
) -> VolatilityForecast:
    """Cross-fitted ridge forecast of |Σ of a row's gains| from ``log.features``.

    Args: see :func:`~offline_trader.learning.stages.direct.forecast.fit_forecast`.
    """
    size = np.abs(log.gains.sum(axis=1))[:, None]
    found = fit_forecast(
        Log(log.features, size, log.series), folds, embargo, powers=(0.0,), horizon=horizon
    )
    values, coefficients = found.values[:, 0], found.coefficients[:, 0]
    if found.r2[0] < _LEAST_TOLD:
        mean = float(size.mean())
        return VolatilityForecast(np.full_like(values, mean), np.zeros_like(coefficients), mean)
    return VolatilityForecast(values, coefficients, float(found.intercept[0]))
