"""Somebody else's results: a returns series, an equity curve or a trade list, judged like ours.

A CSV or Parquet file or a pandas object goes in; the same measures, statistics and report come
out. What cannot be known from it (actions, costs, other costs) is left empty, and the report says
so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.imported.fills import trades_of_fills
from offline_trader.evaluation.imported.marks import (
    Stamps,
    benchmark_rows,
    irregular_note,
    require_calendar,
)
from offline_trader.evaluation.imported.profits import ProfitIs
from offline_trader.evaluation.imported.series import (
    Series,
    SeriesRequest,
    read_series,
    stamp,
    tell_series,
)
from offline_trader.evaluation.imported.trades import TradeRequest, has_trades, read_trades
from offline_trader.evaluation.judging import (
    ComparatorCurve,
    Curve,
    Evaluation,
    InstrumentRow,
    TradeRow,
    TrialLedger,
    TrialRecord,
    judge,
)
from offline_trader.evaluation.measures import trip_outcome
from offline_trader.markets import load_market
from offline_trader.markets.spacing import count_gaps, infer_periods_per_year
from offline_trader.tables.fills import has_fills
from offline_trader.tables.records import read_records
from offline_trader.tables.sheet import Sheet
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ImportOptions", "Imported", "evaluate_imported", "read_imported"]

ResultKind: TypeAlias = Literal["returns", "equity", "profits", "trades"]
TimeArray: TypeAlias = np.ndarray[tuple[int], np.dtype[np.datetime64]]
Source: TypeAlias = "Path | str | pd.Series | pd.DataFrame"


@dataclass(frozen=True)
class ImportOptions:
    """How to read a result.

    Attributes:
        name: for the report; by default the file's name.
        kind: ``returns``, ``equity``, ``profits`` (money of each bar), ``trades``, or ``auto``: by
            the names of the columns.
        column: the column of a series; empty: recognised by name.
        percent: returns (of bars or of trades) are in per cent; None: a per cent sign in the
            column's name or its cells says so.
        log_returns: returns are logarithmic; a column that is called so is read so anyway.
        profit: what a trade list's ``profit`` beside columns of costs is: ``net`` of them,
            ``gross``, or ``auto``: told by names, prices and signs, with a note.
        tz: time zone of times without an offset; None: UTC.
        capital: the account's money at the start, in place of ``initial_cash``; profits in money
            need it.
        initial_cash: equity at the start; of a trade list, and of returns.
        periods_per_year: bars a year; None: from the spacing of the timestamps, of a trade list
            from the days of its curve.
        benchmark: market to compare with (``sp500`` or a file of bars); empty: none.
        market: name of the market that was traded: with it the result is held against the trials
            on this market, without it against all of the project.
        stamps: which end of a bar the benchmark's time stamps mean: ``open``, ``close``, or
            ``auto``: guessed, with a note.
        seed: of the bootstrap.
    """

    name: str = ""
    kind: Literal["auto", "returns", "equity", "profits", "trades"] = "auto"
    column: str = ""
    percent: bool | None = None
    log_returns: bool = False
    profit: ProfitIs = "auto"
    tz: str | None = None
    capital: float | None = None
    initial_cash: float = 10_000.0
    periods_per_year: float | None = None
    benchmark: str = ""
    market: str = ""
    stamps: Stamps = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("auto", "returns", "equity", "profits", "trades"):
            raise ConfigError(
                f"kind {self.kind!r}", expected="auto, returns, equity, profits or trades"
            )
        if self.profit not in ("auto", "net", "gross"):
            raise ConfigError(f"profit {self.profit!r}", expected="auto, net or gross")
        if self.stamps not in ("auto", "open", "close"):
            raise ConfigError(f"stamps {self.stamps!r}", expected="auto, open or close")
        if not 0 < self.initial_cash < np.inf:
            raise ConfigError(f"initial cash {self.initial_cash}", expected="more than 0")
        if self.capital is not None and not 0 < self.capital < np.inf:
            raise ConfigError(f"capital {self.capital}", expected="more than 0")
        if self.periods_per_year is not None and not self.periods_per_year > 0:
            raise ConfigError(f"periods per year {self.periods_per_year}", expected="more than 0")

    @property
    def cash(self) -> float:
        """Money at the start: the capital where it is given."""
        return self.initial_cash if self.capital is None else self.capital


@dataclass(frozen=True)
class Imported:
    """A result as it was read.

    Attributes:
        kind: what the file holds.
        label: its name.
        times: [T + 1] datetime64[ns] UTC, marks.
        equity: [T + 1] at the marks, above 0.
        trades: closed trades, where there are any.
        notes: what was decided in reading.
        periods_per_year: of marks that were made here; None: the file's spacing tells.
    """

    kind: ResultKind
    label: str
    times: TimeArray
    equity: FloatArray
    trades: tuple[TradeRow, ...] = ()
    notes: tuple[str, ...] = ()
    periods_per_year: float | None = None


def evaluate_imported(
    source: Source, options: ImportOptions | None = None, *, ledger: TrialLedger | None = None
) -> Evaluation:
    """The evaluation of a result that was made elsewhere.

    Args:
        source: CSV or Parquet file; a Series of returns or equity with a time index; a frame.
        options: how to read it.
        ledger: counts it as a trial of this project.

    Raises:
        DataError: the file cannot be read, or a row is wrong (named).
        ConfigError: the kind cannot be told from the columns, or an option does not go with it.
    """
    options = options or ImportOptions()
    found = read_imported(source, options)
    return _judged(found, options, ledger)


def read_imported(source: Source, options: ImportOptions) -> Imported:
    """Marks, equity and trades of a result that was made elsewhere; arguments and errors as
    :func:`evaluate_imported`."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        found = _read(source, options)
    bad = np.flatnonzero(~np.isfinite(found.equity))
    if bad.size:
        raise DataError(
            f"{found.label}: equity at {stamp(found.times[bad[0]])} is beyond all numbers",
            expected="returns or profits that an account can have",
            hint="if returns are in per cent, say so: --percent",
        )
    return found


