"""Names under which files hold bars. No file is touched here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from offline_trader.errors import DataError
from offline_trader.markets.validation import PRICES
from offline_trader.tables import SYMBOL_NAMES, TIME_NAMES, find_name, is_clock, is_number, plain

__all__ = ["REQUIRED", "SPELLINGS", "BarColumns", "columns_by_order", "names_prices", "recognise"]

SPELLINGS: dict[str, tuple[str, ...]] = {
    "timestamp": TIME_NAMES,
    "open": ("open", "o", "openprice", "priceopen", "pxopen", "openingprice", "first"),
    "high": ("high", "h", "highprice", "pricehigh", "pxhigh", "max"),
    "low": ("low", "l", "lowprice", "pricelow", "pxlow", "min"),
    "close": ("close", "c", "closeprice", "priceclose", "pxlast", "pxclose", "closelast",
              "closingprice", "last", "price"),
    "volume": ("volume", "v", "vol", "realvolume", "basevolume", "totalvolume", "tradevolume",
               "pxvolume", "qty", "quantity", "tickvolume", "tickvol"),
    "symbol": SYMBOL_NAMES,
}  # fmt: skip
"""Column → spellings in plain form; earlier ones win."""

ADJUSTED = ("adjclose", "adjustedclose", "adjcloseprice", "closeadj", "closeadjusted")
REQUIRED = ("timestamp", *PRICES)
_DATES = ("date", "tradedate", "tradingdate")
_CLOCKS = ("time",)

_NOT_VOLUME = re.compile(r"ma\d*$|avg|average|change|pct|sma|ratio|weighted")


@dataclass(frozen=True)
class BarColumns:
    """Positions of what makes bars among a file's columns.

    Attributes:
        places: our names → position: timestamp, open, high, low, close and, where the file has
            them, symbol, clock (the time of day beside a date) and adjusted (close).
        volumes: positions of columns that may be the volume, best first.
    """

    places: dict[str, int]
    volumes: tuple[int, ...]


def names_prices(names: Sequence[str]) -> bool:
    """True for cells that are names, at least three of them those of prices."""
    if any(is_number(name) for name in names):
        return False
    known = {plain(name) for name in names}
    return sum(not known.isdisjoint(SPELLINGS[price]) for price in PRICES) >= 3


def recognise(names: Sequence[str], source: str) -> BarColumns:
    """Which of the columns ``names`` make bars.

    Raises:
        DataError: a needed column is missing; the message lists what the file has.
    """
    found = _find(names)
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        listed = ", ".join(names) or "nothing"
        raise DataError(
            f"{source}: no column for {', '.join(missing)} among {listed}",
            expected="columns " + ", ".join(REQUIRED) + " (the usual spellings are recognised)",
            hint=_hint(missing[0], names, found),
        )
    return BarColumns(found, _volumes(names, found))


def _find(names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for ours, spellings in SPELLINGS.items():
        if ours == "volume":
            continue
        free = [name if i not in found.values() else "" for i, name in enumerate(names)]
        at = find_name(free, spellings)
        if at is not None:
            found[ours] = at
    if "timestamp" not in found and names and names[0] == "":
        found["timestamp"] = 0  # an index without a name, as pandas writes it
    stamp = plain(names[found["timestamp"]]) if "timestamp" in found else ""
    if stamp in _DATES and (clock := find_name(names, _CLOCKS)) is not None:
        found["clock"] = clock
    if "close" in found and (adjusted := find_name(names, ADJUSTED)) is not None:
        found["adjusted"] = adjusted
    return found


def _volumes(names: Sequence[str], found: dict[str, int]) -> tuple[int, ...]:
    reduced = [plain(name) for name in names]
    known = [reduced.index(each) for each in SPELLINGS["volume"] if each in reduced]
    others = [
        i for i, name in enumerate(reduced)
        if name.startswith("volume") and not _NOT_VOLUME.search(name)
    ]  # fmt: skip
    return tuple(i for i in dict.fromkeys(known + others) if i not in found.values())


def _hint(missing: str, names: Sequence[str], found: dict[str, int]) -> str:
    free = {plain(name): name for i, name in enumerate(names) if i not in found.values()}
    if missing == "close" and (adjusted := next((a for a in ADJUSTED if a in free), "")):
        return (
            f"rename `{free[adjusted]}` to `close` if open, high and low are adjusted as well; "
            "mixing both invents returns"
        )
    near = difflib.get_close_matches(missing, list(free), 1, 0.6)
    if near:
        return f"rename `{free[near[0]]}` to `{missing}`"
    return f"name the column `{missing}`; the first lines must hold the header"


def columns_by_order(cells: Sequence[str]) -> BarColumns | None:
    """Columns of a row of data in the usual order; None where it is no such row.

    Recognised: time, open, high, low, close and, if there, volume, as exchanges' bulk files have
    it, with date and time in two columns or in one.
    """
    if not cells or not re.match(r"\d", cells[0]):
        return None
    clock = len(cells) > 5 and is_clock(cells[1]) and ":" in cells[1]
    at = 2 if clock else 1
    if not (len(cells) >= at + 4 and all(map(is_number, cells[at : at + 4]))):
        return None
    order = ["timestamp", *(["clock"] if clock else []), *PRICES]
    volume = (at + 4,) if len(cells) > at + 4 and is_number(cells[at + 4]) else ()
    return BarColumns({name: i for i, name in enumerate(order)}, volume)
