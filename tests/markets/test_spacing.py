"""Bars a year and gaps, over the calendars that markets keep."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.markets import infer_periods_per_year, load_market
from offline_trader.markets.spacing import count_gaps

Times = NDArray[np.datetime64]

MINUTE = np.timedelta64(60, "s")
DAY = np.timedelta64(1, "D")


def weekdays(n: int, start: str = "2018-01-01") -> Times:
    return np.busday_offset(start, np.arange(n), roll="forward").astype("datetime64[ns]")


def every(step: np.timedelta64, n: int) -> Times:
    return np.datetime64("2018-01-01T00:00:00", "ns") + step * np.arange(n)


def sessions(days: int, minutes: int, bars: int, opens: int = 14 * 60 + 30) -> Times:
    """Bars of ``minutes`` in one session a weekday."""
    day = weekdays(days)[:, None]
    return (day + MINUTE * opens + MINUTE * minutes * np.arange(bars)[None, :]).ravel()


def exchange_days() -> Times:
    """Ten years of the New York Stock Exchange's days, from the built-in bars."""
    return np.asarray(load_market("sp500").timestamps[:2520])


def six_days(n: int) -> Times:
    return np.busday_offset("2018-01-01", np.arange(n), roll="forward", weekmask="1111101").astype(
        "datetime64[ns]"
    )


def forex_hours(weeks: int) -> Times:
    """Hours from Sunday 22:00 to Friday 22:00 (UTC)."""
    opens = np.datetime64("2018-01-07T22:00", "ns") + np.timedelta64(7, "D") * np.arange(weeks)
    return (opens[:, None] + np.timedelta64(1, "h") * np.arange(120)[None, :]).ravel()


def half_days() -> Times:
    """Two years of hourly sessions, every 22nd of them four hours long."""
    times = sessions(522, 60, 7).reshape(522, 7)
    short = np.zeros(times.shape, dtype=bool)
    short[::22, 4:] = True
    return times[~short]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        # a year or more is counted: weekdays without a holiday are 260.9 a year
        (weekdays(600), 5 / 7 * 365.25),
        (weekdays(200), 252.0),
        (exchange_days(), 252.0),
        (exchange_days() - DAY, 252.0),
        # stamps of Sunday to Thursday, and of Sunday evening to Friday, are no week-end trading
        (weekdays(600) - DAY, 5 / 7 * 365.25),
        (weekdays(200) - DAY, 252.0),
        (six_days(900), 6 / 7 * 365.25),
        (six_days(200), 6 * 252.0 / 5.0),
        (forex_hours(70), 120 * 365.25 / 7),
        (forex_hours(20), 120 * 252.0 / 5.0),
        (sessions(60, 60, 7, opens=-120), 7 * 252.0),
        (half_days(), 7 * 252.0),
        # half of the days are missing: they are not there
        (weekdays(1000)[::2], 499 / ((1395 + 1) / 365.25)),
        # one in six of them in five months, too
        (np.delete(weekdays(108), slice(3, None, 6)), 89 / (149 / 365.25)),
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
        (weekdays(500) - DAY, slice(0, 0), 0),
        (weekdays(500) - DAY, slice(10, 15), 1),
        (six_days(500), slice(0, 0), 0),
        (forex_hours(30), slice(0, 0), 0),
        (forex_hours(30), slice(300, 303), 1),
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
