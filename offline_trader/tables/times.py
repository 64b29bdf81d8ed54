"""Reading times: epoch numbers, dates and date-times in the usual spellings, with their zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.tables.epochs import times_of_digits
from offline_trader.tables.zones import ABBREVIATIONS, is_zone, to_zone
from offline_trader.types import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Times", "is_clock", "may_be_time", "parse_times"]

Locate = Callable[[int], str]

EXPECTED = "dates such as 2018-01-31, times such as 2018-01-31 09:30, or epoch numbers"
_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\d{4}-\d{1,2}-\d{1,2}", ("%Y-%m-%d",)),
    (r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", ("%Y.%m.%d",)),
    (r"\d{8}", ("%Y%m%d",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%m/%d/%Y", "%d/%m/%Y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%m-%d-%Y", "%d-%m-%Y")),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"\d{1,2}/\d{1,2}/\d{2}", ("%m/%d/%y", "%d/%m/%y")),
    (r"\d{1,2}-\d{1,2}-\d{2}", ("%m-%d-%y", "%d-%m-%y")),
    (r"\d{1,2}\.\d{1,2}\.\d{2}", ("%d.%m.%y",)),
    (r"[A-Za-z]{3} \d{1,2}, \d{4}", ("%b %d, %Y",)),
    (r"[A-Za-z]{4,9} \d{1,2}, \d{4}", ("%B %d, %Y",)),
    (r"\d{1,2}-[A-Za-z]{3}-\d{4}", ("%d-%b-%Y",)),
    (r"\d{1,2}-[A-Za-z]{3}-\d{2}", ("%d-%b-%y",)),
    (r"\d{1,2} [A-Za-z]{3} \d{4}", ("%d %b %Y",)),
    (r"\d{1,2} [A-Za-z]{4,9} \d{4}", ("%d %B %Y",)),
    (r"\d{1,2} [A-Za-z]{3} \d{2}", ("%d %b %y",)),
    (r"[A-Za-z]{3} \d{1,2} \d{4}", ("%b %d %Y",)),
    (r"[A-Za-z]{3}, [A-Za-z]{3} \d{1,2}, \d{4}", ("%a, %b %d, %Y",)),
    (r"[A-Za-z]{6,9}, [A-Za-z]{3,9} \d{1,2}, \d{4}", ("%A, %B %d, %Y",)),
    (r"[A-Za-z]{3}, \d{1,2} [A-Za-z]{3} \d{4}", ("%a, %d %b %Y",)),
    (r"[A-Za-z]{3} \d{1,2}/\d{1,2}/\d{4}", ("%a %m/%d/%Y", "%a %d/%m/%Y")),
    (r"\d{4}年\d{1,2}月\d{1,2}日", ("%Y年%m月%d日",)),
    (r"\d{4}년 ?\d{1,2}월 ?\d{1,2}일", ("%Y년 %m월 %d일", "%Y년%m월%d일")),
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
_LAST_SECOND = 9.2e9
_ZONE_BESIDE_OFFSET = r"((?:Z|[+-]\d{2}:?\d{2}))(?:\[[A-Za-z_/+-]+\]| (?:UTC|GMT))$"
# a time of day, then a name that is neither AM or PM nor one of Greenwich's
_NAMED_ZONE = re.compile(
    r"(.*\d(?: ?[AaPp][Mm])?) (?!(?:(?:UTC|GMT)(?:[+-]\d.*)?|[AaPp][Mm])$)"
    r"([A-Za-z]{2,}[A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2})"
)
_MIDNIGHT_AND_OFFSET = r"(?::00(?:[.,]0+)?)?(?:Z|[+-]\d{2}:?\d{2})"  # what follows 00:00


class Times(NamedTuple):
    """Times that were read.

    Attributes:
        utc: [T] datetime64[ns].
        zoned: True where the column itself said what zone its times are in.
        dates: True where all times are midnights without a zone, or of their own zone: dates.
        notes: what was decided in reading them.
    """

    utc: NDArray[np.datetime64]
    zoned: bool
    dates: bool
    notes: tuple[str, ...] = ()


class Parsed(NamedTuple):
    """Times of T rows: without a zone, or in UTC; NaT where a row could not be read."""

    times: pd.DatetimeIndex
    is_utc: bool
    notes: tuple[str, ...] = ()


def parse_times(column: pd.Series, tz: str | None, source: str, locate: Locate) -> Times:
    """Times in UTC of a column [T] of text, epoch numbers or datetimes.

    Times with an offset or a zone are converted. Times without one are read in ``tz``, UTC if
    None. Dates without a time of day name a session, not a moment: they stay at midnight UTC
    whatever ``tz`` is, so that a Monday stays a Monday; a column whose times are all midnights of
    their own offset or zone holds dates, too. Epoch numbers are UTC; their unit is told from
    their size, row by row where it changes inside the column (noted). Where 03/04/2018 could be
    either, the reading that fits every row, and then the one that keeps the rows in order, is
    taken; where both do, one of them oldest first and the other newest first, that is the oldest
    first (noted).

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
        found = "the time is missing" if missing else f"{_shown(value)!r} is not a date or time"
        raise DataError(f"{source} {locate(row)}: {found}", expected=EXPECTED, hint=_lost(value))
    outside = np.flatnonzero(np.asarray((times.year < 1678) | (times.year > 2261)))
    if outside.size:
        row = int(outside[0])
        found = f"the year of {_shown(column.iloc[row])!r} is {times.year[row]}"
        raise DataError(
            f"{source} {locate(row)}: {found}",
            expected="years from 1678 to 2261; " + EXPECTED,
        )
    dates = not parsed.is_utc and _are_dates(times)
    if not parsed.is_utc:
        times = to_zone(times, "UTC" if dates else tz, source, locate)
    stamps = np.asarray(times.tz_localize(None).as_unit("ns").to_numpy())
    return Times(stamps, parsed.is_utc, dates, parsed.notes)


