"""Volatility target: always long, with a weight inverse to the realised volatility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.experts.interface import HELD, Columns, Expert, ExpertParams
from offline_trader.types import FloatArray

__all__ = ["VolatilityTargetParams", "decide", "keep_inside_band", "make", "volatility_weight"]

_TRADING_DAYS = 252.0


@dataclass(frozen=True)
class VolatilityTargetParams(ExpertParams):
    """Attributes:
    target_volatility: annual volatility that the position is sized to.
    periods_per_year: bars a year, to annualise ``volatility_20``; 0: the market's own, or
        252 where no market is known.
    max_weight: largest weight.
    band: change of weight below which the position is kept.
    """

    target_volatility: float = 0.12
    periods_per_year: float = 0.0
    max_weight: float = 1.0
    band: float = 0.1

    def __post_init__(self) -> None:
        self.require(self.target_volatility > 0, f"{self.target_volatility=}", "above 0")
        self.require(self.periods_per_year >= 0, f"{self.periods_per_year=}", "0 or more")
        self.require(0 < self.max_weight <= 1, f"{self.max_weight=}", "a weight in (0, 1]")
        self.require(0 <= self.band < 1, f"{self.band=}", "a weight in [0, 1)")


def volatility_weight(
    volatility: FloatArray, target: float, periods_per_year: float, max_weight: float
) -> FloatArray:
    """min(max_weight, target / (volatility · √periods_per_year)) [N].

    Args:
        volatility: [N] standard deviation of log returns per bar; 0 gives ``max_weight``.
        target: annual volatility.
        periods_per_year: bars a year; 0 is read as 252.
        max_weight: largest weight.
    """
    annual = volatility * np.sqrt(periods_per_year or _TRADING_DAYS)
    floor = target / max_weight
    return np.asarray(target / np.maximum(annual, floor), dtype=np.float64)


def keep_inside_band(target: FloatArray, exposure: FloatArray, band: float) -> FloatArray:
    """``target`` [N], or the present exposure where the two differ by less than ``band``.

    Entering from flat, leaving to flat and changing sides are never held back.
    """
    same_side = (np.sign(target) == np.sign(exposure)) & (np.abs(exposure) > HELD)
    return np.where(same_side & (np.abs(target - exposure) < band), exposure, target)


def decide(features: Columns, portfolio: Columns, params: VolatilityTargetParams) -> FloatArray:
    """Target weights [N] from ``volatility_20``, with a no-trade band."""
    weight = volatility_weight(
        features["volatility_20"],
        params.target_volatility,
        params.periods_per_year,
        params.max_weight,
    )
    return keep_inside_band(weight, portfolio["exposure"], params.band)


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    return Expert(
        name="volatility_target",
        summary="always long, with a weight inverse to the realised volatility",
        decide=decide,
        params=VolatilityTargetParams(**params),  # type: ignore[arg-type]
        space="target",
    )
