"""Layouts of trade lists that are not one row a trade with names of its own for entry and exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.sheet import Sheet
from offline_trader.tables.times import is_clock
from offline_trader.tables.trade_words import counted, say_word
from offline_trader.types import IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["entry_and_exit_rows", "join_clocks", "one_row_a_trade", "repeated_names"]

_NUMBER_OF_TRADE = ("trade", "tradenumber", "tradeno", "tradeid", "number", "no", "id")
_KIND_OF_ROW = ("type", "kind", "side", "direction", "action")
_STAMPS = ("datetime", "dateandtime", "time", "date", "timestamp")
_PRICES = ("price", "fillprice", "avgprice")


def entry_and_exit_rows(sheet: Sheet) -> int | None:
    """Position of a column whose cells are all ``Entry long``, ``Exit short`` and the like."""
    for i in sheet.headings.places(_KIND_OF_ROW):
        words = [say_word(word) for word in sheet.words(i)]
        if words and all(
            word.split(" ")[0] in ("entry", "exit") and word.split(" ")[-1] in ("long", "short")
            for word in words
        ):
            return i
    return None


def one_row_a_trade(sheet: Sheet) -> tuple[Sheet, list[str]]:
    """Lists with two rows a trade (an entry and an exit of one number) as one row a trade: the
    exit's, with time and price of the entry beside it. Others as they are.

    Raises:
        DataError: an entry or an exit without the other, or no number of the trade.
    """
    kind = entry_and_exit_rows(sheet)
    if kind is None:
        return sheet, []
    number = sheet.headings.find(_NUMBER_OF_TRADE)
    at = sheet.headings.find(_STAMPS)
    if number is None or at is None:
        raise DataError(
            f"{sheet.table.source}: rows are entries and exits, and {sheet.listed} has no "
            + ("number of the trade" if number is None else "time"),
            expected="columns such as `Trade #` and `Date/Time`",
        )
    words = [say_word(word) for word in sheet.words(kind)]
    numbers = sheet.words(number)
    entries: dict[str, int] = {}
    exits: dict[str, int] = {}
    for row, (word, name) in enumerate(zip(words, numbers, strict=True)):
        side = entries if word.startswith("entry") else exits
        if name in side:
            raise DataError(
                f"{sheet.place(row)}: trade {name} has a second {word}",
                expected="one entry and one exit of each trade",
            )
        side[name] = row
    lone = sorted(
        row for side, other in ((entries, exits), (exits, entries))
        for name, row in side.items() if name not in other
    )  # fmt: skip
    orphans = [row for row in lone if words[row].startswith("exit")]
    if orphans:
        raise DataError(
            f"{sheet.place(orphans[0])}: trade {numbers[orphans[0]]} has no entry",
            expected="one entry and one exit of each trade",
        )
    names = [name for name in exits if name in entries]
    notes = [f"two rows a trade: {counted(len(sheet), 'row')} are {counted(len(names), 'trade')}"]
    if lone:
        notes.append(f"{counted(len(lone), 'trade')} left out, without an exit yet")
    out = np.array([exits[name] for name in names], dtype=np.int64)
    into = np.array([entries[name] for name in names], dtype=np.int64)
    return _beside(sheet, out, into, at, kind), notes


def _beside(sheet: Sheet, out: IntArray, into: IntArray, at: int, kind: int) -> Sheet:
    """Rows ``out`` of the sheet with time and price of rows ``into``, under names of trades."""
    headings = sheet.headings
    headings.used.update({at, kind})
    price = headings.find(_PRICES)
    closed = sheet.take(out)
    names, columns = ["Entry time", "Exit time", "Direction"], [
        sheet.cells(at).iloc[into], sheet.cells(at).iloc[out],
        sheet.cells(kind).iloc[into].astype("str").str.split(r"[\s_]+", regex=True).str[-1],
    ]  # fmt: skip
    if price is not None:
        names += ["Entry price", "Exit price"]
        columns += [sheet.cells(price).iloc[into], sheet.cells(price).iloc[out]]
    signals = headings.places(("signal",))
    if signals:
        still = [say_word(word) == "open" for word in closed.words(signals[0])]
        names.append("Status")
        columns.append(closed.cells(signals[0]).where(np.array(still), "closed"))
    return closed.beside(names, columns)


def repeated_names(sheet: Sheet) -> tuple[Sheet, list[str]]:
    """Lists in which ``Time`` and ``Price`` come twice, the entry's before the exit's, with names
    for each; others as they are."""
    headings = sheet.headings
    for key in _STAMPS:
        twice = headings.places((key,))
        if len(twice) == 2:
            break
    else:
        return sheet, []
    names = ["Entry time", "Exit time"]
    columns = [sheet.cells(i) for i in twice]
    note = f"the first `{sheet.names[twice[0]]}` is the entry's, the second the exit's"
    headings.used.update(twice)
    return _with_prices(sheet, names, columns), [note]


def _with_prices(sheet: Sheet, names: list[str], columns: list[pd.Series]) -> Sheet:
    prices = sheet.headings.places(_PRICES)
    if len(prices) == 2:
        sheet.headings.used.update(prices)
        names = [*names, "Entry price", "Exit price"]
        columns = [*columns, *(sheet.cells(i) for i in prices)]
    return sheet.beside(names, columns)


def join_clocks(sheet: Sheet) -> Sheet:
    """The sheet with one time for each end, where date and time of day are two columns."""
    for which in ("entry", "exit", "open", "close"):
        dates = sheet.headings.places((f"{which}date", f"date{which}"))
        clocks = sheet.headings.places((f"{which}time", f"time{which}"))
        if not (dates and clocks):
            continue
        words = sheet.words(clocks[0])
        if not all(":" in word and is_clock(word) for word in words if word):
            continue
        days = sheet.words(dates[0])
        joined = sheet.cells(dates[0]).astype("object").copy()
        joined[:] = [f"{d} {c}" if d else "" for d, c in zip(days, words, strict=True)]
        sheet.headings.used.update({dates[0], clocks[0]})
        sheet = sheet.beside([f"{which}datetime"], [joined.astype("str")])
    return sheet
