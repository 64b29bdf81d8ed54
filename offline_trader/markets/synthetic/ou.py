"""The log price is an Ornstein–Uhlenbeck process, or a random walk: the best policy is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from offline_trader.markets.bars import Bars
from offline_trader.markets.synthetic.bridge import bridge_extremes
from offline_trader.markets.synthetic.kernels import ar1
from offline_trader.markets.synthetic.law import require
from offline_trader.types import FloatArray

__all__ = ["OuMarket", "RandomWalk", "ou_market"]

_START = np.datetime64("2000-01-01T00:00:00", "ns")
_HOUR = np.timedelta64(3_600_000_000_000, "ns")
_LONGEST = 2_000_000  # hours until the end of what datetime64[ns] holds


@dataclass(frozen=True)
class OuMarket:
    """Parameters of a market whose log price is an Ornstein–Uhlenbeck process.

    ``y_{t+1} = (1 − k) y_t + sigma ε_{t+1}``, ``ε ~ N(0, 1)``, ``close_t = level · exp(y_t)``,
    ``open_{t+1} = close_t``: a decision at t fills at the price that it saw.

    Attributes:
        bars: number of bars T, an hour each.
        seed: of the market's own random stream.
        k: share of the distance to the mean that a bar takes back; 0 is a random walk.
        sigma: standard deviation of the noise of one bar, log price.
        level: price at y = 0, quote currency.
        volume: units in every bar.
    """

    bars: int = 50_000
    seed: int = 0
    k: float = 0.05
    sigma: float = 0.01
    level: float = 100.0
    volume: float = 1_000.0

    def __post_init__(self) -> None:
        require(self, "bars", 2 <= self.bars <= _LONGEST, f"2 to {_LONGEST}")
        require(self, "seed", self.seed >= 0, "0 or more")
        require(self, "k", 0.0 <= self.k < 1.0, "0 <= k < 1")
        require(self, "sigma", 0.0 < self.sigma <= 1.0, "0 < sigma <= 1")
        require(self, "level", 0.0 < self.level < math.inf, "a price above 0")
        require(self, "volume", 0.0 <= self.volume < math.inf, "0 or more")

    def make(self, symbol: str = "ou") -> Bars:
        """:func:`ou_market` of this law."""
        return ou_market(self, symbol)


@dataclass(frozen=True)
class RandomWalk:
    """:class:`OuMarket` with ``k = 0``: nothing can be earned from it. The attributes are its."""

    bars: int = 50_000
    seed: int = 0
    sigma: float = 0.01
    level: float = 100.0
    volume: float = 1_000.0

    def __post_init__(self) -> None:
        self.law()

    def law(self) -> OuMarket:
        """The same market as a process whose pull is 0."""
        return OuMarket(self.bars, self.seed, 0.0, self.sigma, self.level, self.volume)

    def make(self, symbol: str = "walk") -> Bars:
        """Its bars."""
        return ou_market(self.law(), symbol)


def ou_market(market: OuMarket, symbol: str = "ou") -> Bars:
    """Bars of ``market``: the same seed gives the same bytes.

    The first value is drawn from the stationary law (0 for a random walk). High and low come from
    a Brownian bridge of 16 steps between open and close.

    Raises:
        DataError: a random walk so long or wild that a price leaves the range of numbers.
    """
    path_noise, bridge_noise = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(market.seed).spawn(2)
    )
    log_price = _path(market, path_noise)
    high, low = bridge_extremes(log_price[:-1], log_price[1:], market.sigma, bridge_noise)
    with np.errstate(over="ignore"):
        opened, close, top, bottom = (
            market.level * np.exp(y) for y in (log_price[:-1], log_price[1:], high, low)
        )
    return Bars(
        symbol=symbol,
        timestamps=_START + _HOUR * np.arange(market.bars),
        open=opened,
        high=top,
        low=bottom,
        close=close,
        volume=np.full(market.bars, market.volume),
        periods_per_year=24.0 * 365.0,
        source=f"synthetic:{symbol}",
    )


def _path(market: OuMarket, noise: np.random.Generator) -> FloatArray:
    """[T + 1] log price relative to the level, from the close before the first bar on."""
    keep = 1.0 - market.k
    shocks = market.sigma * noise.standard_normal(market.bars + 1)
    shocks[0] = shocks[0] / math.sqrt(1.0 - keep * keep) if market.k > 0.0 else 0.0
    return ar1(shocks, keep)
