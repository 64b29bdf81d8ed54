"""Bars: what is refused, and what slices, dates, hashes and copies keep."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import Bar, Bars, SignalBar, check_bar, nanoseconds

Change = Callable[[dict[str, Any]], None]


def columns(n: int = 6) -> dict[str, Any]:
    days = np.datetime64("2020-01-06", "ns") + np.arange(n) * np.timedelta64(1, "D")
    close = 10.0 + np.arange(n)
    return {
        "timestamps": days,
        "open": close - 0.5,
        "high": close + 1.0,
        "low": close - 1.0,
        "close": close,
        "volume": np.full(n, 100.0),
    }


def put(name: str, row: int, value: float | np.datetime64) -> Change:
    def change(parts: dict[str, Any]) -> None:
        parts[name][row] = value

    return change


def swap_times(parts: dict[str, Any]) -> None:
    parts["timestamps"][[2, 3]] = parts["timestamps"][[3, 2]]


def repeat_time(parts: dict[str, Any]) -> None:
    parts["timestamps"][3] = parts["timestamps"][2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_times, "X bar 3: time 2020-01-08 comes after 2020-01-09"),
        (repeat_time, "X bar 3: time 2020-01-08 appears twice"),
        (put("timestamps", 4, np.datetime64("NaT")), "X bar 4: the time is missing"),
        (put("open", 2, np.nan), "X bar 2: open is missing"),
        (put("close", 1, np.inf), "X bar 1: close is inf"),
        (put("low", 5, 0.0), "X bar 5: low is 0"),
        (put("low", 5, -3.5), "X bar 5: low is -3.5"),
        (put("high", 3, 12.75), "X bar 3: high 12.75 < close 13"),
        (put("open", 3, 15.0), "X bar 3: high 14 < open 15"),
        (put("low", 0, 9.75), "X bar 0: low 9.75 > open 9.5"),
        (put("volume", 2, -1.0), "X bar 2: volume is -1"),
        (put("volume", 2, np.nan), "X bar 2: volume is missing"),
    ],
)
def test_a_wrong_bar_is_refused_with_row_and_reason(change: Change, message: str) -> None:
    parts = columns()
    change(parts)
    with pytest.raises(DataError) as error:
        Bars("X", **parts)
    assert error.value.found.startswith(message)
    assert error.value.expected
    assert error.value.hint


def test_the_first_wrong_row_is_named_and_the_others_counted() -> None:
    parts = columns()
    parts["volume"][1] = -1.0
    parts["open"][4] = 0.0
    parts["high"][5] = 1.0
    with pytest.raises(DataError, match=r"bar 1: volume is -1 \(and 2 more rows refused\)"):
        Bars("X", **parts)


def test_newest_first_is_named_as_such() -> None:
    parts = {name: values[::-1].copy() for name, values in columns().items()}
    with pytest.raises(DataError, match="newest first: reverse it"):
        Bars("X", **parts)


@pytest.mark.parametrize("n", [0, 1])
def test_empty_bars_are_refused_and_one_bar_is_not(n: int) -> None:
    if n == 0:
        with pytest.raises(DataError, match="no bars"):
            Bars("X", **columns(0))
    else:
        assert len(Bars("X", **columns(1))) == 1


def test_unequal_lengths_are_refused() -> None:
    parts = columns() | {"volume": np.ones(5)}
    with pytest.raises(DataError, match=r"volume has shape \(5,\)"):
        Bars("X", **parts)


def test_arrays_are_copies_and_read_only() -> None:
    parts = columns()
    bars = Bars("X", **parts)
    parts["close"][0] = 99.0
    assert bars.close[0] == 10.0
    with pytest.raises(ValueError, match="read-only"):
        bars.close[0] = 1.0


def test_slice_and_iteration_give_the_same_bars() -> None:
    bars = Bars("X", **columns())
    part = bars.slice(2, 5)
    assert [*part] == [bars[2], bars[3], bars[4]]
    assert part[-1] == Bar(np.datetime64("2020-01-10", "ns"), 13.5, 15.0, 13.0, 14.0, 100.0)
    assert part.periods_per_year == bars.periods_per_year
    with pytest.raises(DataError, match="rows 5 to 5"):
        bars.slice(5, 5)


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2020-01-08", "2020-01-09", 2, 3),
        (None, "2020-01-09", 0, 3),
        ("2020-01-08", None, 2, 5),
        ("2020", "2020", 0, 5),
        ("2020-01", "2020-01", 0, 5),
        ("2020-01-08T00:00", "2020-01-09T00:00", 2, 3),
        ("2020-01-08T00:01", "2020-01-10T23:59:59Z", 3, 4),
    ],
)
def test_between_includes_both_dates_as_a_whole(
    start: str | None, end: str | None, first: int, last: int
) -> None:
    bars = Bars("X", **columns())
    assert bars.rows_between(start, end) == (first, last + 1)
    assert [*bars.between(start, end)] == [*bars][first : last + 1]


def test_dates_that_cannot_be_read_or_hold_no_bar() -> None:
    bars = Bars("X", **columns())
    for text in ("yesterday", "2020-13-01", "08/01/2020", "20200108", "0020", "2020-01-08+02:00"):
        with pytest.raises(ConfigError, match="cannot be read"):
            bars.between(text)
    with pytest.raises(DataError, match="no bars from 2021 to the end"):
        bars.between("2021")


def test_the_hash_sees_every_column_and_the_symbol() -> None:
    base = Bars("X", **columns()).sha256
    assert base == Bars("X", **columns()).sha256
    assert base != Bars("Y", **columns()).sha256
    for name in ("open", "high", "low", "close", "volume"):
        parts = columns()
        parts[name][3] = np.nextafter(parts[name][3], 1_000.0)
        assert Bars("X", **parts).sha256 != base
    parts = columns()
    parts["timestamps"][5] += np.timedelta64(1, "ns")
    assert Bars("X", **parts).sha256 != base


def test_a_pickled_copy_is_equal() -> None:
    bars = Bars("X", **columns(), locate=lambda i: f"row {i}", notes=("a note",))
    copy = pickle.loads(pickle.dumps(bars))
    assert copy.sha256 == bars.sha256
    assert copy.notes == ("a note",)


def test_one_bar_is_checked_by_the_same_rules() -> None:
    t = np.datetime64("2020-01-06", "ns")
    good = Bar(t, 1.0, 2.0, 0.5, 1.5, 0.0)
    check_bar(good, t - 1, "bar")
    wrong = [
        (good._replace(high=1.2), None, "high 1.2 < close 1.5"),
        (good._replace(low=1.2), None, "low 1.2 > open 1"),
        (good._replace(open=np.nan), None, "open is missing"),
        (good._replace(high=np.inf), None, "high is inf"),
        (good._replace(volume=-1.0), None, "volume is -1"),
        (good._replace(volume=np.nan), None, "volume is missing"),
        (good._replace(timestamp=np.datetime64("NaT", "ns")), None, "time is missing"),
        (good, t, "appears twice"),
        (good, t + 1, "comes after"),
    ]
    for bar, previous, message in wrong:
        with pytest.raises(DataError, match=message) as refused:
            check_bar(bar, previous, "bar")
        assert "more row" not in refused.value.found
    odd: Any = None
    for bar in (good._replace(low=odd), good._replace(close=odd), good._replace(volume=odd)):
        with pytest.raises(DataError, match=r"refused: open 1\.0, high 2\.0, low"):
            check_bar(bar, None, "bar")
    times: tuple[Any, ...] = (odd, "2020-01-02", 5)
    for time in times:
        with pytest.raises(DataError, match=f"bar refused: time {time!r}"):
            check_bar(good._replace(timestamp=time), None, "bar")
    with pytest.raises(DataError, match=r"high 1.2 < close 1.5\n"):
        check_bar(good._replace(high=1.2), t - 1, "bar")
    for late in (t, t + 1):  # a live bar is in no file that could be sorted
        with pytest.raises(DataError) as refused:
            check_bar(good, late, "bar")
        assert "go on with the next one" in refused.value.hint


@pytest.mark.parametrize("unit", ["ns", "us", "s", "D"])
def test_moments_are_compared_whatever_their_unit(unit: str) -> None:
    moment, none = np.array(["2020-01-06", "NaT"], dtype=f"datetime64[{unit}]")
    assert nanoseconds(moment) == 18_267 * 86_400 * 10**9
    assert nanoseconds(none) < nanoseconds(np.datetime64("1900-01-01", "s"))


def test_a_bar_keeps_its_signals_when_the_callers_change() -> None:
    """A log writes them after the decision."""
    given = {"mood": 1.0}
    bar = Bar(np.datetime64("2020-01-06", "ns"), 1.0, 2.0, 0.5, 1.5)
    made = SignalBar.with_signals(bar, given)
    given["mood"] = 2.0
    assert made.signals == {"mood": 1.0}
