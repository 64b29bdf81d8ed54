"""The same features bar by bar, for serving: equal to the batch to 1e-9."""

from __future__ import annotations

import math

import numpy as np

from offline_trader.errors import DataError
from offline_trader.features.calendar import CALENDAR_NAMES, Calendar
from offline_trader.features.recursions import RECURSIVE_NAMES, RecursiveState
from offline_trader.features.schema import FEATURE_NAMES, RETURN_BARS, WARMUP_BARS, FeatureSchema
from offline_trader.features.windows import DONCHIAN_LIMITS, FLAT
from offline_trader.markets import Bar, Bars, check_bar
from offline_trader.types import FloatArray

__all__ = ["StreamingFeatures"]

_WINDOW = WARMUP_BARS + 1
_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _RETURN = range(6)

# The logarithms of one bar, taken in one call; the ratios in this order.
_LOG_NAMES = (
    *(f"return_{k}" for k in RETURN_BARS),
    *(f"sma_distance_{w}" for w in (20, 50, 200)),
    "sma_cross_50_200",
    "high_distance_252",
    "gap",
    "volatility_ratio",
)
_PLAIN_NAMES = (
    "volatility_20",
    "volatility_60",
    "bollinger_position",
    "bollinger_width",
    "donchian_position_20",
    "donchian_position_55",
    "volume_ratio_20",
    "close_location",
)
_ORDER = np.array(
    [
        (*_LOG_NAMES, *_PLAIN_NAMES, *RECURSIVE_NAMES, *CALENDAR_NAMES).index(name)
        for name in FEATURE_NAMES
    ]
)


# Row by row, oldest value first, as the batch adds them (``np.sum`` adds in pairs).
_running_sums = np.add.accumulate
_highest, _lowest = np.maximum.reduce, np.minimum.reduce


def _quotient(numerator: float, denominator: float, otherwise: float) -> float:
    if not math.isfinite(denominator):
        return math.nan
    return numerator / denominator if denominator > 0.0 else otherwise


class StreamingFeatures:
    """Features of the latest bar, from a buffer of the last 253 bars and the recursions' state.

    Feed it from the same first bar as the batch: averages after Wilder remember their seed (the
    difference decays by 13/14 a bar). An object holds one instrument; it can be copied and pickled.

    Attributes:
        schema: names and hash of the features.
        count: bars seen.
    """

    def __init__(self) -> None:
        self.schema = FeatureSchema()
        self.count = 0
        self._rows = np.zeros((6, 2 * _WINDOW))
        self._end = 0
        self._last_time: np.datetime64 | None = None
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
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            values = self._next_row(bar)
        if self.count > WARMUP_BARS and not np.isfinite(values).all():
            name = FEATURE_NAMES[int(np.flatnonzero(~np.isfinite(values))[0])]
            raise DataError(
                f"streamed bar {self.count - 1}: {name} has no value",
                expected="prices and volumes whose ratios and sums are finite numbers",
            )
        return values

    def _next_row(self, bar: Bar) -> FloatArray:
        self._push(bar)
        recursive = self._recursions.update(bar.high, bar.low, bar.close)
        if self.count <= WARMUP_BARS:
            return np.full(len(FEATURE_NAMES), np.nan)
        window = self._rows[:, self._end - _WINDOW : self._end]
        ratios, plain = _window_features(window)
        angles = np.array(self._calendar.angles(bar.timestamp))
        calendar = np.array([np.sin(angles), np.cos(angles)]).T.ravel()
        values: FloatArray = np.concatenate((np.log(ratios), plain, recursive, calendar))[_ORDER]
        return values

    def _push(self, bar: Bar) -> None:
        """Append a bar and its log return; when the buffer is full its second half moves down."""
        if self._end == 2 * _WINDOW:
            self._rows[:, : _WINDOW - 1] = self._rows[:, _WINDOW + 1 :]
            self._end = _WINDOW - 1
        column = self._rows[:, self._end]
        column[:5] = bar[1:6]
        if self.count:
            before = self._rows[_CLOSE, self._end - 1 : self._end]
            column[_RETURN] = np.log(bar.close / before)[0]
        self._end += 1
        self.count += 1
        self._last_time = bar.timestamp


def _window_features(window: FloatArray) -> tuple[list[float], list[float]]:
    """Arguments of the logarithms, and the features without one, from [6, 253] rows.

    Sums over the same bars are taken in one call: what counts here is the number of calls.
    """
    _, high, low, close, volume, log_return = window
    closes = close[-61:].tolist()
    last = closes[-1]
    recent = window[_CLOSE:, -20:]  # close, volume and log return
    total = _running_sums(recent, axis=1)[:, -1:]
    spread = recent - total / 20.0
    dev_close, _, vol20 = np.sqrt(_running_sums(spread * spread, axis=1)[:, -1] / 20.0).tolist()
    returns = log_return[-60:]
    spread = returns - _running_sums(returns)[-1] / 60.0
    vol60 = math.sqrt(_running_sums(spread * spread)[-1] / 60.0)
    sma20, mean_volume = float(total[0, 0]) / 20, float(total[1, 0]) / 20
    sma50, sma200 = (float(_running_sums(close[-w:])[-1]) / w for w in (50, 200))
    half = 2.0 * dev_close
    half = 0.0 if half <= FLAT * sma20 else half
    ratios = [last / (closes[-1 - k] if k <= 60 else float(close[-1 - k])) for k in RETURN_BARS]
    ratios += [last / sma20, last / sma50, last / sma200, sma50 / sma200]
    ratios += [last / float(_highest(high[-252:])), float(window[_OPEN, -1]) / closes[-2]]
    ratios.append(vol20 / vol60 if vol20 > FLAT and vol60 > FLAT else 1.0)
    plain = [vol20, vol60]
    plain.append(_quotient(last - (sma20 - half), 2.0 * half, 0.5))
    plain.append(2.0 * half / sma20)
    for bars in (20, 55):
        bottom, top = float(_lowest(low[-1 - bars : -1])), float(_highest(high[-1 - bars : -1]))
        floor, ceiling = DONCHIAN_LIMITS
        position = _quotient(last - bottom, top - bottom, 0.5)
        plain.append(min(max(position, floor), ceiling))
    now_high, now_low = float(high[-1]), float(low[-1])
    plain.append(_quotient(float(volume[-1]), mean_volume, 1.0))
    plain.append(_quotient(last - now_low, now_high - now_low, 0.5))
    return ratios, plain
