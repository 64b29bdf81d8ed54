"""Market regimes by a causal rule: bull, bear, sideways, high volatility.

Row t reads closes up to and including t. With σ20 and σ252 the standard deviations of the last 20
and 252 log returns:

1. **high volatility** where ``σ20 > 1.5·σ252``: it overrides the others, a crash is no trend;
2. **bull** (**bear**) where the log return of the last 60 bars is above ``0.5·σ252·√60`` (below
   minus that), half the move that chance alone makes in 60 bars;
3. **sideways** otherwise; **unknown** in the first 252 bars.

The thresholds are relative to the instrument's own volatility, so the rule holds for any
instrument and bar length. It is a rule and not a fitted mixture: a mixture fitted on the whole
series reads the future, and one refitted as time goes by renames its components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from offline_trader.errors import ConfigError, DataError
from offline_trader.types import FloatArray, IntArray

__all__ = ["REGIMES", "UNKNOWN", "RegimeRule", "detect_regimes"]

REGIMES: tuple[str, ...] = ("bull", "bear", "sideways", "high volatility")
UNKNOWN = -1


_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class RegimeRule:
    """Parameters of the rule; windows in bars.

    Attributes:
        trend_bars: window of the trend.
        short_bars, long_bars: windows of the volatilities.
        trend_threshold: trend in units of what chance makes in ``trend_bars``.
        volatility_ratio: short over long volatility above which volatility is high.
    """

    trend_bars: int = 60
    short_bars: int = 20
    long_bars: int = 252
    trend_threshold: float = 0.5
    volatility_ratio: float = 1.5

    def __post_init__(self) -> None:
        if not 2 <= self.short_bars < self.long_bars or not 1 <= self.trend_bars <= self.long_bars:
            raise ConfigError(
                f"regime windows {self.short_bars}, {self.trend_bars}, {self.long_bars}",
                expected="2 <= short_bars < long_bars and 1 <= trend_bars <= long_bars",
            )
        if not self.trend_threshold > 0 or not self.volatility_ratio > 0:
            raise ConfigError(
                f"regime thresholds {self.trend_threshold}, {self.volatility_ratio}",
                expected="more than 0",
            )


def detect_regimes(close: ArrayLike, rule: RegimeRule | None = None) -> IntArray:
    """[T] number of the regime in :data:`REGIMES`, −1 where it is not known yet.

    Args:
        close: [T] positive closes.
        rule: windows and thresholds.

    Raises:
        DataError: a close that is not positive.
    """
    rule = rule or RegimeRule()
    prices = np.asarray(close, dtype=np.float64)
    if prices.ndim != 1 or not (prices > 0).all():
        raise DataError(f"closes of shape {prices.shape}", expected="[T] positive prices")
    labels = np.full(prices.size, UNKNOWN, dtype=np.int64)
    if prices.size <= rule.long_bars:
        return labels
    log_price = np.log(prices)
    returns = np.diff(log_price)
    rows = slice(rule.long_bars, None)
    short = _rolling_deviation(returns, rule.short_bars)[rule.long_bars - rule.short_bars :]
    long = _rolling_deviation(returns, rule.long_bars)
    trend = log_price[rows] - log_price[rule.long_bars - rule.trend_bars : -rule.trend_bars]
    limit = rule.trend_threshold * long * np.sqrt(rule.trend_bars)
    labels[rows] = np.where(
        short > rule.volatility_ratio * long,
        3,
        np.where(trend > limit, 0, np.where(trend < -limit, 1, 2)),
    )
    return labels


def _rolling_deviation(values: FloatArray, window: int) -> FloatArray:
    """[T − window + 1] standard deviation (ddof 1) of each full window.

    Computed window by window, not by running sums: a row's bits must not depend on how the
    series went on.
    """
    windows = np.lib.stride_tricks.sliding_window_view(values, window)
    # in parts: the deviations from the mean take `window` times the memory of the values
    parts = range(0, len(windows), _ROWS_AT_ONCE)
    return np.concatenate([windows[i : i + _ROWS_AT_ONCE].std(axis=1, ddof=1) for i in parts])
