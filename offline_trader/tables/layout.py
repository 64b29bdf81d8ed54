"""Where the table begins in a text file: delimiter, lines of names, first row of data."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from offline_trader.errors import DataError
from offline_trader.tables.names import TIME_NAMES, plain

__all__ = ["HeaderTest", "Layout", "cells_of", "find_layout", "is_number"]

HeaderTest = Callable[[Sequence[str]], bool]
"""Whether these cells of one line are the names that a reader looks for."""

_DELIMITERS = ",;\t|"
_BLANKS = " "  # runs of blanks: tried after the others
_PREAMBLE_LINES = 30  # a title or licence above the header is skipped up to here
_NUMBER = re.compile(r"[+-]?[$€£¥]?(\d+([.,]\d+)*[.,]?|[.,]\d+)([eE][+-]?\d+)?[KMBTkmbt%]?")


@dataclass(frozen=True)
class Layout:
    """Layout of a text table.

    Attributes:
        delimiter: one character between the cells; a blank for runs of blanks.
        names: the file's own names, by position; empty strings where there is no header.
        groups: the instrument of each column, of headers of several lines; else empty.
        body: lines before the first row of data.
        header: True where there is a line of names.
    """

    delimiter: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    body: int
    header: bool


def is_number(cell: str) -> bool:
    """True for what may be a number, with its signs, separators and suffix."""
    return bool(_NUMBER.fullmatch(cell))


def find_layout(lines: Sequence[str], source: str, is_header: HeaderTest | None) -> Layout:
    """Layout told by the first lines of a file.

    The first line that passes ``is_header`` holds the names. Without a test the first line of
    more than one name is taken whose cells are no numbers and as many as those of the line below.
    Where no line passes, the first filled line is the first row of data if it holds a number,
    else the longest line is taken for the names.

    Raises:
        DataError: an empty file, or a first row with more cells than the header has names.
    """
    filled = [i for i, line in enumerate(lines[:_PREAMBLE_LINES]) if line.strip(' \t\r\n,;|"')]
    if not filled:
        raise DataError(f"{source}: the file is empty", expected="a header and rows")
    for delimiters in (_DELIMITERS, _BLANKS):
        for line in filled:
            for delimiter in delimiters:
                layout = _header_at(lines, line, delimiter, is_header)
                if layout is not None:
                    _check_first_row(lines, layout, source)
                    return layout
    first = filled[0]
    if not any(is_number(cell) for each in _DELIMITERS for cell in cells_of(lines[first], each)):
        longest = [
            (line, each, cells_of(lines[line], each)) for line in filled for each in _DELIMITERS
        ]
        line, delimiter, names = max(longest, key=lambda found: len(found[2]))
        return Layout(delimiter, tuple(names), (), line + 1, True)
    widths = {each: len(cells_of(lines[first], each)) for each in _DELIMITERS}
    delimiter = max(widths, key=lambda each: widths[each])
    width = max(len(cells_of(lines[i], delimiter)) for i in filled)
    return Layout(delimiter, ("",) * width, (), first, False)


def cells_of(line: str, delimiter: str) -> list[str]:
    """The cells of one line, without the blanks around them."""
    text = line.strip() if delimiter == _BLANKS else line.rstrip("\r\n")
    if delimiter == _BLANKS:
        text = re.sub(r"\s+", " ", text)
    try:
        row = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:  # a cell longer than the module reads
        row = text.split(delimiter)
    return [cell.strip() for cell in row]


def _header_at(
    lines: Sequence[str], line: int, delimiter: str, is_header: HeaderTest | None
) -> Layout | None:
    names = cells_of(lines[line], delimiter)
    if len(names) < 2 or (any(map(is_number, names)) and not _are_numbered(names)):
        return None
    following = [cells_of(each, delimiter) for each in lines[line + 1 : line + 3]]
    test = is_header or (lambda cells: _looks_like_names(cells, following[0] if following else []))
    for depth, upper in ((1, names), (0, following[0] if following else [])):
        stacked = _stacked(names, following, depth, test, upper)
        if stacked is not None:
            columns, groups, height = stacked
            return Layout(delimiter, tuple(columns), tuple(groups), line + height, True)
    if not test(names):
        return None
    return Layout(delimiter, tuple(names), (), line + 1, True)


def _stacked(
    first: list[str], following: list[list[str]], depth: int, test: HeaderTest, named: list[str]
) -> tuple[list[str], list[str], int] | None:
    """Names, instruments and lines of a header in two levels, as pandas writes columns of two
    levels: names above instruments (``depth`` 1) or below them, then the name of the index."""
    if not following or any(map(is_number, named)):
        return None
    groups = following[0] if depth else first
    # so named by yfinance, whatever prices are beside each other
    signed = (named[:1], groups[:1]) == (["Price"], ["Ticker"])
    if not signed and not test(named):
        return None
    if len(groups) != len(named) or any(is_number(each) for each in groups[1:]):
        return None
    if depth == 0 and test(first):
        return None
    index = following[1] if len(following) > 1 else []
    has_index_line = len(index) >= 1 and plain(index[0]) in TIME_NAMES and not any(index[1:])
    if has_index_line:
        return [index[0], *named[1:]], ["", *groups[1:]], 3
    in_two_lines = depth == 1 and plain(named[0]) in TIME_NAMES and groups[0] == ""
    if in_two_lines and all(groups[1:]):
        return named, groups, 2
    return None


def _are_numbered(names: Sequence[str]) -> bool:
    """True for a time's name before columns called by numbers (``date,2015``), and for no name
    before those that pandas numbered from 0."""
    if plain(names[0]) in TIME_NAMES:
        return True
    return names[0] == "" and list(names[1:]) == [str(i) for i in range(len(names) - 1)]


def _looks_like_names(cells: Sequence[str], below: Sequence[str]) -> bool:
    """True for two or more names over a row of as many cells, one of them a number or a time."""
    filled = [cell for cell in cells if cell]
    return len(filled) >= 2 and len(below) >= len(filled)


def _check_first_row(lines: Sequence[str], layout: Layout, source: str) -> None:
    line = next((i for i in range(layout.body, len(lines)) if lines[i].strip()), len(lines))
    cells = cells_of(lines[line], layout.delimiter) if line < len(lines) else []
    if any(cells[len(layout.names) :]):
        raise DataError(
            f"{source} row {line + 1}: {len(cells)} cells, the header names {len(layout.names)}",
            expected="as many cells in every row as in the header",
            hint="quote numbers that hold the delimiter; give row numbers a header of their own",
        )
