"""Results and logs of trades: the rows of a file or a pandas object, without what is no row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.headings import read_heading
from offline_trader.tables.layout import is_number
from offline_trader.tables.names import TIME_NAMES
from offline_trader.tables.reading import read_table
from offline_trader.tables.sheet import Sheet
from offline_trader.tables.table import Table, unlike

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_records"]

_DATE_LIKE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*|\d{8,19}")
_ENDS_WITH = re.compile(r"(?:grand |transactions )?(?:sub)?totals?\b.*|summary\b.*", re.I)
_TIME_WORD = re.compile(r"time|date|timestamp|opened|closed")


def read_records(
    source: Path | str | pd.Series | pd.DataFrame, tz: str | None
) -> tuple[Sheet, str]:
    """The columns of a file or pandas object, its index among them, and its name.

    Messages call a row by the line of a text file, else by its number from 1.

    Raises:
        DataError: no such file, unknown type, no rows.
    """
    import pandas as pd

    if isinstance(source, pd.Series | pd.DataFrame):
        name = getattr(source, "name", None)
        label = "frame" if isinstance(source, pd.DataFrame) else str(name or "series")
        return Sheet(_table_of(source, label), tz), label
    path = Path(source)
    table = read_table(path, _names_columns)
    if not table.header:
        table = _with_odd_header(table) or table
    if not table.header and not _begins_with_time(table):
        table = read_table(path)  # names that are not known: the first line that could be names
    if table.rows.size and int(table.rows[0]) == 0:
        table = replace(table, rows=table.rows + 1)
    return _without_remarks(Sheet(table, tz)), path.name


def _table_of(given: pd.Series | pd.DataFrame, label: str) -> Table:
    import pandas as pd

    if isinstance(given.index, pd.PeriodIndex):
        given = given.set_axis(given.index.to_timestamp(how="end").normalize())
    if isinstance(given, pd.Series):
        given = given.to_frame("" if given.name is None else given.name)
    if not isinstance(given.index, pd.RangeIndex):
        index = given.index.name
        given = given.reset_index()
        if index is None:
            given = given.rename(columns={given.columns[0]: "timestamp"})
    if given.empty:
        raise DataError(f"{label} has no rows", expected="rows of values")
    names = [
        " ".join(str(part) for part in name if str(part)) if isinstance(name, tuple) else str(name)
        for name in given.columns
    ]
    frame = given.reset_index(drop=True).set_axis(unlike(names), axis=1)
    return Table(label, frame, tuple(names), np.arange(1, len(frame) + 1, dtype=np.int64))


def _names_columns(cells: Sequence[str]) -> bool:
    """True for a line that names a time and holds none."""
    filled = [cell for cell in cells if cell]
    if any(_DATE_LIKE.fullmatch(cell) for cell in filled):
        return False
    keys = [read_heading(cell).key for cell in filled]
    known = [key for key in keys if key in TIME_NAMES or _TIME_WORD.search(key)]
    return (bool(known) and not any(is_number(cell) for cell in filled)) or keys[:1] == ["year"]


def _begins_with_time(table: Table) -> bool:
    return bool(_DATE_LIKE.fullmatch(str(table.frame.iloc[0, 0]).strip()))


def _with_odd_header(table: Table) -> Table | None:
    """The table with its first row as names, where that row is ``,0`` or ``Date,0``: what pandas
    writes of a Series without a name."""
    first = [str(cell).strip() for cell in table.frame.iloc[0]]
    odd = not _DATE_LIKE.fullmatch(first[0]) and not is_number(first[0])
    numbered = all(cell.isdecimal() and len(cell) < 4 for cell in first[1:])
    if len(table.frame) < 2 or len(first) < 2 or not odd or not numbered:
        return None
    if not _DATE_LIKE.fullmatch(str(table.frame.iloc[1, 0]).strip()):
        return None
    frame = table.frame.iloc[1:].reset_index(drop=True).set_axis(unlike(first), axis=1)
    return replace(table, frame=frame, names=tuple(first), rows=table.rows[1:], header=True)


def _without_remarks(sheet: Sheet) -> Sheet:
    """The sheet without lines of totals and remarks, and without what stands below a title."""
    frame = sheet.table.frame
    filled = np.stack([sheet.filled(i) for i in range(frame.shape[1])], axis=1)
    lone = np.flatnonzero(filled.sum(axis=1) == 1)
    notes: list[str] = []
    stop, left = len(frame), []
    for row in lone.tolist() if frame.shape[1] > 2 else []:
        cell = str(frame.iat[row, int(np.argmax(filled[row]))]).strip()
        if is_number(cell) or _DATE_LIKE.fullmatch(cell):
            continue
        below = row + 1 < len(frame) and _names_columns([str(each) for each in frame.iloc[row + 1]])
        if below:
            notes.append(
                f"rows from {sheet.table.locate(row)} on ({cell[:40]!r}) are another table and "
                "were not read"
            )
            stop = row
            break
        left.append(row)
    totals = [
        row for row in range(max(0, stop - 3), stop)
        if any(_ENDS_WITH.fullmatch(str(cell).strip()) for cell in frame.iloc[row, :3])
    ]  # fmt: skip
    left = sorted({*left, *totals})
    if left:
        where = ", ".join(sheet.table.locate(row) for row in left[:5])
        notes.append(f"lines of remarks or totals were not read: {where}")
    keep = np.setdiff1d(np.arange(stop), left)
    if len(keep) == 0:
        raise DataError(f"{sheet.table.source} has no rows", expected="a header and rows of values")
    if len(keep) < len(frame):
        sheet = sheet.take(keep)
    table = replace(sheet.table, notes=(*sheet.table.notes, *notes))
    return Sheet(table, sheet.tz)
