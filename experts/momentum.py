"""Time-series momentum: the sign of the 12-month return, sized to a volatility target.

Source: Moskowitz, Ooi, Pedersen (2012), "Time series momentum", J. Financial Economics 104.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.experts.interface import Columns, Expert, ExpertParams
from offline_trader.experts.volatility_target import keep_inside_band, volatility_weight
from offline_trader.types import FloatArray

__all__ = ["MomentumParams", "decide", "make"]


@dataclass(frozen=True)
class MomentumParams(ExpertParams):
    """Attributes:
    target_volatility: annual volatility that the position is sized to.
    periods_per_year: bars a year, to annualise ``volatility_60``; 0: the market's own, or
        252 where no market is known.
    max_weight: largest magnitude of the weight.
    short: whether a negative 12-month return goes short; otherwise it is flat.
    band: change of weight below which the position is kept.
    """

    target_volatility: float = 0.15
    periods_per_year: float = 0.0
    max_weight: float = 1.0
    short: bool = True
    band: float = 0.1

    def __post_init__(self) -> None:
        self.require(self.target_volatility > 0, f"{self.target_volatility=}", "above 0")
        self.require(self.periods_per_year >= 0, f"{self.periods_per_year=}", "0 or more")
        self.require(0 < self.max_weight <= 1, f"{self.max_weight=}", "a weight in (0, 1]")
        self.require(0 <= self.band < 1, f"{self.band=}", "a weight in [0, 1)")


def decide(features: Columns, portfolio: Columns, params: MomentumParams) -> FloatArray:
    """Target weights [N]: sign(return over 252 bars) · min(max, target / realised volatility)."""
    sign = np.sign(features["return_252"])
    if not params.short:
        sign = np.maximum(sign, 0.0)
    size = volatility_weight(
        features["volatility_60"],
        params.target_volatility,
        params.periods_per_year,
        params.max_weight,
    )
    return keep_inside_band(sign * size, portfolio["exposure"], params.band)


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    return Expert(
        name="momentum",
        summary="sign of the 12-month return, sized to a volatility target",
        decide=decide,
        params=MomentumParams(**params),  # type: ignore[arg-type]
        space="target",
    )
