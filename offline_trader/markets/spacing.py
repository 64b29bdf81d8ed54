"""What the spacing of timestamps says: bars a year, and gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline_trader.types import IntArray

__all__ = ["count_gaps", "infer_periods_per_year"]

_DAY_NS = 86_400_000_000_000
_WEEK_NS = 7 * _DAY_NS
_MONDAY_NS = 3 * _DAY_NS  # 1970-01-01 was a Thursday
_YEAR_DAYS = 365.25
_TRADING_DAYS = 252.0
_LONGEST_CLOSURE_NS = 4.5 * _DAY_NS  # a week-end with a holiday beside it
_USUAL = 0.7  # share of weeks in which a slot must be filled to be missed when it is not


def _trades_at_week_ends(ns: IntArray) -> bool:
    """True where Saturdays and Sundays hold their share of the bars (2/7), or more than half."""
    weekday = (ns // _DAY_NS + 3) % 7
    return bool(np.mean(weekday >= 5) > 1 / 7)


def infer_periods_per_year(timestamps: NDArray[np.datetime64]) -> float:
    """Bars a year of ``timestamps`` [T].

    Daily bars: 365 if they include week-ends, else 252. Intraday bars: 365 or 252 times the bars
    of a typical day with trading (390 for minutes of a 6.5-hour session, 1,440 round the clock);
    with fewer than four days, the fullest one. Longer spacing: 52 for weeks, 12 for months, 4 for
    quarters, else the year divided by the spacing. The spacing is the median step, of fewer than
    ten steps the shortest. Fewer than three bars: 252.
    """
    if len(timestamps) < 3:
        return _TRADING_DAYS
    ns = timestamps.astype(np.int64)
    steps = np.diff(ns)
    usual = float(np.median(steps) if len(steps) >= 10 else np.min(steps))
    days_a_year = 365.0 if _trades_at_week_ends(ns) else _TRADING_DAYS
    if usual < 0.9 * _DAY_NS:
        _, bars_a_day = np.unique(ns // _DAY_NS, return_counts=True)
        typical = np.median(bars_a_day) if len(bars_a_day) >= 4 else np.max(bars_a_day)
        return float(typical) * days_a_year
    if usual < 1.5 * _DAY_NS:
        return days_a_year
    for days, periods in ((7.0, 52.0), (30.4, 12.0), (91.3, 4.0), (365.25, 1.0)):
        if abs(usual / _DAY_NS / days - 1.0) < 0.08:
            return periods
    return round(_YEAR_DAYS * _DAY_NS / usual, 4)


def count_gaps(timestamps: NDArray[np.datetime64]) -> int:
    """Places in ``timestamps`` [T] where bars are missing that the market's habits let expect.

    - Round the clock or longer than a day: a step of more than 1.5 times the usual one.
    - Daily bars with week-ends off: a step of more than 4.5 days (holidays beside a week-end are
      no gap).
    - Sessions: a step of less than a day that passes over a time of the week at which at least
      70 % of the weeks have a bar, or one of more than 4.5 days. Nights, lunch breaks and
      holidays are no gap; a session that ends early is one.
    """
    ns = timestamps.astype(np.int64)
    steps = np.diff(ns)
    if len(steps) < 2:
        return 0
    usual = float(np.median(steps))
    long = steps > 1.5 * usual
    if usual >= 1.5 * _DAY_NS or _trades_at_week_ends(ns):
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
