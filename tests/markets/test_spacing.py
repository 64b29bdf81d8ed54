"""Bars a year and gaps, over the calendars that markets keep."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.markets import infer_periods_per_year
from offline_trader.markets.spacing import count_gaps

Times = NDArray[np.datetime64]

MINUTE = np.timedelta64(60, "s")


def weekdays(n: int, start: str = "2018-01-01") -> Times:
    return np.busday_offset(start, np.arange(n), roll="forward").astype("datetime64[ns]")


def every(step: np.timedelta64, n: int) -> Times:
    return np.datetime64("2018-01-01T00:00:00", "ns") + step * np.arange(n)


def sessions(days: int, minutes: int, bars: int, opens: int = 14 * 60 + 30) -> Times:
    """Bars of ``minutes`` in one session a weekday."""
    day = weekdays(days)[:, None]
    return (day + MINUTE * opens + MINUTE * minutes * np.arange(bars)[None, :]).ravel()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (weekdays(600), 252.0),
        (every(np.timedelta64(1, "D"), 600), 365.0),
        (sessions(60, 1, 390), 390 * 252.0),
        (sessions(60, 60, 7), 7 * 252.0),
        (every(np.timedelta64(1, "h"), 2_000), 24 * 365.0),
        (every(MINUTE, 10_000), 1_440 * 365.0),
        (every(np.timedelta64(4, "h"), 2_000), 6 * 365.0),
        (every(np.timedelta64(7, "D"), 200), 52.0),
        (np.arange("2000-01", "2010-01", dtype="datetime64[M]").astype("datetime64[ns]"), 12.0),
        (np.arange("2000", "2020", dtype="datetime64[Y]").astype("datetime64[ns]"), 1.0),
        (every(np.timedelta64(3, "D"), 200), 121.75),
        (weekdays(2), 252.0),
        (weekdays(4, "2018-01-04"), 252.0),
    ],
)
def test_periods_per_year(times: Times, expected: float) -> None:
    assert infer_periods_per_year(times) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("times", "drop", "expected"),
    [
        # a holiday beside a week-end is no gap, a week without bars is one
        (weekdays(500), slice(10, 11), 0),
        (weekdays(500), slice(10, 15), 1),
        # round the clock, every missing bar counts, and a run of them once
        (every(np.timedelta64(1, "D"), 500), slice(10, 11), 1),
        (every(np.timedelta64(1, "h"), 500), slice(10, 13), 1),
        # sessions: nights and a whole day off are no gap, a hole and an early end are
        (sessions(60, 5, 78), slice(0, 0), 0),
        (sessions(60, 5, 78), slice(78 * 10, 78 * 11), 0),
        (sessions(60, 5, 78), slice(78 * 10 + 30, 78 * 10 + 33), 1),
        (sessions(60, 5, 78), slice(78 * 10 + 40, 78 * 11), 1),
        (sessions(60, 5, 78), slice(78 * 10, 78 * 16), 1),
    ],
)
def test_gaps(times: Times, drop: slice, expected: int) -> None:
    assert count_gaps(np.delete(times, drop)) == expected


def test_a_lunch_break_is_no_gap() -> None:
    times = sessions(60, 1, 330, opens=60)
    minute = (times - times.astype("datetime64[D]")) // MINUTE
    assert count_gaps(times[(minute < 60 + 150) | (minute >= 60 + 210)]) == 0


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_bars_have_no_gap(n: int) -> None:
    assert count_gaps(weekdays(n)) == 0
