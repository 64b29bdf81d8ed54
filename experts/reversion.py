"""Mean reversion by Bollinger bands: enters below the lower band, leaves at the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.experts.interface import HELD, Columns, Expert, ExpertParams
from offline_trader.types import FloatArray

__all__ = ["ReversionParams", "decide", "make"]


@dataclass(frozen=True)
class ReversionParams(ExpertParams):
    """Attributes:
    entry: Bollinger position (0 lower band, 1 upper band) below which to go long.
    exit: position above which a long is closed; a short mirrors both at 1 − x.
    long_weight: target weight of a long.
    short_weight: magnitude of a short's weight above 1 − entry; 0 never goes short.
    """

    entry: float = 0.05
    exit: float = 0.6
    long_weight: float = 1.0
    short_weight: float = 0.0

    def __post_init__(self) -> None:
        self.require(
            self.entry < self.exit, f"entry = {self.entry}, exit = {self.exit}", "entry < exit"
        )
        for name in ("long_weight", "short_weight"):
            weight = getattr(self, name)
            self.require(0.0 <= weight <= 1.0, f"{name} = {weight}", "a weight in [0, 1]")


def decide(features: Columns, portfolio: Columns, params: ReversionParams) -> FloatArray:
    """Target weights [N]; between entry and exit the position is kept as it is."""
    band = features["bollinger_position"]
    exposure = portfolio["exposure"]
    long, short = exposure > HELD, exposure < -HELD
    keep = (long & (band < params.exit)) | (short & (band > 1.0 - params.exit))
    target = np.where(keep, exposure, 0.0)
    target = np.where((band < params.entry) & ~long, params.long_weight, target)
    if params.short_weight > 0.0:
        target = np.where((band > 1.0 - params.entry) & ~short, -params.short_weight, target)
    return target


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    return Expert(
        name="reversion",
        summary="mean reversion: enters below the lower Bollinger band, leaves at the middle",
        decide=decide,
        params=ReversionParams(**params),  # type: ignore[arg-type]
        space="target",
    )
