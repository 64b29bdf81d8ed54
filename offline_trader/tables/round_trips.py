"""Round trips of a file: which rows are closed trades, when, which way, at which prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.fills import find_symbols
from offline_trader.tables.names import TIME_NAMES
from offline_trader.tables.sheet import Sheet
from offline_trader.tables.trade_layouts import join_clocks, one_row_a_trade, repeated_names
from offline_trader.tables.trade_words import counted, say_word, what_row_says
from offline_trader.types import FloatArray

__all__ = ["EXIT", "EXIT_PRICE", "RoundTrips", "read_round_trips"]

TimeArray: TypeAlias = np.ndarray[tuple[int], np.dtype[np.datetime64]]

ENTRY = (
    "entrydatetime", "opendatetime", "entrytime", "entrydate", "entrytimestamp", "opentime",
    "opendate", "opened", "dateopened", "timeopened", "openedat", "boughtat", "entry",
    "opentimestamp", "enteredat", "openeddate", "buydate", "buytime", "boughtdate",
    "boughttimestamp", "dateacquired", "acquired", "datein", "dtopen", "openingtime",
    "openingdate", "entereddate", "timeentry", "dateentry", "createtime", "datebought",
    "entrybartime", "firstentrytime", "opentimeutc", "entrydt", "eröffnungszeit", "openedtime",
)  # fmt: skip
EXIT = (
    "exitdatetime", "closedatetime", "exittime", "exitdate", "exittimestamp", "closetime",
    "closedate", "closed", "dateclosed", "timeclosed", "closedat", "soldat", "exit",
    "closetimestamp", "exitedat", "closeddate", "selldate", "selltime", "solddate",
    "soldtimestamp", "datesold", "sold", "dateout", "dtclose", "closingtime", "closingdate",
    "exiteddate", "timeexit", "dateexit", "exdate", "tradetime", "filledsettlementtime",
    "exitbartime", "lastexittime", "closetimeutc", "transactionclosingdate", "exitdt",
    "closedtime", "realizeddate",
)  # fmt: skip
ENTRY_PRICE = (
    "entryprice", "avgentryprice", "openprice", "openrate", "buyprice", "priceopen",
    "averageentryprice", "openingprice", "priceentry", "avgentry", "pricein", "entrypx",
    "avgopenprice", "entryavgprice",
)  # fmt: skip
EXIT_PRICE = (
    "exitprice", "avgexitprice", "closeprice", "closerate", "sellprice", "priceclose",
    "averageexitprice", "closingprice", "priceexit", "avgexit", "priceout", "exitpx", "explrice",
    "exprice", "avgcloseprice", "exitavgprice", "averagecloseprice",
)  # fmt: skip
UNITS = (
    "size", "quantity", "qty", "units", "amount", "shares", "volume", "lots", "contracts",
    "positionsizeqty", "positionsize", "sizeqty", "lotsize", "filledqty", "closedsize", "vol",
    "orderquantity", "closedqty", "maxopenqty", "quantityclosed", "closingquantity",
)  # fmt: skip
_SURE_SIDES = ("direction", "side", "positionside", "longshort", "isshort", "marketpos",
               "marketposition", "ls", "posside", "buysell", "tradedirection", "tradeside",
               "openingdirection")  # fmt: skip
_POSSIBLE_SIDES = ("type", "trade", "action", "position", "tradetype", "ordertype", "positiontype",
                   "typ", "transactiontype", "dir")  # fmt: skip
_CLOSING_SIDES = ("closingdirection", "closeside", "exitside", "closingside")
_STATUS = ("status", "tradestatus", "positionstatus", "state", "isopen")


@dataclass(frozen=True)
class RoundTrips:
    """Closed trades of a file, in its order.

    Attributes:
        sheet: their rows; its headings know which columns were used.
        entries, exits: [K] datetime64[ns] UTC.
        direction: [K] 1 for long, −1 for short.
        units: [K] size, above 0; None where the file has none.
        entry_prices, exit_prices: [K], NaN where there are none.
        symbols: [K] instruments, where the file names them.
        notes: what was decided and what was left out.
    """

    sheet: Sheet
    entries: TimeArray
    exits: TimeArray
    direction: FloatArray
    units: FloatArray | None
    entry_prices: FloatArray
    exit_prices: FloatArray
    symbols: list[str] | None
    notes: tuple[str, ...]

    @property
    def moves(self) -> FloatArray | None:
        """[K] (exit − entry price) · size · direction, where all of it is known."""
        if self.units is None or not np.isfinite(self.exit_prices - self.entry_prices).any():
            return None
        return (self.exit_prices - self.entry_prices) * self.units * self.direction


def read_round_trips(sheet: Sheet) -> RoundTrips:
    """The closed trades among the rows of a file.

    Rows without an exit time, or with a status such as ``open``, are still open; rows that are
    deposits or orders that were never filled are no trades. Without a column of directions,
    negative units are a short position.

    Raises:
        DataError: no exit times, nothing closed, or a row that is wrong (named).
    """
    sheet, notes = one_row_a_trade(sheet)
    if not sheet.headings.places(EXIT):
        sheet, more = repeated_names(sheet)
        notes += more
    sheet = join_clocks(sheet)
    out = sheet.headings.find(EXIT)
    if out is None:
        raise DataError(
            f"{sheet.table.source}: no column of exit times among {sheet.listed}",
            expected="such as `exit_time`",
        )
    sheet, more = _only_closed(sheet, out)
    notes += more
    if len(sheet) == 0:
        raise DataError(
            f"{sheet.table.source}: no closed trade",
            expected=f"rows with a time in `{sheet.names[out]}`",
        )
    entries, exits, direction, more = _when_and_which_way(sheet, out)
    notes += more
    units = sheet.headings.find(UNITS, fits=sheet.holds_numbers)
    sizes = None if units is None else np.abs(sheet.quantities(units)[0])
    prices = _prices(sheet, direction)
    symbols = find_symbols(sheet)
    return RoundTrips(sheet, entries, exits, direction, sizes, *prices, symbols, tuple(notes))


def _only_closed(sheet: Sheet, out: int) -> tuple[Sheet, list[str]]:
    """Rows of closed trades: with an exit, not marked open, and no deposits or pending orders."""
    keep = sheet.filled(out)
    notes = []
    still = int(np.count_nonzero(~keep))
    status = sheet.headings.find(_STATUS)
    if status is not None:
        words = [say_word(word) for word in sheet.words(status)]
        marked = {"true", "1", "yes"} if sheet.headings.all[status].key == "isopen" else {"open"}
        opened = np.array([word in marked for word in words], dtype=bool)
        still += int(np.count_nonzero(opened & keep))
        keep &= ~opened
    said = [
        i for i in sheet.headings.places(_POSSIBLE_SIDES)
        if {"buy", "sell"} & {what_row_says(word) for word in sheet.words(i)}
    ]  # fmt: skip
    if said:
        words = sheet.words(said[0])
        kinds = [what_row_says(word) for word in words]
        other = np.array([kind in ("no trade", "pending") for kind in kinds], dtype=bool)
        named = sorted({words[i] for i in np.flatnonzero(other).tolist()})
        if other.any():
            still -= int(np.count_nonzero(other & ~sheet.filled(out)))
            keep &= ~other
            notes.append(
                f"{counted(int(other.sum()), 'row')} left out, no trades: {', '.join(named[:8])}"
            )
    if still:
        notes.append(f"{counted(still, 'trade')} left out, still open")
    return sheet.take(np.flatnonzero(keep)), notes


def _when_and_which_way(
    sheet: Sheet, out: int
) -> tuple[TimeArray, TimeArray, FloatArray, list[str]]:
    """Entry and exit times [K] in UTC, 1 for long and −1 for short [K], and notes."""
    into = sheet.headings.find(ENTRY)
    if into is None:  # one more time, under a name that says nothing
        into = sheet.headings.find(TIME_NAMES, fits=lambda i: i != out)
    if into is None:
        exits = sheet.times(out).utc
        return exits, exits, *_directions(sheet)
    if not sheet.filled(into).all():
        row = int(np.flatnonzero(~sheet.filled(into))[0])
        raise DataError(
            f"{sheet.place(row)}: the time in `{sheet.names[into]}` is missing",
            expected="a time of entry of every closed trade",
        )
    entries, exits = (each.utc for each in sheet.times_of((into, out)))
    early = exits < entries
    keys = (sheet.headings.all[into].key, sheet.headings.all[out].key)
    if early.any() and keys[0][:3] in ("bou", "buy") and keys[1][:3] in ("sol", "sel"):
        # purchase and sale, not entry and exit: who sold first was short
        entries, exits = np.where(early, exits, entries), np.where(early, entries, exits)
        note = f"{counted(int(early.sum()), 'trade')} short: sold before bought"
        return entries, exits, np.where(early, -1.0, 1.0), [note]
    if early.any():
        raise DataError(
            f"{sheet.place(int(np.flatnonzero(early)[0]))}: it exits before it enters",
            expected=f"`{sheet.names[out]}` at or after `{sheet.names[into]}`",
        )
    return entries, exits, *_directions(sheet)


def _directions(sheet: Sheet) -> tuple[FloatArray, list[str]]:
    """[K] 1 for long, −1 for short: by a column that says so, else by the sign of the units."""
    n = len(sheet)
    closing = sheet.headings.find(_CLOSING_SIDES)
    sure = sheet.headings.find(_SURE_SIDES) if closing is None else None
    column = closing if closing is not None else sure
    if column is None:
        column = sheet.headings.find(
            _POSSIBLE_SIDES,
            fits=lambda i: bool({"buy", "sell"} & {what_row_says(w) for w in sheet.words(i)}),
        )
    if column is None:
        units = sheet.headings.find(UNITS, fits=sheet.holds_numbers)
        if units is None:
            return np.ones(n), []
        return np.where(sheet.quantities(units)[0] < 0, -1.0, 1.0), []
    words = sheet.words(column)
    if sheet.headings.all[column].key == "isshort":  # a yes or no, not a side
        return _yes_or_no(sheet, column, words), []
    sides = [what_row_says(word) for word in words]
    bad = [i for i, side in enumerate(sides) if side not in ("buy", "sell")]
    if bad:
        raise DataError(
            f"{sheet.place(bad[0])}: {sheet.names[column]} is {words[bad[0]]!r}",
            expected="long or short",
            hint="a column that tells something else needs another name",
        )
    longs = np.where(np.array(sides) == "buy", 1.0, -1.0)
    if closing is not None:
        note = f"`{sheet.names[column]}` is the side of the closing order: a sale closes a long"
        return -longs, [note]
    return longs, []


def _yes_or_no(sheet: Sheet, column: int, words: list[str]) -> FloatArray:
    meaning = {"true": -1.0, "1": -1.0, "1.0": -1.0, "yes": -1.0, "short": -1.0,
               "false": 1.0, "0": 1.0, "0.0": 1.0, "no": 1.0, "long": 1.0}  # fmt: skip
    found = [meaning.get(word.lower()) for word in words]
    if None in found:
        row = found.index(None)
        raise DataError(
            f"{sheet.place(row)}: {sheet.names[column]} is {words[row]!r}", expected="true or false"
        )
    return np.array(found, dtype=np.float64)


def _prices(sheet: Sheet, direction: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Entry and exit prices [K], NaN where there are none."""
    headings, nothing = sheet.headings, np.full(len(sheet), np.nan)
    into, out = headings.find(ENTRY_PRICE), headings.find(EXIT_PRICE)
    twice = headings.places(("price",))
    if into is None and out is None and len(twice) == 2:
        into, out = twice  # as the terminals have it: the entry's, then the exit's
    elif into is None and out is not None:
        into = headings.find(("price",))
    entry, exit_ = (nothing if i is None else sheet.quantities(i)[0] for i in (into, out))
    if into is not None and headings.all[into].key.startswith("buy"):
        # purchase and sale, not entry and exit: a short sold first
        entry, exit_ = np.where(direction < 0, (exit_, entry), (entry, exit_))
    return entry, exit_
