"""Trade logs: files of actions, target weights, fills, round trips or legacy actions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.envs.discrete import LEGACY_ACTIONS
from offline_trader.errors import ConfigError, DataError
from offline_trader.hashing import file_sha256
from offline_trader.tables.contents import label, refusals
from offline_trader.tables.fills import UNITS, find_symbols, find_time, has_fills, read_fills
from offline_trader.tables.names import plain
from offline_trader.tables.records import read_records
from offline_trader.tables.round_trips import ENTRY, EXIT, read_round_trips
from offline_trader.tables.sheet import Sheet
from offline_trader.tables.trade_words import say_word, what_row_says
from offline_trader.types import FloatArray

__all__ = ["TradeLog", "read_log"]

ACTIONS = ("action", "actions", "signal", "signals", "decision", "order")
WEIGHTS = (
    "weight", "targetweight", "target", "targetpct", "targetpercent", "allocation", "position",
    "positionweight", "exposure", "weights", "targetposition", "targetallocation",
)  # fmt: skip
_ORDERS = {"buy": "BUY_LARGE", "sell": "SELL_ALL", "hold": "HOLD"}
_POSITIONS = {"long": 1.0, "flat": 0.0, "neutral": 0.0, "short": -1.0}
_KIND_COLUMNS = {"actions": ACTIONS, "legacy": ACTIONS, "weights": WEIGHTS, "fills": UNITS}


@dataclass(frozen=True, eq=False)
class TradeLog:
    """Rows of a log in time order.

    Attributes:
        source: the file, for messages.
        kind: actions, weights, fills or legacy.
        times: [R] datetime64[ns] UTC.
        values: [R] action in [−1, 1], weight in [−1, 1], signed units, or legacy number.
        symbols: [R] instruments, where the log names them.
        lines: [R] place in the file.
        sha256: of the file.
        notes: what was decided in reading it, and what was left out.
    """

    source: str
    kind: str
    times: NDArray[np.datetime64]
    values: FloatArray
    symbols: NDArray[Any] | None
    lines: NDArray[np.int64]
    sha256: str
    notes: tuple[str, ...] = ()

    def locate(self, i: int) -> str:
        """What messages call row ``i``."""
        return f"row {int(self.lines[i])}"


def read_log(path: str, kind: str = "auto", tz: str | None = None) -> TradeLog:
    """The log in a file.

    Args:
        path: a table of text, Parquet or Feather.
        kind: ``auto`` tells it by the columns: units are fills, a weight is a weight, an action
            is a legacy action where it is one of their names, else a number in [−1, 1]; a
            ``signal`` of 1, 0 and −1 is the position that is wanted, a weight, and so are the
            words long, flat and short; buy, hold and sell are legacy actions. A row with the
            times of entry and exit and a size is two fills.
        tz: zone of times that carry none; UTC if None.

    Raises:
        DataError: no such file, no rows, a value that cannot be read (with its row).
        ConfigError: columns that tell no kind.
    """
    file = Path(path)
    source = label(path)
    with refusals(source):
        if not file.is_file():
            raise DataError(f"no file {source}", expected="a log: a table of text or Parquet")
        sha256 = file_sha256(file)
    return _read(path, sha256, kind, tz)


@lru_cache(maxsize=8)
def _read(path: str, sha256: str, kind: str, tz: str | None) -> TradeLog:
    sheet, _ = read_records(path, tz)
    notes = list(sheet.table.notes)
    if kind in ("auto", "fills") and _has_round_trips(sheet):
        return _from_round_trips(path, sha256, sheet, notes)
    at = find_time(sheet)
    if at is None:
        raise DataError(
            f"{sheet.table.source}: no column of times among {sheet.listed}",
            expected="a column such as `timestamp` or `date`",
        )
    kind, column, remarks = _kind(sheet, kind)
    notes += remarks
    if kind == "fills":
        found = read_fills(sheet, column)
        sheet, at, values, symbols = found.sheet, found.time, found.units, found.symbols
        notes += found.notes
    else:
        values, symbols = _values(sheet, kind, column), find_symbols(sheet)
    times = sheet.times(at)
    notes += times.notes
    return _log(path, sha256, kind, times.utc, values, symbols, sheet.table.rows, notes)


def _log(
    path: str, sha256: str, kind: str, times: NDArray[np.datetime64], values: FloatArray,
    symbols: list[str] | None, lines: NDArray[np.int64], notes: list[str],
) -> TradeLog:  # fmt: skip
    if len(times) > 1 and times[0] > times[-1]:  # newest first: rows of one time, too
        times, values, lines = times[::-1], values[::-1], lines[::-1]
        symbols = None if symbols is None else symbols[::-1]
    order = np.argsort(times, kind="stable")
    named = None if symbols is None else np.array(symbols, dtype=str)[order]
    return TradeLog(
        path, kind, times[order], values[order], named, lines[order], sha256, tuple(notes)
    )


def _has_round_trips(sheet: Sheet) -> bool:
    """True for one row a trade, with the times of both ends and a size."""
    headings = sheet.headings
    twice = any(len(headings.places((key,))) == 2 for key in ("time", "date", "datetime"))
    both = bool(headings.places(ENTRY)) and bool(headings.places(EXIT))
    return (both or twice) and bool(headings.places(UNITS))


def _from_round_trips(path: str, sha256: str, sheet: Sheet, notes: list[str]) -> TradeLog:
    """Every trade as two fills: one at its entry and one, the other way, at its exit."""
    trips = read_round_trips(sheet)
    if trips.units is None or not np.isfinite(trips.units).all():
        raise DataError(
            f"{sheet.table.source}: trades without a size", expected="a size in every row"
        )
    units = trips.units * trips.direction
    rows = trips.sheet.table.rows
    symbols = None if trips.symbols is None else [*trips.symbols, *trips.symbols]
    notes += [*trips.notes, "one row a trade: read as a fill at its entry and one at its exit"]
    return _log(
        path, sha256, "fills", np.concatenate([trips.entries, trips.exits]),
        np.concatenate([units, -units]), symbols, np.concatenate([rows, rows]), notes,
    )  # fmt: skip


def _kind(sheet: Sheet, asked: str) -> tuple[str, int, list[str]]:
    """What the rows say, the column that says it, and a note where that was decided by values."""
    headings = sheet.headings
    if asked != "auto":
        column = headings.find(_KIND_COLUMNS[asked], fits=sheet.holds_numbers)
        if column is None:
            column = headings.find(_KIND_COLUMNS[asked])
        if column is None:
            raise ConfigError(
                f"{sheet.table.source}: no column of {asked} among {sheet.listed}",
                expected="one of " + ", ".join(_KIND_COLUMNS[asked][:30]),
            )
        return asked, column, []
    fills = _first(sheet, UNITS, sheet.holds_numbers)
    sided = has_fills(sheet)
    found = {
        "actions": _first(sheet, ACTIONS, lambda i: _are_actions(sheet, i, fills is not None)),
        "weights": _first(sheet, WEIGHTS, lambda i: not sided or _within(sheet, i, 1.0)),
        "fills": fills,
    }
    given = [kind for kind, column in found.items() if column is not None]
    if sided and "weights" not in given:
        given = ["fills"]
    elif len(given) == 2 and "actions" in given and _is_signal(sheet, found["actions"]):
        given.remove("actions")
    if len(given) != 1:
        raise ConfigError(
            f"{sheet.table.source}: columns {sheet.listed} tell "
            + (f"several kinds ({', '.join(given)})" if given else "no kind of log"),
            expected="a column such as `action`, `weight` or `units`",
            hint="name the kind: log:FILE?kind=weights (actions, weights, fills, legacy)",
        )
    kind, column = given[0], found[given[0]]
    assert column is not None
    headings.used.add(column)
    if kind == "actions" and _legacy_numbers(sheet, column) is not None:
        return "legacy", column, []
    if kind == "actions" and _order_numbers(sheet, column) is not None:
        note = "are read as BUY_LARGE, HOLD and SELL_ALL: buy with all cash, do nothing, sell all"
        return "legacy", column, [f"`{sheet.names[column]}`: BUY, HOLD and SELL {note}"]
    if _positions(sheet, column) is not None:
        note = "are read as the position that is wanted: 1, 0 and -1 of equity"
        return "weights", column, [f"`{sheet.names[column]}`: long, flat and short {note}"]
    if kind == "actions" and _is_signal(sheet, column):
        return (
            "weights",
            column,
            [
                f"`{sheet.names[column]}` holds 1, 0 and -1 alone: read as the position that is "
                "wanted (long, flat, short); if they are the simulator's actions: kind=actions"
            ],
        )
    return kind, column, []


def _first(sheet: Sheet, keys: tuple[str, ...], fits: Any) -> int | None:
    return next((i for i in sheet.headings.places(keys) if fits(i)), None)


def _within(sheet: Sheet, i: int, limit: float) -> bool:
    if not sheet.holds_numbers(i):
        return False
    values = sheet.numbers(i)
    return bool((np.abs(values[np.isfinite(values)]) <= limit).all())


def _are_actions(sheet: Sheet, i: int, has_units: bool) -> bool:
    """False for sides beside units, for numbers of orders, and for other texts beside units."""
    words = {word for word in sheet.words(i) if word}
    if sheet.headings.all[i].key == "order" and sheet.holds_numbers(i):
        return _within(sheet, i, 6.0)
    if not has_units:
        return True
    sides = bool(words) and all(what_row_says(word) in ("buy", "sell") for word in words)
    return not sides and (sheet.holds_numbers(i) or _legacy_numbers(sheet, i) is not None)


def _is_signal(sheet: Sheet, i: int | None) -> bool:
    """True for a column called signal that holds nothing but 1, 0 and −1."""
    if i is None or sheet.headings.all[i].key not in ("signal", "signals"):
        return False
    return {word.removesuffix(".0").lstrip("+") for word in sheet.words(i)} <= {
        "1",
        "0",
        "-1",
        "-0",
    }


def _legacy_numbers(sheet: Sheet, i: int) -> FloatArray | None:
    """Numbers of legacy actions written by name; None where they are not all names."""
    known = {plain(name): float(k) for k, name in enumerate(LEGACY_ACTIONS)}
    words = [known.get(plain(word)) for word in sheet.words(i)]
    return None if None in words else np.array(words, dtype=np.float64)


def _order_numbers(sheet: Sheet, i: int) -> FloatArray | None:
    """Numbers of legacy actions of the words buy, hold and sell; None where others stand there."""
    words = [_ORDERS.get(say_word(word)) for word in sheet.words(i)]
    if None in words:
        return None
    return np.array([LEGACY_ACTIONS.index(str(word)) for word in words], dtype=np.float64)


def _positions(sheet: Sheet, i: int) -> FloatArray | None:
    """Weights of the words long, flat and short; None where others stand there."""
    words = [_POSITIONS.get(say_word(word)) for word in sheet.words(i)]
    return None if None in words else np.array(words, dtype=np.float64)


def _values(sheet: Sheet, kind: str, i: int) -> FloatArray:
    if kind == "legacy":
        named = _legacy_numbers(sheet, i)
        named = _order_numbers(sheet, i) if named is None else named
    else:
        named = _positions(sheet, i) if kind == "weights" else None
    if named is not None:
        return named
    heading = sheet.headings.all[i]
    expected = "0 to 6, or " + ", ".join(LEGACY_ACTIONS)
    if kind != "legacy":
        expected = "numbers in [-1, 1]"
    try:
        values = sheet.numbers(i, heading.unit == "percent")
    except DataError as error:
        _refuse_words(sheet, i)
        raise DataError(error.found, expected=expected) from None
    low, high = (0.0, 6.0) if kind == "legacy" else (-1.0, 1.0)
    wrong = ~np.isfinite(values) | (values < low) | (values > high)
    if kind == "legacy":
        wrong |= np.isfinite(values) & (values != np.rint(values))
    bad = np.flatnonzero(wrong)
    if bad.size:
        raise DataError(
            f"{sheet.place(int(bad[0]))}: {heading.name} is "
            f"{str(sheet.cells(i).iloc[int(bad[0])])!r}",
            expected=expected,
            hint="" if kind != "weights" else _hint_of_weights(heading.key, values),
        )
    return values


def _refuse_words(sheet: Sheet, i: int) -> None:
    """Refuse the first word that is no order or position, or the first of a mixture of both."""
    words = sheet.words(i)
    known = [say_word(word) in (*_ORDERS, *_POSITIONS) for word in words]
    if any(known):
        row = 0 if all(known) else known.index(False)
        raise DataError(
            f"{sheet.place(row)}: {sheet.names[i]} is {words[row]!r}",
            expected="buy, hold and sell alone, or long, flat and short alone",
        )


def _hint_of_weights(key: str, values: FloatArray) -> str:
    """What to do with weights beyond 1: whole numbers under ``position`` are rather units held."""
    percent = "write per cent as shares: 0.5, or as 50%"
    if key not in ("position", "targetposition") or (values % 1.0 != 0.0).any():
        return percent
    return (
        "if these are units held, write what each row bought or sold (the difference from the row "
        f"before) in a column `units`, or divide their value by the equity; {percent}"
    )