def is_clock(value: object) -> bool:
    """True for a time of day such as 09:30, 09:30:00 or 93000."""
    text = str(value).strip()
    return any(re.fullmatch(form, text) for form, _ in _CLOCKS) or bool(
        re.fullmatch(r"\d{1,5}", text)
    )


def may_be_time(text: str) -> bool:
    """True for text that begins with a date in one of the spellings that are read."""
    return bool(_formats_of(text)) or _ISO.match(text) is not None


def _parse(column: pd.Series, source: str, locate: Locate) -> Parsed:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        _refuse_far(pd.DatetimeIndex(column), source, locate)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        local = pd.DatetimeIndex(column).tz_localize(None)
        if _are_dates(local):
            return Parsed(local, False)
        return Parsed(pd.DatetimeIndex(column).tz_convert("UTC"), True)
    if pd.api.types.is_datetime64_any_dtype(column):
        return Parsed(pd.DatetimeIndex(column), False)
    if pd.api.types.is_bool_dtype(column):
        return Parsed(pd.DatetimeIndex([pd.NaT] * len(column)), False)
    if pd.api.types.is_numeric_dtype(column):
        return _from_digits(column.reset_index(drop=True), source, locate)
    text = column.astype("str").where(column.notna(), "").str.strip().reset_index(drop=True)
    given = text[text != ""]
    if len(given) and bool(given.str.fullmatch(r"-?\d{1,19}(\.\d+)?").all()):
        return _from_digits(text, source, locate)
    return _from_text(text.mask(text == ""), source, locate)


def _lost(value: object) -> str:
    """What to do about a number that a spreadsheet wrote with few of its digits."""
    if not re.fullmatch(r"\d(?:[.,]\d+)?[eE]\+?\d{1,2}", str(value).strip()):
        return ""
    return (
        "a spreadsheet has cut the digits of this number, and they are lost in this file: import "
        "the original again with this column as text, or format it as a number without decimals, "
        "and save it again"
    )


