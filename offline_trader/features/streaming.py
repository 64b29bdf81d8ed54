"""The same features bar by bar, for serving: equal to the batch to 1e-9."""

from __future__ import annotations

import numpy as np

from offline_trader.features.recursions import RecursiveState
from offline_trader.features.schema import WARMUP_BARS, FeatureSchema
from offline_trader.features.windows import window_features
from offline_trader.markets import Bars
from offline_trader.types import FloatArray

__all__ = ["StreamingFeatures"]

_WINDOW = WARMUP_BARS + 1


class StreamingFeatures:
    """Features of the latest bar, from a buffer of the last 253 bars and the recursions' state.

    Feed it from the same first bar as the batch: averages after Wilder remember their seed (the
    difference decays by 13/14 a bar).
    """

    def __init__(self) -> None:
        self.schema = FeatureSchema()
        self.count = 0
        self._bars = np.zeros((5, 2 * _WINDOW))
        self._times = np.zeros(2 * _WINDOW, dtype="datetime64[ns]")
        self._end = 0
        self._recursions = RecursiveState()

    def update(
        self,
        timestamp: np.datetime64 | str,
        open_: float,
        high: float,
        low: float,
        close: float,
        volume: float = 0.0,
    ) -> FloatArray:
        """[F] float64 after this bar; NaN in the first 252 bars.

        Raises:
            DataError: a bar that :class:`~offline_trader.markets.Bars` would refuse, or one that
                is not later than the bar before.
        """
        stamp = np.datetime64(timestamp, "ns")
        self._check(stamp, open_, high, low, close, volume)
        if self._end == 2 * _WINDOW:
            self._bars[:, : _WINDOW - 1] = self._bars[:, _WINDOW + 1 :]
            self._times[: _WINDOW - 1] = self._times[_WINDOW + 1 :]
            self._end = _WINDOW - 1
        self._bars[:, self._end] = (open_, high, low, close, volume)
        self._times[self._end] = stamp
        self._end += 1
        self.count += 1
        recursive = self._recursions.update(high, low, close)
        if self.count <= WARMUP_BARS:
            return np.full(len(self.schema.names), np.nan)
        window = slice(self._end - _WINDOW, self._end)
        columns = window_features(self._times[window], *self._bars[:, window])
        latest = {name: column[-1] for name, column in columns.items()} | recursive
        return np.array([latest[name] for name in self.schema.names])

    def _check(
        self,
        stamp: np.datetime64,
        open_: float,
        high: float,
        low: float,
        close: float,
        volume: float,
    ) -> None:
        times = [stamp] if self._end == 0 else [self._times[self._end - 1], stamp]
        repeat = len(times)
        Bars(
            symbol=f"streamed bar {self.count}",
            timestamps=np.array(times),
            periods_per_year=252.0,
            open=np.full(repeat, open_),
            high=np.full(repeat, high),
            low=np.full(repeat, low),
            close=np.full(repeat, close),
            volume=np.full(repeat, volume),
        )
