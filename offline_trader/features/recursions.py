"""Wilder's and exponential averages: TA-Lib over a whole series, and one bar at a time.

The state classes repeat TA-Lib's recursions with its seeding and its order of operations, so that
both ways give the same numbers; a test holds them to 1e-9 of each other.

Prices are divided by the first close before anything else. The results are ratios and do not
change, but some versions of TA-Lib take sums below 1e-14 for zero, which would make an instrument
quoted in billionths look flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from offline_trader.features.schema import WARMUP_BARS
from offline_trader.types import FloatArray

__all__ = ["RECURSIVE_NAMES", "RecursiveState", "recursive_features"]

RECURSIVE_NAMES = ("rsi_14", "macd", "macd_hist", "atr_14", "adx_14")

_SEEDED_AT = 34  # bars until the last of the recursions, the MACD's signal, has its seed


def recursive_features(
    high: FloatArray, low: FloatArray, close: FloatArray
) -> dict[str, FloatArray]:
    """[T] columns of the five features whose averages reach back to the first bar.

    RSI is read off Chande's oscillator, which has the same averages, ``RSI = 50 + CMO / 2``, but
    says "neither" (50) where TA-Lib's RSI calls a series without movement oversold (0). A series
    that stopped moving keeps its last value for 252 bars and is neutral from then on.

    Args:
        high, low, close: [T] quote currency.
    """
    import talib

    if len(close) < _SEEDED_AT:
        return {name: np.full(len(close), np.nan) for name in RECURSIVE_NAMES}
    high, low, close = high / close[0], low / close[0], close / close[0]
    macd = talib.EMA(close, 12) - talib.EMA(close, 26)
    signal = np.full(len(close), np.nan)
    signal[25:] = talib.EMA(macd[25:], 9)
    still = talib.MAX(close, WARMUP_BARS) == talib.MIN(close, WARMUP_BARS)
    return {
        "rsi_14": np.where(still, 0.5, 0.5 + talib.CMO(close, 14) / 200.0),
        "macd": macd / close,
        "macd_hist": (macd - signal) / close,
        "atr_14": talib.ATR(high, low, close, 14) / close,
        "adx_14": talib.ADX(high, low, close, 14) / 100.0,
    }


@dataclass
class _Exponential:
    """EMA: the mean of the first ``bars`` values, then ``value += 2/(bars + 1) · (x − value)``."""

    bars: int
    count: int = 0
    value: float = math.nan
    total: float = 0.0

    def update(self, x: float) -> float:
        if self.count < self.bars:
            return self.begin(x)
        self.value = (x - self.value) * (2.0 / (self.bars + 1.0)) + self.value
        return self.value

    def begin(self, x: float) -> float:
        self.count += 1
        self.total += x
        if self.count == self.bars:
            self.value = self.total / self.bars
        return self.value


@dataclass
class _Wilder(_Exponential):
    """The mean of the first ``bars`` values, then ``value = (value · (bars − 1) + x) / bars``."""

    bars: int = 14

    def update(self, x: float) -> float:
        if self.count < self.bars:
            return self.begin(x)
        self.value = (self.value * (self.bars - 1) + x) / self.bars
        return self.value


@dataclass
class _DirectionalIndex:
    """ADX over 14 bars: Wilder sums of directional movement and true range, then of DX."""

    bars: int = 14
    count: int = 0
    plus: float = 0.0
    minus: float = 0.0
    true_range: float = 0.0
    average: _Wilder = field(default_factory=_Wilder)

    def update(self, up: float, down: float, true_range: float) -> float:
        self.count += 1
        if self.count >= self.bars:
            self.plus -= self.plus / self.bars
            self.minus -= self.minus / self.bars
            self.true_range -= self.true_range / self.bars
        if down > 0.0 and up < down:
            self.minus += down
        elif up > 0.0 and up > down:
            self.plus += up
        self.true_range += true_range
        if self.count < self.bars:
            return math.nan
        return self._average_index()

    def _average_index(self) -> float:
        """ADX after this bar; a bar without range or direction adds 0 to the first mean and
        leaves a running one as it is, as TA-Lib does."""
        index = None
        if self.true_range > 0.0:
            plus = 100.0 * (self.plus / self.true_range)
            minus = 100.0 * (self.minus / self.true_range)
            if plus + minus > 0.0:
                index = 100.0 * (abs(minus - plus) / (plus + minus))
        if index is None and self.average.count >= self.bars:
            return self.average.value
        return self.average.update(index or 0.0)


@dataclass
class RecursiveState:
    """State of the five recursions after the bars seen so far."""

    base: float = math.nan
    previous: tuple[float, float, float] | None = None
    equal_closes: int = 0
    gain: _Wilder = field(default_factory=_Wilder)
    loss: _Wilder = field(default_factory=_Wilder)
    fast: _Exponential = field(default_factory=lambda: _Exponential(12))
    slow: _Exponential = field(default_factory=lambda: _Exponential(26))
    signal: _Exponential = field(default_factory=lambda: _Exponential(9))
    true_range: _Wilder = field(default_factory=_Wilder)
    direction: _DirectionalIndex = field(default_factory=_DirectionalIndex)

    def update(self, high: float, low: float, close: float) -> tuple[float, ...]:
        """The five features, ordered as :data:`RECURSIVE_NAMES`, after one more bar.

        NaN until their averages are seeded. Prices in quote currency.
        """
        if self.previous is None:
            self.base = close
        high, low, close = high / self.base, low / self.base, close / self.base
        macd = self.fast.update(close) - self.slow.update(close)
        signal = math.nan if math.isnan(macd) else self.signal.update(macd)
        rsi = atr = adx = math.nan
        if self.previous is not None:
            last_high, last_low, last_close = self.previous
            change = close - last_close
            self.equal_closes = self.equal_closes + 1 if change == 0.0 else 0
            rsi = self._strength(max(change, 0.0), max(-change, 0.0))
            span = max(high - low, abs(high - last_close), abs(low - last_close))
            atr = self.true_range.update(span)
            adx = self.direction.update(high - last_high, last_low - low, span)
        self.previous = (high, low, close)
        return rsi, macd / close, (macd - signal) / close, atr / close, adx / 100.0

    def _strength(self, up: float, down: float) -> float:
        """RSI / 100 after a rise of ``up`` or a fall of ``down``."""
        gain, loss = self.gain.update(up), self.loss.update(down)
        if math.isnan(gain):
            return math.nan
        total = gain + loss
        if total == 0.0 or self.equal_closes >= WARMUP_BARS - 1:
            return 0.5
        return 0.5 + 100.0 * ((gain - loss) / total) / 200.0