def _refuse_far(times: pd.DatetimeIndex, source: str, locate: Locate) -> None:
    """Refuse stored times that nanoseconds cannot count, which no zone or calendar takes."""
    seconds = times.asi8 / {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[times.unit]
    far = np.flatnonzero((np.abs(seconds) > _LAST_SECOND) & ~np.asarray(times.isna()))
    if far.size:
        raise DataError(
            f"{source} {locate(int(far[0]))}: the time is {seconds[far[0]]:.4g} seconds from 1970",
            expected="years from 1678 to 2261; " + EXPECTED,
        )


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _from_digits(column: pd.Series, source: str, locate: Locate) -> Parsed:
    import pandas as pd

    stamps, is_utc, notes = times_of_digits(column, source, locate)
    return Parsed(pd.DatetimeIndex(stamps, tz="UTC" if is_utc else None), is_utc, notes)


def _are_dates(times: pd.DatetimeIndex) -> bool:
    """True where all of ``times`` [T], read without a zone, are midnights."""
    return bool((times == times.normalize()).all())


def _from_text(text: pd.Series, source: str, locate: Locate) -> Parsed:
    """Text with one spelling in every row: all with an offset, or all without."""
    import pandas as pd

    if bool(text.str.contains("  ", regex=False).any()):
        text = text.str.replace(r"\s+", " ", regex=True)
    first = next(iter(text.dropna()), "")
    if re.search(_ZONE_BESIDE_OFFSET, first):
        text = text.str.replace(_ZONE_BESIDE_OFFSET, r"\1", regex=True)
    elif _NAMED_ZONE.fullmatch(first):
        return _from_named_zones(text, source, locate)
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
                return _iso_dates(text) or Parsed(pd.DatetimeIndex(iso), True)
        shift = text.str.extract("(" + _OFFSET_AFTER_CLOCK + ")", expand=False).str.strip()
        shift = shift.str.replace(r"^(?:UTC|GMT)(?=.)", "", regex=True)
        minutes = _offset_minutes(shift)
        bare = text.str.replace(_OFFSET_AFTER_CLOCK, "", regex=True)
        local, notes = _without_zone(bare, source, locate)
        if _are_dates(local):
            return Parsed(local, False, notes)
        moved = local - pd.to_timedelta(minutes, unit="min")
        return Parsed(pd.DatetimeIndex(moved).tz_localize("UTC"), True, notes)
    local, notes = _without_zone(text, source, locate)
    return Parsed(local, False, notes)


class _Place:
    """What messages call the i-th of some rows."""

    def __init__(self, locate: Locate, rows: IntArray) -> None:
        self.locate, self.rows = locate, rows

    def __call__(self, i: int) -> str:
        return self.locate(int(self.rows[i]))


def _from_named_zones(text: pd.Series, source: str, locate: Locate) -> Parsed:
    """Local times that are each followed by the name of their zone."""
    import pandas as pd

    parts = text.str.extract(_NAMED_ZONE.pattern)
    bare = np.flatnonzero((parts[1].isna() & text.notna()).to_numpy(dtype=bool))
    if bare.size:
        row = int(bare[0])
        found = f"{_shown(text.iloc[row])!r} names no zone, other rows name one"
        raise DataError(
            f"{source} {locate(row)}: {found}",
            expected="a zone in every row, or in none",
        )
    local, decided = _without_zone(parts[0], source, locate)
    if _are_dates(local):
        return Parsed(local, False, decided)
    utc = np.full(len(text), np.datetime64("NaT"), "datetime64[ns]")
    notes = [*decided]
    for name in parts[1].dropna().unique():
        rows = np.flatnonzero((parts[1] == name).to_numpy(dtype=bool))
        zone = ABBREVIATIONS.get(name.upper(), "")
        if zone:
            notes.append(f"times in {name} are read as UTC{zone[:3]}:{zone[3:]}")
        known = local[rows].notna()
        place = _Place(locate, rows[known])
        if not is_zone(zone or name):
            raise DataError(
                f"{source} {locate(int(rows[0]))}: {name!r} is not a time zone",
                expected="an IANA name, such as America/New_York, or an offset, such as -05:00",
            )
        moved = to_zone(local[rows][known], zone or name, source, place)
        utc[rows[known]] = moved.tz_localize(None).as_unit("ns").to_numpy()
    return Parsed(pd.DatetimeIndex(utc, tz="UTC"), True, tuple(notes))


def _iso_dates(text: pd.Series) -> Parsed | None:
    """The dates of ISO times with an offset, if all are midnights where their offset is."""
    import pandas as pd

    if not bool((text.str.slice(11, 16) == "00:00").all()):
        return None
    if not bool(text.str.slice(16).str.fullmatch(_MIDNIGHT_AND_OFFSET).all()):
        return None
    return Parsed(pd.DatetimeIndex(pd.to_datetime(text.str.slice(0, 10))), False)


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


def _without_zone(
    text: pd.Series, source: str, locate: Locate
) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    """Times without a zone, and what was decided in reading them."""
    import pandas as pd

    first = next((str(value) for value in text.dropna()), "")
    if _ISO.fullmatch(first):
        iso = text.str.replace(",", ".", regex=False)
        try:
            return pd.DatetimeIndex(pd.to_datetime(iso, format="ISO8601", errors="coerce")), ()
        except ValueError:  # offsets in some rows, which the format takes and others have not
            bare = iso.where(iso.str.fullmatch(_ISO.pattern).fillna(False).astype(bool))
            return pd.DatetimeIndex(pd.to_datetime(bare, format="ISO8601", errors="coerce")), ()
    readings = [
        pd.DatetimeIndex(pd.to_datetime(text, format=form, errors="coerce"))
        for form in _formats_of(first)
    ]
    if not readings:
        return pd.DatetimeIndex([pd.NaT] * len(text)), ()
    unread = [int(np.count_nonzero(reading.isna())) for reading in readings]
    fits = [r for r, n in zip(readings, unread, strict=True) if n == min(unread)]
    if len(fits) == 1:
        return fits[0], ()
    disorder = [_disorder(reading) for reading in fits]
    if disorder[0] == disorder[1] and not fits[0].equals(fits[1]):
        raise DataError(
            f"{source} {locate(0)}: in {first!r} day and month cannot be told apart, in any row",
            expected="ISO dates, such as 2018-01-31",
            hint="write the dates as year-month-day",
        )
    chosen, other = (fits[disorder.index(pick(disorder))] for pick in (min, max))
    if disorder[0][0] != disorder[1][0] or fits[0].equals(fits[1]):
        return chosen, ()
    return chosen, (
        f"{first!r} is read as {_day(chosen)}, which has the rows oldest first; newest first it "
        f"could be {_day(other)}",
    )


def _day(times: pd.DatetimeIndex) -> str:
    return str(times[0])[:10]


def _disorder(times: pd.DatetimeIndex) -> tuple[int, int]:
    """Steps against the order of most rows, oldest or newest first; and steps back in time."""
    steps = np.diff(times.to_numpy().astype(np.int64))
    back = int(np.count_nonzero(steps < 0))
    return min(back, int(np.count_nonzero(steps > 0))), back


def _formats_of(text: str) -> list[str]:
    """Formats that ``text`` may be written in: two where day and month could be swapped."""
    for form, dates in _DATES:
        match = re.match(form + r"(?=$|[ T,-])", text)
        if match is None:
            continue
        rest = text[match.end() :]
        if not rest:
            return list(dates)
        clock = rest.lstrip(" T,-")
        between = rest[: len(rest) - len(clock)]
        for pattern, time in _CLOCKS:
            if re.fullmatch(pattern, clock):
                spaced = time if " " in clock else time.replace(" ", "")
                return [date + between + spaced for date in dates]
    return []
