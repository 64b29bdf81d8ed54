"""Others' results: every usual form gives the same numbers, and what is wrong is named."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.imported import ImportOptions, evaluate_imported
from offline_trader.evaluation.judging import Evaluation, TrialLedger, side_by_side
from offline_trader.evaluation.report import render_comparison, render_report

N = 400
DAYS = pd.bdate_range("2016-01-04", periods=N)


def returns(seed: int = 0) -> pd.Series:
    values = np.random.default_rng(seed).normal(5e-4, 0.01, N)
    return pd.Series(values, index=DAYS, name="returns")


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def as_series(path: Path) -> object:
    return returns()


def as_frame(path: Path) -> object:
    return returns().rename("Strategy Return").to_frame()


def as_csv(path: Path) -> object:
    returns().to_csv(path / "r.csv", index_label="Date")
    return path / "r.csv"


def as_semicolons(path: Path) -> object:
    frame = returns().rename_axis("Datetime").reset_index()
    frame.to_csv(path / "r.csv", sep=";", index=False)
    return path / "r.csv"


def as_percent_text(path: Path) -> object:
    frame = pd.DataFrame({"date": DAYS, "ret": [f"{100 * r:.14f}%" for r in returns()]})
    frame.to_csv(path / "r.csv", index=False)
    return path / "r.csv"


def as_epoch(path: Path) -> object:
    seconds = DAYS.as_unit("s").asi8
    pd.DataFrame({"timestamp": seconds, "returns": returns().to_numpy()}).to_csv(
        path / "r.csv", index=False
    )
    return path / "r.csv"


def as_parquet(path: Path) -> object:
    returns().to_frame().to_parquet(path / "r.parquet")
    return path / "r.parquet"


def as_equity(path: Path) -> object:
    equity = np.concatenate([[50_000.0], 50_000.0 * np.cumprod(1.0 + returns().to_numpy())])
    days = [DAYS[0] - pd.Timedelta(days=1), *DAYS]
    pd.DataFrame({"Date": days, "Portfolio Value": equity}).to_csv(path / "e.csv", index=False)
    return path / "e.csv"


@pytest.mark.parametrize(
    "form",
    [as_series, as_frame, as_csv, as_semicolons, as_percent_text, as_epoch, as_parquet, as_equity],
)
def test_every_form_gives_the_same_numbers(form: Callable[[Path], object], tmp_path: Path) -> None:
    found = evaluate_imported(form(tmp_path))  # type: ignore[arg-type]
    values = returns().to_numpy()
    np.testing.assert_allclose(found.curve.returns, values, atol=1e-12)
    assert found.periods_per_year == pytest.approx(365.25 * 5 / 7)  # no holiday is left out
    expected = values.mean() / values.std(ddof=1) * np.sqrt(found.periods_per_year)
    assert found.measures["sharpe"] == pytest.approx(expected, rel=1e-9)
    assert found.end[:10] == "2017-07-14"
    assert found.n_bars == N
    assert found.collapse is None
    assert found.robustness is None


def test_months_are_their_last_days(tmp_path: Path) -> None:
    lines = ["Date,Mkt-RF,SMB", "201511,2.0,0", "201512,-1.0,0", "201601,3.0,0", "201602,0.5,0"]
    path = write_csv(tmp_path / "months.csv", "\n".join(lines))
    options = ImportOptions(kind="returns", column="Mkt-RF", percent=True)
    found = evaluate_imported(path, options)
    assert [stamp[:10] for stamp in found.curve.timestamps[1:]] == [
        "2015-11-30",
        "2015-12-31",
        "2016-01-31",
        "2016-02-29",
    ]
    assert found.periods_per_year == pytest.approx(12.0, abs=0.3)
    assert found.measures["total_return"] == pytest.approx(1.02 * 0.99 * 1.03 * 1.005 - 1.0)


def test_percent_is_asked_for() -> None:
    found = evaluate_imported(returns() * 100.0, ImportOptions(percent=True))
    np.testing.assert_allclose(found.curve.returns, returns().to_numpy(), atol=1e-12)
    doubtful = evaluate_imported(returns().clip(-0.009, None) * 100.0)
    assert any("per cent" in note for note in doubtful.notes)


def trades() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Entry Timestamp": ["2016-01-04", "2016-01-06", "2016-01-12"],
            "Exit Timestamp": ["2016-01-05", "2016-01-11", "2016-01-16"],
            "Direction": ["Long", "Short", "Long"],
            "Size": [10.0, 5.0, 2.0],
            "Avg Entry Price": [100.0, 104.0, 90.0],
            "Avg Exit Price": [103.0, 106.0, 95.0],
            "Fees": [1.0, 1.0, 0.0],
        }
    )


def test_a_trade_list_by_hand() -> None:
    found = evaluate_imported(trades(), ImportOptions(initial_cash=1_000.0))
    assert [trade.net_profit for trade in found.trades] == [29.0, -11.0, 10.0]
    assert [trade.direction for trade in found.trades] == [1, -1, 1]
    assert found.measures["win_rate"] == pytest.approx(2 / 3)
    assert found.measures["payoff_ratio"] == pytest.approx(19.5 / 11.0)
    equity = dict(zip(found.curve.timestamps, found.curve.equity.tolist(), strict=True))
    assert equity["2016-01-03T00:00:00"] == 1_000.0
    assert equity["2016-01-05T00:00:00"] == 1_029.0
    assert equity["2016-01-08T00:00:00"] == 1_029.0
    assert equity["2016-01-11T00:00:00"] == 1_018.0
    assert equity["2016-01-16T00:00:00"] == 1_028.0  # a Saturday on which a trade closed
    assert "2016-01-09T00:00:00" not in equity
    assert any("when a trade closes" in note for note in found.notes)


def test_profit_and_return_columns() -> None:
    by_profit = trades().drop(columns=["Size", "Avg Entry Price", "Avg Exit Price"])
    by_profit["PnL"] = [29.0, -11.0, 10.0]
    given = evaluate_imported(by_profit, ImportOptions(initial_cash=1_000.0))
    assert [trade.net_profit for trade in given.trades] == [29.0, -11.0, 10.0]
    by_return = pd.DataFrame({"exit_time": ["2016-01-08", "2016-01-06"], "return": [0.1, 0.5]})
    compounded = evaluate_imported(by_return, ImportOptions(initial_cash=100.0))
    assert [trade.net_profit for trade in compounded.trades] == pytest.approx([50.0, 15.0])


def test_an_open_trade_does_not_count() -> None:
    frame = trades()
    frame.loc[2, "Exit Timestamp"] = None
    assert len(evaluate_imported(frame).trades) == 2
    marked = trades().assign(Status=["Closed", "Closed", "Open"])  # with the last bar as its exit
    assert len(evaluate_imported(marked).trades) == 2


def test_negative_units_are_a_short_position() -> None:
    frame = trades().drop(columns="Direction")
    frame["Size"] = [10.0, -5.0, 2.0]
    found = evaluate_imported(frame, ImportOptions(initial_cash=1_000.0))
    assert [trade.direction for trade in found.trades] == [1, -1, 1]
    assert [trade.net_profit for trade in found.trades] == [29.0, -11.0, 10.0]


@pytest.mark.parametrize("words", [[False, True, False], [0, 1, 0], ["False", "True", "False"]])
def test_is_short_is_a_yes_or_no(words: list[bool] | list[int] | list[str]) -> None:
    frame = trades().drop(columns="Direction").assign(is_short=words)
    assert [trade.direction for trade in evaluate_imported(frame).trades] == [1, -1, 1]


@pytest.mark.parametrize("column", [[10.0, -5.0], ["10", "-5"], ["10%", "-5%"]])
def test_returns_of_trades_in_per_cent(column: list[object]) -> None:
    frame = pd.DataFrame({"exit_time": ["2016-01-06", "2016-01-08"], "return": column})
    found = evaluate_imported(frame, ImportOptions(initial_cash=100.0, percent=True))
    assert [trade.net_profit for trade in found.trades] == pytest.approx([10.0, -5.5])


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (["0,0125", "-0,5", "0"], [0.0125, -0.5, 0.0]),
        (["1,25%", "(0,5%)", "2%"], [0.0125, -0.005, 0.02]),
        (["0.5", "-$0.25", "(0.125)"], [0.5, -0.25, -0.125]),
    ],
)
def test_numbers_as_people_write_them(written: list[str], values: list[float]) -> None:
    frame = pd.DataFrame({"date": DAYS[:3], "returns": written})
    found = evaluate_imported(frame).curve.returns
    np.testing.assert_allclose(found, values, atol=1e-12)


@pytest.mark.parametrize(
    "written",
    [
        ["1,234.50", "1,300.25", "999"],
        ["1.234,50", "1.300,25", "999"],
        ["1234,50", "1300,25", "999"],
        ["$1,234.50", "$1,300.25", "$999"],
        ["1 234.50", "1 300.25", "999"],
    ],
)
def test_equity_as_people_write_it(written: list[str]) -> None:
    found = evaluate_imported(pd.DataFrame({"date": DAYS[:3], "equity": written}))
    assert found.curve.equity.tolist() == [1234.5, 1300.25, 999.0]


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz"])
def test_remarks_above_the_header_are_no_columns(tmp_path: Path, name: str) -> None:
    rows = "".join(f"{day:%Y-%m-%d},{r},1\n" for day, r in returns().head(40).items())
    text = "# from a broker, 3 lines\n#\n\nDate,returns,Trade #\n" + rows
    opened = gzip.open if name.endswith("gz") else open
    with opened(tmp_path / name, "wt", encoding="utf-8") as file:
        file.write(text)
    assert evaluate_imported(tmp_path / name).n_bars == 40


def test_two_forms_of_numbers_in_a_column_are_refused() -> None:
    frame = pd.DataFrame({"date": DAYS[:3], "equity": ["1.234,5", "1250.25", "1300,5"]})
    with pytest.raises(DataError, match=r"row 2: equity is '1250\.25'"):
        evaluate_imported(frame)


def test_periods_are_their_last_days() -> None:
    monthly = pd.Series([0.01, -0.02, 0.03], pd.period_range("2016-01", periods=3, freq="M"))
    found = evaluate_imported(monthly.rename("returns"))
    assert [stamp[:10] for stamp in found.curve.timestamps[1:]] == [
        "2016-01-31",
        "2016-02-29",
        "2016-03-31",
    ]


def test_gaps_are_told() -> None:
    whole = evaluate_imported(returns())
    holed = evaluate_imported(returns().drop(DAYS[100:120]))
    assert not any(" gap" in note for note in whole.notes)
    assert any("1 gap;" in note for note in holed.notes)


def test_buy_and_hold_of_a_benchmark_is_aligned_by_date() -> None:
    found = evaluate_imported(returns(), ImportOptions(benchmark="sp500"))
    (rival,) = found.comparators
    assert len(rival.equity) == N + 1
    from offline_trader.markets import load_market

    bars = load_market("sp500")
    days = bars.timestamps.astype("datetime64[D]")
    by_day = dict(zip(days.tolist(), bars.close.tolist(), strict=True))
    start, end = DAYS[5].date(), DAYS[300].date()
    ratio = rival.equity[301] / rival.equity[6]
    assert ratio == pytest.approx(by_day[end] / by_day[start])
    assert rival.spa_p_value is not None
    late = pd.Series(returns().to_numpy(), index=DAYS + pd.Timedelta(days=900), name="returns")
    with pytest.raises(DataError, match="covers"):
        evaluate_imported(late, ImportOptions(benchmark="sp500"))


def test_it_enters_the_ledger(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    counts = [evaluate_imported(returns(seed), ledger=ledger).trials for seed in (1, 2, 1)]
    assert counts == [1, 2, 2]
    again = evaluate_imported(returns(1), ImportOptions(seed=5), ledger=ledger)
    assert again.trials == 2, "another seed of the bootstrap is the same result"
    named = evaluate_imported(returns(1), ImportOptions(name="final"), ledger=ledger)
    assert named.trials == 2, "another name is the same result"
    assert [trial.name for trial in ledger.trials()] == ["final", "returns"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,returns\n2016-01-04,0.1\n2016-01-05,-1.5\n", "2016-01-05.*is -1.5"),
        ("date,returns\n2016-01-04,0.1\n2016-01-05,x\n", "row 3: returns is 'x'"),
        ("date,returns\n2016-01-04,0.1\n2016-01-05,\n2016-01-06,0.1\n", "2016-01-05.*is nan"),
        ("date,returns\n2016-01-05,0.1\n2016-01-04,0.1\n", "follows"),
        ("date,returns\n2016-01-04,0.1\n", "has 1 row"),
        ("date,equity\n2016-01-04,100\n2016-01-05,-3\n", "equity at 2016-01-05.*is -3"),
        ("returns,b\n0.1,1\n0.2,2\n", "no column of times"),
        ("date,returns\n2016-01-04,0.1\nyesterday,0.1\n", "'yesterday' is not a date"),
        ("exit_time,entry_time,pnl\n2016-01-04,2016-01-05,3\n", "row 2: it exits before it enters"),
        ("exit_time,pnl,side\n2016-01-04,3,up\n", "row 2: side is 'up'"),
        ("exit_time,pnl\n2016-01-04,-20000\n2016-01-05,1\n", "lose all"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_imported(write_csv(tmp_path / "x.csv", text))


def test_rows_are_the_lines_of_the_file(tmp_path: Path) -> None:
    """Also behind remarks and behind trades that are still open."""
    remarks = "# from a broker\n\n"
    text = "exit_time,entry_time,pnl\n,2016-01-04,\n2016-01-05,2016-01-04,1\n"
    path = tmp_path / "x.csv"
    for line, row in (
        ("2016-01-04,2016-01-05,3", "row 6: it exits before"),
        ("2016-01-06,2016-01-05,x", "row 6: pnl is 'x'"),
        ("2016-01-06,2016-01-05,", "row 6: the profit is nan"),
        ("never,2016-01-05,3", "row 6: 'never' is not a date"),
    ):
        with pytest.raises(DataError, match=row):
            evaluate_imported(write_csv(path, remarks + text + line + "\n"))
    frame = pd.DataFrame({"date": DAYS[:3], "equity": [1.0, 2.0, np.nan]})
    with pytest.raises(DataError, match="row 3: equity at 2016-01-06 is nan") as info:
        evaluate_imported(frame)
    assert "write 0" not in str(info.value), "an equity of 0 would be refused as well"


def test_an_index_of_times_may_have_any_name(tmp_path: Path) -> None:
    series = returns().rename_axis("Börsentag")
    assert evaluate_imported(series).n_bars == N
    series.to_frame().to_parquet(tmp_path / "x.parquet")
    assert evaluate_imported(tmp_path / "x.parquet").n_bars == N


def test_times_twice_are_told_from_times_out_of_order() -> None:
    frame = pd.DataFrame({"date": DAYS[[0, 1, 1, 2]], "returns": [0.01, 0.02, 0.03, 0.04]})
    with pytest.raises(DataError, match="row 3: 2016-01-05 follows 2016-01-05") as info:
        evaluate_imported(frame)
    assert "leave one of the rows" in str(info.value.hint)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "größe.csv"
    rows = "".join(f"{day:%Y-%m-%d};{r:.8f}\n".replace(".", ",") for day, r in returns().items())
    path.write_text("Date;Return;Währung\n" + rows.replace("\n", ";€\n"), encoding=encoding)
    assert evaluate_imported(path).n_bars == N


def test_files_that_hold_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"date,returns\n2016-01-04,\0\n")
    with pytest.raises(DataError, match="no text file"):
        evaluate_imported(path)
    for text in ("", "\n\n", "# nothing\n", "date,returns\n"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"no rows|is empty"):
            evaluate_imported(path)


def test_small_numbers_with_a_decimal_comma(tmp_path: Path) -> None:
    frame = returns().rename_axis("date").to_frame()
    frame.iloc[7] = 1.9e-6
    frame.iloc[8] = 1e-5
    frame.to_csv(tmp_path / "x.csv", sep=";", decimal=",")
    assert "e-06" in (tmp_path / "x.csv").read_text()
    found = evaluate_imported(tmp_path / "x.csv").curve.returns
    np.testing.assert_allclose(found, frame["returns"], atol=1e-12)


def test_growth_beyond_all_numbers_has_no_interval() -> None:
    wild = returns()
    wild.iloc[5] = 1e9
    found = evaluate_imported(wild)
    assert found.measures["max_drawdown"] is not None
    assert "cagr" not in found.intervals
    assert "sharpe" in found.intervals


def test_no_option_is_passed_over() -> None:
    frame = pd.DataFrame({"date": DAYS[:3], "equity": [1.0, 2.0, 3.0]})
    with pytest.raises(ConfigError, match="with an equity curve"):
        evaluate_imported(frame, ImportOptions(percent=True))
    with pytest.raises(ConfigError, match="has no returns"):
        evaluate_imported(trades(), ImportOptions(percent=True))
    both = pd.DataFrame({"exit_time": DAYS[:2], "pnl": [1.0, 2.0], "return": [1.0, 2.0]})
    with pytest.raises(ConfigError, match="profits in `pnl`"):
        evaluate_imported(both, ImportOptions(percent=True))
    with pytest.raises(ConfigError, match="with a trade list"):
        evaluate_imported(trades(), ImportOptions(column="Fees"))


@pytest.mark.parametrize("step", [1, 2, 3])
def test_years_of_a_trade_list_are_years(step: int) -> None:
    """Trades on weekdays only, and also on some or all days of the week-ends."""
    exits = pd.date_range("2010-01-04", "2013-12-31", freq="D")[::step]
    if step == 3:
        exits = exits[exits.day_of_week < 5]
    frame = pd.DataFrame({"exit_time": exits, "pnl": 1.0})
    found = evaluate_imported(frame, ImportOptions(initial_cash=1_000.0))
    years = (exits[-1] - exits[0]).days / 365.25
    growth = (1.0 + len(exits) / 1_000.0) ** (1.0 / years) - 1.0
    assert found.measures["cagr"] == pytest.approx(growth, rel=2e-3)
    assert found.statistics["years"] == pytest.approx(years, rel=2e-3)


def test_what_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", "date,foo,bar\n2016-01-04,1,2\n2016-01-05,1.1,2\n")
    with pytest.raises(ConfigError, match="foo, bar"):
        evaluate_imported(path)
    found = evaluate_imported(path, ImportOptions(kind="equity", column="foo"))
    assert found.measures["total_return"] == pytest.approx(0.1)
    with pytest.raises(ConfigError, match="no column 'baz'"):
        evaluate_imported(path, ImportOptions(kind="equity", column="baz"))
    with pytest.raises(DataError, match="no such file"):
        evaluate_imported(tmp_path / "absent.csv")


def test_the_report_says_what_is_not_known() -> None:
    html = render_report(evaluate_imported(returns()))
    assert "The actions are not known." in html
    assert "could not be checked" in html


@pytest.fixture(scope="module")
def pair() -> list[Evaluation]:
    return [evaluate_imported(returns(seed), ImportOptions(name="run")) for seed in (1, 2)]


def test_two_results_side_by_side(pair: list[Evaluation]) -> None:
    found = side_by_side(pair, replicates=200)
    assert found.names == ("run (1)", "run (2)")
    assert found.measures["sharpe"] == tuple(each.measures["sharpe"] for each in pair)
    (difference,) = found.differences
    assert difference.n == N
    first, second = found.measures["sharpe"]
    assert first is not None
    assert second is not None
    assert difference.value == pytest.approx(second - first)
    assert difference.interval is not None
    assert difference.interval[0] < difference.interval[1]
    assert set(found.settings) == {"data SHA-256"}
    html = render_comparison(pair, found)
    assert "run (2)" in html
    assert html.count('class="banner') == 2


def test_only_shared_bars_are_paired(pair: list[Evaluation]) -> None:
    late = pd.Series(returns(1).to_numpy(), index=DAYS + pd.Timedelta(days=364), name="returns")
    other = evaluate_imported(late)
    found = side_by_side([pair[0], other], replicates=200)
    shared = len(set(pair[0].curve.timestamps[1:]) & set(other.curve.timestamps[1:]))
    assert 0 < found.differences[0].n == shared < N
    assert any("not on the same data" in note for note in found.notes)
    same = side_by_side([pair[0], pair[0]], replicates=200)
    assert same.differences[0].value is None
    assert "equal returns" in same.differences[0].reason
    with pytest.raises(ConfigError, match="two or more"):
        side_by_side(pair[:1])


def test_a_return_over_two_bars_is_not_paired_with_one_over_one(pair: list[Evaluation]) -> None:
    holed = evaluate_imported(
        pd.Series(pair[1].curve.equity[1:], index=DAYS, name="equity").drop(DAYS[[50, 200]])
    )
    (difference,) = side_by_side([pair[0], holed], replicates=200).differences
    # its first mark is a day later; after each hole one return spans two bars
    assert difference.n == N - 1 - 2 * 2


def test_days_and_months_are_not_paired(pair: list[Evaluation]) -> None:
    """A month's return and the return of its last day end at the same time."""
    days = pd.bdate_range("2010-01-01", "2016-12-30")
    noise = np.random.default_rng(0).normal(0.0, 0.01, len(days))
    daily = pd.Series(1_000.0 * np.cumprod(1.0 + noise), index=days, name="equity")
    monthly = daily.groupby(days.to_period("M")).tail(1)
    found = side_by_side([evaluate_imported(daily), evaluate_imported(monthly)], replicates=200)
    (difference,) = found.differences
    assert difference.value is None
    assert "different lengths, 12 and 261" in difference.reason
    assert any("bars a year (261, 12)" in note for note in found.notes)


