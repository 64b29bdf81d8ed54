"""Trades of a file, one row each: when, which way, and what was earned after costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.imported.profits import (
    GROSS,
    NET,
    PLAIN,
    ProfitIs,
    net_profits,
    require_profits,
    unused_money,
)
from offline_trader.evaluation.imported.series import unit_by_size
from offline_trader.evaluation.judging import TradeRow
from offline_trader.tables.round_trips import EXIT, EXIT_PRICE, read_round_trips
from offline_trader.tables.sheet import Sheet
from offline_trader.tables.trade_layouts import entry_and_exit_rows
from offline_trader.types import FloatArray, IntArray

__all__ = ["TradeRequest", "has_trades", "read_trades"]

RETURN = (
    "return", "returns", "profitratio", "ret", "tradereturn", "returnnet", "closeprofit",
    "roi", "roe",
)  # fmt: skip


@dataclass(frozen=True)
class TradeRequest:
    """How a trade list is to be read.

    Attributes:
        initial_cash: money at the start, which returns of trades are of.
        percent: True, False, or None: by the name of the column and the signs in its cells.
        profit_is: what a plain profit beside columns of costs is.
    """

    initial_cash: float
    percent: bool | None = None
    profit_is: ProfitIs = "auto"


def has_trades(sheet: Sheet) -> bool:
    """True where rows have an exit, and a profit, an exit price or a return."""
    headings = sheet.headings
    if entry_and_exit_rows(sheet) is not None:
        return True
    payoff = headings.places((*NET, *GROSS, *PLAIN, *EXIT_PRICE, *RETURN))
    twice = any(len(headings.places((key,))) == 2 for key in ("time", "datetime", "date"))
    return bool(payoff) and (twice or bool(headings.places(EXIT)))


def read_trades(
    sheet: Sheet, label: str, request: TradeRequest
) -> tuple[tuple[TradeRow, ...], tuple[str, ...]]:
    """Closed trades in the order of their exits, and what was decided.

    The net profit is that of :func:`~offline_trader.evaluation.imported.profits.net_profits`;
    where only returns are given, each return on the equity reached before it.

    Raises:
        DataError: a needed column is missing, or a row is wrong (named).
        ConfigError: ``percent`` where no returns are read; returns in per cent or in shares.
    """
    found = read_round_trips(sheet)
    sheet, exits, symbols = found.sheet, found.exits, found.symbols
    order = np.argsort(exits, kind="stable")
    profit, notes = net_profits(sheet, found.moves, symbols, request.profit_is)
    if profit is not None:
        _require_no_unit(sheet, request.percent)
    else:
        profit, notes = _from_returns(sheet, order, request)
    require_profits(sheet, profit)
    days = exits.astype("datetime64[D]") - found.entries.astype("datetime64[D]")
    begun, ended = (
        np.datetime_as_string(t.astype("datetime64[s]")) for t in (found.entries, exits)
    )
    trades = tuple(
        TradeRow(
            instrument=label if symbols is None else symbols[i],
            entry_time=str(begun[i]),
            exit_time=str(ended[i]),
            direction=int(found.direction[i]),
            entry_price=float(found.entry_prices[i]),
            exit_price=float(found.exit_prices[i]),
            net_profit=float(profit[i]),
            bars=int(days[i].astype(np.int64)),
        )
        for i in order.tolist()
    )
    return trades, (*sheet.table.notes, *found.notes, *notes, *unused_money(sheet))


def _require_no_unit(sheet: Sheet, percent: bool | None) -> None:
    """Refuse a unit of returns where profits are read from money or prices."""
    if percent is None:
        return
    money = sheet.headings.places((*NET, *GROSS, *PLAIN), ("", "money"))
    read = f"profits in `{sheet.names[money[0]]}`" if money else "no returns"
    raise ConfigError(
        f"--{'' if percent else 'no-'}percent, and {sheet.table.source} has {read}",
        expected="a column of returns alone",
    )


def _from_returns(
    sheet: Sheet, order: IntArray, request: TradeRequest
) -> tuple[FloatArray, list[str]]:
    """[K] profits of returns that compound from the initial cash in the order of the exits."""
    headings = sheet.headings
    i = headings.find(RETURN)
    if i is None:
        i = headings.find((*NET, *PLAIN, "chg"), ("percent", "pct"))
    if i is None:
        i = headings.find((*NET, *PLAIN), None, sheet.in_percent)
    if i is None:
        raise DataError(
            f"{sheet.table.source}: no profit among {sheet.listed}",
            expected="a column such as `pnl`, or entry price, exit price and quantity, or `return`",
        )
    heading, notes = headings.all[i], []
    percent = request.percent
    if percent is None and heading.unit == "percent":
        percent = True
        notes.append(f"`{heading.name}` is read as per cent, as its name says")
    returns = sheet.numbers(i, bool(percent))
    if percent is None and heading.unit == "pct" and not sheet.in_percent(i):
        written = returns[np.isfinite(returns)]
        if written.size:
            percent, remark = unit_by_size(sheet, heading.name, written)
            returns = returns / 100.0 if percent else returns
            notes.append(remark)
    if (returns <= -1.0).any() and np.isfinite(returns).all():
        row = int(np.flatnonzero(returns <= -1.0)[0])
        raise DataError(
            f"{sheet.place(row)}: {heading.name} is {returns[row]:g}, all or more than all",
            expected="returns above -1 (-100 %)",
            hint="if they are in per cent, say so: --percent",
        )
    notes.append(
        f"no column of money: `{heading.name}` compounds from the initial cash, trade after trade"
    )
    equity = request.initial_cash * np.concatenate([[1.0], np.cumprod(1.0 + returns[order])])
    profit = np.empty(len(returns))
    profit[order] = np.diff(equity)
    return profit, notes
