"""Batch features: bars [T] → values [T, F]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.features.schema import FeatureSchema
from offline_trader.features.sets import FeatureSet, feature_set, may_miss
from offline_trader.markets import Bars
from offline_trader.types import LAG, FloatArray, IntArray

__all__ = ["Features", "compute_features"]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of T bars; row t reads bars up to t.

    Attributes:
        values: [T, F] float64, read-only; the first ``warmup`` rows are NaN, all others finite.
        schema: names and hash.
        warmup: rows without features at the start.
        notes: how often a value was missing.
    """

    values: FloatArray
    schema: FeatureSchema
    warmup: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> FloatArray:
        """[T] one feature by name."""
        return self.values[:, self.schema.names.index(name)]


def compute_features(
    bars: Bars, features: str | Sequence[str] | FeatureSet = "builtin"
) -> Features:
    """The features of every bar of one instrument.

    Signals and own features may have no value in some bars. They begin where each of them has had
    its first, which lengthens the warm-up, and later the last known value stands in; how often is
    in ``notes``.

    Args:
        bars: of the instrument.
        features: names of feature sets (:func:`~offline_trader.features.feature_set`), or a set.

    Raises:
        ConfigError: an unknown feature set, own features that were not named or that read the
            future, or a set whose values are not as many as its names.
        DataError: fewer bars than the longest window needs, or prices so far apart that a ratio
            of two of them is no number.
    """
    found = feature_set(features) if isinstance(features, str | Sequence) else features
    name = bars.source or bars.symbol
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
    notes = []
    places = list(may_miss(found))
    if places:
        first, missing = _carry(values, places)
        warmup = max(warmup, int(first.max()))
        for place, start, count in zip(places, first.tolist(), missing.tolist(), strict=True):
            if start == len(bars):
                raise DataError(f"{name}: {schema.names[place]} has no value in any bar")
            if count and LAG not in schema.names[place]:
                told = f"{schema.names[place]} has no value in {count:,} of {len(bars):,} bars"
                notes.append(f"{told}; the last known one stands in")
    values[:warmup] = np.nan
    if not np.isfinite(values[warmup:]).all():
        row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(values[warmup:])))
        raise DataError(
            f"{name}, bar {row + warmup}: {schema.names[column]} has no value",
            expected="prices and volumes whose ratios and sums are finite numbers",
            hint="check the bars around it, or quote prices or volumes in another unit",
        )
    values.setflags(write=False)
    return Features(values, schema, warmup, tuple(notes))


def _carry(values: FloatArray, places: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Put the last known value of columns ``places`` of ``values`` [T, F], in place, where one is
    missing (NaN).

    Returns:
        For each of these columns the first bar with a value (T where there is none), and how many
        later ones had none.
    """
    known = ~np.isnan(values).T[places]  # [K, T]: whole columns in a row, which counts fast
    first = np.where(known.any(axis=1), known.argmax(axis=1), len(values))
    missing = len(values) - first - np.count_nonzero(known, axis=1)
    for k in np.flatnonzero(missing).tolist():
        column = values[:, places[k]]
        last = np.maximum.accumulate(np.where(known[k], np.arange(len(column)), 0))
        column[first[k] :] = column[last[first[k] :]]
    return first, missing
