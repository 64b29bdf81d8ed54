"""Net profits of trades: which columns are profit, which are costs, and how costs are signed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.fills import is_money
from offline_trader.tables.headings import Unit
from offline_trader.tables.sheet import Sheet
from offline_trader.types import FloatArray

__all__ = [
    "GROSS",
    "NET",
    "PLAIN",
    "Costs",
    "ProfitIs",
    "costs_of",
    "net_profits",
    "require_profits",
    "tell_gross",
    "unused_money",
]

ProfitIs: TypeAlias = Literal["auto", "net", "gross"]

NET = (
    "netprofit", "netpnl", "netpl", "netprofitloss", "pnlcomm", "profitabs", "netgain", "pnlnet",
    "profitnet", "netpandl", "netresult", "netamount", "nettowinnings", "plnet", "nettogewinn",
    "netrealizedpnl", "realizednetpnl", "closeprofitabs",
)  # fmt: skip
GROSS = (
    "grossprofit", "grosspnl", "grosspl", "pnlgross", "profitgross", "grossprofitloss", "plgross",
    "grossresult", "grossgain",
)  # fmt: skip
PLAIN = (
    "pnl", "profit", "profitloss", "realizedpnl", "realisedpnl", "pl", "closedpnl", "gain",
    "realizedpl", "realisedpl", "realizedprofit", "realisedprofit", "closedprofit", "closedpl",
    "gainloss", "totalgainloss", "realizedgainloss", "realizedgain", "result", "tradepnl",
    "tradeprofit", "pnlabs", "profitusd", "realizedprofitloss", "fifopnlrealized", "gewinn",
    "netchange", "profitamount", "tradepl", "realizedprofitandloss", "profitandloss", "pandl",
)  # fmt: skip
_COST = re.compile(
    r"commission|^comm|comm$|fees?$|^fees?|tax(?:es)?$|brokerage|charges?$|stampduty|^gst$|^stt$"
    r"|^(?:(?:trading|transaction|trade|total|entry|exit)costs?|costs?)$|kommission|gebuhr|frais$"
)
_SIGNED = re.compile(r"^swaps?$|rollover|^funding|fundingfees?$|financing|^interest$")
_NO_COST = re.compile(
    r"coin|currency|asset|ccy|unit|rate|type|basis|^fee(?:open|close)|tier|(?<!pa)id$|comment"
    r"|commodity|inclusive"
)
_CURRENCY_OF_FEE = ("feecoin", "feecurrency", "feeasset", "commissionasset", "commissioncurrency",
                    "feeunit")  # fmt: skip
_MONEY = re.compile(
    r"profit|pnl|pl$|gain|loss|commission|comm$|fee|tax|swap|rollover|funding|costs?$|interest"
    r"|charge|brokerage|rebate|dividend|slippage|premium|proceeds"
)  # fmt: skip
_NO_RESULT = re.compile(
    r"^cum|stoploss|takeprofit|stopprofit|lossprice|profitprice|coin|currency|asset|ccy|factor"
    r"|target|runup|rate|^max|^min|type|(?<!pa)id$|unit$|ratio|mae|mfe|trailing|drawdown|unrealised|unrealized"
    r"|symbol|reason|cumulative|template|^fee(?:open|close)$"
)  # fmt: skip


@dataclass(frozen=True)
class Costs:
    """What is to be taken from a gross profit.

    Attributes:
        amounts: [K] money; what was paid is positive, a rebate negative.
        names: of the columns they are in.
        with_minus: the file writes what was paid as negative numbers.
        has_swap: among them is a column such as ``swap``, which adds as it is signed.
    """

    amounts: FloatArray
    names: tuple[str, ...] = ()
    with_minus: bool = False
    has_swap: bool = False


def costs_of(sheet: Sheet, notional: FloatArray | None = None) -> Costs:
    """The sum of every column of costs: commissions, fees, taxes, swaps.

    Brokers write costs with a minus, programs without: what most of the amounts of commissions,
    fees and taxes have is taken as the sign of a payment. Swap, rollover and financing are part
    of a balance and add as they are signed. A plain ``cost`` that is about the ``notional`` [K]
    itself, price · units, is no cost.

    Raises:
        DataError: an amount that is no number.
    """
    headings = sheet.headings
    paid = [i for i, heading in enumerate(headings.all) if _is_cost(heading.key, heading.unit)]
    totals = [i for i in paid if headings.all[i].key.startswith("total")]
    coins = headings.places(_CURRENCY_OF_FEE)
    paid = [i for i in paid if not _is_notional(sheet, i, notional)]
    in_coins = any(not is_money(word) for i in coins for word in sheet.words(i) if word)
    paid = [] if in_coins else [i for i in (totals or paid) if _is_in_money(sheet, i)]
    signed = [
        i for i, heading in enumerate(headings.all)
        if _SIGNED.search(heading.key) and heading.unit in ("", "money") and i not in paid
        and not _NO_COST.search(heading.key) and _is_in_money(sheet, i)
    ]  # fmt: skip
    amounts = np.zeros(len(sheet))
    written = np.zeros(0)
    for i in paid:
        values = np.nan_to_num(sheet.quantities(i)[0], posinf=np.inf, neginf=-np.inf)
        amounts += values
        written = np.concatenate([written, values[values != 0.0]])
    with_minus = 2 * int(np.count_nonzero(written < 0.0)) > len(written)
    if with_minus:
        amounts = -amounts
    has_swap = False
    for i in signed:
        values = np.nan_to_num(sheet.quantities(i)[0], posinf=np.inf, neginf=-np.inf)
        amounts -= values
        has_swap |= bool(values.any())
    headings.used.update((*paid, *signed))
    names = tuple(headings.all[i].name for i in (*paid, *signed))
    return Costs(amounts, names, with_minus, has_swap)


def _is_in_money(sheet: Sheet, i: int) -> bool:
    """True for numbers without a unit behind them, or with that of a currency."""
    if not sheet.holds_numbers(i):
        return False
    unit = sheet.quantities(i)[1]
    return not unit or is_money(unit)


def _is_notional(sheet: Sheet, i: int, notional: FloatArray | None) -> bool:
    if notional is None or sheet.headings.all[i].key not in ("cost", "costs"):
        return False
    if not sheet.holds_numbers(i):
        return False
    amounts = np.abs(sheet.quantities(i)[0])
    return bool(np.median(amounts) > 0.5 * np.median(np.abs(notional)))


def _is_cost(key: str, unit: str) -> bool:
    return (
        unit in ("", "money")
        and bool(_COST.search(key))
        and not _SIGNED.search(key)
        and not _NO_COST.search(key)
    )


def net_profits(
    sheet: Sheet,
    moves: FloatArray | None,
    symbols: list[str] | None,
    profit_is: ProfitIs,
) -> tuple[FloatArray | None, list[str]]:
    """[K] net profits in money, and what was decided; None where no column tells money.

    A column that is called net is net, one that is called gross has the costs taken off. What a
    plain ``profit`` is beside columns of costs is told, in this order, by ``profit_is``, by the
    prices, or by how the costs are written: as parts of a balance (with a minus, or with a swap)
    they are still to be taken off; otherwise they are inside.

    Args:
        sheet: closed trades.
        moves: [K] gross profits by prices and size, of one unit each; None where not known.
        symbols: [K] instruments, whose units may be worth more than one.
        profit_is: what the user says of a plain profit.

    Raises:
        DataError: a cell that is no number.
    """
    units: tuple[Unit, ...] = ("", "money")
    i = sheet.headings.find(NET, units, sheet.holds_money)
    if i is None:
        i = sheet.headings.find(("net",), units[1:], sheet.holds_money)
    if i is not None and profit_is != "gross":
        return sheet.numbers(i), []
    gross = sheet.headings.find(GROSS, units, sheet.holds_money)
    plain = sheet.headings.find(PLAIN, units, sheet.holds_money) if gross is None else None
    chosen = next((each for each in (i, gross, plain) if each is not None), None)
    if chosen is None:
        if moves is None:
            return None, []
        costs = costs_of(sheet)
        return moves - costs.amounts, [_by_prices(costs)]
    profit, costs = sheet.numbers(chosen), costs_of(sheet)
    if not costs.amounts.any() or not np.isfinite(profit - costs.amounts).all():
        return profit - costs.amounts, []
    is_gross, why = True, "as its name says"
    if chosen != gross:
        is_gross, why = tell_gross(profit, costs, moves, symbols, profit_is)
    name, listed = sheet.names[chosen], ", ".join(costs.names)
    signed = " (written with a minus)" if costs.with_minus else ""
    if is_gross:
        return profit - costs.amounts, [
            f"`{name}` is read as gross, {why}: {listed}{signed} are taken off; if it is net: "
            "--profit net"
        ]
    return profit, [
        f"`{name}` is read as net, {why}: {listed} are not taken off again; if it is gross: "
        "--profit gross"
    ]


def _by_prices(costs: Costs) -> str:
    text = "Profits are (exit − entry price) · size, one unit being one of the instrument"
    if not costs.names:
        return text + "; the file names no costs"
    signed = " (written with a minus)" if costs.with_minus else ""
    return f"{text}, less {', '.join(costs.names)}{signed}"


def tell_gross(
    profit: FloatArray, costs: Costs, moves: FloatArray | None, symbols: list[str] | None,
    profit_is: ProfitIs,
) -> tuple[bool, str]:  # fmt: skip
    """Whether profits [K] are before costs, and by what that is told."""
    if profit_is != "auto":
        return profit_is == "gross", "as asked for"
    if moves is not None:
        gross, net = (_distance(each, moves, symbols) for each in (profit, profit + costs.amounts))
        usual = float(np.median(np.abs(costs.amounts[costs.amounts != 0.0])))
        if gross < 0.1 * usual <= 0.2 * net:
            return True, "as the prices show"
        if net < 0.1 * usual <= 0.2 * gross:
            return False, "as the prices show"
    if costs.has_swap or costs.with_minus:
        return True, "since the file writes its costs as parts of a balance"
    return False, "since nothing says otherwise"


def _distance(profit: FloatArray, moves: FloatArray, symbols: list[str] | None) -> float:
    """Median distance of profits from moves · the value of a unit of their instrument."""
    apart = np.abs(profit - moves)
    if len(profit) < 3 or float(np.median(apart)) < 1e-9:
        return float(np.median(apart))
    left = np.full(len(profit), np.inf)
    names = np.array(symbols if symbols is not None else [""] * len(profit))
    for name in set(names.tolist()):
        mine = (names == name) & (moves != 0.0)
        if np.count_nonzero(mine) >= 3:
            worth = np.median(profit[mine] / moves[mine])
            left[mine] = np.abs(profit[mine] - worth * moves[mine])
    return min(float(np.median(left)), float(np.median(apart)))


def unused_money(sheet: Sheet) -> list[str]:
    """A note that names columns that look like money and were not used."""
    names = [
        heading.name for i, heading in enumerate(sheet.headings.all)
        if i not in sheet.headings.used and heading.unit in ("", "money")
        and _MONEY.search(heading.key) and not _NO_RESULT.search(heading.key)
        and any(character in "123456789" for word in sheet.words(i) for character in word)
    ]  # fmt: skip
    return [f"columns that look like money and were not used: {', '.join(names)}"] if names else []


def require_profits(sheet: Sheet, profit: FloatArray) -> None:
    """Refuse a closed trade without a profit.

    Raises:
        DataError: with its row.
    """
    bad = np.flatnonzero(~np.isfinite(profit))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{sheet.place(row)}: the profit is {profit[row]}",
            expected="a number for every closed trade",
        )
