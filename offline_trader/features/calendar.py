"""Where a bar lies in its day, week and year, as points on circles: right for any bar spacing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline_trader.markets import nanoseconds
from offline_trader.types import FloatArray

__all__ = ["CALENDAR_NAMES", "Calendar", "calendar_features", "calendar_phases"]

CALENDAR_NAMES = ("day_sin", "day_cos", "week_sin", "week_cos", "year_sin", "year_cos")

_DAY_NS = 86_400_000_000_000
_WEEK_NS = 7 * _DAY_NS
_MONDAY_NS = 3 * _DAY_NS  # 1970-01-01 was a Thursday, three days after a Monday


def calendar_phases(timestamps: NDArray[np.datetime64]) -> FloatArray:
    """[3, T] share of the UTC day, week (from Monday 00:00) and year that has passed, in [0, 1)."""
    t = timestamps.astype("datetime64[ns]")
    ns = t.astype(np.int64)
    years = t.astype("datetime64[Y]")
    first = years.astype("datetime64[ns]").astype(np.int64)
    following = (years + 1).astype("datetime64[ns]").astype(np.int64)
    return np.stack(
        [
            (ns % _DAY_NS) / _DAY_NS,
            ((ns + _MONDAY_NS) % _WEEK_NS) / _WEEK_NS,
            (ns - first) / (following - first),
        ]
    )


def calendar_features(timestamps: NDArray[np.datetime64]) -> dict[str, FloatArray]:
    """[T] the six calendar columns by name; row t reads ``timestamps[t]`` only."""
    angle = 2.0 * np.pi * calendar_phases(timestamps)
    sine, cosine = np.sin(angle), np.cos(angle)
    columns = [wave[i] for i in range(3) for wave in (sine, cosine)]
    return dict(zip(CALENDAR_NAMES, columns, strict=True))


class Calendar:
    """The phases of one moment after the other: the year's ends are looked up once a year."""

    def __init__(self) -> None:
        self._year = (0, 0)

    def angles(self, timestamp: np.datetime64) -> list[float]:
        """2π · :func:`calendar_phases` of a moment, to the same bit."""
        ns = nanoseconds(timestamp)
        first, following = self._year
        if not first <= ns < following:
            year = timestamp.astype("datetime64[Y]")
            first, following = (
                int(each.astype("datetime64[ns]").astype(np.int64)) for each in (year, year + 1)
            )
            self._year = (first, following)
        # numpy rounds both to float64 before it divides; Python would divide the integers exactly
        passed = float(ns - first) / float(following - first)
        phases = ((ns % _DAY_NS) / _DAY_NS, ((ns + _MONDAY_NS) % _WEEK_NS) / _WEEK_NS, passed)
        return [2.0 * np.pi * phase for phase in phases]