def test_results_over_the_same_days_are_comparable(pair: list[Evaluation]) -> None:
    assert side_by_side(pair, replicates=200).notes == ()


def test_the_trades_and_equity_of_an_independent_backtester() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # third-party imports and progress bars
        from backtesting import Backtest, Strategy
        from backtesting.test import GOOG

        class EveryMonth(Strategy):  # type: ignore[misc]
            def init(self) -> None:
                pass

            def next(self) -> None:
                if len(self.data) % 20 == 0:
                    self.buy()
                elif len(self.data) % 20 == 11:
                    self.position.close()

        test = Backtest(GOOG.iloc[:500], EveryMonth, cash=50_000, commission=0.001)
        stats = test.run()
    trades = evaluate_imported(stats["_trades"], ImportOptions(initial_cash=50_000.0))
    assert len(trades.trades) == stats["# Trades"] > 10
    assert trades.measures["win_rate"] == pytest.approx(stats["Win Rate [%]"] / 100)
    assert trades.measures["total_return"] == pytest.approx(stats["Return [%]"] / 100)
    equity = evaluate_imported(stats["_equity_curve"])
    assert equity.measures["total_return"] == pytest.approx(stats["Return [%]"] / 100)
    assert equity.measures["max_drawdown"] == pytest.approx(stats["Max. Drawdown [%]"] / 100)
