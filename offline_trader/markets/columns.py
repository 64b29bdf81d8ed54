"""Names under which files hold bars. No file is touched here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from offline_trader.errors import DataError, nearest
from offline_trader.markets.spellings import ADJUSTED, CLOCKS, DATES, SPELLINGS
from offline_trader.markets.validation import PRICES
from offline_trader.tables import TIME_NAMES, find_name, is_clock, is_number, is_percent, plain

__all__ = [
    "REQUIRED",
    "BarColumns",
    "columns_by_order",
    "names_closes",
    "names_prices",
    "recognise",
    "recognise_closes",
]

REQUIRED = ("timestamp", *PRICES)
_EITHER = frozenset(map(plain, (*DATES, *CLOCKS)))
_PLAIN = {price: frozenset(map(plain, SPELLINGS[price])) for price in PRICES}

_NO_UNIT = {"price", "adj", "adjusted", "bid", "ask"}  # they say what the price is
_NOT_VOLUME = re.compile(r"ma\d*$|avg|average|change|pct|sma|ratio|weighted")


@dataclass(frozen=True)
class BarColumns:
    """Positions of what makes bars among a file's columns.

    Attributes:
        places: our names → position: timestamp, open, high, low, close and, where the file has
            them, symbol, clock (the time of day beside a date) and adjusted (close).
        volumes: positions of columns that may be the volume, best first.
        notes: what was chosen where several columns could be one of ours.
    """

    places: dict[str, int]
    volumes: tuple[int, ...]
    notes: tuple[str, ...] = ()


def names_prices(names: Sequence[str]) -> bool:
    """True for cells that are names, at least three of them those of prices."""
    known = {plain(name) for name in without_shared_part(names)}
    return sum(not known.isdisjoint(_PLAIN[price]) for price in PRICES) >= 3


def without_shared_part(names: Sequence[str]) -> list[str]:
    """The names without the word that begins or ends at least four of them, where it hides the
    prices: ``open_usd`` and ``SPY.Open`` are ``open``."""
    for pattern in (r"(.+)[ _.]+([A-Za-z0-9]+)", r"(?P<affix>[A-Za-z0-9^]+)[ _.]+(.+)"):
        parts = [re.fullmatch(pattern, name.strip()) for name in names]
        affix, rest = (1, 2) if "affix" in pattern else (2, 1)
        shared = Counter(part[affix].lower() for part in parts if part)
        word, count = shared.most_common(1)[0] if shared else ("", 0)
        if count < 4 or word in _NO_UNIT:
            continue
        return [
            part[rest] if part and part[affix].lower() == word else name
            for name, part in zip(names, parts, strict=True)
        ]
    return list(names)


def names_closes(names: Sequence[str]) -> bool:
    """True for cells that are names: of a time and of something beside it."""
    return len(names) >= 2 and (names[0] == "" or find_name(names, TIME_NAMES) is not None)


def recognise(names: Sequence[str], source: str) -> BarColumns:
    """Which of the columns ``names`` make bars.

    Raises:
        DataError: a needed column is missing; the message lists what the file has.
    """
    found = _find(names)
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        bare = without_shared_part(names)
        if all(name in _find(bare) for name in REQUIRED):
            return recognise(bare, source)
        raise _missing(missing, names, found, source)
    return BarColumns(found, _volumes(names, found), tuple(_choices(names, found)))


def recognise_closes(names: Sequence[str], source: str) -> dict[str, BarColumns]:
    """Instruments of a table of closes, by name (empty: the table's own).

    The column of closes, where one is named so; else every column beside the time is the closes
    of an instrument of that name.

    Raises:
        DataError: no column of times, or nothing beside it.
    """
    found = _find(names)
    if "timestamp" not in found:
        raise _missing(["timestamp"], names, found, source)
    beside = {ours: found[ours] for ours in ("timestamp", "clock", "symbol") if ours in found}
    close = found.get("close", find_name(names, ADJUSTED))
    others = [
        i for i, name in enumerate(names)
        if i not in beside.values() and name and not is_percent(name)
    ]  # fmt: skip
    if close is None and len(others) == 1:
        close = others[0]
    if close is not None:
        places = beside | {"close": close}
        if "adjusted" in found and found["adjusted"] != close:
            places["adjusted"] = found["adjusted"]
        return {"": BarColumns(places, _volumes(names, places))}
    if not others:
        raise _missing(["close"], names, found, source)
    return {names[i]: BarColumns(beside | {"close": i}, ()) for i in others}


def _missing(
    missing: Sequence[str], names: Sequence[str], found: dict[str, int], source: str
) -> DataError:
    listed = ", ".join(name for name in names if name) or "nothing"
    return DataError(
        f"{source}: no column for {', '.join(missing)} among {listed}",
        expected="columns " + ", ".join(REQUIRED) + " (the usual spellings are recognised)",
        hint=_hint(missing, names, found),
    )


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
    date, clock = find_name(names, DATES), find_name(names, CLOCKS)
    if date is not None and clock is not None and date != clock and stamp in _EITHER:
        found["timestamp"], found["clock"] = date, clock
    if "close" in found and (adjusted := find_name(names, ADJUSTED)) is not None:
        found["adjusted"] = adjusted
    return found


def _volumes(names: Sequence[str], found: dict[str, int]) -> tuple[int, ...]:
    reduced = [plain(name) for name in names]
    known = [reduced.index(each) for each in map(plain, SPELLINGS["volume"]) if each in reduced]
    others = [
        i for i, name in enumerate(reduced)
        if name.startswith("volume") and not _NOT_VOLUME.search(name)
    ]  # fmt: skip
    return tuple(i for i in dict.fromkeys(known + others) if i not in found.values())


def _choices(names: Sequence[str], found: dict[str, int]) -> list[str]:
    """Prices for which the file has several columns: which is used, and which are not."""
    notes = []
    for price in PRICES:
        free = [
            name for i, name in enumerate(names)
            if i not in found.values() and plain(name) in _PLAIN[price]
        ]  # fmt: skip
        if free:
            used = names[found[price]]
            notes.append(f"column {used} is used as {price}, not {', '.join(free)}")
    if plain(names[found["close"]]).startswith("bid"):
        notes.append(f"prices are bids, such as column {names[found['close']]}")
    return notes


def _hint(missing: Sequence[str], names: Sequence[str], found: dict[str, int]) -> str:
    free = {
        plain(name): name for i, name in enumerate(names)
        if i not in found.values() and not is_percent(name)
    }  # fmt: skip
    if tuple(missing) == ("open", "high", "low"):
        return "if the file holds closes alone, read it as such: --closes, or `closes:` before it"
    if missing[0] == "close" and (adjusted := next((a for a in ADJUSTED if a in free), "")):
        return (
            f"rename `{free[adjusted]}` to `close` if open, high and low are adjusted as well; "
            "mixing both invents returns"
        )
    near = nearest(missing[0], free)
    if near is not None:
        return f"rename `{free[near]}` to `{missing[0]}`"
    return f"name the column `{missing[0]}`; the first lines must hold the header"


def columns_by_order(cells: Sequence[str], closes: bool = False) -> BarColumns | None:
    """Columns of a row of data in the usual order; None where it is no such row.

    Recognised: time, open, high, low, close and, if there, volume, as exchanges' bulk files have
    it, with date and time in two columns or in one, and an instrument before them or not. Of
    ``closes``: time and close.
    """
    at = 0
    order: list[str] = []
    if len(cells) > 1 and re.match(r"[A-Za-z]", cells[0]) and re.match(r"\d", cells[1]):
        order.append("symbol")
    at = len(order)
    if len(cells) <= at or not re.match(r"\d", cells[at]):
        return None
    order.append("timestamp")
    if closes:
        return BarColumns({"timestamp": at, "close": at + 1}, ()) if len(cells) > at + 1 else None
    if len(cells) > at + 5 and _is_clock_beside(cells[at : at + 7]):
        order.append("clock")
    first = len(order)
    if not (len(cells) >= first + 4 and all(map(is_number, cells[first : first + 4]))):
        return None
    order += PRICES
    last = len(order)
    volume = (last,) if len(cells) > last and is_number(cells[last]) else ()
    return BarColumns({name: i for i, name in enumerate(order)}, volume)


def _is_clock_beside(cells: Sequence[str]) -> bool:
    """True where the second of these cells is the time of day that belongs to the first."""
    if not is_clock(cells[1]):
        return False
    # 20240102,093000: digits only, so it takes the prices behind it to tell
    return ":" in cells[1] or (
        bool(re.fullmatch(r"\d{8}", cells[0]))
        and bool(re.fullmatch(r"\d{4}|\d{6}", cells[1]))
        and _are_prices(cells[2:6])
        and not _are_prices(cells[1:5])
    )


def _are_prices(cells: Sequence[str]) -> bool:
    try:
        open_, high, low, close = map(float, cells)
    except ValueError:
        return False
    return low <= min(open_, close) and max(open_, close) <= high
