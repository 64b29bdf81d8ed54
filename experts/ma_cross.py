"""Trend by moving averages: long while the 50-bar average is above the 200-bar average."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.experts.interface import Columns, Expert, ExpertParams
from offline_trader.types import FloatArray

__all__ = ["MaCrossParams", "decide", "make"]


@dataclass(frozen=True)
class MaCrossParams(ExpertParams):
    """Attributes:
    band: log distance of the averages inside which the position is kept.
    long_weight: target weight above the band.
    short_weight: magnitude of the short weight below the band; 0 is flat. Long-only action
        modes read a short as flat.
    """

    band: float = 0.0
    long_weight: float = 1.0
    short_weight: float = 0.0

    def __post_init__(self) -> None:
        self.require(self.band >= 0.0, f"band = {self.band}", "a log distance ≥ 0")
        for name in ("long_weight", "short_weight"):
            weight = getattr(self, name)
            self.require(0.0 <= weight <= 1.0, f"{name} = {weight}", "a weight in [0, 1]")


def decide(features: Columns, portfolio: Columns, params: MaCrossParams) -> FloatArray:
    """Target weights [N] from ``sma_cross_50_200``, log(50-bar average / 200-bar average)."""
    cross = features["sma_cross_50_200"]
    target = np.where(cross > params.band, params.long_weight, portfolio["exposure"])
    return np.where(cross < -params.band, -params.short_weight, target)


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    return Expert(
        name="ma_cross",
        summary="trend: long while the 50-bar average is above the 200-bar average",
        decide=decide,
        params=MaCrossParams(**params),  # type: ignore[arg-type]
        space="target",
    )
