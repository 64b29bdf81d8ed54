"""Reading times: epoch numbers, dates and date-times in the usual spellings, with their zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.tables.zones import to_zone
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Times", "is_clock", "parse_times"]

Locate = Callable[[int], str]

EXPECTED = "dates such as 2018-01-31, times such as 2018-01-31 09:30, or epoch numbers"
# Epoch numbers below this limit count units of so many nanoseconds: s, ms, µs, ns.
_EPOCH_UNITS = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (np.inf, 1))
# Digits only: name, lowest and highest value, format.
_COMPACT = (
    (19000101, 22001231, "%Y%m%d"),
    (190001010000, 220012312359, "%Y%m%d%H%M"),
    (19000101000000, 22001231235959, "%Y%m%d%H%M%S"),
)
_EARLIEST_EPOCH = 1e8  # seconds: March 1973; smaller numbers are row numbers
_EXCEL_DAYS = (20_000.0, 80_000.0)

_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\d{4}-\d{1,2}-\d{1,2}", ("%Y-%m-%d",)),
    (r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", ("%Y.%m.%d",)),
    (r"\d{8}", ("%Y%m%d",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%m/%d/%Y", "%d/%m/%Y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%m-%d-%Y", "%d-%m-%Y")),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"\d{1,2}/\d{1,2}/\d{2}", ("%m/%d/%y", "%d/%m/%y")),
    (r"[A-Za-z]{3} \d{1,2}, \d{4}", ("%b %d, %Y",)),
    (r"[A-Za-z]{4,9} \d{1,2}, \d{4}", ("%B %d, %Y",)),
    (r"\d{1,2}-[A-Za-z]{3}-\d{4}", ("%d-%b-%Y",)),
    (r"\d{1,2}-[A-Za-z]{3}-\d{2}", ("%d-%b-%y",)),
    (r"\d{1,2} [A-Za-z]{3} \d{4}", ("%d %b %Y",)),
)
_CLOCKS: tuple[tuple[str, str], ...] = (
    (r"\d{1,2}:\d{2}", "%H:%M"),
    (r"\d{1,2}:\d{2}:\d{2}", "%H:%M:%S"),
    (r"\d{1,2}:\d{2}:\d{2}\.\d{1,9}", "%H:%M:%S.%f"),
    (r"\d{6}", "%H%M%S"),
    (r"\d{1,2}:\d{2} ?[AaPp][Mm]", "%I:%M %p"),
    (r"\d{1,2}:\d{2}:\d{2} ?[AaPp][Mm]", "%I:%M:%S %p"),
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?)?")
_OFFSET = r"\s*(?:Z|(?:UTC|GMT)?[+-]\d{2}:?\d{2}|[+-]\d{2}|UTC|GMT)$"
_OFFSET_AFTER_CLOCK = r"(?<=\d)" + _OFFSET
_ISO_OFFSET = re.compile(_ISO.pattern + r"(?:Z|[+-]\d{2}:?\d{2})")
_MIDNIGHT_AND_OFFSET = r"(?::00(?:[.,]0+)?)?(?:Z|[+-]\d{2}:?\d{2})"  # what follows 00:00


class Times(NamedTuple):
    """Times that were read.

    Attributes:
        utc: [T] datetime64[ns].
        zoned: True where the column itself said what zone its times are in.
        dates: True where all times are midnights without a zone, or of their own zone: dates.
    """

    utc: NDArray[np.datetime64]
    zoned: bool
    dates: bool


class _Parsed(NamedTuple):
    """Times of T rows: without a zone, or in UTC; NaT where a row could not be read."""

    times: pd.DatetimeIndex
    is_utc: bool


def parse_times(column: pd.Series, tz: str | None, source: str, locate: Locate) -> Times:
    """Times in UTC of a column [T] of text, epoch numbers or datetimes.

    Times with an offset or a zone are converted. Times without one are read in ``tz``, UTC if
    None. Dates without a time of day name a session, not a moment: they stay at midnight UTC
    whatever ``tz`` is, so that a Monday stays a Monday; a column whose times are all midnights of
    their own offset or zone holds dates, too. Epoch numbers are UTC; their unit is told
    from their size. Where 03/04/2018 could be either, the reading that fits every row, and then
    the one that keeps the rows in order, is taken.

    Raises:
        DataError: a missing or unreadable time, or a local time that the zone skips or repeats,
            with its row; dates whose day and month cannot be told apart.
        ConfigError: an unknown time zone.
    """
    import pandas as pd

    parsed = _parse(column, source, locate)
    times = parsed.times
    bad = np.flatnonzero(np.asarray(times.isna()))
    if bad.size:
        row = int(bad[0])
        value = column.iloc[row]
        missing = bool(pd.isna(value)) or str(value).strip() == ""
        found = "the time is missing" if missing else f"{str(value)!r} is not a date or time"
        raise DataError(f"{source} {locate(row)}: {found}", expected=EXPECTED)
    outside = np.flatnonzero(np.asarray((times.year < 1678) | (times.year > 2261)))
    if outside.size:
        row = int(outside[0])
        raise DataError(
            f"{source} {locate(row)}: the year of {str(column.iloc[row])!r} is {times.year[row]}",
            expected="years from 1678 to 2261; " + EXPECTED,
        )
    dates = not parsed.is_utc and _are_dates(times)
    if not parsed.is_utc:
        times = to_zone(times, "UTC" if dates else tz, source, locate)
    stamps = np.asarray(times.tz_localize(None).as_unit("ns").to_numpy())
    return Times(stamps, parsed.is_utc, dates)


def is_clock(value: object) -> bool:
    """True for a time of day such as 09:30, 09:30:00 or 93000."""
    text = str(value).strip()
    return any(re.fullmatch(form, text) for form, _ in _CLOCKS) or bool(
        re.fullmatch(r"\d{1,5}", text)
    )


def _parse(column: pd.Series, source: str, locate: Locate) -> _Parsed:
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        local = pd.DatetimeIndex(column).tz_localize(None)
        if _are_dates(local):
            return _Parsed(local, False)
        return _Parsed(pd.DatetimeIndex(column).tz_convert("UTC"), True)
    if pd.api.types.is_datetime64_any_dtype(column):
        return _Parsed(pd.DatetimeIndex(column), False)
    if pd.api.types.is_bool_dtype(column):
        return _Parsed(pd.DatetimeIndex([pd.NaT] * len(column)), False)
    if pd.api.types.is_numeric_dtype(column):
        return _from_numbers(column, source, locate)
    text = column.astype("string").str.strip()
    text = text.mask(text == "")
    given = text.dropna()
    if len(given) and bool(given.str.fullmatch(r"\d+(\.\d+)?").all()):
        return _from_numbers(pd.to_numeric(text, errors="coerce"), source, locate)
    return _from_text(text, source, locate)


def _are_dates(times: pd.DatetimeIndex) -> bool:
    """True where all of ``times`` [T], read without a zone, are midnights."""
    return bool((times == times.normalize()).all())


def _from_numbers(column: pd.Series, source: str, locate: Locate) -> _Parsed:
    """Compact dates such as 20180131, else epoch numbers in the unit that their size tells."""
    import pandas as pd

    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[np.isfinite(values)]
    if known.size == 0:
        return _Parsed(pd.DatetimeIndex([pd.NaT] * len(values)), False)
    low, high = float(known.min()), float(known.max())
    for least, most, form in _COMPACT:
        if least <= low and high <= most and bool((known == np.floor(known)).all()):
            text = pd.Series(values).astype("Int64").astype("string")
            times = pd.DatetimeIndex(pd.to_datetime(text, format=form, errors="coerce"))
            if int(np.count_nonzero(times.isna())) == len(values) - known.size:
                return _Parsed(times, False)
    if _EXCEL_DAYS[0] <= low and high <= _EXCEL_DAYS[1]:
        raise DataError(
            f"{source} {locate(0)}: {known[0]:g} looks like a day number of a spreadsheet",
            expected=EXPECTED,
            hint="format the column as a date and save the file again",
        )
    size = float(np.median(np.abs(known)))
    if size < _EARLIEST_EPOCH:
        raise DataError(
            f"{source} {locate(0)}: {known[0]:g} is not a time",
            expected=EXPECTED,
            hint="if these are row numbers, add a column with the dates",
        )
    scale = next(ns for limit, ns in _EPOCH_UNITS if size < limit)
    good = np.isfinite(values) & (np.abs(values) * scale < 9.2e18)
    if pd.api.types.is_integer_dtype(column) and bool(good.all()):
        ns = column.to_numpy(dtype=np.int64) * scale  # 19 digits do not fit into a float
    else:
        whole = np.floor(np.where(good, values, 0.0))
        fraction = np.where(good, values, 0.0) - whole
        ns = whole.astype(np.int64) * scale + np.rint(fraction * scale).astype(np.int64)
    stamps = ns.astype("datetime64[ns]")
    stamps[~good] = np.datetime64("NaT")
    return _Parsed(pd.DatetimeIndex(stamps, tz="UTC"), True)


def _from_text(text: pd.Series, source: str, locate: Locate) -> _Parsed:
    """Text with one spelling in every row: all with an offset, or all without."""
    import pandas as pd

    offset = _has_offset(text)
    if bool(offset.any()):
        mixed = np.flatnonzero((~offset & text.notna()).to_numpy(dtype=bool))
        if mixed.size:
            row = int(mixed[0])
            raise DataError(
                f"{source} {locate(row)}: {text.iloc[row]!r} has no offset, other rows have one",
                expected="an offset in every row, or in none",
            )
        if _ISO_OFFSET.fullmatch(str(text.dropna().iloc[0])):
            iso = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
            if bool((iso.isna() == text.isna()).all()):
                return _iso_dates(text) or _Parsed(pd.DatetimeIndex(iso), True)
        shift = text.str.extract("(" + _OFFSET_AFTER_CLOCK + ")", expand=False).str.strip()
        shift = shift.str.replace(r"^(?:UTC|GMT)(?=.)", "", regex=True)
        minutes = _offset_minutes(shift)
        local = _without_zone(text.str.replace(_OFFSET_AFTER_CLOCK, "", regex=True), source, locate)
        if _are_dates(local):
            return _Parsed(local, False)
        moved = local - pd.to_timedelta(minutes, unit="min")
        return _Parsed(pd.DatetimeIndex(moved).tz_localize("UTC"), True)
    return _Parsed(_without_zone(text, source, locate), False)


def _iso_dates(text: pd.Series) -> _Parsed | None:
    """The dates of ISO times with an offset, if all are midnights where their offset is."""
    import pandas as pd

    if not bool((text.str.slice(11, 16) == "00:00").all()):
        return None
    if not bool(text.str.slice(16).str.fullmatch(_MIDNIGHT_AND_OFFSET).all()):
        return None
    return _Parsed(pd.DatetimeIndex(pd.to_datetime(text.str.slice(0, 10))), False)


def _has_offset(text: pd.Series) -> pd.Series:
    """[T] True where a time of day ends in an offset; plain searches, since patterns are slow."""
    end = text.str.slice(-6)
    sign = end.str.contains("+", regex=False) | end.str.contains("-", regex=False)
    named = text.str.endswith(("Z", "UTC", "GMT"))
    found: pd.Series = (text.str.contains(":", regex=False) & (sign | named)).fillna(False)
    return found


def _offset_minutes(shift: pd.Series) -> FloatArray:
    """[T] minutes east of Greenwich of texts such as Z, UTC, +01:00, -0430, +02."""
    codes, kinds = shift.factorize()

    def minutes(text: object) -> float:
        digits = re.sub(r"[^0-9]", "", str(text))
        if not digits:
            return 0.0
        size = 60.0 * int(digits[:2]) + int(digits[2:] or 0)
        return -size if str(text).startswith("-") else size

    table = np.array([*(minutes(kind) for kind in kinds), 0.0])
    return np.asarray(table[codes])


def _without_zone(text: pd.Series, source: str, locate: Locate) -> pd.DatetimeIndex:
    import pandas as pd

    first = next((str(value) for value in text.dropna()), "")
    if _ISO.fullmatch(first):
        iso = text.str.replace(",", ".", regex=False)
        return pd.DatetimeIndex(pd.to_datetime(iso, format="ISO8601", errors="coerce"))
    readings = [
        pd.DatetimeIndex(pd.to_datetime(text, format=form, errors="coerce"))
        for form in _formats_of(first)
    ]
    if not readings:
        return pd.DatetimeIndex([pd.NaT] * len(text))
    unread = [int(np.count_nonzero(reading.isna())) for reading in readings]
    fits = [r for r, n in zip(readings, unread, strict=True) if n == min(unread)]
    if len(fits) == 1:
        return fits[0]
    backward = [int(np.count_nonzero(np.diff(r.to_numpy().astype(np.int64)) < 0)) for r in fits]
    if backward[0] == backward[1] and not fits[0].equals(fits[1]):
        raise DataError(
            f"{source} {locate(0)}: in {first!r} day and month cannot be told apart, in any row",
            expected="ISO dates, such as 2018-01-31",
            hint="write the dates as year-month-day",
        )
    return fits[int(np.argmin(backward))]


def _formats_of(text: str) -> list[str]:
    """Formats that ``text`` may be written in: two where day and month could be swapped."""
    for form, dates in _DATES:
        match = re.match(form + r"(?=$|[ T,])", text)
        if match is None:
            continue
        rest = text[match.end() :]
        if not rest:
            return list(dates)
        clock = rest.lstrip(" T,")
        between = rest[: len(rest) - len(clock)]
        for pattern, time in _CLOCKS:
            if re.fullmatch(pattern, clock):
                spaced = time if " " in clock else time.replace(" ", "")
                return [date + between + spaced for date in dates]
    return []
