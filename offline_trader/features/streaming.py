"""The same features bar by bar, for serving: equal to the batch to 1e-9.

A window is summed on its own, oldest bar first, as the batch sums it; a running sum would carry
rounding from bar to bar. What counts for one bar is the number of calls: ``sum`` and plain loops
over a window's floats take less time than numpy needs to begin. (From Python 3.12 on ``sum``
compensates for rounding, so the last bit may differ from the batch's.)
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from operator import mul

import numpy as np

from offline_trader.errors import DataError
from offline_trader.features.calendar import Calendar
from offline_trader.features.recursions import RecursiveState
from offline_trader.features.schema import FEATURE_NAMES, RETURN_BARS, WARMUP_BARS, FeatureSchema
from offline_trader.features.windows import DONCHIAN_LIMITS, FLAT
from offline_trader.markets import Bar, Bars, check_bar
from offline_trader.types import FloatArray

__all__ = ["StreamingFeatures"]

_WINDOW = WARMUP_BARS + 1


def _deviation(values: list[float], mean: float) -> float:
    parts = [x - mean for x in values]
    return math.sqrt(sum(map(mul, parts, parts)) / len(values))


def _log(ratio: float) -> float:
    """As :func:`_logs` of one, to the same bit."""
    return float(np.log(ratio)) if ratio > 0.0 else math.nan


def _logs(ratios: list[float]) -> list[float]:
    """Logarithms of ratios that are not negative; of 0, to which prices far apart round, NaN."""
    found: list[float] = np.log([x if x > 0.0 else math.nan for x in ratios]).tolist()
    return found


def _quotient(numerator: float, denominator: float, otherwise: float) -> float:
    if not math.isfinite(denominator):
        return math.nan
    return numerator / denominator if denominator > 0.0 else otherwise


def _position(last: float, bottom: float, top: float) -> float:
    """Where a close lies in a channel, within its limits; the middle of one without height."""
    floor, ceiling = DONCHIAN_LIMITS
    return min(max(_quotient(last - bottom, top - bottom, 0.5), floor), ceiling)


@dataclass
class _Highest:
    """The highest of the last ``window`` values.

    Attributes:
        best: number and value of those that may become the highest, falling.
    """

    window: int
    best: deque[tuple[int, float]] = field(default_factory=deque)

    def push(self, number: int, value: float) -> None:
        best = self.best
        while best and best[-1][1] <= value:
            best.pop()
        best.append((number, value))
        if best[0][0] <= number - self.window:
            best.popleft()

    @property
    def value(self) -> float:
        return self.best[0][1]


class StreamingFeatures:
    """Features of the latest bar, from the last 253 bars and the recursions' state.

    Feed it from the same first bar as the batch: averages after Wilder remember their seed (the
    difference decays by 13/14 a bar). An object holds one instrument; it can be copied and pickled.

    Attributes:
        schema: names and hash of the features.
        count: bars seen.
    """

    def __init__(self) -> None:
        self.schema = FeatureSchema()
        self.count = 0
        self._last_time: np.datetime64 | None = None
        self._closes: list[float] = []
        self._volumes: list[float] = []
        self._returns: list[float] = []
        self._top_252 = _Highest(252)
        self._channels = tuple((_Highest(bars), _Highest(bars)) for bars in (20, 55))
        self._recursions = RecursiveState()
        self._calendar = Calendar()

    @classmethod
    def after(cls, bars: Bars) -> StreamingFeatures:
        """A stream that has seen ``bars``, ready for the next one."""
        stream = cls()
        for bar in bars:
            stream.update(bar)
        return stream

    def update(self, bar: Bar) -> FloatArray:
        """[F] float64 after ``bar``; NaN in the first 252 bars.

        A bar that is refused as such leaves the stream as it was.

        Raises:
            DataError: a bar that :class:`~offline_trader.markets.Bars` would refuse, one that is
                not later than the bar before, or one without finite features.
        """
        check_bar(bar, self._last_time, f"streamed bar {self.count}")
        self._push(bar)
        positions = self._channel_positions(bar)
        recursive = self._recursions.update(bar.high, bar.low, bar.close)
        if self.count <= WARMUP_BARS:
            return np.full(len(FEATURE_NAMES), np.nan)
        row = self._row(bar, recursive, positions)
        if not math.isfinite(sum(row)) and not all(map(math.isfinite, row)):
            name = next(n for n, x in zip(FEATURE_NAMES, row, strict=True) if not math.isfinite(x))
            raise DataError(
                f"streamed bar {self.count - 1}: {name} has no value",
                expected="prices and volumes whose ratios and sums are finite numbers",
            )
        return np.array(row)

    def _push(self, bar: Bar) -> None:
        """Append a bar and its log return; what no window reads any more goes now and then."""
        if self.count:
            self._returns.append(_log(bar.close / self._closes[-1]))
        self._closes.append(bar.close)
        self._volumes.append(bar.volume)
        self._last_time = bar.timestamp
        self.count += 1
        if len(self._closes) > 2 * _WINDOW:
            for values in (self._closes, self._volumes, self._returns):
                del values[:-_WINDOW]

    def _channel_positions(self, bar: Bar) -> list[float]:
        """The close in the channels of the bars before, which this bar then joins."""
        found = []
        for top, bottom in self._channels:
            if top.best:
                found.append(_position(bar.close, -bottom.value, top.value))
            top.push(self.count, bar.high)
            bottom.push(self.count, -bar.low)
        self._top_252.push(self.count, bar.high)
        return found

    def _row(self, bar: Bar, recursive: tuple[float, ...], channels: list[float]) -> list[float]:
        """[F] in the order of ``FEATURE_NAMES``."""
        closes, close = self._closes, bar.close
        closes_20, returns_60 = closes[-20:], self._returns[-60:]
        returns_20 = returns_60[-20:]
        sma20, sma50 = sum(closes_20) / 20, sum(closes[-50:]) / 50
        sma200, mean_volume = sum(closes[-200:]) / 200, sum(self._volumes[-20:]) / 20
        vol20 = _deviation(returns_20, sum(returns_20) / 20)
        vol60 = _deviation(returns_60, sum(returns_60) / 60)
        half = 2.0 * _deviation(closes_20, sma20)
        half = 0.0 if half <= FLAT * sma20 else half
        ratios = [close / closes[-1 - k] for k in RETURN_BARS]
        ratios.append(vol20 / vol60 if vol20 > FLAT and vol60 > FLAT else 1.0)
        ratios += (close / sma20, close / sma50, close / sma200, sma50 / sma200)
        ratios += (close / self._top_252.value, bar.open / closes[-2])
        *returns, vol_ratio, to_20, to_50, to_200, cross, to_top, gap = _logs(ratios)
        rsi, macd, macd_hist, atr, adx = recursive
        angles = np.array(self._calendar.angles(bar.timestamp))
        day_sin, week_sin, year_sin = np.sin(angles).tolist()
        day_cos, week_cos, year_cos = np.cos(angles).tolist()
        return [
            *returns, vol20, vol60, vol_ratio, rsi, macd, macd_hist,
            _quotient(close - (sma20 - half), 2.0 * half, 0.5), 2.0 * half / sma20, atr, adx,
            _quotient(bar.volume, mean_volume, 1.0), to_20, to_50, to_200, cross, *channels,
            to_top, _quotient(close - bar.low, bar.high - bar.low, 0.5), gap,
            day_sin, day_cos, week_sin, week_cos, year_sin, year_cos,
        ]  # fmt: skip