def _read(source: Source, options: ImportOptions) -> Imported:
    sheet, label = read_records(source, options.tz)
    request = SeriesRequest(options.column, options.percent, options.log_returns)
    kind = options.kind if options.kind != "auto" else _tell_kind(sheet, request, options)
    _require_fitting(options, kind)
    if kind == "trades":
        return _from_trades(sheet, label, options)
    return _from_series(read_series(sheet, kind, request), label, options)


def _tell_kind(sheet: Sheet, request: SeriesRequest, options: ImportOptions) -> ResultKind:
    """Trades where rows have an exit and a payoff; else by the names of the columns."""
    trades = has_trades(sheet) or has_fills(sheet)
    if trades and not request.column:
        return "trades"
    if options.log_returns:
        return "returns"
    found = tell_series(sheet, request)
    if found is None and trades:
        return "trades"
    if found is None:
        raise ConfigError(
            f"{sheet.table.source}: columns {sheet.listed} tell no kind of result",
            expected="a column such as `returns` or `equity`, or trades with exit time and profit",
            hint="name both: --kind returns --column NAME; the first line must hold the names",
        )
    return found


def _require_fitting(options: ImportOptions, kind: ResultKind) -> None:
    if options.percent is not None and kind in ("equity", "profits"):
        raise ConfigError(
            f"--{'' if options.percent else 'no-'}percent with "
            + ("an equity curve" if kind == "equity" else "profits in money"),
            expected="it with returns, of bars or of trades",
            hint="where the column holds returns: --kind returns --column NAME",
        )
    if options.log_returns and kind != "returns":
        raise ConfigError(
            f"--log-returns with {kind}", expected="it with returns of bars: --kind returns"
        )
    if options.column and kind == "trades":
        raise ConfigError(
            f"--column {options.column} with a trade list",
            expected="it with --kind returns, equity or profits",
            hint="a trade list's columns are told by their names: exit_time, pnl, …",
        )
    if options.profit != "auto" and kind != "trades":
        raise ConfigError(f"--profit {options.profit} with {kind}", expected="it with a trade list")
    if options.capital is not None and kind == "equity":
        raise ConfigError(
            "--capital with an equity curve",
            expected="it with profits in money, returns or trades",
            hint="where the column holds money of each bar: --kind profits --column NAME",
        )
    if options.capital is None and kind == "profits":
        raise ConfigError(
            "profits in money, and no capital",
            expected="--capital AMOUNT, the account's money before the first row",
            hint="returns depend on it; where the column holds returns: --kind returns",
        )


