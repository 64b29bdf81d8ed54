"""What returns of real markets have in common, as numbers (Cont 2001, "Empirical properties of
asset returns: stylized facts and statistical issues")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.errors import DataError
from offline_trader.markets.bars import Bars
from offline_trader.types import FloatArray

__all__ = ["StylisedFacts", "autocorrelation", "stylised_facts"]

_LEAST = 100
_LARGEST = 0.05
"""Share of the moves of which the Hill index is taken."""


@dataclass(frozen=True)
class StylisedFacts:
    """Of log returns r from close to close.

    Attributes:
        volatility: standard deviation a year.
        excess_kurtosis: 0 for a normal law.
        hill_index: tail exponent of the largest 5 % of |r| (Hill 1975).
        acf_moves_1, acf_moves_20: autocorrelation of |r| at lags 1 and 20.
        acf_returns_1: autocorrelation of r at lag 1.
        leverage: correlation of r with the next bar's r².
        volume_moves: correlation of |r| with log volume less its median over a year around it
            that only looks back; NaN where there is no volume.
    """

    volatility: float
    excess_kurtosis: float
    hill_index: float
    acf_moves_1: float
    acf_moves_20: float
    acf_returns_1: float
    leverage: float
    volume_moves: float


def stylised_facts(bars: Bars) -> StylisedFacts:
    """The facts of ``bars``.

    Raises:
        DataError: fewer than 100 bars, or prices that do not move.
    """
    if len(bars) < _LEAST:
        raise DataError(f"{bars.name}: {len(bars)} bars", expected=f"at least {_LEAST}")
    r = np.diff(np.log(bars.close))
    if float(r.std()) == 0.0:
        raise DataError(f"{bars.name}: prices do not move", expected="returns that vary")
    moves = np.abs(r)
    z = (r - r.mean()) / r.std()
    return StylisedFacts(
        volatility=float(r.std() * np.sqrt(bars.periods_per_year)),
        excess_kurtosis=float((z**4).mean() - 3.0),
        hill_index=_hill(moves),
        acf_moves_1=float(autocorrelation(moves, 1)[1]),
        acf_moves_20=float(autocorrelation(moves, 20)[20]),
        acf_returns_1=float(autocorrelation(r, 1)[1]),
        leverage=float(np.corrcoef(r[:-1], r[1:] ** 2)[0, 1]),
        volume_moves=_volume_moves(bars.volume[1:], moves, round(bars.periods_per_year)),
    )


def autocorrelation(x: FloatArray, lags: int) -> FloatArray:
    """[lags + 1] autocorrelations of [T] values, lag 0 first."""
    centred = x - x.mean()
    total = float(centred @ centred)
    return np.array([float(centred[k:] @ centred[: len(x) - k]) / total for k in range(lags + 1)])


def _hill(moves: FloatArray) -> float:
    largest = np.sort(moves)[::-1][: max(2, int(_LARGEST * len(moves))) + 1]
    largest = largest[largest > 0.0]
    return float(1.0 / np.log(largest[:-1] / largest[-1]).mean())


def _volume_moves(volume: FloatArray, moves: FloatArray, window: int) -> float:
    import pandas as pd

    known = volume > 0.0
    if known.sum() < _LEAST:
        return float("nan")
    logs = pd.Series(np.log(volume[known]))
    usual = logs.rolling(min(max(window, 2), len(logs) // 2), min_periods=2).median()
    beside = (logs - usual).to_numpy()[1:]
    return float(np.corrcoef(beside, moves[known][1:])[0, 1])
