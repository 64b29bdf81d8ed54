"""Trend by breakout: enters at a 55-bar extreme, leaves at the opposite 20-bar extreme."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.experts.interface import HELD, Columns, Expert, ExpertParams
from offline_trader.types import FloatArray

__all__ = ["DonchianParams", "decide", "make"]


@dataclass(frozen=True)
class DonchianParams(ExpertParams):
    """Attributes:
    edge: distance inside the channel's edge, as a share of its width, that counts as a break.
    long_weight: target weight after a break upwards.
    short_weight: magnitude of the short weight after a break downwards; 0 is flat.
    """

    edge: float = 0.0
    long_weight: float = 1.0
    short_weight: float = 0.0

    def __post_init__(self) -> None:
        self.require(0.0 <= self.edge < 0.5, f"edge = {self.edge}", "a share in [0, 0.5)")
        for name in ("long_weight", "short_weight"):
            weight = getattr(self, name)
            self.require(0.0 <= weight <= 1.0, f"{name} = {weight}", "a weight in [0, 1]")


def decide(features: Columns, portfolio: Columns, params: DonchianParams) -> FloatArray:
    """Target weights [N]; between the channels the position is kept as it is.

    Reads ``donchian_position_55`` to enter and ``donchian_position_20`` to leave: 0 at the low
    and 1 at the high of the bars before t, beyond them outside.
    """
    slow, fast = features["donchian_position_55"], features["donchian_position_20"]
    exposure = portfolio["exposure"]
    top, bottom = 1.0 - params.edge, params.edge
    left = ((exposure > HELD) & (fast <= bottom)) | ((exposure < -HELD) & (fast >= top))
    target = np.where(left | (np.abs(exposure) <= HELD), 0.0, exposure)
    target = np.where((slow >= top) & (exposure <= HELD), params.long_weight, target)
    broken = (slow <= bottom) & (exposure >= -HELD)
    return np.where(broken, -params.short_weight, target)


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    return Expert(
        name="donchian",
        summary="trend: enters at a 55-bar extreme, leaves at the opposite 20-bar extreme",
        decide=decide,
        params=DonchianParams(**params),  # type: ignore[arg-type]
        space="target",
    )