def _judged(result: Imported, options: ImportOptions, ledger: TrialLedger | None) -> Evaluation:
    result, comparators, notes = _beside_benchmark(result, options)
    if options.periods_per_year is not None:
        told = require_calendar(result.times, options.periods_per_year, result.label)
        notes = (*notes, *told)
    periods = options.periods_per_year or result.periods_per_year
    if periods is None:
        periods = infer_periods_per_year(result.times)
        notes = (*notes, *irregular_note(result.times, periods))
    stamps = np.datetime_as_string(result.times.astype("datetime64[s]"))
    curve = Curve(tuple(stamps.tolist()), result.equity)
    data_hash = _hash(result)
    name = options.name or result.label
    trial = None
    if ledger is not None:
        # the same result whatever its file is called and whatever seed its bootstrap has
        markets = (options.market,) if options.market else ()
        trial = TrialRecord(ledger, {"imported": True}, 0, data_hash, name, markets)
    judged = judge(curve.returns, periods, comparators, trial=trial, seed=options.seed)
    measures = dict(judged.measures)
    intervals = dict(judged.intervals)
    if result.trades:
        outcome = trip_outcome(np.array([trade.net_profit for trade in result.trades]))
        measures |= {
            "trades": float(len(result.trades)),
            "win_rate": outcome.win_rate,
            "payoff_ratio": outcome.payoff_ratio,
            "profit_factor": outcome.profit_factor,
        }
        if outcome.win_rate_interval is not None:
            intervals["win_rate"] = outcome.win_rate_interval
    return Evaluation(
        name=name,
        kind="imported",
        fingerprint="",
        data_hash=data_hash,
        start=curve.timestamps[0],
        end=curve.timestamps[-1],
        n_bars=len(curve.returns),
        periods_per_year=periods,
        trials=judged.trials,
        trials_counted=judged.trials_counted,
        simulator={},
        curve=curve,
        measures=measures,
        intervals=intervals,
        statistics=judged.statistics,
        comparators=judged.comparators,
        spa_p_value=judged.spa_p_value,
        instruments=(InstrumentRow(result.label, data_hash, measures),),
        trades=result.trades,
        notes=(
            f"Imported {result.kind}: costs, fills and data are as their author left them and "
            "could not be checked.",
            *notes,
            *result.notes,
            *_gaps(result.times),
            *judged.notes,
        ),
    )


def _gaps(times: TimeArray) -> tuple[str, ...]:
    found = count_gaps(times)
    if not found:
        return ()
    gaps = "1 gap" if found == 1 else f"{found} gaps"
    return (f"The series has {gaps}; what happened in one is counted as one bar's return.",)


def _hash(result: Imported) -> str:
    digest = hashlib.sha256(result.times.astype("datetime64[ns]").astype("<i8").tobytes())
    digest.update(result.equity.astype("<f8").tobytes())
    return digest.hexdigest()


def _from_series(series: Series, label: str, options: ImportOptions) -> Imported:
    """Marks of a series. A return or a profit belongs to the bar that ends at its time."""
    times, values = series.times, series.values
    if series.kind == "equity":
        _require_positive(times, values, label, "a curve of profits needs the capital added")
        return Imported("equity", label, times, values, notes=series.notes)
    if series.kind == "profits":
        equity = options.cash + np.concatenate([[0.0], np.cumsum(values)])
        _require_positive(times, equity[1:], label, "is the capital that of the whole account?")
        note = f"All ratios depend on the capital of {options.cash:,.0f}."
        return Imported("profits", label, _marks_before(times), equity, notes=(*series.notes, note))
    returns = values
    if (returns <= -1.0).any():
        row = int(np.flatnonzero(returns <= -1.0)[0])
        raise DataError(
            f"{label}: return at {stamp(times[row])} is {returns[row]:g}",
            expected="simple returns above -1 (-100 %)",
            hint="if they are in per cent, say so: --percent, or ImportOptions(percent=True)",
        )
    equity = options.cash * np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    notes = series.notes
    if np.median(np.abs(returns)) > 0.05:
        notes = (
            *notes, "Half of all returns exceed 5 % a bar: check whether they are in per cent."
        )  # fmt: skip
    return Imported("returns", label, _marks_before(times), equity, notes=notes)


def _marks_before(times: TimeArray) -> TimeArray:
    """Times [T + 1]: the usual step before the first, and ``times``."""
    step = np.median(np.diff(times)) if len(times) > 1 else np.timedelta64(1, "D")
    return np.concatenate([[times[0] - step], times])


