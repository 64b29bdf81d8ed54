"""Synthetic markets whose law is known: ``synthetic:ou?bars=50000&seed=1``, ``synthetic:walk``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from offline_trader.errors import ConfigError, did_you_mean
from offline_trader.markets.bars import Bars
from offline_trader.types import FloatArray

__all__ = ["SYNTHETIC_MARKETS", "OuMarket", "make_synthetic", "ou_market", "synthetic_law"]

SYNTHETIC_MARKETS: dict[str, str] = {
    "ou": "log price reverts to its mean: y' = (1 - k) y + sigma e, k = 0.05",
    "walk": "log price is a random walk (k = 0): nothing can be earned from it",
}

_START = np.datetime64("2000-01-01T00:00:00", "ns")
_HOUR = np.timedelta64(3_600_000_000_000, "ns")
_LONGEST = 2_000_000  # hours until the end of what datetime64[ns] holds
_BRIDGE_STEPS = 16


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
        wrong = [
            (not 2 <= self.bars <= _LONGEST, "bars", f"2 to {_LONGEST}"),
            (self.seed < 0, "seed", "0 or more"),
            (not 0.0 <= self.k < 1.0, "k", "0 <= k < 1"),
            (not 0.0 < self.sigma <= 1.0, "sigma", "0 < sigma <= 1"),
            (not 0.0 < self.level < math.inf, "level", "a price above 0"),
            (not 0.0 <= self.volume < math.inf, "volume", "0 or more"),
        ]
        for bad, name, expected in wrong:
            if bad:
                raise ConfigError(
                    f"synthetic market: {name} = {getattr(self, name)}", expected=expected
                )


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
    high, low = _extremes(log_price, market.sigma, bridge_noise)
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
    from scipy.signal import lfilter

    keep = 1.0 - market.k
    shocks = market.sigma * noise.standard_normal(market.bars + 1)
    shocks[0] = shocks[0] / math.sqrt(1.0 - keep * keep) if market.k > 0.0 else 0.0
    return np.asarray(lfilter([1.0], [1.0, -keep], shocks), dtype=np.float64)


def _extremes(
    log_price: FloatArray, sigma: float, noise: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Highest and lowest log price [T] of each bar, on a bridge from its open to its close."""
    start, end = log_price[:-1], log_price[1:]
    high, low = np.maximum(start, end), np.minimum(start, end)
    here = start.copy()
    for step in range(1, _BRIDGE_STEPS):
        left = _BRIDGE_STEPS - step + 1
        spread = sigma * math.sqrt((left - 1) / left / _BRIDGE_STEPS)
        here = here + (end - here) / left + spread * noise.standard_normal(len(here))
        np.maximum(high, here, out=high)
        np.minimum(low, here, out=low)
    return high, low


def make_synthetic(name: str, parameters: Mapping[str, str]) -> Bars:
    """Bars of the synthetic market ``name`` with ``parameters`` as text, as a source has them.

    Raises:
        ConfigError: as :func:`synthetic_law`.
    """
    return ou_market(synthetic_law(name, parameters), name)


def synthetic_law(name: str, parameters: Mapping[str, str]) -> OuMarket:
    """The law of the synthetic market ``name`` with ``parameters`` as text.

    Raises:
        ConfigError: an unknown market or parameter, or a value that is no number.
    """
    if name not in SYNTHETIC_MARKETS:
        raise ConfigError(
            f"unknown synthetic market {name!r}",
            expected=f"one of {', '.join(SYNTHETIC_MARKETS)}, as in synthetic:ou?bars=50000&seed=1",
        )
    known = {field.name for field in fields(OuMarket)} - ({"k"} if name == "walk" else set())
    values: dict[str, int | float] = {"k": 0.0} if name == "walk" else {}
    for key, text in parameters.items():
        if key not in known:
            raise ConfigError(
                f"synthetic:{name} has no parameter {key!r}",
                expected=", ".join(sorted(known)),
                hint=did_you_mean(key, sorted(known)),
            )
        try:
            values[key] = int(text) if key in ("bars", "seed") else float(text)
        except ValueError:
            raise ConfigError(f"synthetic:{name}: {key} is {text!r}", expected="a number") from None
    return OuMarket(**values)  # type: ignore[arg-type]
