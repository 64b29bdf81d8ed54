"""A table whose columns are found by what their names say, for results and logs of trades."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.headings import Headings
from offline_trader.tables.numbers import MISSING, DecimalSign, decimal_sign, parse_numbers
from offline_trader.tables.table import Table, unlike
from offline_trader.tables.times import Times, parse_times
from offline_trader.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Sheet"]

_AMERICAN = {"activitydate", "transcode"}  # Robinhood
_WITH_UNIT = re.compile(r"([-+]?[\d.,]*\d[\d.,]*)\s*([A-Za-z][A-Za-z0-9]{1,9})")


class Sheet:
    """Columns of a table by position, with their names read and their cells parsed on demand.

    Args:
        table: as it was read.
        tz: zone of times that carry none; UTC if None.

    Attributes:
        headings: what the names say, and which columns were used.
    """

    def __init__(self, table: Table, tz: str | None = None) -> None:
        self.table, self.tz = table, tz
        names = table.names
        if not table.header:
            names = tuple(f"column {i + 1}" for i in range(table.frame.shape[1]))
        self.headings = Headings(names)

    def __len__(self) -> int:
        return len(self.table.frame)

    @property
    def names(self) -> list[str]:
        """The columns' names as the file has them."""
        return [heading.name for heading in self.headings.all]

    @property
    def listed(self) -> str:
        """The names for a message."""
        shown = [repr(name) if not name.strip() else name for name in self.names]
        return ", ".join(shown[:40]) + (", …" if len(shown) > 40 else "")

    def place(self, i: int) -> str:
        """The file and what messages call row ``i``."""
        return f"{self.table.source} {self.table.locate(i)}"

    def cells(self, i: int) -> pd.Series:
        """[T] column ``i`` as read."""
        return self.table.frame.iloc[:, i]

    def words(self, i: int) -> list[str]:
        """[T] column ``i`` as text without the blanks around it; missing cells are empty."""
        given = self.filled(i)
        texts = self.cells(i).astype("str").str.strip().tolist()
        return [text if ok else "" for text, ok in zip(texts, given.tolist(), strict=True)]

    def filled(self, i: int) -> BoolArray:
        """[T] where column ``i`` holds something."""
        column = self.cells(i)
        given = column.notna().to_numpy(dtype=bool)
        text = column.astype("str").str.strip().str.lower()
        return np.asarray(given & ~text.isin(list(MISSING)).to_numpy(dtype=bool))

    def numbers(self, i: int, percent: bool = False) -> FloatArray:
        """[T] numbers of column ``i``; missing ones are NaN.

        Raises:
            DataError: a cell that is no number, with its row.
        """
        return parse_numbers(
            self.cells(i), self.table.source, self.table.locate, self.names[i],
            decimal=self._decimal, percent=percent,
        )  # fmt: skip

    def quantities(self, i: int) -> tuple[FloatArray, str]:
        """[T] numbers of column ``i``, and the unit that is written behind each, as in
        ``703.70USDT``; empty where none is, or where they differ.

        Raises:
            DataError: as :meth:`numbers`.
        """
        texts = self.words(i)
        parts = [_WITH_UNIT.fullmatch(text) for text in texts]
        if not any(parts) or not all(
            part or not text for part, text in zip(parts, texts, strict=True)
        ):
            return self.numbers(i), ""
        bare = self.cells(i).copy().astype("object")
        bare[:] = [part[1] if part else "" for part in parts]
        units = {part[2].upper() for part in parts if part}
        values = parse_numbers(
            bare.astype("str"), self.table.source, self.table.locate, self.names[i],
            decimal=self._decimal,
        )  # fmt: skip
        return values, next(iter(units)) if len(units) == 1 else "several units"

    def holds_numbers(self, i: int) -> bool:
        """True where half or more of what column ``i`` holds could be numbers."""
        texts = [text for text in self.words(i) if text]
        like = sum(bool(re.match(r"[-+−(]*\s*[$€£¥]?\s*[-+−]?[\d.,]*\d", text)) for text in texts)
        return like > 0 and 2 * like >= len(texts)

    def in_percent(self, i: int) -> bool:
        """True where a cell of column ``i`` has a per cent sign."""
        return any("%" in text for text in self.words(i))

    def holds_money(self, i: int) -> bool:
        """True where column ``i`` could be amounts: numbers, and none of them in per cent."""
        return self.holds_numbers(i) and not self.in_percent(i)

    def times(self, i: int) -> Times:
        """Times of column ``i``.

        Raises:
            DataError, ConfigError: as :func:`~offline_trader.tables.parse_times`.
        """
        return self.times_of((i,))[0]

    def times_of(self, columns: Sequence[int]) -> list[Times]:
        """Times of several columns; text is read as one column, so that days and months that
        could be swapped are read alike.

        Raises:
            DataError, ConfigError: as :func:`~offline_trader.tables.parse_times`.
        """
        import pandas as pd

        cells = [self.cells(i) for i in columns]
        if not all(pd.api.types.is_string_dtype(each) or each.dtype == object for each in cells):
            return [self._parsed(each) for each in cells]
        try:
            both = self._parsed(pd.concat([_spaced(each) for each in cells], ignore_index=True))
        except DataError:
            if len(cells) == 1:
                raise
            return [self._parsed(_spaced(each)) for each in cells]
        n = len(self)
        return [both._replace(utc=both.utc[k * n : (k + 1) * n]) for k in range(len(cells))]

    def _parsed(self, column: pd.Series) -> Times:
        n = len(self)
        column, notes = self._month_first(column)
        found = parse_times(
            column, self.tz, self.table.source, lambda k: self.table.locate(k % n if n else k)
        )
        return found._replace(notes=(*notes, *found.notes))

    def _month_first(self, column: pd.Series) -> tuple[pd.Series, tuple[str, ...]]:
        """Dates of a layout that only an American broker writes, as ISO dates where they could be
        read day first as well; and a note of that."""
        if not {heading.key for heading in self.headings.all} >= _AMERICAN:
            return column, ()
        text = column.astype("str").str.strip().where(column.notna(), "")
        parts = text[text != ""].str.extract(r"^(\d{1,2})/(\d{1,2})/(\d{4})$")
        if parts.empty or parts.isna().any(axis=None):
            return column, ()
        if (parts[[0, 1]].astype(int) > 12).any(axis=None):
            return column, ()  # their own values tell
        text[text != ""] = parts[2] + "-" + parts[0].str.zfill(2) + "-" + parts[1].str.zfill(2)
        first = str(column[parts.index[0]]).strip()
        return text, (f"dates such as {first!r} are read month first, as this layout has them",)

    def take(self, rows: IntArray) -> Sheet:
        """The sheet of some rows."""
        frame = self.table.frame.iloc[rows].reset_index(drop=True)
        return self._with(replace(self.table, frame=frame, rows=self.table.rows[rows]))

    def beside(self, names: Sequence[str], columns: Sequence[pd.Series]) -> Sheet:
        """The sheet with further columns."""
        frame = self.table.frame.copy()
        labels = unlike([*map(str, frame.columns), *names])
        for label, column in zip(labels[-len(names) :], columns, strict=True):
            frame[label] = column.to_numpy()
        given = (*self.names, *names)
        return self._with(replace(self.table, frame=frame, names=given, header=True))

    def _with(self, table: Table) -> Sheet:
        sheet = Sheet(table, self.tz)
        sheet.headings.used |= self.headings.used
        return sheet

    @cached_property
    def _decimal(self) -> DecimalSign | None:
        """The decimal sign of the whole file: one column may show what another does not."""
        frame = self.table.frame
        return decimal_sign([frame.iloc[:, i] for i in range(frame.shape[1])])


def _spaced(column: pd.Series) -> pd.Series:
    """Times with a blank between date and time of day, and without a second date behind."""
    text = column.astype("str").str.replace(r"^(\d{8});(\d{4,6})$", r"\1 \2", regex=True)
    return text.str.replace(r"^(\S+) as of \S+$", r"\1", regex=True).where(column.notna(), "")
