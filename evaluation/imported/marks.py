"""When a result's marks lie, and which bars of a benchmark had ended by then.

A mark is the time at which an equity was known. A benchmark may only be read from bars that had
ended by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.markets import Bars
from offline_trader.markets.spacing import years_between
from offline_trader.types import FloatArray, IntArray

__all__ = [
    "BenchmarkRows",
    "Stamps",
    "benchmark_rows",
    "irregular_note",
    "require_calendar",
]

TimeArray: TypeAlias = NDArray[np.datetime64]
Stamps: TypeAlias = Literal["auto", "open", "close"]
_DAY = np.timedelta64(1, "D")
_FEW_DAYS = 21.0
_TOLD = 0.1
"""Difference of bars a year, given and counted, above which it is told."""
_BURSTS = 0.05
"""Share of the calendar below which marks are bursts; sessions of two hours a day cover 6 %."""
_SURELY = 0.2
"""Difference of correlations by which the stamps' meaning is told."""


def require_calendar(times: TimeArray, periods_per_year: float, label: str) -> tuple[str, ...]:
    """Checks bars a year that a user gave; a note where they are not what the calendar counts.

    Raises:
        ConfigError: by them the marks last half as long again as by the calendar, or two thirds.
    """
    years = years_between(times)
    counted = (len(times) - 1) / years if years else 0.0
    if years * 365.25 < _FEW_DAYS or abs(periods_per_year / counted - 1.0) <= _TOLD:
        return ()
    if 2 / 3 < counted / periods_per_year < 1.5:
        return (
            f"{periods_per_year:g} bars a year, as was said, where the calendar counts "
            f"{counted:,.1f}: Sharpe ratio and volatility are "
            f"{np.sqrt(periods_per_year / counted):.2f} times those by the count (the square root "
            "of the ratio).",
        )
    raise ConfigError(
        f"{periods_per_year:g} bars a year, and {label} has {len(times) - 1:,} of them in "
        f"{years:.2f} years: {counted:,.1f} a year",
        expected="a number near what is there",
        hint="leave it out: it is then counted",
    )


def irregular_note(times: TimeArray, periods_per_year: float) -> tuple[str, ...]:
    """What a reader must know of marks at irregular times: how a year is counted."""
    steps = np.diff(times).astype("timedelta64[ns]").astype(np.float64)
    # nights and week-ends are one step in five at most, but for two bars a day
    equal = np.abs(steps / np.median(steps) - 1.0) < 0.15
    # the spread of the steps would not tell bursts: it is larger where sessions have many bars
    bursts = steps[equal].sum() < _BURSTS * steps.sum()
    if len(steps) < 10 or (equal.mean() > 0.6 and not bursts):
        return ()
    how = "in bursts" if equal.mean() > 0.6 else "at irregular times"
    return (
        f"The marks come {how}: {len(steps):,} returns in {years_between(times):.2f} "
        f"years are counted as {periods_per_year:,.1f} a year, and each as one bar.",
    )


@dataclass(frozen=True)
class BenchmarkRows:
    """Where a benchmark is read.

    Attributes:
        first, stop: marks of the result that the benchmark covers.
        rows: [stop − first] row of the last bar that had ended at each of them.
        note: what the bars' stamps mean, or seem to; empty where nothing depends on it.
    """

    first: int
    stop: int
    rows: IntArray
    note: str


