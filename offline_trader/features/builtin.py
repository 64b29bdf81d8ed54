"""The feature set that comes with the toolkit: 32 features on a window of 253 bars."""

from __future__ import annotations

import numpy as np

from offline_trader.features.recursions import recursive_features
from offline_trader.features.schema import WARMUP_BARS, FeatureSchema
from offline_trader.features.streaming import StreamingFeatures
from offline_trader.features.windows import window_features
from offline_trader.markets import Bar, Bars
from offline_trader.types import FloatArray

__all__ = ["BUILTIN", "BuiltinFeature", "BuiltinFeatures"]


class BuiltinFeatures:
    """:class:`~offline_trader.features.sets.FeatureSet` of the 32 features.

    Row t reads bars 0 to t. All but the five recursive features (RSI, MACD and its histogram, ATR,
    ADX) read no bar before ``t - 252``; those five remember the first bar, with a weight that falls
    by 13/14 a bar or faster.
    """

    schema = FeatureSchema()
    warmup = WARMUP_BARS

    def compute(self, bars: Bars) -> FloatArray:
        """[T, 32] float64."""
        columns = window_features(bars)
        columns |= recursive_features(bars.high, bars.low, bars.close)
        return np.stack([columns[name] for name in self.schema.names], axis=1)

    def stream(self) -> StreamingFeatures:
        """The same bar by bar."""
        return StreamingFeatures()


BUILTIN = BuiltinFeatures()


class BuiltinFeature:
    """One of the 32 alone; it begins where all of them do."""

    warmup = WARMUP_BARS

    def __init__(self, name: str) -> None:
        self.schema = FeatureSchema((name,))
        self._place = BUILTIN.schema.names.index(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BuiltinFeature) and other.schema == self.schema

    def __hash__(self) -> int:
        return hash(self.schema)

    def compute(self, bars: Bars) -> FloatArray:
        """[T, 1] float64."""
        return BUILTIN.compute(bars)[:, self._place, None]

    def stream(self) -> _FeatureStream:
        """The same bar by bar."""
        return _FeatureStream(self._place)


class _FeatureStream:
    def __init__(self, place: int) -> None:
        self._all, self._place = StreamingFeatures(), place

    def update(self, bar: Bar) -> FloatArray:
        return self._all.update(bar)[self._place, None]
