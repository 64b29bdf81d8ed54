"""What the spacing of timestamps says: bars a year, and gaps.

Which days of the week a market trades on is counted, not assumed: stamps of a session that begins
on Sunday evening, of a week from Sunday to Thursday, or in a time zone that moves Friday's close to
Saturday are no week-end trading.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline_trader.types import IntArray

__all__ = ["count_gaps", "infer_periods_per_year", "years_between"]

_DAY_NS = 86_400_000_000_000
_WEEK_NS = 7 * _DAY_NS
_MONDAY_NS = 3 * _DAY_NS  # 1970-01-01 was a Thursday
_YEAR_DAYS = 365.25
_TRADING_DAYS = 252.0
_LONGEST_CLOSURE_NS = 4.5 * _DAY_NS  # a week-end with a holiday beside it
_USUAL = 0.7  # share of weeks in which a slot must be filled to be missed when it is not
_FEW_WEEKS = 3.0  # below it a day without bars may be a holiday
_AGREES = 0.02  # a count this near to a calendar's usual number is that number
_DIFFERS = 0.2  # of a range shorter than a year, at most: holidays alone do not make so much
_HOLIDAYS_DIFFER, _DAYS_DIFFER = 0.03, 5.0  # a year's holidays fall elsewhere, and a few are here


def years_between(timestamps: NDArray[np.datetime64]) -> float:
    """Calendar years from the first to the last of ``timestamps`` [T]."""
    ns = timestamps[[0, -1]].astype("datetime64[ns]").astype(np.int64)
    return float(ns[1] - ns[0]) / _DAY_NS / _YEAR_DAYS


def infer_periods_per_year(timestamps: NDArray[np.datetime64]) -> float:
    """Bars a year of ``timestamps`` [T].

    Over a year or more the bars are counted: steps ÷ calendar years. Where the count is within 2 %
    of a usual number, it is that number; a shorter range has the usual number unless its count is
    off by more than 3 % and five days, 20 % at most. Usual numbers: for daily bars 365 where all
    days of the week are traded, else 252 for five days a week and in proportion for others, or the
    days without any holiday (260.9 for five). For intraday bars those of a typical week (of a
    typical day, with less than three full weeks) over as many days. For longer spacing 52 for
    weeks, 12 for months, 4 for quarters, else the year divided by the spacing. The spacing is the
    median step, of fewer than ten steps the shortest.
    Fewer than three bars: 252.
    """
    if len(timestamps) < 3:
        return _TRADING_DAYS
    ns = timestamps.astype("datetime64[ns]").astype(np.int64)
    steps = np.diff(ns)
    usual = float(np.median(steps) if len(steps) >= 10 else np.min(steps))
    numbers = _usual_numbers(ns, usual)
    years = years_between(timestamps)
    counted = len(steps) / years
    nearest = min(numbers, key=lambda number: abs(counted / number - 1.0))
    if years < 1.0:
        days = years * _YEAR_DAYS
        differs = min(_DIFFERS, _HOLIDAYS_DIFFER + _DAYS_DIFFER / days)
        near = abs(counted / numbers[0] - 1.0) < differs or days < 21.0
        return numbers[0] if near else round(counted, 4)
    tolerance = _AGREES if usual < 1.5 * _DAY_NS else 0.08
    return nearest if abs(counted / nearest - 1.0) < tolerance else round(counted, 4)


def _usual_numbers(ns: IntArray, usual: float) -> tuple[float, ...]:
    """Bars a year that such a calendar usually has, the likeliest first."""
    if usual >= 1.5 * _DAY_NS:
        for days, periods in ((7.0, 52.0), (30.4, 12.0), (91.3, 4.0), (365.25, 1.0)):
            if abs(usual / _DAY_NS / days - 1.0) < 0.08:
                return (periods,)
        return (round(_YEAR_DAYS * _DAY_NS / usual, 4),)
    days = _days_a_week(ns)
    weeks = 365.0 / 7.0 if days == 7 else _TRADING_DAYS / 5.0
    bars = float(days)
    if usual < 0.9 * _DAY_NS:
        bars = _bars_a_week(ns, days)
    return (bars * weeks,) if days == 7 else (bars * weeks, bars * _YEAR_DAYS / 7.0)


def _days_a_week(ns: IntArray) -> int:
    """Days of the week on which at least half of the weeks have bars; of less than three weeks 7
    where both days of a week-end are there, else 5."""
    dates = np.unique(ns // _DAY_NS)
    weeks = (dates[-1] - dates[0] + 1) / 7.0
    count = np.bincount((dates + 3) % 7, minlength=7)
    if weeks < _FEW_WEEKS:
        return 7 if count[5] and count[6] else 5
    return max(1, int(np.count_nonzero(count >= 0.5 * weeks)))


def _bars_a_week(ns: IntArray, days: int) -> float:
    """Bars of the typical week among those that lie inside the range; with less than three of
    them, of the typical day on ``days`` days (of fewer than four, of the fullest)."""
    weeks, bars = np.unique((ns + _MONDAY_NS) // _WEEK_NS, return_counts=True)
    if len(weeks) >= _FEW_WEEKS + 2:
        return float(np.median(bars[1:-1]))
    _, bars = np.unique(ns // _DAY_NS, return_counts=True)
    return days * float(np.median(bars) if len(bars) >= 4 else np.max(bars))


def count_gaps(timestamps: NDArray[np.datetime64]) -> int:
    """Places in ``timestamps`` [T] where bars are missing that the market's habits let expect.

    - Round the clock or longer than a day: a step of more than 1.5 times the usual one.
    - Daily bars with days of the week off: a step of more than 4.5 days (holidays beside a week-end
      are no gap).
    - Sessions: a step of less than a day that passes over a time of the week at which at least
      70 % of the weeks have a bar, or one of more than 4.5 days. Nights, lunch breaks and
      holidays are no gap; a session that ends early is one.
    """
    ns = timestamps.astype("datetime64[ns]").astype(np.int64)
    steps = np.diff(ns)
    if len(steps) < 2:
        return 0
    usual = float(np.median(steps))
    long = steps > 1.5 * usual
    if usual >= 1.5 * _DAY_NS or _days_a_week(ns) == 7:
        return int(np.count_nonzero(long))
    closed = steps > _LONGEST_CLOSURE_NS
    if usual >= 0.9 * _DAY_NS:
        return int(np.count_nonzero(closed))
    return int(np.count_nonzero(closed | (long & (steps < _DAY_NS) & _passes_over(ns, usual))))


def _passes_over(ns: IntArray, usual: float) -> NDArray[np.bool_]:
    """[T - 1] True where a step leaves out a slot of the week that is usually filled."""
    step = int(usual)
    week, time = np.divmod(ns + _MONDAY_NS, _WEEK_NS)
    slot = time // step
    slots = _WEEK_NS // step + 1
    weeks = int(week[-1] - week[0]) + 1
    pairs = np.unique(np.stack([week, slot]), axis=1)
    filled = np.bincount(pairs[1], minlength=slots) >= _USUAL * weeks
    before = np.concatenate([[0], np.cumsum(filled)])
    first, stop = slot[:-1] + 1, slot[1:]
    inside = before[np.maximum(stop, first)] - before[first]
    around = before[-1] - before[first] + before[stop]
    return np.asarray(np.where(week[1:] > week[:-1], around, inside) > 0)