def benchmark_rows(
    times: TimeArray, equity: FloatArray, bars: Bars, stamps: Stamps = "auto"
) -> BenchmarkRows:
    """Rows of ``bars`` that had ended at or before each mark.

    Bars of a day or longer under marks of a day or longer are matched by their dates: the day's
    close is the day's. Under marks inside the day a daily bar ends with its day. Bars inside the
    day end at their stamp (``close``) or a bar later (``open``); ``auto`` takes ``open``, what most
    vendors and exchanges write, unless the result moves with the bars at their own stamps and not
    with the ended ones: then both are stamped alike. Marks at midnight are the end of their day.

    Args:
        times, equity: [T + 1] marks of the result.
        bars: of the benchmark.
        stamps: which end of a bar its time stamp means.
    """
    ends, known, daily = _ends(times, bars)
    opened = _last(ends, known)
    closed = _last(bars.timestamps.astype(ends.dtype), known)
    if daily:
        chosen, note = (closed if stamps == "close" else opened), _evening_note(times, bars)
    elif stamps == "auto":
        alike = _correlation(equity, bars.close, closed) - _correlation(equity, bars.close, opened)
        chosen = closed if alike > _SURELY else opened
        end = "end (or the result is stamped as they are)" if alike > _SURELY else "beginning"
        note = f"{bars.symbol}: the stamps of its bars were taken for their {end}; say --stamps."
    else:
        chosen = closed if stamps == "close" else opened
        end = {"open": "beginning", "close": "end"}[stamps]
        note = f"{bars.symbol}: the stamps of its bars mean their {end}, as was said."
    first = int(np.searchsorted(chosen, 0))
    last = ends[-1] if chosen is opened else bars.timestamps[-1].astype(ends.dtype)
    # where the next bar is missing a mark shows nothing new, unless the one before it was earlier
    over = (known >= last + _usual_step(bars)) & (np.diff(chosen, prepend=-1) == 0)
    late = over | (known > last + np.timedelta64(7, "D"))
    stop = int(np.argmax(late)) if late.any() else len(times)
    return BenchmarkRows(first, stop, chosen[first:stop], note)


def _evening_note(times: TimeArray, bars: Bars) -> str:
    """A warning where only one of marks and daily bars runs from Sunday to Thursday: it is stamped
    by the opening of its day, the evening before."""
    marks, stamps = _begins_on_sunday(times), _begins_on_sunday(bars.timestamps)
    if marks == stamps:
        return ""
    who, other = ("the marks", "its bars") if marks else ("its bars", "the marks")
    off = "behind" if marks else "ahead of"
    return (
        f"{bars.symbol}: {who} run from Sunday to Thursday and {other} do not, as if {who} were "
        "stamped by the opening of their day, the evening before. Days are matched by date: if so, "
        f"the benchmark stands one bar {off} the result; move the stamps to the day that they "
        "belong to."
    )


def _begins_on_sunday(times: TimeArray) -> bool:
    """True for days from Sunday to Thursday: not for weeks that end on Sunday, nor for all days."""
    count = np.bincount((times.astype("datetime64[D]").astype(np.int64) + 3) % 7, minlength=7)
    share = count / len(times)
    return bool((share[[6, 0, 1, 2, 3]] > 0.1).all() and share[[4, 5]].sum() < 0.05)


def _ends(times: TimeArray, bars: Bars) -> tuple[TimeArray, TimeArray, bool]:
    """Ends of the bars if they are stamped by their beginning, what counts as each mark, and
    whether both are matched by dates."""
    stamps = bars.timestamps.astype("datetime64[ns]")
    known = times.astype("datetime64[ns]")
    step = _usual_step(bars)
    by_day = bool((np.diff(times.astype("datetime64[D]")) >= _DAY).all())
    if step >= 0.9 * _DAY.astype("timedelta64[ns]"):
        dates = stamps.astype("datetime64[D]")
        if by_day:
            return dates, known.astype("datetime64[D]"), True
        return (dates + 1).astype("datetime64[ns]"), known, True
    if (known == known.astype("datetime64[D]")).all():
        known = known + _DAY
    ends = np.minimum(stamps + step, np.append(stamps[1:], stamps[-1] + step))
    return ends, known, False


def _usual_step(bars: Bars) -> np.timedelta64:
    stamps = bars.timestamps.astype("datetime64[ns]")
    return np.timedelta64(np.median(np.diff(stamps)) if len(stamps) > 1 else _DAY, "ns")


def _last(ends: TimeArray, known: TimeArray) -> IntArray:
    return np.asarray(np.searchsorted(ends, known, side="right") - 1, dtype=np.int64)


def _correlation(equity: FloatArray, close: FloatArray, rows: IntArray) -> float:
    """Of the result's log returns with the benchmark's, where it is known; 0 where undefined."""
    inside = rows >= 0
    if inside.sum() < 10:
        return 0.0
    pair = np.diff(np.log(np.stack([equity[inside], close[rows[inside]]])), axis=1)
    if (pair.std(axis=1) == 0).any():
        return 0.0
    return float(np.corrcoef(pair)[0, 1])
