"""Both forecasts of a log, fitted once: the training, and what judges later stages, take the same.

Fits are kept as long as their log is; a log does not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from offline_trader.learning.settings import DirectConfig
from offline_trader.learning.stages.direct.forecast import Forecast, fit_forecast
from offline_trader.learning.stages.direct.market import Log
from offline_trader.learning.stages.direct.volatility import VolatilityForecast, fit_volatility

__all__ = ["ForetoldLog", "foretell"]

_Cut = tuple[int, int, int]
_KEPT: WeakKeyDictionary[Log, dict[_Cut, ForetoldLog]] = WeakKeyDictionary()


@dataclass(frozen=True)
class ForetoldLog:
    """Out-of-fold forecasts of a log's gains, and of their size if a policy sees forecasts."""

    forecast: Forecast
    volatility: VolatilityForecast | None


def foretell(log: Log, config: DirectConfig) -> ForetoldLog:
    """The forecasts that ``config`` asks for.

    What a policy sees is to last ``config.horizon`` bars; a control variate alone is of the next
    gain, and all days weigh alike in it.
    """
    seen = config.market_input == "forecast"
    cut = config.folds, config.embargo, config.horizon if seen else 0
    kept = _KEPT.setdefault(log, {})
    if cut not in kept:
        kept[cut] = _fitted(log, *cut)
    return kept[cut]


def _fitted(log: Log, folds: int, embargo: int, horizon: int) -> ForetoldLog:
    if horizon == 0:
        return ForetoldLog(fit_forecast(log, folds, embargo), None)
    size = fit_volatility(log, folds, embargo, horizon=horizon)
    found = fit_forecast(log, folds, embargo, horizon=horizon, weights=size.weights)
    return ForetoldLog(found, size)