def _require_positive(times: TimeArray, equity: FloatArray, label: str, hint: str) -> None:
    bad = np.flatnonzero(~(equity > 0))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{label}: equity at {stamp(times[row])} is {equity[row]:g}",
            expected="positive equity",
            hint=hint,
        )


def _from_trades(sheet: Sheet, label: str, options: ImportOptions) -> Imported:
    """A daily curve that moves when trades close, from the initial cash."""
    request = TradeRequest(options.cash, options.percent, options.profit)
    if has_trades(sheet) or not has_fills(sheet):
        trades, notes = read_trades(sheet, label, request)
    else:
        trades, notes = trades_of_fills(sheet, label, options.profit)
        notes = (*sheet.table.notes, *notes)
    exits = np.array([trade.exit_time for trade in trades], dtype="datetime64[D]")
    first = np.array([trade.entry_time for trade in trades], dtype="datetime64[D]").min()
    days = np.arange(first, exits.max() + 1)
    weekday = (days.astype(np.int64) + 3) % 7 < 5
    days = days[weekday | np.isin(days, exits)]
    profit = np.array([trade.net_profit for trade in trades])
    booked = np.bincount(np.searchsorted(days, exits), profit, len(days))
    equity = options.cash + np.concatenate([[0.0], np.cumsum(booked)])
    if (equity <= 0).any():
        day = days[int(np.flatnonzero(equity <= 0)[0]) - 1]
        raise DataError(
            f"{label}: the trades lose all of {options.cash:,.0f} by {day}",
            expected="a positive equity throughout",
            hint="give the capital that the account really had: --capital",
        )
    times = np.concatenate([[days[0] - 1], days]).astype("datetime64[ns]")
    notes = (
        *notes,
        "Profits are booked when a trade closes, so drawdowns and volatility inside a trade are "
        f"not seen. All ratios depend on the initial cash of {options.cash:,.0f}.",
    )
    return Imported("trades", label, times, equity, trades, notes, _days_a_year(days))


def _days_a_year(days: TimeArray) -> float:
    """Marks a year of a curve over all weekdays, holidays too, and some days of week-ends.

    It is neither the 252 of an exchange nor 365, and with another number the years would have
    another length.
    """
    week_ends = np.count_nonzero((days.astype(np.int64) + 3) % 7 >= 5)
    span = int((days[-1] - days[0]).astype(np.int64)) + 1
    return 365.25 * min(1.0, 5.0 / 7.0 + week_ends / span)


def _beside_benchmark(
    result: Imported, options: ImportOptions
) -> tuple[Imported, list[ComparatorCurve], tuple[str, ...]]:
    """The result on the marks that the benchmark covers, and buy-and-hold of it from its last close
    at or before each of them.

    Raises:
        DataError: the benchmark covers less than half of the marks.
    """
    if not options.benchmark:
        return result, [], ()
    bars = load_market(options.benchmark, tz=options.tz)
    found = benchmark_rows(result.times, result.equity, bars, options.stamps)
    kept, marks = found.stop - found.first, len(result.times)
    if kept < max(3, marks / 2):
        ends = [stamp(time) for time in (*bars.timestamps[[0, -1]], *result.times[[0, -1]])]
        raise DataError(
            f"the benchmark {options.benchmark} covers {ends[0]} to {ends[1]}",
            expected=f"{ends[2]} to {ends[3]}, as the result does, or half of it",
            hint="choose another benchmark or none",
        )
    note = f"Buy-and-hold of {bars.symbol} is at its closing prices, without costs or dividends."
    notes = [note, found.note] if found.note else [note]
    if kept < marks:
        times = result.times[found.first : found.stop]
        result = replace(
            result,
            times=times,
            equity=result.equity[found.first : found.stop],
            trades=tuple(each for each in result.trades if _within(each.exit_time, times)),
        )
        notes.append(
            f"Judged from {stamp(times[0])} to {stamp(times[-1])}, where the benchmark has bars: "
            f"{marks - kept:,} of the {marks:,} marks of {result.label} are left out."
        )
    equity = options.cash * bars.close[found.rows] / bars.close[found.rows[0]]
    return result, [ComparatorCurve("buy_and_hold", "benchmark", equity)], tuple(notes)


def _within(time: str, times: TimeArray) -> bool:
    day = np.datetime64(time, "D")
    return bool(times[0].astype("datetime64[D]") < day <= times[-1].astype("datetime64[D]"))
