"""Bars that look like those of a real market, with a signal of a known strength in them.

The log return of a bar, with the market's standard deviation of a bar s:

    r_t = σ_t·(μ(g_t) + c·d_{t−1} + √(1 − c²)·z_t) + jump_t − σ_t²/2,   σ_t = s·m(g_t)·√h_t

``z`` are t-distributed shocks of variance 1; ``h`` is GJR-GARCH(1, 1) of mean 1 (Glosten,
Jagannathan & Runkle 1993), ``h_t = ω + (α + γ·[z_{t−1} < 0])·h_{t−1}·z²_{t−1} + β·h_{t−1}``, so
that falls raise the volatility more than rises; ``g`` is a regime that lasts a geometric time and
has a drift μ and a volatility m of its own; ``d`` is an AR(1) process of variance 1 that is known
before the bar begins, and ``c`` its correlation with the bar's standardised return (the
information coefficient); jumps are rare and Gaussian. A part of the variance falls between the
close and the next open; high and low come from a Brownian bridge; log volume is AR(1) and rises
with |r|. With ``signal = 0`` and ``regime`` ``none`` or ``steady`` nothing can be earned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from offline_trader.markets.bars import Bars, TimeArray
from offline_trader.markets.synthetic.bridge import bridge_extremes
from offline_trader.markets.synthetic.kernels import (
    ar1,
    lasting,
    opens_and_closes,
    turbulent_returns,
)
from offline_trader.markets.synthetic.law import require
from offline_trader.markets.synthetic.streams import spawned_streams
from offline_trader.types import FloatArray, IntArray

__all__ = ["REGIME_MIXTURES", "TurbulentMarket", "TurbulentPath", "turbulent_market"]

REGIME_FORMS: tuple[tuple[str, float, float], ...] = (
    ("bull", 1.0, 0.8),
    ("bear", -1.0, 1.3),
    ("sideways", 0.0, 0.9),
    ("turbulent", 0.0, 1.7),
)
"""Name, drift as a Sharpe ratio a year, and volatility relative to the market's."""
REGIME_MIXTURES: Mapping[str, tuple[float, ...]] = {
    "steady": (0.0, 0.0, 1.0, 0.0),
    "none": (0.0, 0.0, 0.8, 0.2),
    "bull": (0.8, 0.2, 0.0, 0.0),
    "mixed_bullish": (0.5, 0.2, 0.2, 0.1),
    "sideways": (0.2, 0.2, 0.5, 0.1),
    "mixed_bearish": (0.2, 0.5, 0.2, 0.1),
    "all": (0.25, 0.25, 0.25, 0.25),
}
"""How often the next regime is each of :data:`REGIME_FORMS`; both bull and bear occur, or
neither. ``steady`` leaves all change of volatility to GARCH."""
_DRIFTS, _SPREADS = (np.array([each[k] for each in REGIME_FORMS]) for k in (1, 2))

_BUSINESS_DAYS_A_YEAR = 252.0
_START = np.datetime64("1970-01-01", "D")
_START_WEEKDAY = 3
"""Of :data:`_START`, a Thursday, counted from Monday."""
_END = np.datetime64("2262-01-01", "D")
_DAY_NS = 86_400_000_000_000
_YEAR_NS = 365.25 * _DAY_NS
_WIDEST_SHOCK = 10.0
"""Of ``z``, in standard deviations: the exponential of a t-distributed number has no mean."""
_WARM_UP = 500
"""Bars before the first one, in which volatility, signal and volume forget how they began."""


