"""Names under which files hold results, and how their rows are read.

A frame's index is what messages call its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.imported_numbers import numbers_of
from offline_trader.evaluation.record import TradeRow
from offline_trader.tables import TIME_NAMES, parse_times, plain
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ResultKind", "recognise_kind", "series_of", "stamp", "trades_of"]

ResultKind: TypeAlias = Literal["returns", "equity", "trades"]
TimeArray: TypeAlias = np.ndarray[tuple[int], np.dtype[np.datetime64]]

RETURNS = (
    "returns", "return", "ret", "rets", "dailyreturn", "dailyreturns", "strategyreturn",
    "strategyreturns", "portfolioreturn", "portfolioreturns", "netreturn", "netreturns",
    "returnpct", "simplereturn", "strategy", "algorithmreturns", "pctchange", "performance",
)  # fmt: skip
EQUITY = (
    "equity", "equitycurve", "portfoliovalue", "accountvalue", "networth", "nav", "balance",
    "value", "totalvalue", "capital", "totalequity", "portfolio", "account", "aum", "wealth",
)  # fmt: skip
TRADE_COLUMNS: dict[str, tuple[str, ...]] = {
    "entry": (
        "entrytime", "entrydate", "entrytimestamp", "opentime", "opendate", "opened", "dateopened",
        "timeopened", "openedat", "boughtat", "entry", "entrydatetime", "opentimestamp",
    ),
    "exit": (
        "exittime", "exitdate", "exittimestamp", "closetime", "closedate", "closed", "dateclosed",
        "timeclosed", "closedat", "soldat", "exit", "exitdatetime", "closetimestamp",
    ),
    "entry_price": (
        "entryprice", "avgentryprice", "openprice", "openrate", "buyprice", "priceopen",
    ),
    "exit_price": (
        "exitprice", "avgexitprice", "closeprice", "closerate", "sellprice", "priceclose",
    ),
    "units": (
        "size", "quantity", "qty", "units", "amount", "shares", "volume", "lots", "contracts",
    ),
    "direction": ("direction", "side", "positionside", "longshort", "isshort", "type"),
    "profit": (
        "netprofit", "pnl", "profit", "netpnl", "profitloss", "realizedpnl", "realisedpnl",
        "profitabs", "pl", "netpl", "closedpnl", "gain",
    ),
    "return": ("return", "returnpct", "returns", "profitratio", "ret", "pnlpct"),
    "costs": ("costs", "commission", "commissions", "fees", "fee", "cost"),
    "symbol": ("symbol", "ticker", "instrument", "asset", "pair", "market", "column"),
    "status": ("status", "tradestatus", "positionstatus", "state"),
}  # fmt: skip
SHORT_WORDS = {"short", "sell", "s", "-1", "-1.0", "true"}
LONG_WORDS = {"long", "buy", "b", "l", "1", "1.0", "false"}


def _find(columns: Sequence[object], spellings: Sequence[str]) -> object | None:
    known = {plain(name): name for name in reversed(list(columns))}
    return next((known[each] for each in spellings if each in known), None)


def recognise_kind(frame: pd.DataFrame, label: str) -> ResultKind:
    """Trades where rows have an exit and a profit or prices; else by the value column's name.

    Raises:
        ConfigError: no column, or both returns and equity are there.
    """
    columns = list(frame.columns)
    exits = _find(columns, TRADE_COLUMNS["exit"]) is not None
    payoff = any(_find(columns, TRADE_COLUMNS[each]) for each in ("profit", "exit_price", "return"))
    if exits and payoff:
        return "trades"
    returns, equity = _find(columns, RETURNS), _find(columns, EQUITY)
    if equity is not None:
        return "equity"  # it says more than returns: it fixes the scale
    if returns is not None:
        return "returns"
    raise ConfigError(
        f"{label}: columns {', '.join(map(str, columns))} tell no kind of result",
        expected="a column such as `returns` or `equity`, or trades with exit time and profit",
        hint="name both: --kind returns --column NAME; the first line must hold the names",
    )


def series_of(
    frame: pd.DataFrame,
    label: str,
    kind: ResultKind,
    column: str = "",
    tz: str | None = None,
    percent: bool = False,
) -> tuple[TimeArray, FloatArray]:
    """Times [T] in UTC and values [T] of a returns or equity column; ``percent``: of returns.

    Raises:
        DataError: a value that is no number, times out of order or twice (with the row).
        ConfigError: the column is not there or cannot be told.
    """
    from pandas.api.types import is_datetime64_any_dtype

    columns = list(frame.columns)
    time_column = _find(columns, TIME_NAMES)
    typed = [each for each in columns if is_datetime64_any_dtype(frame[each])]
    if time_column is None and len(typed) == 1:
        time_column = typed[0]  # whatever it is called, its values are times
    if time_column is None:
        raise DataError(
            f"{label}: no column of times among {', '.join(map(str, columns))}",
            expected="a column such as `date` or `timestamp`",
            hint="rename the column that holds the times to `date`",
        )
    if column and column not in columns:
        raise ConfigError(
            f"{label} has no column {column!r}", expected=f"one of {', '.join(map(str, columns))}"
        )
    value_column: object | None = column or _find(columns, RETURNS if kind == "returns" else EQUITY)
    others = [each for each in columns if each != time_column]
    if value_column is None and len(others) == 1:
        value_column = others[0]
    if value_column is None:
        raise ConfigError(
            f"{label}: no column of {kind} among {', '.join(map(str, others))}",
            hint="name the column: --column NAME",
        )
    values = numbers_of(frame[value_column], label, value_column, percent)
    stamps = _utc(_month_ends(frame[time_column]), tz, label)
    times = stamps.dt.tz_localize(None).to_numpy("datetime64[ns]")
    rows = frame.index.to_numpy()
    # the first return of a series made by pct_change is empty, and nothing else may be
    if kind == "returns" and len(values) and np.isnan(values[0]):
        times, values, rows = times[1:], values[1:], rows[1:]
    if len(values) < 2:
        raise DataError(
            f"{label} has {len(values)} row{'s' * (len(values) != 1)}", expected="2 or more"
        )
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"{label}, row {rows[bad]}: {value_column} at {stamp(times[bad])} is {values[bad]}",
            expected="a number in every row (the first return may be empty)",
            hint="leave such rows out, or write 0 for a bar without a return"
            if kind == "returns"
            else "leave such rows out",
        )
    _require_order(times, rows, label)
    return times, values


def _require_order(times: TimeArray, rows: np.ndarray, label: str) -> None:
    late = np.flatnonzero(np.diff(times) <= np.timedelta64(0))
    if not late.size:
        return
    before, after = times[late[0]], times[late[0] + 1]
    hint = "sort the rows by time"
    if before == after:
        hint = "leave one of the rows of that time out"
    elif late.size == len(times) - 1:
        hint = "the newest rows stand first: turn the file round"
    raise DataError(
        f"{label}, row {rows[late[0] + 1]}: {stamp(after)} follows {stamp(before)}",
        expected="ascending times, each once",
        hint=hint,
    )


def stamp(time: np.datetime64) -> str:
    """A time as messages show it: midnight as the date alone."""
    day = time.astype("datetime64[D]")
    return str(day if day == time else time.astype("datetime64[s]"))


def _utc(column: pd.Series, tz: str | None, label: str) -> pd.Series:
    """UTC times of a column whose index names its rows."""
    import pandas as pd

    times = parse_times(column, tz, label, lambda i: f"row {column.index[i]}")
    return pd.Series(pd.DatetimeIndex(times.utc, tz="UTC"), index=column.index)


def _month_ends(column: pd.Series) -> pd.Series:
    """Months written as 192607, as research data has them, as their last days; others as given."""
    import pandas as pd

    if not pd.api.types.is_integer_dtype(column):
        return column
    months = column.to_numpy(dtype=np.int64)
    if not (
        ((months >= 190_001) & (months <= 219_912)).all()
        and np.isin(months % 100, range(1, 13)).all()
    ):
        return column
    first = (months // 100 - 1970) * 12 + months % 100 - 1
    last = (first + 1).astype("datetime64[M]").astype("datetime64[D]") - np.timedelta64(1, "D")
    return pd.Series(last.astype("datetime64[s]"), index=column.index)


def trades_of(
    frame: pd.DataFrame,
    label: str,
    tz: str | None,
    initial_cash: float,
    percent: bool = False,
) -> tuple[TradeRow, ...]:
    """Closed trades in the order of their exits; rows without an exit time, or with the status
    ``open``, are still open.

    The net profit is the profit column; else (exit − entry price) · units · direction − costs;
    else, where only returns are given, each return on the equity reached before it (``percent``:
    in per cent). Without a column of directions, negative units are a short position.

    Raises:
        DataError: a needed column is missing, or a row is wrong (named).
        ConfigError: ``percent`` where no returns are read.
    """
    found = {ours: _find(list(frame.columns), names) for ours, names in TRADE_COLUMNS.items()}
    if found["exit"] is None:
        raise DataError(f"{label}: no column of exit times", expected="such as `exit_time`")
    closed = frame[found["exit"]].notna()
    if found["status"] is not None:
        closed &= frame[found["status"]].astype(str).str.strip().str.lower() != "open"
    if percent and (found["return"] is None or found["profit"] is not None):
        read = "no returns" if found["profit"] is None else f"profits in `{found['profit']}`"
        raise ConfigError(
            f"--percent, and {label} has {read}", expected="a column of returns alone"
        )
    frame = frame[closed]
    if frame.empty:
        raise DataError(
            f"{label}: no closed trade", expected=f"rows with a time in `{found['exit']}`"
        )
    exits = _utc(frame[found["exit"]], tz, label)
    entries = exits if found["entry"] is None else _utc(frame[found["entry"]], tz, label)
    early = np.flatnonzero((exits < entries).to_numpy())
    if early.size:
        raise DataError(
            f"{label}, row {frame.index[early[0]]}: it exits before it enters",
            expected=f"`{found['exit']}` at or after `{found['entry']}`",
        )
    order = np.argsort(exits.to_numpy(), kind="stable")
    direction = _directions(frame, found["direction"], found["units"], label)
    returns = None
    if found["return"] is not None:
        returns = numbers_of(frame[found["return"]], label, found["return"], percent)[order]
    profit = _profits(frame, found, label, direction, order, returns, initial_cash)
    nothing = np.full(len(frame), np.nan)
    prices = {
        each: nothing if found[each] is None else numbers_of(frame[found[each]], label, found[each])
        for each in ("entry_price", "exit_price")
    }
    symbols = frame[found["symbol"]].astype(str) if found["symbol"] is not None else None
    return tuple(
        TradeRow(
            instrument=label if symbols is None else symbols.iloc[i],
            entry_time=f"{entries.iloc[i]:%Y-%m-%dT%H:%M:%S}",
            exit_time=f"{exits.iloc[i]:%Y-%m-%dT%H:%M:%S}",
            direction=int(direction[i]),
            entry_price=float(prices["entry_price"][i]),
            exit_price=float(prices["exit_price"][i]),
            net_profit=float(profit[i]),
            bars=int((exits.iloc[i].normalize() - entries.iloc[i].normalize()).days),
        )
        for i in order.tolist()
    )


def _profits(
    frame: pd.DataFrame,
    found: dict[str, object | None],
    label: str,
    direction: FloatArray,
    order: np.ndarray[tuple[int], np.dtype[np.intp]],
    returns: FloatArray | None,
    initial_cash: float,
) -> FloatArray:
    """[K] net profits; ``returns`` in the order of the exits."""

    def column(name: str) -> FloatArray:
        return numbers_of(frame[found[name]], label, found[name])

    if found["profit"] is not None:
        profit = column("profit")
    elif all(found[each] is not None for each in ("entry_price", "exit_price", "units")):
        gross = (column("exit_price") - column("entry_price")) * np.abs(column("units")) * direction
        profit = gross - (column("costs") if found["costs"] is not None else 0.0)
    elif returns is not None:
        equity = initial_cash * np.concatenate([[1.0], np.cumprod(1.0 + returns)])
        profit = np.empty(len(returns))
        profit[order] = np.diff(equity)
    else:
        raise DataError(
            f"{label}: no profit among {', '.join(map(str, frame.columns))}",
            expected="a column such as `pnl`, or entry price, exit price and quantity, or `return`",
        )
    if not np.isfinite(profit).all():
        row = int(np.flatnonzero(~np.isfinite(profit))[0])
        raise DataError(
            f"{label}, row {frame.index[row]}: the profit is {profit[row]}",
            expected="a number for every closed trade",
        )
    return profit


def _directions(
    frame: pd.DataFrame, column: object | None, units: object | None, label: str
) -> FloatArray:
    """[K] 1 for long, −1 for short: by the column, else by the sign of the units."""
    if column is None:
        if units is None:
            return np.ones(len(frame))
        return np.where(numbers_of(frame[units], label, units) < 0, -1.0, 1.0)
    words = frame[column].astype(str).str.strip().str.lower()
    if plain(column) == "isshort":  # a yes or no, not a side
        words = words.replace({"1": "short", "1.0": "short", "0": "long", "0.0": "long"})
    known = words.isin(SHORT_WORDS | LONG_WORDS)
    if not known.all():
        row = int(np.flatnonzero(~known.to_numpy())[0])
        raise DataError(
            f"{label}, row {words.index[row]}: {column} is {words.iloc[row]!r}",
            expected="long or short",
            hint="a column that tells something else needs another name",
        )
    return np.where(words.isin(SHORT_WORDS), -1.0, 1.0)
