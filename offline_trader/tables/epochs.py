"""Times written as digits: compact dates such as 20180131, and epoch numbers in any unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DigitTimes", "times_of_digits"]

Locate = Callable[[int], str]

_EXPECTED = "dates such as 2018-01-31, times such as 2018-01-31 09:30, or epoch numbers"
# Epoch numbers below this limit count units of so many nanoseconds.
_LIMITS = np.array([1e11, 1e14, 1e17])
_UNITS: IntArray = np.array([10**9, 10**6, 10**3, 1], dtype=np.int64)
_UNIT_NAMES = ("seconds", "milliseconds", "microseconds", "nanoseconds")
# Digits only: lowest and highest value, format.
_COMPACT = (
    (19000101, 22001231, "%Y%m%d"),
    (190001010000, 220012312359, "%Y%m%d%H%M"),
    (19000101000000, 22001231235959, "%Y%m%d%H%M%S"),
)
_EARLIEST_EPOCH = 1e8  # seconds: March 1973; smaller numbers are row numbers
_EXCEL_DAYS = (20_000.0, 80_000.0)
_LAST_NS = 9.2e18


class DigitTimes(NamedTuple):
    """Times of T rows; NaT where there is none.

    Attributes:
        stamps: [T] datetime64[ns].
        is_utc: True for epoch numbers, False for compact dates, which name no zone.
        notes: what was decided.
    """

    stamps: NDArray[np.datetime64]
    is_utc: bool
    notes: tuple[str, ...] = ()


def times_of_digits(column: pd.Series, source: str, locate: Locate) -> DigitTimes:
    """Times of a column [T] of numbers, or of text of at most 19 digits and decimals.

    The unit of an epoch is the one that the size of the median tells. Where rows of another size
    make it likely that the unit changes inside the column, each row is read in the unit of its
    own size: the reading whose times wander less is taken, and the change is noted.

    Raises:
        DataError: numbers that are no times, with the row.
    """
    whole, fraction, known = _split(column)
    if not known.any():
        return DigitTimes(np.full(len(known), np.datetime64("NaT"), "datetime64[ns]"), False)
    compact = _compact(whole, fraction, known)
    if compact is not None:
        return DigitTimes(compact, False)
    size = np.abs(whole.astype(np.float64))
    _refuse_others(whole, known, source, locate)
    unit = np.full(len(size), np.searchsorted(_LIMITS, np.median(size[known]), side="right"))
    own = np.where(size < _EARLIEST_EPOCH, unit, np.searchsorted(_LIMITS, size, side="right"))
    notes: tuple[str, ...] = ()
    if (own != unit)[known].any():
        several = np.flatnonzero(known)
        if _wandering(whole, own, several) < _wandering(whole, unit, several):
            unit = own
            notes = (_change(unit, several, locate),)
    scale = _UNITS[unit]
    good = known & (size * scale < _LAST_NS)
    ns = np.where(good, whole, 0) * scale + np.rint(fraction * scale).astype(np.int64)
    stamps = ns.astype("datetime64[ns]")
    stamps[~good] = np.datetime64("NaT")
    return DigitTimes(stamps, True, notes)


def _split(column: pd.Series) -> tuple[IntArray, FloatArray, BoolArray]:
    """Whole part (towards −∞) and fraction in [0, 1) of each number, exact for 19 digits; and
    which rows hold one that fits."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if pd.api.types.is_integer_dtype(column):
        known = column.notna().to_numpy(dtype=bool)
        filled = column.fillna(0)
        known = known & (filled <= np.iinfo(np.int64).max).to_numpy(dtype=bool)
        whole = filled.where(known, 0).to_numpy(dtype=np.int64)
        return whole, np.zeros(len(whole)), known
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        cells = pa.array(column, type=pa.large_string())
        blank = pc.equal(cells, "")
        try:
            exact = pc.cast(pc.if_else(blank, "0", cells), pa.int64())
        except pa.ArrowInvalid:  # a fraction, or 19 digits beyond the largest
            values = np.array([float(cell) if cell else np.nan for cell in column])
        else:
            whole = np.array(exact.to_numpy(zero_copy_only=False), dtype=np.int64)
            known = ~np.array(blank.to_numpy(zero_copy_only=False), dtype=bool)
            return whole, np.zeros(len(whole)), known
    known = np.isfinite(values) & (np.abs(values) < _LAST_NS)
    floor = np.floor(np.where(known, values, 0.0))
    return floor.astype(np.int64), np.where(known, values, 0.0) - floor, known


def _compact(
    whole: IntArray, fraction: FloatArray, known: BoolArray
) -> NDArray[np.datetime64] | None:
    """Compact dates, where every number is one."""
    import pandas as pd

    given = whole[known]
    if fraction.any():
        return None
    for least, most, form in _COMPACT:
        if least <= given.min() and given.max() <= most:
            times = pd.to_datetime(pd.Series(given).astype("str"), format=form, errors="coerce")
            if not times.isna().any():
                stamps = np.full(len(whole), np.datetime64("NaT"), "datetime64[ns]")
                stamps[known] = times.to_numpy().astype("datetime64[ns]")
                return stamps
    return None


def _refuse_others(whole: IntArray, known: BoolArray, source: str, locate: Locate) -> None:
    given = whole[known]
    row = int(np.flatnonzero(known)[0])
    if _EXCEL_DAYS[0] <= given.min() and given.max() <= _EXCEL_DAYS[1]:
        raise DataError(
            f"{source} {locate(row)}: {given[0]} looks like a day number of a spreadsheet",
            expected=_EXPECTED,
            hint="format the column as a date and save the file again",
        )
    if float(np.median(np.abs(given.astype(np.float64)))) < _EARLIEST_EPOCH:
        raise DataError(
            f"{source} {locate(row)}: {given[0]} is not a time",
            expected=_EXPECTED,
            hint="if these are row numbers, add a column with the dates",
        )


def _wandering(whole: IntArray, unit: IntArray, rows: IntArray) -> float:
    """Sum of the steps between neighbouring rows, in seconds, of one reading."""
    seconds = whole[rows].astype(np.float64) * (_UNITS[unit[rows]] / 1e9)
    return float(np.abs(np.diff(seconds)).sum())


def _change(unit: IntArray, rows: IntArray, locate: Locate) -> str:
    changes = np.flatnonzero(np.diff(unit[rows]))
    at = int(changes[0]) + 1
    before, after = unit[rows[at - 1]], unit[rows[at]]
    more = "" if len(changes) == 1 else f" (and {len(changes) - 1} more changes)"
    return (
        f"the unit of the times changes at {locate(int(rows[at]))}: {_UNIT_NAMES[before]}, then "
        f"{_UNIT_NAMES[after]}{more}; each row is read in its own"
    )
