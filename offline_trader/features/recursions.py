"""Wilder's and exponential averages: TA-Lib over a whole series, and one bar at a time.

The state classes repeat TA-Lib's recursions with its seeding, so that both ways give the same
numbers; a test holds them to 1e-9 of each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from offline_trader.types import FloatArray

__all__ = ["RecursiveState", "recursive_features"]

_EPSILON = 1e-14  # TA-Lib's own zero
RECURSIVE_NAMES = ("rsi_14", "macd", "macd_hist", "atr_14", "adx_14")


def recursive_features(
    high: FloatArray, low: FloatArray, close: FloatArray
) -> dict[str, FloatArray]:
    """[T] columns of the five features whose averages reach back to the first bar.

    Args:
        high, low, close: [T] quote currency.
    """
    import talib

    if len(close) < 40:
        return {name: np.full(len(close), np.nan) for name in RECURSIVE_NAMES}
    macd = talib.EMA(close, 12) - talib.EMA(close, 26)
    signal = np.full(len(close), np.nan)
    signal[25:] = talib.EMA(macd[25:], 9)
    rsi = talib.RSI(close, 14) / 100.0
    moved = np.maximum.accumulate(np.abs(np.diff(close, prepend=close[0]))) > 0.0
    return {
        "rsi_14": np.where(moved | np.isnan(rsi), rsi, 0.5),
        "macd": macd / close,
        "macd_hist": (macd - signal) / close,
        "atr_14": talib.ATR(high, low, close, 14) / close,
        "adx_14": talib.ADX(high, low, close, 14) / 100.0,
    }


@dataclass
class _Average:
    """A mean of the first ``seed`` values, then ``value += weight · (x − value)``."""

    seed: int
    weight: float
    count: int = 0
    value: float = math.nan
    total: float = 0.0

    def update(self, x: float) -> float:
        self.count += 1
        if self.count < self.seed:
            self.total += x
        elif self.count == self.seed:
            self.value = (self.total + x) / self.seed
        else:
            self.value += self.weight * (x - self.value)
        return self.value


def _ema(bars: int) -> _Average:
    return _Average(bars, 2.0 / (bars + 1.0))


def _wilder(bars: int) -> _Average:
    return _Average(bars, 1.0 / bars)


@dataclass
class _DirectionalIndex:
    """ADX over 14 bars: Wilder sums of directional movement and true range, then of DX."""

    bars: int = 14
    count: int = 0
    plus: float = 0.0
    minus: float = 0.0
    true_range: float = 0.0
    average: _Average = field(default_factory=lambda: _wilder(14))

    def update(self, up: float, down: float, true_range: float) -> float:
        self.count += 1
        if self.count >= self.bars:
            keep = 1.0 - 1.0 / self.bars
            self.plus, self.minus, self.true_range = (
                self.plus * keep,
                self.minus * keep,
                self.true_range * keep,
            )
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
        if abs(self.true_range) >= _EPSILON:
            plus, minus = self.plus / self.true_range, self.minus / self.true_range
            if abs(100.0 * (plus + minus)) >= _EPSILON:
                index = 100.0 * abs(minus - plus) / (plus + minus)
        if index is None and self.average.count >= self.bars:
            return self.average.value
        return self.average.update(index or 0.0)


@dataclass
class RecursiveState:
    """State of the five recursions after the bars seen so far."""

    previous: tuple[float, float, float] | None = None
    moved: bool = False
    gain: _Average = field(default_factory=lambda: _wilder(14))
    loss: _Average = field(default_factory=lambda: _wilder(14))
    fast: _Average = field(default_factory=lambda: _ema(12))
    slow: _Average = field(default_factory=lambda: _ema(26))
    signal: _Average = field(default_factory=lambda: _ema(9))
    true_range: _Average = field(default_factory=lambda: _wilder(14))
    direction: _DirectionalIndex = field(default_factory=_DirectionalIndex)

    def update(self, high: float, low: float, close: float) -> dict[str, float]:
        """The five features after one more bar; NaN until their averages are seeded."""
        macd = self.fast.update(close) - self.slow.update(close)
        signal = math.nan if math.isnan(macd) else self.signal.update(macd)
        rsi = atr = adx = math.nan
        if self.previous is not None:
            last_high, last_low, last_close = self.previous
            change = close - last_close
            self.moved = self.moved or change != 0.0
            gain = self.gain.update(max(change, 0.0))
            loss = self.loss.update(max(-change, 0.0))
            rsi = self._strength(gain, loss)
            span = max(high - low, abs(high - last_close), abs(last_close - low))
            atr = self.true_range.update(span)
            adx = self.direction.update(high - last_high, last_low - low, span)
        self.previous = (high, low, close)
        return {
            "rsi_14": rsi,
            "macd": macd / close,
            "macd_hist": (macd - signal) / close,
            "atr_14": atr / close,
            "adx_14": adx / 100.0,
        }

    def _strength(self, gain: float, loss: float) -> float:
        if math.isnan(gain):
            return math.nan
        if not self.moved:
            return 0.5
        return gain / (gain + loss) if abs(gain + loss) >= _EPSILON else 0.0
