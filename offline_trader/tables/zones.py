"""Local times to UTC, refusing those that a clock change skips or repeats."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ABBREVIATIONS", "is_zone", "to_zone"]

ABBREVIATIONS = {
    "EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500", "MST": "-0700", "MDT": "-0600",
    "PST": "-0800", "PDT": "-0700", "WET": "+0000", "WEST": "+0100", "CET": "+0100",
    "CEST": "+0200", "EET": "+0200", "EEST": "+0300", "BST": "+0100", "MSK": "+0300",
    "JST": "+0900", "KST": "+0900", "HKT": "+0800", "SGT": "+0800", "AEST": "+1000",
    "AEDT": "+1100",
}  # fmt: skip
"""Offsets of zones' short names, as exchanges use them (CST is Chicago's, BST London's)."""


def to_zone(
    times: pd.DatetimeIndex, tz: str | None, source: str, locate: Callable[[int], str]
) -> pd.DatetimeIndex:
    """UTC times of local ``times`` [T] in zone ``tz`` (UTC if None).

    The hour that autumn repeats is told apart by the order of the rows, where that is possible.

    Raises:
        ConfigError: an unknown zone, with the nearest known one.
        DataError: a local time that the zone skips, or one that it has twice and whose row order
            does not tell which is meant.
    """
    import pandas as pd

    zone = _zone(tz or "UTC")
    if len(times) > 1 and times[0] > times[-1]:  # newest first: the order tells, backwards
        last = len(times) - 1
        return to_zone(times[::-1], tz, source, lambda i: locate(last - i))[::-1]
    try:
        known = times.tz_localize(zone, ambiguous="infer", nonexistent="NaT")
    except (ValueError, pd.errors.OutOfBoundsDatetime):
        known = times.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    bad = np.flatnonzero(np.asarray(known.isna()))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{source} {locate(row)}: local time {times[row]} is skipped or comes twice in {tz}, "
            "where the clocks change",
            expected="local times that the zone has once",
            hint="store the times with their offset or in UTC, or name another time zone",
        )
    return known.tz_convert("UTC")


def is_zone(tz: str) -> bool:
    """True for an IANA name or an offset such as -0500."""
    try:
        _zone(tz)
    except ConfigError:
        return False
    return True


def _zone(tz: str) -> dt.tzinfo:
    if re.fullmatch(r"[+-]\d{4}", tz):
        minutes = 60 * int(tz[1:3]) + int(tz[3:])
        return dt.timezone(dt.timedelta(minutes=-minutes if tz[0] == "-" else minutes))
    try:
        return zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"unknown time zone {tz!r}",
            expected="an IANA name, such as America/New_York",
            hint=did_you_mean(tz, sorted(zoneinfo.available_timezones()), cutoff=0.5),
        ) from None
