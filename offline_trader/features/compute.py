"""Batch features: bars [T] → values [T, F]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.errors import DataError
from offline_trader.features.recursions import recursive_features
from offline_trader.features.schema import WARMUP_BARS, FeatureSchema
from offline_trader.features.windows import window_features
from offline_trader.markets import Bars
from offline_trader.types import FloatArray

__all__ = ["Features", "compute_features"]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of T bars; row t reads bars up to t.

    Attributes:
        values: [T, F] float64, read-only; the first ``warmup`` rows are NaN, all others finite.
        schema: names and hash.
        warmup: rows without features at the start.
    """

    values: FloatArray
    schema: FeatureSchema
    warmup: int

    def column(self, name: str) -> FloatArray:
        """[T] one feature by name."""
        return self.values[:, self.schema.names.index(name)]


def compute_features(bars: Bars) -> Features:
    """The 32 features of every bar.

    Raises:
        DataError: fewer bars than the longest window needs.
    """
    if len(bars) <= WARMUP_BARS:
        raise DataError(
            f"{bars.source or bars.symbol}: {len(bars)} bars",
            expected=f"at least {WARMUP_BARS + 1}, since the features look {WARMUP_BARS} bars back",
            hint="load a longer history",
        )
    schema = FeatureSchema()
    columns = window_features(
        bars.timestamps, bars.open, bars.high, bars.low, bars.close, bars.volume
    )
    columns |= recursive_features(bars.high, bars.low, bars.close)
    values = np.stack([columns[name] for name in schema.names], axis=1)
    values[:WARMUP_BARS] = np.nan
    assert np.isfinite(values[WARMUP_BARS:]).all(), "a feature without a value after the warm-up"
    values.setflags(write=False)
    return Features(values, schema, WARMUP_BARS)
