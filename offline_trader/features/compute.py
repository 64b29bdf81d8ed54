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

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> FloatArray:
        """[T] one feature by name."""
        return self.values[:, self.schema.names.index(name)]


def compute_features(bars: Bars) -> Features:
    """The 32 features of every bar of one instrument.

    Causality: row t reads bars 0 to t. All but the five recursive features (RSI, MACD and its
    histogram, ATR, ADX) read no bar before ``t - 252``; those five remember the first bar, with a
    weight that falls by 13/14 a bar or faster.

    Raises:
        DataError: fewer bars than the longest window needs, or prices so far apart that a ratio
            of two of them is no number.
    """
    name = bars.source or bars.symbol
    if len(bars) <= WARMUP_BARS:
        raise DataError(
            f"{name}: {len(bars)} bars",
            expected=f"at least {WARMUP_BARS + 1}, since the features look {WARMUP_BARS} bars back",
            hint="load a longer history",
        )
    schema = FeatureSchema()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        columns = window_features(bars)
        columns |= recursive_features(bars.high, bars.low, bars.close)
    values = np.stack([columns[feature] for feature in schema.names], axis=1)
    values[:WARMUP_BARS] = np.nan
    row, column = (i[:1] for i in np.nonzero(~np.isfinite(values[WARMUP_BARS:])))
    if row.size:
        raise DataError(
            f"{name}, bar {int(row[0]) + WARMUP_BARS}: {schema.names[int(column[0])]} has no value",
            expected="prices and volumes whose ratios and sums are finite numbers",
            hint="check the bars around it, or quote prices or volumes in another unit",
        )
    values.setflags(write=False)
    return Features(values, schema, WARMUP_BARS)