@dataclass(frozen=True)
class TurbulentMarket:
    """Parameters of the law above.

    Attributes:
        bars: T.
        seed: of the market's own random streams.
        bars_per_year: 252 are business days; any other number are equal spaces around the clock.
        volatility: standard deviation of log returns a year, jumps and regimes included.
        signal: c, information coefficient of ``d``, in [0, 1).
        persistence: AR(1) coefficient of ``d`` from bar to bar.
        regime: one of :data:`REGIME_MIXTURES`.
        regime_bars: mean length of a regime.
        alpha, gamma, beta: of GJR-GARCH; ``alpha + gamma/2 + beta < 1``.
        tail: degrees of freedom of the shocks, above 2.
        jumps: a year, on average.
        jump_size: standard deviation of a jump in those of a bar.
        overnight: share of a bar's variance between the close before it and its open.
        level: close before the first bar, quote currency.
        volume: median units a bar.
        volume_persistence, volume_response, volume_noise: of log volume: its AR(1) coefficient,
            what it gains for each standard deviation of |r|, and the deviation of its own shocks.
    """

    bars: int = 5_000
    seed: int = 0
    bars_per_year: float = 252.0
    volatility: float = 0.18
    signal: float = 0.0
    persistence: float = 0.95
    regime: str = "none"
    regime_bars: float = 120.0
    alpha: float = 0.02
    gamma: float = 0.14
    beta: float = 0.89
    tail: float = 6.0
    jumps: float = 2.0
    jump_size: float = 3.0
    overnight: float = 0.2
    level: float = 100.0
    volume: float = 1e6
    volume_persistence: float = 0.8
    volume_response: float = 0.1
    volume_noise: float = 0.2

    def __post_init__(self) -> None:
        require(self, "bars_per_year", 1.0 <= self.bars_per_year <= 1e7, "1 to 10,000,000")
        longest = self._longest()
        require(self, "bars", 2 <= self.bars <= longest, f"2 to {longest:,}, before the year 2262")
        require(self, "seed", self.seed >= 0, "0 or more")
        require(self, "volatility", 0.0 < self.volatility <= 5.0, "0 < volatility <= 5")
        require(self, "regime", self.regime in REGIME_MIXTURES, ", ".join(REGIME_MIXTURES))
        require(self, "regime_bars", 1.0 <= self.regime_bars < math.inf, "1 or more")
        require(self, "tail", 2.0 < self.tail < math.inf, "more than 2")
        for name in ("alpha", "gamma", "beta"):
            require(self, name, 0.0 <= getattr(self, name) <= 2.0, "0 to 2")
        for name in ("jumps", "jump_size", "volume_response"):
            require(self, name, 0.0 <= getattr(self, name) <= 1e6, "0 to 1,000,000")
        total = self.alpha + self.gamma / 2.0 + self.beta
        require(self, "beta", total < 1.0, f"alpha + gamma/2 + beta < 1, not {total:g}")
        for name in ("signal", "persistence", "overnight", "volume_persistence"):
            require(self, name, 0.0 <= getattr(self, name) < 1.0, f"0 <= {name} < 1")
        require(self, "volume_noise", 0.0 <= self.volume_noise <= 5.0, "0 to 5")
        require(self, "level", 0.0 < self.level < math.inf, "a price above 0")
        require(self, "volume", 0.0 <= self.volume < math.inf, "0 or more")

    def _longest(self) -> int:
        if self.bars_per_year == _BUSINESS_DAYS_A_YEAR:
            return int(np.busday_count(_START, _END))
        return int((_END - _START).astype(int) / 365.25 * self.bars_per_year)

    def make(self, symbol: str = "turbulent") -> Bars:
        """The bars of :func:`turbulent_market`."""
        return _Drawn.of(self).bars(self, symbol)


@dataclass(frozen=True, eq=False)
class TurbulentPath:
    """A market with what made it.

    Attributes:
        bars: T bars.
        signal: [T] d at the close of each bar: what is known of the next.
        regime: [T] number in ``REGIME_FORMS`` that the next bar belongs to.
        expected: [T] expected log return of the next bar given both, before volatility's part.
        deviation: [T] standard deviation σ of each bar.
    """

    bars: Bars
    signal: FloatArray
    regime: IntArray
    expected: FloatArray
    deviation: FloatArray


