"""Technical rules over RSI, MACD, Bollinger bands, ADX and volume: buys dips, sells strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from offline_trader.experts.interface import HELD, Columns, Expert, ExpertParams
from offline_trader.types import FloatArray

__all__ = ["TechnicalParams", "decide", "make"]


@dataclass(frozen=True)
class TechnicalParams(ExpertParams):
    """Sizes are order actions; thresholds are in the indicator's usual unit.

    Attributes:
        large, medium, small: share of cash to buy for when flat.
        add: share of the remaining cash to add to a winning position.
        part: share of the position to sell on moderate strength.
        macd: which MACD the rules read after the first: its ``line`` (fast − slow average) or
            the ``histogram`` (line − signal).
    """

    large: float = 1.0
    medium: float = 0.6
    small: float = 0.3
    add: float = 0.4
    part: float = 0.5
    macd: Literal["line", "histogram"] = "histogram"

    def __post_init__(self) -> None:
        for name in ("large", "medium", "small", "add", "part"):
            size = getattr(self, name)
            self.require(0.0 < size <= 1.0, f"{name} = {size}", "a share in (0, 1]")
        self.require(self.macd in ("line", "histogram"), f"macd = {self.macd!r}", "line, histogram")


def decide(features: Columns, portfolio: Columns, params: TechnicalParams) -> FloatArray:
    """Orders [N]; the first rule in this list that holds wins.

    Flat: RSI < 30, MACD histogram > 0, Bollinger position < .2, volume > 1.5 × its 20-bar mean →
    ``large``; RSI < 40, MACD > 0, ADX/100 > .5 → ``medium``; RSI < 50, MACD > 0 → ``small``.
    Holding: RSI > 70, MACD < 0, Bollinger position > .8 → sell all; RSI > 65, MACD < 0 → sell
    ``part``; in profit (unrealised return > 0), RSI < 50, MACD > 0, ADX/100 > .7 → ``add``.
    """
    rsi = 100.0 * features["rsi_14"]
    histogram = features["macd_hist"]
    macd = histogram if params.macd == "histogram" else features["macd"]
    band = features["bollinger_position"]
    adx = features["adx_14"]
    volume = features["volume_ratio_20"]
    held = np.abs(portfolio["exposure"]) > HELD
    winning = portfolio["unrealised_return"] > 0.0
    flat = ~held
    order = np.zeros(len(rsi))
    # From the weakest rule to the strongest, so that the strongest that holds is what stays.
    order[flat & (rsi < 50) & (macd > 0)] = params.small
    order[flat & (rsi < 40) & (macd > 0) & (adx > 0.5)] = params.medium
    order[flat & (rsi < 30) & (histogram > 0) & (band < 0.2) & (volume > 1.5)] = params.large
    order[held & winning & (rsi < 50) & (macd > 0) & (adx > 0.7)] = params.add
    order[held & (rsi > 65) & (macd < 0)] = -params.part
    order[held & (rsi > 70) & (macd < 0) & (band > 0.8)] = -1.0
    return order


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    return Expert(
        name="technical",
        summary="RSI, MACD, Bollinger, ADX and volume rules: buys dips, sells strength",
        decide=decide,
        params=TechnicalParams(**params),  # type: ignore[arg-type]
        space="order",
    )
