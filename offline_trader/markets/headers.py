"""Where the table begins in a text file: delimiter, header line, first row of data."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from offline_trader.errors import DataError
from offline_trader.markets.columns import REQUIRED, SPELLINGS, plain, recognise
from offline_trader.markets.times import is_clock
from offline_trader.markets.validation import PRICES

__all__ = ["Header", "find_header"]

_DELIMITERS = ",;\t|"
_PREAMBLE_LINES = 30  # a title or licence above the header is skipped up to here
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Header:
    """Layout of a text table.

    Attributes:
        delimiter: one character between the cells.
        columns: our names → position of the column.
        names: the file's own names, by position; empty where there is no header.
        width: cells a row.
        body: lines before the first row of data.
        symbol: the instrument where the header names it, else empty.
    """

    delimiter: str
    columns: dict[str, int]
    names: tuple[str, ...]
    width: int
    body: int
    symbol: str = ""


def find_header(lines: Sequence[str], source: str) -> Header:
    """Header among the first lines of a file, or the usual order of columns where it has none.

    Recognised without a header: rows of time, open, high, low, close and, if there, volume (as
    exchanges' bulk files have it), with date and time in two columns or in one.

    Raises:
        DataError: an empty file, or no line that names the needed columns.
    """
    filled = [i for i, line in enumerate(lines[:_PREAMBLE_LINES]) if line.strip(' \t\r\n,;"')]
    if not filled:
        raise DataError(f"{source}: the file is empty", expected="a header and rows of bars")
    for line in filled:
        for delimiter in _DELIMITERS:
            names = _cells(lines[line], delimiter)
            stacked = _stacked(lines, line, delimiter, source)
            if stacked is not None:
                return stacked
            if _names_prices(names):
                columns = recognise(names, source)
                return _header(source, lines, line + 1, delimiter, columns, names)
    first = lines[filled[0]]
    for delimiter in _DELIMITERS:
        columns = _columns_by_order(_cells(first, delimiter))
        if columns:
            return _header(source, lines, filled[0], delimiter, columns, [])
    table = [_cells(lines[i], delimiter) for i in filled for delimiter in _DELIMITERS]
    recognise(max(table, key=len), source)
    raise DataError(f"{source}: no header found", expected="a header with " + ", ".join(REQUIRED))


def _header(
    source: str,
    lines: Sequence[str],
    body: int,
    delimiter: str,
    columns: dict[str, int],
    names: list[str],
    symbol: str = "",
) -> Header:
    line = next((i for i in range(body, len(lines)) if lines[i].strip()), len(lines))
    cells = _cells(lines[line], delimiter) if line < len(lines) else []
    if names and any(cells[len(names) :]):
        raise DataError(
            f"{source} row {line + 1}: {len(cells)} cells, the header names {len(names)}",
            expected="as many cells in every row as in the header",
            hint="quote numbers that hold the delimiter; give row numbers a header of their own",
        )
    width = max(len(names), len(cells))
    return Header(delimiter, columns, tuple(names), width, body, symbol)


def _cells(line: str, delimiter: str) -> list[str]:
    row = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter, skipinitialspace=True), [])
    return [cell.strip() for cell in row]


def _names_prices(names: Sequence[str]) -> bool:
    """True for a line that holds names, at least three of them those of prices."""
    if any(_NUMBER.fullmatch(name) for name in names):
        return False
    known = {plain(name) for name in names}
    return sum(not known.isdisjoint(SPELLINGS[price]) for price in PRICES) >= 3


def _stacked(lines: Sequence[str], line: int, delimiter: str, source: str) -> Header | None:
    """The three-line header ``Price,Close,High,…`` / ``Ticker,X,X,…`` / ``Date,,,…``."""
    names, tickers, dates = (
        _cells(lines[i], delimiter) if i < len(lines) else [] for i in range(line, line + 3)
    )
    if [n[:1] for n in (names, tickers, dates)] != [["Price"], ["Ticker"], ["Date"]]:
        return None
    symbols = {ticker for ticker in tickers[1:] if ticker}
    if len(symbols) != 1:
        raise DataError(
            f"{source}: {len(symbols)} instruments side by side ({', '.join(sorted(symbols))})",
            expected="one instrument, or rows with a column `symbol`",
            hint="save one file for each instrument, or stack them with a column `symbol`",
        )
    names = ["Date", *names[1:]]
    return _header(
        source, lines, line + 3, delimiter, recognise(names, source), names, next(iter(symbols))
    )


def _columns_by_order(cells: Sequence[str]) -> dict[str, int]:
    """Columns of a row of data in the usual order; empty where it is no such row."""
    numbers = [bool(_NUMBER.fullmatch(cell)) for cell in cells]
    if not cells or not re.match(r"\d", cells[0]):
        return {}
    clock = len(cells) > 5 and is_clock(cells[1]) and ":" in cells[1]
    at = 2 if clock else 1
    if not (len(cells) >= at + 4 and all(numbers[at : at + 4])):
        return {}
    order = ["timestamp", *(["clock"] if clock else []), "open", "high", "low", "close"]
    if len(cells) > at + 4 and numbers[at + 4]:
        order.append("volume")
    return {name: i for i, name in enumerate(order)}
