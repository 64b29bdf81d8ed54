"""Somebody else's results: a returns series, an equity curve or a trade list, judged like ours.

A CSV or Parquet file or a pandas object goes in; the same measures, statistics and report come
out. What cannot be known from it (actions, costs, other costs) is left empty, and the report says
so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.imported_columns import (
    ResultKind,
    recognise_kind,
    series_of,
    stamp,
    trades_of,
)
from offline_trader.evaluation.imported_files import read_frame
from offline_trader.evaluation.judgement import Rival, TrialRecord, judge
from offline_trader.evaluation.ledger import TrialLedger
from offline_trader.evaluation.record import Curve, Evaluation, InstrumentRow, TradeRow
from offline_trader.evaluation.trades import trip_outcome
from offline_trader.markets import load_market
from offline_trader.markets.spacing import count_gaps, infer_periods_per_year
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ImportOptions", "evaluate_imported"]

TimeArray: TypeAlias = np.ndarray[tuple[int], np.dtype[np.datetime64]]
Source: TypeAlias = "Path | str | pd.Series | pd.DataFrame"


@dataclass(frozen=True)
class ImportOptions:
    """How to read a result.

    Attributes:
        name: for the report; by default the file's name.
        kind: ``returns``, ``equity``, ``trades``, or ``auto``: by the names of the columns.
        column: the column that holds returns or equity; empty: recognised by name.
        percent: returns (of bars or of trades) are in per cent.
        tz: time zone of times without an offset; None: UTC.
        initial_cash: equity at the start; a trade list needs it, returns are shown from it.
        periods_per_year: bars a year; None: from the spacing of the timestamps, of a trade list
            from the days of its curve.
        benchmark: market to compare with (``sp500`` or a file of bars); empty: none.
        market: name of the market that was traded: with it the result is held against the trials
            on this market, without it against all of the project.
        seed: of the bootstrap.
    """

    name: str = ""
    kind: Literal["auto", "returns", "equity", "trades"] = "auto"
    column: str = ""
    percent: bool = False
    tz: str | None = None
    initial_cash: float = 10_000.0
    periods_per_year: float | None = None
    benchmark: str = ""
    market: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("auto", "returns", "equity", "trades"):
            raise ConfigError(f"kind {self.kind!r}", expected="auto, returns, equity or trades")
        if not self.initial_cash > 0:
            raise ConfigError(f"initial cash {self.initial_cash}", expected="more than 0")
        if self.periods_per_year is not None and not self.periods_per_year > 0:
            raise ConfigError(f"periods per year {self.periods_per_year}", expected="more than 0")


@dataclass(frozen=True)
class _Result:
    """Marks [T + 1] and equity [T + 1], with closed trades and remarks where there are any.

    ``periods_per_year`` is that of marks that were made here; None: the file's spacing tells.
    """

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
    frame, label = read_frame(source, options.kind)
    kind: ResultKind = options.kind if options.kind != "auto" else recognise_kind(frame, label)
    _require_fitting(options, kind)
    result = (
        _from_trades(frame, label, options)
        if kind == "trades"
        else _from_series(frame, label, kind, options)
    )
    return _judged(result, kind, label, options, ledger)


def _require_fitting(options: ImportOptions, kind: ResultKind) -> None:
    if options.percent and kind == "equity":
        raise ConfigError(
            "--percent with an equity curve",
            expected="it with returns, of bars or of trades",
            hint="where the column holds returns: --kind returns --column NAME",
        )
    if options.column and kind == "trades":
        raise ConfigError(
            f"--column {options.column} with a trade list",
            expected="it with --kind returns or equity",
            hint="a trade list's columns are told by their names: exit_time, pnl, …",
        )


def _judged(
    result: _Result, kind: str, label: str, options: ImportOptions, ledger: TrialLedger | None
) -> Evaluation:
    periods = options.periods_per_year or result.periods_per_year
    periods = periods or infer_periods_per_year(result.times)
    stamps = np.datetime_as_string(result.times.astype("datetime64[s]"))
    curve = Curve(tuple(stamps.tolist()), result.equity)
    data_hash = _hash(result)
    name = options.name or label
    trial = None
    if ledger is not None:
        # the same result whatever its file is called and whatever seed its bootstrap has
        markets = (options.market,) if options.market else ()
        trial = TrialRecord(ledger, {"imported": True}, 0, data_hash, name, markets)
    rivals, notes = _rivals(result, options)
    judged = judge(curve.returns, periods, rivals, trial=trial, seed=options.seed)
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
        instruments=(InstrumentRow(label, data_hash, measures),),
        trades=result.trades,
        notes=(
            f"Imported {kind}: costs, fills and data are as their author left them and could not "
            "be checked.",
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


def _hash(result: _Result) -> str:
    digest = hashlib.sha256(result.times.astype("datetime64[ns]").astype("<i8").tobytes())
    digest.update(result.equity.astype("<f8").tobytes())
    return digest.hexdigest()


def _from_series(
    frame: pd.DataFrame, label: str, kind: ResultKind, options: ImportOptions
) -> _Result:
    """Marks of a returns or equity column. A return belongs to the bar that ends at its time."""
    times, values = series_of(frame, label, kind, options.column, options.tz, options.percent)
    if kind == "equity":
        if (values <= 0).any():
            row = int(np.flatnonzero(values <= 0)[0])
            raise DataError(
                f"{label}: equity at {stamp(times[row])} is {values[row]:g}",
                expected="positive equity",
                hint="a curve of profits needs the initial capital added",
            )
        return _Result(times, values)
    returns = values
    if (returns <= -1.0).any():
        row = int(np.flatnonzero(returns <= -1.0)[0])
        raise DataError(
            f"{label}: return at {stamp(times[row])} is {returns[row]:g}",
            expected="simple returns above -1 (-100 %)",
            hint="if they are in per cent, say so: --percent, or ImportOptions(percent=True)",
        )
    step = np.median(np.diff(times)) if len(times) > 1 else np.timedelta64(1, "D")
    marks = np.concatenate([[times[0] - step], times])
    equity = options.initial_cash * np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    notes: tuple[str, ...] = ()
    if np.median(np.abs(returns)) > 0.05:
        notes = ("Half of all returns exceed 5 % a bar: check whether they are in per cent.",)
    return _Result(marks, equity, notes=notes)


def _from_trades(frame: pd.DataFrame, label: str, options: ImportOptions) -> _Result:
    """A daily curve that moves when trades close, from the initial cash."""
    trades = trades_of(frame, label, options.tz, options.initial_cash, options.percent)
    exits = np.array([trade.exit_time for trade in trades], dtype="datetime64[D]")
    first = np.array([trade.entry_time for trade in trades], dtype="datetime64[D]").min()
    days = np.arange(first, exits.max() + 1)
    weekday = (days.astype(np.int64) + 3) % 7 < 5
    days = days[weekday | np.isin(days, exits)]
    profit = np.array([trade.net_profit for trade in trades])
    booked = np.bincount(np.searchsorted(days, exits), profit, len(days))
    equity = options.initial_cash + np.concatenate([[0.0], np.cumsum(booked)])
    if (equity <= 0).any():
        day = days[int(np.flatnonzero(equity <= 0)[0]) - 1]
        raise DataError(
            f"{label}: the trades lose all of {options.initial_cash:,.0f} by {day}",
            expected="a positive equity throughout",
            hint="give the capital that the account really had as initial cash",
        )
    times = np.concatenate([[days[0] - 1], days]).astype("datetime64[ns]")
    notes = (
        "Profits are booked when a trade closes, so drawdowns and volatility inside a trade are "
        f"not seen. All ratios depend on the initial cash of {options.initial_cash:,.0f}.",
    )
    return _Result(times, equity, trades, notes, _days_a_year(days))


def _days_a_year(days: TimeArray) -> float:
    """Marks a year of a curve over all weekdays, holidays too, and some days of week-ends.

    It is neither the 252 of an exchange nor 365, and with another number the years would have
    another length.
    """
    week_ends = np.count_nonzero((days.astype(np.int64) + 3) % 7 >= 5)
    span = int((days[-1] - days[0]).astype(np.int64)) + 1
    return 365.25 * min(1.0, 5.0 / 7.0 + week_ends / span)


def _rivals(result: _Result, options: ImportOptions) -> tuple[list[Rival], tuple[str, ...]]:
    """Buy-and-hold of the benchmark market, from its last close at or before each mark."""
    if not options.benchmark:
        return [], ()
    bars = load_market(options.benchmark, tz=options.tz)
    # a date without a time means the end of that day
    midnight = bool((result.times == result.times.astype("datetime64[D]")).all())
    stamps = bars.timestamps.astype("datetime64[D]") if midnight else bars.timestamps
    rows = np.searchsorted(stamps, result.times, side="right") - 1
    if rows[0] < 0 or result.times[-1] > stamps[-1] + np.timedelta64(7, "D"):
        raise DataError(
            f"the benchmark {options.benchmark} covers {stamp(stamps[0])} to {stamp(stamps[-1])}",
            expected=f"{stamp(result.times[0])} to {stamp(result.times[-1])}, as the result does",
            hint="choose another benchmark or none",
        )
    equity = options.initial_cash * bars.close[rows] / bars.close[rows[0]]
    note = f"Buy-and-hold of {bars.symbol} is at its closing prices, without costs or dividends."
    return [Rival("buy_and_hold", "benchmark", equity)], (note,)
