"""Local times to UTC, refusing those that a clock change skips or repeats."""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["to_zone"]


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


def _zone(tz: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(tz, sorted(zoneinfo.available_timezones()), 1, 0.5)
        raise ConfigError(
            f"unknown time zone {tz!r}",
            expected="an IANA name, such as America/New_York",
            hint=f"did you mean {near[0]}?" if near else "",
        ) from None
