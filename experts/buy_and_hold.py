"""Buy and hold: a fixed weight bought once and then left alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.experts.interface import HELD, Columns, Expert, ExpertParams
from offline_trader.types import FloatArray

__all__ = ["BuyAndHoldParams", "decide", "make"]


@dataclass(frozen=True)
class BuyAndHoldParams(ExpertParams):
    """Attributes:
    weight: share of equity to buy for.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        self.require(0.0 < self.weight <= 1.0, f"weight = {self.weight}", "a weight in (0, 1]")


def decide(features: Columns, portfolio: Columns, params: BuyAndHoldParams) -> FloatArray:
    """Target weights [N]: ``weight`` when flat, the present exposure once a position is held."""
    exposure = portfolio["exposure"]
    return np.where(np.abs(exposure) > HELD, exposure, params.weight)


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    return Expert(
        name="buy_and_hold",
        summary="buys once and holds",
        decide=decide,
        params=BuyAndHoldParams(**params),  # type: ignore[arg-type]
        space="target",
    )
