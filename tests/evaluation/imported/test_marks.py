"""Marks at irregular times, and which bars of a benchmark had ended by a mark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.imported import ImportOptions, benchmark_rows, evaluate_imported
from offline_trader.evaluation.judging import Evaluation
from offline_trader.evaluation.measures import sharpe_ratio
from offline_trader.markets import Bars
from offline_trader.types import FloatArray

HOUR = pd.Timedelta(hours=1)


def _walk(n: int, seed: int = 0) -> FloatArray:
    return np.asarray(100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.004, n))))


def _file(tmp_path: Path, times: pd.DatetimeIndex, close: FloatArray) -> str:
    """A file of bars; each opens where the one before closed."""
    opened = np.concatenate(([close[0]], close[:-1]))
    frame = pd.DataFrame(
        {
            "timestamp": times,
            "open": opened,
            "high": np.maximum(opened, close),
            "low": np.minimum(opened, close),
            "close": close,
            "volume": 1_000.0,
        }
    )
    path = tmp_path / "bars.csv"
    frame.to_csv(path, index=False)
    return str(path)


def _sessions(days: int) -> pd.DatetimeIndex:
    """Hourly bars from 14:00 to 20:00, stamped by their beginning."""
    dates = pd.bdate_range("2015-01-05", periods=days)
    return pd.DatetimeIndex([day + (14 + k) * HOUR for day in dates for k in range(7)])


def _same(found: Evaluation, close: FloatArray) -> float:
    """Correlation of the rival's returns with the market's."""
    pair = np.diff(np.log([found.comparators[0].equity, close]), axis=1)
    return float(np.corrcoef(pair)[0, 1])


@pytest.mark.parametrize("round_the_clock", [True, False])
@pytest.mark.parametrize("stamps", ["auto", "open"])
def test_an_hourly_curve_that_is_the_market_goes_with_it(
    tmp_path: Path, round_the_clock: bool, stamps: str
) -> None:
    """Bars stamped by their beginning, equity known at their end: the correlation was -.005."""
    times = _sessions(100)
    if round_the_clock:
        times = pd.date_range("2015-01-05", periods=700, freq="h")
    close = _walk(len(times))
    equity = pd.Series(50.0 * close, index=times + HOUR, name="equity")
    options = ImportOptions(benchmark=_file(tmp_path, times, close), stamps=stamps)  # type: ignore[arg-type]
    found = evaluate_imported(equity, options)
    assert _same(found, close) > 0.999
    (note,) = [note for note in found.notes if "stamps" in note]
    assert "beginning" in note
    assert ("say --stamps" in note) == (stamps == "auto")


@pytest.mark.parametrize("stamps", ["auto", "close"])
def test_bars_and_curve_that_are_stamped_alike(tmp_path: Path, stamps: str) -> None:
    times = pd.date_range("2015-01-05", periods=700, freq="h")
    close = _walk(700)
    equity = pd.Series(50.0 * close, index=times, name="equity")
    options = ImportOptions(benchmark=_file(tmp_path, times, close), stamps=stamps)  # type: ignore[arg-type]
    found = evaluate_imported(equity, options)
    assert _same(found, close) > 0.999
    (note,) = [note for note in found.notes if "stamps" in note]
    assert "their end" in note


def test_no_bar_is_read_before_it_has_ended() -> None:
    rng = np.random.default_rng(3)
    times = np.datetime64("2020-01-06", "ns") + np.sort(
        rng.integers(0, 9_000, 400)
    ) * np.timedelta64(1, "m")
    marks = np.unique(times)
    stamps = np.datetime64("2020-01-06", "ns") + np.arange(160) * np.timedelta64(1, "h")
    close = _walk(160)
    bars = Bars("b", stamps, close, close, close, close, np.ones(160))
    found = benchmark_rows(marks, _walk(len(marks), 1), bars, "open")
    for mark, row in zip(marks[found.first : found.stop], found.rows, strict=True):
        assert stamps[row] + np.timedelta64(1, "h") <= mark
        assert row == len(stamps) - 1 or stamps[row + 1] + np.timedelta64(1, "h") > mark


def test_a_day_is_read_after_it_has_ended() -> None:
    """Hourly marks know the day before; marks of days know their own."""
    days = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]").astype("datetime64[ns]")
    close = _walk(len(days))
    bars = Bars("d", days, close, close, close, close, np.ones(len(days)))
    hours = np.arange(days[1], days[3], np.timedelta64(1, "h"))
    found = benchmark_rows(hours, np.ones(48), bars)
    assert found.rows.tolist() == [0] * 24 + [1] * 24
    evening = pd.DatetimeIndex(days[5:20] + np.timedelta64(21, "h")).to_numpy("datetime64[ns]")
    assert benchmark_rows(evening, np.ones(15), bars).rows.tolist() == list(range(5, 20))


def test_a_benchmark_that_begins_a_row_later_is_compared_where_both_are(tmp_path: Path) -> None:
    days = pd.bdate_range("2015-01-05", periods=300)
    close = _walk(300)
    equity = pd.Series(70.0 * close, index=days, name="equity")
    path = _file(tmp_path, days[3:], close[3:])
    found = evaluate_imported(equity, ImportOptions(benchmark=path))
    assert found.n_bars == 296
    assert _same(found, close[3:]) > 0.999
    assert any("3 of the 300 marks" in note for note in found.notes)
    assert found.start.startswith("2015-01-08")
    late = _file(tmp_path, days[200:], close[200:])
    with pytest.raises(DataError, match="covers 2015-10"):
        evaluate_imported(equity, ImportOptions(benchmark=late))


@pytest.mark.parametrize("hours", [False, True])
def test_a_benchmark_that_ends_earlier_stands_still_for_no_mark(
    tmp_path: Path, hours: bool
) -> None:
    """Marks after its last bar were held against a market that did not move, for a week."""
    times = pd.bdate_range("2015-01-05", periods=300)
    if hours:
        times = pd.date_range("2015-01-05", periods=300, freq="h")
    close = _walk(300)
    marks = times + HOUR if hours else times
    equity = pd.Series(70.0 * close, index=marks, name="equity")
    found = evaluate_imported(
        equity, ImportOptions(benchmark=_file(tmp_path, times[:-3], close[:-3]))
    )
    assert found.n_bars == 296
    assert _same(found, close[:-3]) > 0.999
    assert any("3 of the 300 marks" in note for note in found.notes)


def test_a_month_that_ends_after_the_last_bar_is_judged(tmp_path: Path) -> None:
    days = pd.bdate_range("2015-01-05", "2017-12-29")  # a Friday: the month ends on Sunday
    close = _walk(len(days))
    months = pd.date_range("2015-01-31", "2017-12-31", freq="ME")
    rows = days.searchsorted(months, side="right") - 1
    equity = pd.Series(70.0 * close[rows], index=months, name="equity")
    found = evaluate_imported(equity, ImportOptions(benchmark=_file(tmp_path, days, close)))
    assert found.n_bars == 35
    assert _same(found, close[rows]) > 0.999


def test_growth_of_a_curve_at_irregular_times_is_that_of_the_calendar() -> None:
    """Marks only where a trade was closed, several on some days and none in some weeks: it showed
    178.8 % a year where 12.7 % is true."""
    rng = np.random.default_rng(2)
    for years, n in ((4.0, 300), (0.5, 40), (0.12, 15)):
        hours = np.sort(rng.exponential(1.0, n) ** 3)
        hours = np.cumsum(hours) / hours.sum() * years * 8766.0
        start = np.datetime64("2019-01-02", "ns")
        times = pd.DatetimeIndex(start + (np.r_[0.0, hours] * 3.6e12).astype("timedelta64[ns]"))
        growth = np.linspace(0.0, np.log1p(0.127) * years, n + 1)
        noise = rng.normal(0, 0.01, n + 1)
        noise[[0, -1]] = 0.0
        equity = pd.Series(10_000.0 * np.exp(growth + noise), index=times, name="equity")
        found = evaluate_imported(equity)
        assert found.measures["cagr"] == pytest.approx(0.127, rel=0.03), years
        assert any("irregular times" in note for note in found.notes)


def test_days_stamped_a_day_early_are_judged_as_days() -> None:
    """Stamps of Sunday to Thursday: 365 bars a year made .239 of a Sharpe ratio of .202."""
    days = pd.bdate_range("2015-01-05", periods=783)
    returns = np.random.default_rng(1).normal(2e-4, 0.01, 783)
    found = [
        evaluate_imported(pd.Series(returns, index=index, name="returns"))
        for index in (days, days - pd.Timedelta(days=1))
    ]
    expected = sharpe_ratio(returns, 365.25 * 5 / 7)
    for each in found:
        assert each.measures["sharpe"] == pytest.approx(expected, rel=1e-6)
        assert not any("gap" in note for note in each.notes)
    assert found[0].measures["cagr"] == pytest.approx(found[1].measures["cagr"])


def test_bars_a_year_that_the_calendar_contradicts_are_refused() -> None:
    days = pd.bdate_range("2015-01-05", periods=300)
    series = pd.Series(np.random.default_rng(1).normal(0, 0.01, 300), index=days, name="returns")
    assert evaluate_imported(series, ImportOptions(periods_per_year=252)).periods_per_year == 252
    for wrong in (12.0, 98_280.0):
        with pytest.raises(ConfigError, match=r"300 of them in 1\.14 years"):
            evaluate_imported(series, ImportOptions(periods_per_year=wrong))


@pytest.mark.parametrize(("given", "told"), [(365.0, "1.20 times"), (240.0, "")])
def test_bars_a_year_that_are_not_the_counted_ones_are_told(given: float, told: str) -> None:
    days = pd.bdate_range("2015-01-05", periods=522)  # 261 a year
    days = days[np.arange(522) % 29 != 0]  # and holidays: 252
    returns = pd.Series(np.random.default_rng(0).normal(0, 0.01, len(days)), index=days)
    found = evaluate_imported(returns, ImportOptions(kind="returns", periods_per_year=given))
    notes = [note for note in found.notes if "the calendar counts" in note]
    assert len(notes) == bool(told)
    assert all(f"{given:g} bars a year" in note and told in note for note in notes)


def test_marks_in_bursts_are_told_and_sessions_are_not() -> None:
    """Most steps are equal in both; the spread of the steps is larger in the sessions."""
    weeks = pd.date_range("2015-01-05 10:00", periods=60, freq="7D")
    minutes = pd.to_timedelta(np.arange(5), unit="min")
    bursts = pd.DatetimeIndex([week + each for week in weeks for each in minutes])
    days = pd.bdate_range("2015-01-05", periods=30)
    by_minute = pd.to_timedelta(np.arange(870, 870 + 390), unit="min")
    two_hours = pd.DatetimeIndex([day + (14 + k / 4) * HOUR for day in days for k in range(9)])
    sessions = pd.DatetimeIndex([day + each for day in days for each in by_minute])
    for times, told in ((bursts, True), (sessions, False), (_sessions(60), False),
                        (two_hours, False)):  # fmt: skip
        found = evaluate_imported(pd.Series(_walk(len(times)), index=times, name="equity"))
        assert any("The marks come in bursts" in note for note in found.notes) is told


@pytest.mark.parametrize("early", ["marks", "bars", "none", "both"])
def test_days_stamped_the_evening_before_are_told_beside_a_benchmark(
    tmp_path: Path, early: str
) -> None:
    """Monday's result at Sunday 22:00 stands beside Sunday's bar, which is Friday's."""
    days = pd.bdate_range("2015-01-05", periods=200)
    close = _walk(len(days))
    evening = days - 2 * HOUR
    marks = evening if early in ("marks", "both") else days
    bars = _file(tmp_path, evening if early in ("bars", "both") else days, close)
    options = ImportOptions(benchmark=bars)
    found = evaluate_imported(pd.Series(close, index=marks, name="equity"), options)
    told = [note for note in found.notes if "the evening before" in note]
    assert len(told) == (early in ("marks", "bars"))
    for freq in ("D", "W"):  # a market without week-ends, and weeks that end on Sunday
        times = pd.date_range(days[0], days[-1], freq=freq)
        others = evaluate_imported(pd.Series(_walk(len(times)), times, name="equity"), options)
        late = any("the evening before" in note for note in others.notes)
        assert late is (early in ("bars", "both"))  # such bars are early beside any dates
    side = {"marks": "one bar behind", "bars": "one bar ahead of"}
    assert all(side[early] in note for note in told)
