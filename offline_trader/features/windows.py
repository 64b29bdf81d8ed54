"""Features that read a fixed number of past bars, and those that need nothing else.

Row t of every function reads bars ``t - 252`` to ``t`` and no other, so that the streaming class
gets the same numbers from its last 253 bars.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from offline_trader.types import FloatArray

__all__ = ["rolling", "window_features"]

_CHUNK = 65_536
_DAY_NS = 86_400_000_000_000
RETURN_BARS = (1, 2, 5, 10, 20, 60, 120, 252)


def rolling(function: Callable[..., FloatArray], x: FloatArray, window: int) -> FloatArray:
    """[T] ``function`` over each window of ``x`` [T] ending at t; NaN in the first window - 1 rows.

    Each window is reduced on its own (no running sums), so a row depends on its window alone.
    """
    out: FloatArray = np.full(len(x), np.nan)
    if len(x) < window:
        return out
    view = sliding_window_view(x, window)
    for at in range(0, len(view), _CHUNK):
        out[window - 1 + at : window - 1 + at + _CHUNK] = function(view[at : at + _CHUNK], axis=-1)
    return out


def _lag(x: FloatArray, bars: int) -> FloatArray:
    out: FloatArray = np.full(len(x), np.nan)
    out[bars:] = x[: len(x) - bars] if bars < len(x) else x[:0]
    return out


def _ratio(numerator: FloatArray, denominator: FloatArray, otherwise: float) -> FloatArray:
    """Quotient where the denominator is positive, ``otherwise`` where it is 0, NaN kept."""
    safe = np.where(denominator > 0.0, denominator, 1.0)
    out: FloatArray = np.where(denominator > 0.0, numerator / safe, otherwise)
    return np.where(np.isnan(denominator), np.nan, out)


def _population_std(x: FloatArray, axis: int) -> FloatArray:
    return np.asarray(np.std(x, axis=axis))


def _calendar(timestamps: NDArray[np.datetime64]) -> dict[str, FloatArray]:
    days = timestamps.astype("datetime64[D]")
    weekday = (days.astype(np.int64) + 3) % 7
    first = timestamps.astype("datetime64[Y]").astype("datetime64[ns]").astype(np.int64)
    day_of_year = (timestamps.astype(np.int64) - first) / _DAY_NS
    week, year = 2 * np.pi * weekday / 7.0, 2 * np.pi * day_of_year / 365.25
    return {
        "weekday_sin": np.sin(week),
        "weekday_cos": np.cos(week),
        "year_sin": np.sin(year),
        "year_cos": np.cos(year),
    }


def _volatility(log_return: FloatArray) -> dict[str, FloatArray]:
    vol20, vol60 = (rolling(_population_std, log_return, w) for w in (20, 60))
    positive = (vol20 > 0.0) & (vol60 > 0.0)
    ratio = np.log(np.where(positive, vol20, 1.0)) - np.log(np.where(positive, vol60, 1.0))
    ratio = np.where(np.isnan(vol60), np.nan, ratio)
    return {"volatility_20": vol20, "volatility_60": vol60, "volatility_ratio": ratio}


def _averages(close: FloatArray) -> dict[str, FloatArray]:
    sma = {w: rolling(np.mean, close, w) for w in (20, 50, 200)}
    half = 2.0 * rolling(_population_std, close, 20)
    # A flat window's deviation is rounding, not width.
    half = np.where(half <= 1e-12 * sma[20], 0.0, half)
    out = {f"sma_distance_{w}": np.log(close / mean) for w, mean in sma.items()}
    out["sma_cross_50_200"] = np.log(sma[50] / sma[200])
    out["bollinger_position"] = _ratio(close - (sma[20] - half), 2.0 * half, 0.5)
    out["bollinger_width"] = 2.0 * half / sma[20]
    return out


def window_features(
    timestamps: NDArray[np.datetime64],
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
) -> dict[str, FloatArray]:
    """[T] columns by name; NaN where the window is not full.

    Args:
        timestamps: [T] datetime64[ns].
        open_, high, low, close: [T] quote currency.
        volume: [T] units.
    """
    out = {f"return_{k}": np.log(close / _lag(close, k)) for k in RETURN_BARS}
    out |= _volatility(out["return_1"])
    out |= _averages(close)
    for window in (20, 55):
        top = _lag(rolling(np.max, high, window), 1)
        bottom = _lag(rolling(np.min, low, window), 1)
        out[f"donchian_position_{window}"] = _ratio(close - bottom, top - bottom, 0.5)
    out["high_distance_252"] = np.log(close / rolling(np.max, high, 252))
    out["volume_ratio_20"] = _ratio(volume, rolling(np.mean, volume, 20), 1.0)
    out["close_location"] = _ratio(close - low, high - low, 0.5)
    out["gap"] = np.log(open_ / _lag(close, 1))
    return out | _calendar(timestamps)
