"""Tables of bars: which columns of a file are what, and the instruments in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.markets.columns import (
    BarColumns,
    columns_by_order,
    names_prices,
    recognise,
)
from offline_trader.tables import Table, label, parse_numbers, plain, read_table
from offline_trader.types import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PriceTable", "read_prices", "volume_of"]


@dataclass(frozen=True)
class PriceTable:
    """Columns of a file under our names.

    Attributes:
        source: the file, for messages.
        frame: T rows; columns timestamp, open, high, low, close and, where the file has them,
            symbol, clock and adjusted; as read, nothing converted.
        volumes: T rows of the columns that may be the volume, best first, under the file's names.
        rows: [T] place in the file.
        symbol: the instrument, where the file names it once; else the file's name.
        notes: what a reader of the file should know.
    """

    source: str
    frame: pd.DataFrame
    volumes: pd.DataFrame
    rows: IntArray
    symbol: str
    notes: tuple[str, ...]

    def locate(self, i: int) -> str:
        """What messages call row ``i``."""
        return f"row {int(self.rows[i])}"

    def numbers(self, name: str) -> FloatArray:
        """[T] numbers of a column of :attr:`frame`.

        Raises:
            DataError: text that is no number, with its row.
        """
        return parse_numbers(self.frame[name], self.source, self.locate, name)


def read_prices(path: Path) -> PriceTable:
    """The bars in a file, not yet converted.

    Raises:
        DataError: no such file, not a table, a needed column missing, a row with too many cells.
    """
    table = read_table(path, names_prices, _check_names)
    notes = list(table.notes)
    symbol = label(path.name.split(".")[0])
    if table.header:
        columns = recognise(table.names, table.source)
    else:
        columns, remark = _without_header(table)
        notes.append(remark)
    if table.groups:
        symbol = _one_instrument(table) or symbol
    frame = table.frame.iloc[:, list(columns.places.values())].set_axis(
        list(columns.places), axis=1
    )
    volumes = table.frame.iloc[:, list(columns.volumes)]
    return PriceTable(table.source, _join_clock(frame), volumes, table.rows, symbol, tuple(notes))


def _check_names(table: Table) -> None:
    _one_instrument(table)
    if table.header:
        recognise(table.names, table.source)


def _without_header(table: Table) -> tuple[BarColumns, str]:
    cells = [str(cell) for cell in table.frame.iloc[0]]
    columns = columns_by_order(cells)
    if columns is None:
        recognise(cells, table.source)  # says what is missing
        raise DataError(f"{table.source}: no header found", expected="a header with Date, Open, …")
    order = [*columns.places, *(["volume"] if columns.volumes else [])]
    return columns, f"no header: columns read as {', '.join(order)}"


def _one_instrument(table: Table) -> str:
    """The instrument in the second line of the header; refused where there are several."""
    symbols = sorted({group for group in table.groups if group})
    if len(symbols) > 1:
        raise DataError(
            f"{table.source}: {len(symbols)} instruments side by side ({', '.join(symbols[:8])})",
            expected="one instrument, or rows with a column `symbol`",
            hint="stack them, as with pandas' `stack`, or save one file for each",
        )
    return next(iter(symbols), "")


def _join_clock(frame: pd.DataFrame) -> pd.DataFrame:
    """One timestamp column where the file has a date and a time of day in two."""
    if "clock" not in frame:
        return frame
    clock = frame["clock"].astype("str").str.strip()
    compact = clock.str.fullmatch(r"\d{1,6}").fillna(False)
    width = 4 if int(clock.str.len().max()) <= 4 else 6
    clock = clock.where(~compact, clock.str.zfill(width) + ("00" if width == 4 else ""))
    of_day = clock.str.fullmatch(r"\d{6}|\d{1,2}:\d{2}.*").fillna(False)
    joined = frame.drop(columns="clock")
    if bool(of_day.all()):
        joined["timestamp"] = frame["timestamp"].astype("str").str.strip() + " " + clock
    return joined


def volume_of(table: PriceTable) -> tuple[FloatArray, list[str]]:
    """Volumes [T] of the first column of volumes that holds any, and what to say about it.

    Raises:
        DataError: text that is no number, with its row.
    """
    if table.volumes.shape[1] == 0:
        return np.zeros(len(table.frame)), ["no volume column: volume is 0 in every bar"]
    empty: list[str] = []
    for position, name in enumerate(table.volumes.columns):
        cells = table.volumes.iloc[:, position]
        volume = parse_numbers(cells, table.source, table.locate, "volume", multiples=True)
        if not (np.isnan(volume) | (volume == 0.0)).all():
            notes = [f"{', '.join(empty)} is 0 or empty in every bar"] if empty else []
            if plain(name) not in ("volume", "vol", "v") and not str(name).isdigit():
                notes.append(f"column {name} is used as volume")
            return volume, notes
        empty.append(str(name))
    first = parse_numbers(
        table.volumes.iloc[:, 0], table.source, table.locate, "volume", multiples=True
    )
    if np.isnan(first).all():
        return np.zeros(len(first)), ["the volume column is empty: volume is 0 in every bar"]
    return first, ["volume is 0 in every bar"]
