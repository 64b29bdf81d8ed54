"""Batch features: bars [T] → values [T, F]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.features.schema import FeatureSchema
from offline_trader.features.sets import FEATURE_SETS
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


def compute_features(bars: Bars, features: str = "builtin") -> Features:
    """The features of every bar of one instrument.

    Args:
        bars: of the instrument.
        features: name of the feature set (:data:`~offline_trader.features.sets.FEATURE_SETS`).

    Raises:
        ConfigError: an unknown feature set, or one whose values are not as many as its names.
        DataError: fewer bars than the longest window needs, or prices so far apart that a ratio
            of two of them is no number.
    """
    found, name = FEATURE_SETS[features], bars.source or bars.symbol
    schema, warmup = found.schema, found.warmup
    if len(bars) <= warmup:
        raise DataError(
            f"{name}: {len(bars)} bars",
            expected=f"at least {warmup + 1}, since the features look {warmup} bars back",
            hint="load a longer history",
        )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = np.array(found.compute(bars), dtype=np.float64)
    if values.shape != (len(bars), len(schema.names)):
        raise ConfigError(
            f"feature set {features!r} gives values of shape {values.shape}",
            expected=f"{(len(bars), len(schema.names))}: a row a bar, a column a name",
        )
    values[:warmup] = np.nan
    row, column = (i[:1] for i in np.nonzero(~np.isfinite(values[warmup:])))
    if row.size:
        raise DataError(
            f"{name}, bar {int(row[0]) + warmup}: {schema.names[int(column[0])]} has no value",
            expected="prices and volumes whose ratios and sums are finite numbers",
            hint="check the bars around it, or quote prices or volumes in another unit",
        )
    values.setflags(write=False)
    return Features(values, schema, warmup)
