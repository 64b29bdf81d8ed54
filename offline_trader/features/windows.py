"""Batch features that read a fixed number of past bars, and those that need nothing else.

Row t of every function reads bars ``t - 252`` to ``t`` and no other. Each window is summed on its
own, oldest bar first: running sums would carry rounding from bar to bar, and the streaming class
could not get the same numbers from its buffer.
"""

from __future__ import annotations

import numpy as np

from offline_trader.features.calendar import calendar_features
from offline_trader.features.schema import RETURN_BARS
from offline_trader.markets import Bars
from offline_trader.types import FloatArray

__all__ = [
    "DONCHIAN_LIMITS",
    "FLAT",
    "lag",
    "quotient",
    "window_deviation",
    "window_features",
    "window_sum",
]

_CHUNK = 32_768
FLAT = 1e-12
"""A deviation below this share of the mean (or this log return) is rounding, not movement."""
DONCHIAN_LIMITS = (-1.0, 2.0)


def window_sum(x: FloatArray, window: int) -> FloatArray:
    """[T] sum of the ``window`` values of ``x`` [T] that end at t; NaN in rows without them."""
    out: FloatArray = np.full(len(x), np.nan)
    first = window - 1
    for at in range(first, len(x), _CHUNK):
        stop = min(at + _CHUNK, len(x))
        total = x[at - first : stop - first].copy()
        for k in range(1, window):
            total += x[at - first + k : stop - first + k]
        out[at:stop] = total
    return out


def window_deviation(x: FloatArray, window: int) -> FloatArray:
    """[T] population standard deviation of the ``window`` values that end at t, in two passes."""
    mean = window_sum(x, window) / window
    out: FloatArray = np.full(len(x), np.nan)
    first = window - 1
    for at in range(first, len(x), _CHUNK):
        stop = min(at + _CHUNK, len(x))
        centre = mean[at:stop]
        total = np.zeros(stop - at)
        for k in range(window):
            part = x[at - first + k : stop - first + k] - centre
            total += part * part
        out[at:stop] = np.sqrt(total / window)
    return out


def lag(x: FloatArray, bars: int) -> FloatArray:
    """[T] the value ``bars`` rows earlier; NaN where there is none."""
    out: FloatArray = np.full(len(x), np.nan)
    out[bars:] = x[: max(len(x) - bars, 0)]
    return out


def quotient(numerator: FloatArray, denominator: FloatArray, otherwise: float) -> FloatArray:
    """Quotient where the denominator is positive, ``otherwise`` where it is 0, else NaN."""
    safe = np.where(denominator > 0.0, denominator, 1.0)
    out: FloatArray = np.where(denominator > 0.0, numerator / safe, otherwise)
    return np.where(np.isfinite(denominator), out, np.nan)


def _volatility(log_return: FloatArray) -> dict[str, FloatArray]:
    vol20, vol60 = (window_deviation(log_return, w) for w in (20, 60))
    moves = (vol20 > FLAT) & (vol60 > FLAT)
    ratio = np.log(np.where(moves, vol20, 1.0) / np.where(moves, vol60, 1.0))
    ratio = np.where(np.isnan(vol60), np.nan, ratio)
    return {"volatility_20": vol20, "volatility_60": vol60, "volatility_ratio": ratio}


def _averages(close: FloatArray) -> dict[str, FloatArray]:
    sma = {w: window_sum(close, w) / w for w in (20, 50, 200)}
    half = 2.0 * window_deviation(close, 20)
    half = np.where(half <= FLAT * sma[20], 0.0, half)
    out = {f"sma_distance_{w}": np.log(close / mean) for w, mean in sma.items()}
    out["sma_cross_50_200"] = np.log(sma[50] / sma[200])
    out["bollinger_position"] = quotient(close - (sma[20] - half), 2.0 * half, 0.5)
    out["bollinger_width"] = 2.0 * half / sma[20]
    return out


def _channels(high: FloatArray, low: FloatArray, close: FloatArray) -> dict[str, FloatArray]:
    import talib

    out = {}
    for window in (20, 55):
        top, bottom = lag(talib.MAX(high, window), 1), lag(talib.MIN(low, window), 1)
        position = quotient(close - bottom, top - bottom, 0.5)
        out[f"donchian_position_{window}"] = np.clip(position, *DONCHIAN_LIMITS)
    out["high_distance_252"] = np.log(close / talib.MAX(high, 252))
    return out


def window_features(bars: Bars) -> dict[str, FloatArray]:
    """[T] columns by name; NaN where the window is not full."""
    close = bars.close
    out = {f"return_{k}": np.log(close / lag(close, k)) for k in RETURN_BARS}
    out |= _volatility(out["return_1"])
    out |= _averages(close)
    out |= _channels(bars.high, bars.low, close)
    out["volume_ratio_20"] = quotient(bars.volume, window_sum(bars.volume, 20) / 20, 1.0)
    out["close_location"] = quotient(close - bars.low, bars.high - bars.low, 0.5)
    out["gap"] = np.log(bars.open / lag(close, 1))
    return out | calendar_features(bars.timestamps)
