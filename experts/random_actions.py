"""Random actions: uniform over the whole action range, the floor of every comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.experts.interface import Columns, Expert, ExpertParams
from offline_trader.types import FloatArray

__all__ = ["RandomParams", "decide", "make"]


@dataclass(frozen=True)
class RandomParams(ExpertParams):
    """Attributes:
    probability: share of the bars with a uniform action; the others hold the position.
    """

    probability: float = 1.0

    def __post_init__(self) -> None:
        self.require(
            0.0 < self.probability <= 1.0, f"probability = {self.probability}", "in (0, 1]"
        )


def decide(features: Columns, portfolio: Columns, params: RandomParams) -> FloatArray:
    """Zero orders [N]: the draws come from the expert's exploration, which has its own seed."""
    return np.zeros(portfolio.rows)


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    values = RandomParams(**params)  # type: ignore[arg-type]
    return Expert(
        name="random",
        summary="uniform over the action range, with its own seed",
        decide=decide,
        params=values,
        space="order",
        exploration=values.probability,
    )
