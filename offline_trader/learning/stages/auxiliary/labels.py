"""What the heads are to say of a bar, and what would be said of it naively.

Of the bars of one instrument with closes c, log returns ``r_t = log(c_t / c_{t−1})``, volumes v and
the horizon h:

- **next return** ``r_{t+1}``; naively ``r_t``, the last value;
- **volatility** ``√(Σ_{i=1..h} r_{t+i}² / h)``, the root mean square of the next h returns; naively
  that of the last h, and a GARCH(1, 1)'s forecast of it (Bollerslev 1986);
- **volume** of bar t + 1: low below the first, high above the second tercile of the volumes of the
  ``VOLUME_BARS`` bars up to t, else normal (causal quantiles: nothing after t moves the limits);
  naively the class of v_t between the same limits;
- **regime** at t + h (:func:`offline_trader.markets.detect_regimes`); naively the one at t.

A label reads bars after t, what is said naively reads bars up to t. Where a label would read beyond
the last bar, or too few bars came before, it is masked: NaN, of classes −1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from offline_trader.learning.stages.auxiliary.garch import garch_volatility
from offline_trader.markets.regimes import REGIMES, detect_regimes
from offline_trader.types import FloatArray, IntArray

__all__ = ["MASKED", "REGIMES", "VOLUME_BARS", "VOLUME_CLASSES", "BarLabels", "label_bars"]

VOLUME_BARS = 252
VOLUME_CLASSES: tuple[str, ...] = ("low", "normal", "high")
MASKED = -1
_UNTRADED = 0.5
"""Share of bars without volume above which a series is taken to have none."""


@dataclass(frozen=True)
class BarLabels:
    """Labels of R bars, and the naive ones, a row a bar.

    Attributes:
        next_return, volatility: [R] float64, NaN where masked.
        volume, regime: [R] int64, −1 where masked.
        last_return, last_volatility, garch: [R] float64, naive; NaN where not known.
        last_volume, last_regime: [R] int64, naive; −1 where not known.
    """

    next_return: FloatArray
    volatility: FloatArray
    volume: IntArray
    regime: IntArray
    last_return: FloatArray
    last_volatility: FloatArray
    garch: FloatArray
    last_volume: IntArray
    last_regime: IntArray

    def take(self, rows: IntArray | slice) -> BarLabels:
        """The labels of ``rows``."""
        return BarLabels(*(getattr(self, each.name)[rows] for each in fields(self)))

    @staticmethod
    def joined(parts: Sequence[BarLabels]) -> BarLabels:
        """Those of several instruments, one after the other."""
        names = [each.name for each in fields(BarLabels)]
        return BarLabels(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def label_bars(prices: FloatArray, horizon: int, fitted_on: int) -> BarLabels:
    """Labels of the bars of one instrument.

    Args:
        prices: [R, 5] open, high, low, close, volume.
        horizon: h, bars ahead of volatility and regime.
        fitted_on: the GARCH is fitted on so many of the first bars.
    """
    close, volume = np.asarray(prices[:, 3], np.float64), np.asarray(prices[:, 4], np.float64)
    returns = np.concatenate([[np.nan], np.diff(np.log(close))])
    ahead = np.append(returns[1:], np.nan)
    rms = _rms(returns, horizon)
    regimes = detect_regimes(close)
    coming, present = _volume_classes(volume)
    return BarLabels(
        next_return=ahead,
        volatility=_shifted(rms, horizon, np.nan),
        volume=coming,
        regime=_shifted(regimes, horizon, MASKED),
        last_return=returns,
        last_volatility=rms,
        garch=garch_volatility(returns, horizon, fitted_on),
        last_volume=present,
        last_regime=regimes,
    )


def _shifted(values: FloatArray | IntArray, bars: int, missing: float) -> np.ndarray:
    """``values`` [R] of ``bars`` later; ``missing`` in the last ``bars`` rows."""
    found = np.full_like(values, missing)
    if bars < len(values):
        found[:-bars] = values[bars:]
    return found


def _rms(returns: FloatArray, bars: int) -> FloatArray:
    """[R] root mean square of the last ``bars`` returns; NaN where there are fewer."""
    found = np.full(len(returns), np.nan)
    if len(returns) > bars:
        windows = np.lib.stride_tricks.sliding_window_view(returns[1:], bars)
        found[bars:] = np.sqrt(np.square(windows).mean(axis=1))
    return found


def _volume_classes(volume: FloatArray) -> tuple[IntArray, IntArray]:
    """Class [R] of the next bar's volume and of the bar's own, between the terciles of the last
    ``VOLUME_BARS`` volumes."""
    rows = len(volume)
    coming, present = (np.full(rows, MASKED, np.int64) for _ in range(2))
    if rows < VOLUME_BARS or np.mean(volume <= 0.0) > _UNTRADED:
        return coming, present
    windows = np.lib.stride_tricks.sliding_window_view(volume, VOLUME_BARS)
    low, high = np.quantile(windows, (1 / 3, 2 / 3), axis=1)
    known = slice(VOLUME_BARS - 1, None)

    def classes(of: FloatArray) -> IntArray:
        return np.where(of < low, 0, np.where(of > high, 2, 1))

    present[known] = classes(volume[known])
    coming[known] = classes(np.append(volume[VOLUME_BARS:], np.nan))
    coming[-1] = MASKED
    return coming, present
