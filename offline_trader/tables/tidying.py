"""What programs write around and between the rows that count: a remark below, a date in parts."""

from __future__ import annotations

import re
from dataclasses import replace

from offline_trader.tables.names import TIME_NAMES, plain
from offline_trader.tables.table import Table, unlike
from offline_trader.tables.times import may_be_time

__all__ = ["tidy"]

_PARTS = ("year", "month", "day")
_LAST_LINES = 3
_SENTENCE = re.compile(r"[^\W\d]\S*(?:\s+\S+){2,}")


def tidy(table: Table) -> Table:
    """The table without a remark in its last lines, and with year, month and day in one column.

    What was done is among the notes.
    """
    return _joined_date(_without_footer(table))


def _without_footer(table: Table) -> Table:
    """Without lines at the end that hold a sentence alone, as a download's source and date."""
    frame = table.frame
    if frame.shape[1] < 2 or not table.delimiter:
        return table
    stop = len(frame)
    while stop > max(1, len(frame) - _LAST_LINES) and _is_remark(
        [str(cell).strip() for cell in frame.iloc[stop - 1]]
    ):
        stop -= 1
    if stop == len(frame):
        return table
    text = str(frame.iloc[stop, 0]).strip()
    note = f"{table.locate(stop)} is a remark and was not read: {text[:60]!r}"
    return replace(
        table, frame=frame.iloc[:stop], rows=table.rows[:stop], notes=(*table.notes, note)
    )


def _is_remark(cells: list[str]) -> bool:
    alone = not any(cells[1:])
    return alone and bool(_SENTENCE.fullmatch(cells[0])) and not may_be_time(cells[0])


def _joined_date(table: Table) -> Table:
    """With a first column ``date`` where the file has year, month and day in three, and no other
    column of dates."""
    keys = [plain(name) for name in table.names]
    places = [keys.index(part) for part in _PARTS if keys.count(part) == 1]
    dated = any(key in TIME_NAMES and key != "time" for key in keys)
    if not table.header or table.groups or dated or len(places) != len(_PARTS):
        return table
    parts = [table.frame.iloc[:, i].astype("str").str.strip() for i in places]
    whole = [part.str.replace(r"\.0$", "", regex=True) for part in parts]
    date = whole[0] + "-" + whole[1].str.zfill(2) + "-" + whole[2].str.zfill(2)
    kept = [i for i in range(len(keys)) if i not in places]
    names = ("date", *(table.names[i] for i in kept))
    frame = table.frame.iloc[:, kept].copy()
    frame.insert(0, "date", date.to_numpy(), allow_duplicates=True)
    joined = ", ".join(table.names[i] for i in places)
    return replace(
        table,
        frame=frame.set_axis(unlike(names), axis=1),
        names=names,
        notes=(*table.notes, f"columns {joined} are read as one date"),
    )
