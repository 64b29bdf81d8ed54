"""Executions of a broker's or an exchange's file: which rows are fills, which way, how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.names import SYMBOL_NAMES, TIME_NAMES, plain
from offline_trader.tables.sheet import Sheet
from offline_trader.tables.trade_words import counted, fate_of_order, say_word, what_row_says
from offline_trader.types import BoolArray, FloatArray

__all__ = ["Fills", "find_symbols", "find_time", "has_fills", "is_money", "read_fills"]

FILL_TIMES = (
    "transactiontime", "filledat", "filltime", "filledtime", "executiontime", "executedat",
    "exectime", "executiondate", "dealtime", "lastfilltime", "timefilled", "activitydate",
    "rundate", "datetime", "timestamp", "tradetime", "tradedate", "createdat", "createtime",
    "createdtime", "datecreated", "closetime", "placedtime", "submittedat", "timeplaced",
    "ordertime", "dateandtime", "transactiondate", "timeutc", "dateutc",
)  # fmt: skip
UNITS = (
    "executed", "filledqty", "fillqty", "filledquantity", "quantityfilled", "qtyfilled",
    "executedqty", "executedquantity", "execqty", "execquantity", "filledsize", "filled",
    "filledamount", "cumexecqty", "fillsz", "accfillsz",
    "quantitytransacted", "tradedqty", "tradedquantity", "units", "quantity", "qty",
    "size", "shares", "amount", "volume", "vol", "lots", "contracts",
    "basequantity", "baseamount", "amountbase", "positionsizeqty", "positionsize", "sizeqty",
)  # fmt: skip
PRICES = (
    "price", "fillprice", "filledprice", "avgprice", "averageprice", "avgfillprice",
    "filledavgprice", "tradeprice", "tprice", "executionprice", "execprice", "averagefillprice",
    "spotpriceattransaction", "priceattransaction", "avgfilledprice", "dealprice", "rate",
    "unitprice", "fillpx", "avgpx", "executedprice", "avgtradingprice", "tradedprice", "limitprice",
)  # fmt: skip
SURE_SIDES = ("side", "orderside", "buysell", "bs", "direction", "tradeside")
POSSIBLE_SIDES = (
    "type", "transactiontype", "tradetype", "action", "transcode", "activitytype", "ordertype",
    "operation", "signal", "decision", "order", "actions", "typ",
)  # fmt: skip
STATUS = ("status", "state", "orderstatus", "executionstatus")
_ALREADY_FILLED = frozenset(UNITS[: UNITS.index("quantitytransacted")])
_IN_OR_OUT = frozenset(("in", "out", "in out", "inout", "out by", ""))
_OPTION_CODES = frozenset(("bto", "stc", "sto", "btc"))
_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "CHF", "TRY", "DAI")


@dataclass(frozen=True)
class Fills:
    """Rows of a file that were filled, in its order.

    Attributes:
        sheet: those rows; its headings know which columns were used.
        time: position of the column of times.
        units: [R] bought, negative where sold.
        symbols: [R] instruments, where the file names them.
        price: position of the column of prices, where there is one.
        notes: what was decided and what was left out.
    """

    sheet: Sheet
    time: int
    units: FloatArray
    symbols: list[str] | None
    price: int | None
    notes: tuple[str, ...]


def is_money(currency: str) -> bool:
    """True for a currency in which accounts are kept, stable coins included."""
    return currency.upper() in _QUOTES


def find_time(sheet: Sheet) -> int | None:
    """Position of the time at which a row happened: of its fill before that of its order."""
    return sheet.headings.find(
        (*FILL_TIMES, *TIME_NAMES), fits=lambda i: bool(sheet.filled(i).any())
    )


def find_symbols(sheet: Sheet) -> list[str] | None:
    """[T] instruments, where a column of text names them."""
    keys = (
        *SYMBOL_NAMES,
        "symbols",
        "market",
        "product",
        "item",
        "contract",
        "security",
        "coin",
        "contracts",
        "column",
    )
    i = sheet.headings.find(keys, fits=lambda i: not sheet.holds_numbers(i))
    return None if i is None else sheet.words(i)


def has_fills(sheet: Sheet) -> bool:
    """True where rows have a time, units and a price, and say which way they went."""
    headings = sheet.headings
    units = [i for i in headings.places(UNITS) if sheet.holds_numbers(i)]
    timed = headings.places((*FILL_TIMES, *TIME_NAMES))
    if not (units and timed and headings.places(PRICES)):
        return False
    if _side(sheet) is not None:
        return True
    named = headings.places((*SYMBOL_NAMES, *STATUS))
    return bool(named) and any("-" in word[:1] for i in units for word in sheet.words(i))


def read_fills(sheet: Sheet, units: int | None = None) -> Fills:
    """The fills among the rows of a file.

    Deposits, dividends and the like, orders that were never filled, and options are left out and
    named. Without a column of sides the units carry the sign. An amount in the currency that
    prices are in is divided by the price.

    Args:
        sheet: all rows.
        units: position of the column of units, where it was chosen already.

    Raises:
        DataError: no column of times or units, a side or a number that is none (with the row).
    """
    notes: list[str] = []
    if units is None:
        units = sheet.headings.find(UNITS, fits=sheet.holds_numbers)
    time, side = find_time(sheet), _side(sheet)
    if time is None or units is None:
        raise DataError(
            f"{sheet.table.source}: no column of {'times' if time is None else 'units'} among "
            f"{sheet.listed}",
            expected="columns such as `time`, `side` and `quantity`",
        )
    status = sheet.headings.find(STATUS)
    sheet, more = _only_filled(sheet, status, side, units)
    notes += more
    if len(sheet) == 0:
        raise DataError(
            f"{sheet.table.source}: no row is a fill", expected="rows that were bought or sold",
            hint="; ".join(notes),
        )  # fmt: skip
    price = sheet.headings.find(PRICES, fits=sheet.holds_numbers)
    symbols = find_symbols(sheet)
    amounts, more = _amounts(sheet, units, price, symbols)
    notes += more
    if side is not None:
        sheet.headings.used.add(side)
        bought = np.array([what_row_says(word) == "buy" for word in _sides(sheet, side)])
        amounts = np.abs(amounts) * np.where(bought, 1.0, -1.0)
    elif not (amounts < 0.0).any():
        notes.append("no column of sides and no negative units: every row is read as a purchase")
    sheet.headings.used.add(units)
    return Fills(sheet, time, amounts, symbols, price, tuple(notes))


def _side(sheet: Sheet) -> int | None:
    """Position of the column that says bought or sold; columns such as ``type`` only where some
    of their words do."""
    headings = sheet.headings
    for i in headings.places(SURE_SIDES):
        if not {say_word(word) for word in sheet.words(i)} <= _IN_OR_OUT:
            return i
    for i in headings.places(POSSIBLE_SIDES):
        if {"buy", "sell", "pending"} & {what_row_says(word) for word in sheet.words(i)}:
            return i
    return None


def _sides(sheet: Sheet, side: int) -> list[str]:
    """Words of the side; of ``buy limit`` and the like the first, which is the side."""
    words = sheet.words(side)
    return [
        say_word(word).split(" ")[0] if what_row_says(word) == "pending" else word for word in words
    ]


def _only_filled(
    sheet: Sheet, status: int | None, side: int | None, units: int
) -> tuple[Sheet, list[str]]:
    """Rows that were filled, and notes on the others."""
    keep: BoolArray = np.ones(len(sheet), dtype=bool)
    notes: list[str] = []

    def leave(where: BoolArray, column: int, why: str) -> None:
        words = sheet.words(column)
        where = where & keep
        if where.any():
            named = sorted({words[i] for i in np.flatnonzero(where).tolist()})
            listed = ", ".join(named[:8]) + (", …" if len(named) > 8 else "")
            notes.append(f"{counted(int(where.sum()), 'row')} left out, {why}: {listed}")
        keep[where] = False

    if status is not None:
        fates = [fate_of_order(word) for word in sheet.words(status)]
        dead = np.array([fate == "not filled" for fate in fates])
        if sheet.headings.all[units].key in _ALREADY_FILLED and dead.any():
            some = [word not in ("", "0") and not _is_zero(word) for word in sheet.words(units)]
            dead &= ~np.array(some)  # cancelled after a part was filled
        leave(dead, status, "not filled")
        unknown = sorted(
            {w for w, f in zip(sheet.words(status), fates, strict=True) if w and not f}
        )
        if unknown:
            notes.append(
                f"`{sheet.names[status]}` is {', '.join(unknown[:5])} in some rows, which are read "
                "as filled"
            )
    open_exits = _exits_of_open_trades(sheet, side)
    if open_exits is not None:
        leave(*open_exits, "exits of trades that are still open")
    if side is not None:
        words = sheet.words(side)
        said = [what_row_says(word) for word in words]
        is_code = sheet.headings.all[side].key == "transcode"
        options = [is_code and say_word(word) in _OPTION_CODES for word in words]
        leave(np.array(options), side, "options")
        leave(np.array([one == "no trade" for one in said]), side, "no trades")
        if status is None:
            leave(np.array([one == "pending" for one in said]), side, "orders that only waited")
        bad = np.flatnonzero(np.array([one == "" for one in said]) & keep)
        if bad.size:
            row = int(bad[0])
            raise DataError(
                f"{sheet.place(row)}: {sheet.names[side]} is {words[row]!r}",
                expected="buy or sell",
            )
    return sheet.take(np.flatnonzero(keep)), notes


def _exits_of_open_trades(sheet: Sheet, side: int | None) -> tuple[BoolArray, int] | None:
    """Exits that a list of two rows a trade shows of trades that have none, and the column that
    tells."""
    signals = sheet.headings.places(("signal",))
    if side is None or not signals or signals[0] == side:
        return None
    exits = [say_word(word).startswith("exit") for word in sheet.words(side)]
    still = [say_word(word) == "open" for word in sheet.words(signals[0])]
    return np.array(exits) & np.array(still), signals[0]


def _is_zero(word: str) -> bool:
    return not any(c in "123456789" for c in word)


def _amounts(
    sheet: Sheet, units: int, price: int | None, symbols: list[str] | None
) -> tuple[FloatArray, list[str]]:
    """[R] units, and a note where they were amounts of money."""
    amounts, currency = sheet.quantities(units)
    name, heading = sheet.names[units], sheet.headings.all[units]
    bad = np.flatnonzero(~np.isfinite(amounts))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{sheet.place(row)}: {name} is {str(sheet.cells(units).iloc[row])!r}",
            expected="numbers of units",
        )
    pairs = [plain(symbol).upper() for symbol in symbols or []]
    in_quote = bool(currency) and (
        all(pair.endswith(currency) for pair in pairs) if pairs else is_money(currency)
    )
    signed = any(word.lstrip("(-+ ").startswith(("$", "€", "£")) for word in sheet.words(units))
    if not (in_quote or heading.unit == "money" or signed):
        return amounts, []
    if price is None:
        raise DataError(
            f"{sheet.table.source}: {name} is money, and there is no price",
            expected="a column of units, or a price to divide by",
        )
    prices = sheet.quantities(price)[0]
    low = np.flatnonzero(~(prices > 0.0))
    if low.size:
        raise DataError(
            f"{sheet.place(int(low[0]))}: {sheet.names[price]} is {prices[low[0]]:g}",
            expected="a price above 0, by which the amount is divided",
        )
    sheet.headings.used.add(price)
    return amounts / prices, [f"`{name}` is money: units are it ÷ `{sheet.names[price]}`"]