def turbulent_market(market: TurbulentMarket, symbol: str = "turbulent") -> TurbulentPath:
    """Bars of ``market`` and the states behind them; the same seed gives the same bytes.

    Raises:
        DataError: a path so wild that a price leaves the range of numbers.
    """
    drawn = _Drawn.of(market)
    kept, beyond = slice(_WARM_UP + 1, None), slice(_WARM_UP + 2, None)
    following = np.append(drawn.regimes[beyond], drawn.regimes[-1])
    signal, sigma = drawn.signal[kept], drawn.sigma
    ahead = _DRIFTS[following] / math.sqrt(market.bars_per_year) + market.signal * signal
    expected = ahead * np.append(sigma[beyond], sigma[-1])
    return TurbulentPath(drawn.bars(market, symbol), signal, following, expected, sigma[kept])


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A market's path with the bars before the first one.

    Attributes:
        returns, sigma: [n] log returns and their standard deviations.
        signal: [n] d.
        regimes: [n] numbers in ``REGIME_FORMS``.
        noise: of high and low, of opens, of volumes.
    """

    returns: FloatArray
    sigma: FloatArray
    signal: FloatArray
    regimes: IntArray
    noise: tuple[np.random.Generator, np.random.Generator, np.random.Generator]

    @classmethod
    def of(cls, market: TurbulentMarket) -> _Drawn:
        """The path of ``market``."""
        shocks, signals, regimes, jumps, *noise = spawned_streams(market.seed, 7)
        n = market.bars + 1 + _WARM_UP
        rate, shares = market.jumps / market.bars_per_year, np.array(REGIME_MIXTURES[market.regime])
        scale = math.sqrt(float(shares @ _SPREADS**2) + min(rate, 1.0) * market.jump_size**2)
        unit = market.volatility / math.sqrt(market.bars_per_year) / scale
        d = _signal(market.persistence, n, signals)
        g = _regimes(shares, 1.0 / market.regime_bars, n, regimes)
        r, sigma = turbulent_returns(
            _shocks(market.tail, n, shocks),
            (market.alpha, market.gamma, market.beta),
            d,
            (market.signal, math.sqrt(1.0 - market.signal**2)),
            g,
            _DRIFTS / math.sqrt(market.bars_per_year),
            unit * _SPREADS,
            _jumps(rate, market.jump_size, unit, n, jumps),
        )
        return cls(r, sigma, d, g, (noise[0], noise[1], noise[2]))

    def bars(self, market: TurbulentMarket, symbol: str) -> Bars:
        """What is seen of it."""
        r, sigma = self.returns[_WARM_UP + 1 :], self.sigma[_WARM_UP + 1 :]
        bridge, gaps, volumes = self.noise
        opened, close = opens_and_closes(r, sigma, gaps.standard_normal(len(r)), market.overnight)
        inside = math.sqrt(1.0 - market.overnight) * sigma
        high, low = bridge_extremes(opened, close, inside, bridge)
        with np.errstate(over="ignore"):
            prices = [market.level * np.exp(y) for y in (opened, high, low, close)]
            volume = _volume(market, np.abs(r) / sigma.mean(), volumes)
        return Bars(
            symbol=symbol,
            timestamps=_stamps(market),
            open=prices[0],
            high=prices[1],
            low=prices[2],
            close=prices[3],
            volume=volume,
            periods_per_year=market.bars_per_year,
            source=f"synthetic:{symbol}",
        )


def _shocks(tail: float, n: int, noise: np.random.Generator) -> FloatArray:
    z = noise.standard_t(tail, n) * math.sqrt((tail - 2.0) / tail)
    return np.clip(z, -_WIDEST_SHOCK, _WIDEST_SHOCK)


def _signal(persistence: float, n: int, noise: np.random.Generator) -> FloatArray:
    e = noise.standard_normal(n)
    e[1:] *= math.sqrt(1.0 - persistence**2)
    return ar1(e, persistence)


def _regimes(shares: FloatArray, chance: float, n: int, noise: np.random.Generator) -> IntArray:
    """[n] regimes: with ``chance`` a bar begins a new one, which may be the same again."""
    bounds = shares.cumsum()
    return lasting(noise.random(n), noise.random(n), bounds / bounds[-1], chance)


def _jumps(rate: float, size: float, unit: float, n: int, noise: np.random.Generator) -> FloatArray:
    """[n] log jumps, or [0]: there are none."""
    if rate == 0.0 or size == 0.0:
        return np.empty(0)
    return (noise.random(n) < rate) * noise.standard_normal(n) * size * unit


def _volume(market: TurbulentMarket, moves: FloatArray, noise: np.random.Generator) -> FloatArray:
    pushes = market.volume_response * (moves - _median(moves))
    pushes = pushes + market.volume_noise * noise.standard_normal(len(moves))
    return np.asarray(market.volume * np.exp(ar1(pushes, market.volume_persistence)))


def _median(x: FloatArray) -> float:
    """As numpy's [T] → one, which takes three times as long; prices without NaN have none here."""
    middle = len(x) // 2
    part = np.partition(x, (middle - 1, middle))
    return float(part[middle] if len(x) % 2 else (part[middle - 1] + part[middle]) / 2.0)


def _stamps(market: TurbulentMarket) -> TimeArray:
    if market.bars_per_year == _BUSINESS_DAYS_A_YEAR:
        count = np.arange(market.bars)
        days = count + 2 * ((count + _START_WEEKDAY) // 5)
        return (_DAY_NS * days).astype("datetime64[ns]")
    step = np.timedelta64(round(_YEAR_NS / market.bars_per_year), "ns")
    return np.asarray(_START.astype("datetime64[ns]") + step * np.arange(market.bars))
