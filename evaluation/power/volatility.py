"""Variance of the next bar's return as it is known at a close, without a model to be trained."""

from __future__ import annotations

import math

import numpy as np

from offline_trader.markets import Bars
from offline_trader.types import FloatArray

__all__ = ["known_variance"]

_DECAYS = (0.7, 0.8, 0.9, 0.94, 0.97)
_CONSTANT = (0.1, 0.25, 0.5, 1.0)
_EVEN = 1e-4
"""Least variance, as a share of the mean: a price that did not move for weeks will."""


def known_variance(bars: Bars, fitted: int) -> FloatArray:
    """[T] at the close of each bar, the variance of the return to the next close.

    An exponential average of squared returns, or of squared gaps and Parkinson's (1980) squared
    ranges scaled to them, drawn towards the mean of both by a share that does not move. Which of
    the 40, says the Gaussian likelihood of the first ``fitted`` bars; later ones choose nothing.
    """
    r = np.concatenate(([0.0], bars.close[1:] / bars.close[:-1] - 1.0))
    gap = np.concatenate(([0.0], np.log(bars.open[1:] / bars.close[:-1])))
    ranges = gap**2 + np.log(bars.high / bars.low) ** 2 / (4.0 * math.log(2.0))
    mean = float(np.mean(r[1:fitted] ** 2))
    best, least = np.full(len(r), mean), math.inf
    for proxy in (r**2, ranges):
        level = float(proxy[1:fitted].mean())
        if level <= 0.0:
            continue
        for decay in _DECAYS:
            moving = _average(proxy * (mean / level), decay, mean)
            for share in _CONSTANT:
                v = np.maximum((1.0 - share) * moving + share * mean, _EVEN * mean)
                now, following = v[: fitted - 1], r[1:fitted] ** 2
                loss = float(np.mean(np.log(now) + following / now))
                if loss < least:
                    best, least = v, loss
    return best


def _average(values: FloatArray, decay: float, begin: float) -> FloatArray:
    from scipy.signal import lfilter

    found, _ = lfilter([1.0 - decay], [1.0, -decay], values, zi=[decay * begin])
    return np.asarray(found, dtype=np.float64)
