"""Tables of bars: which columns of a file are what, and the instruments in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from offline_trader.errors import DataError
from offline_trader.markets.columns import (
    BarColumns,
    columns_by_order,
    names_closes,
    names_prices,
    recognise,
    recognise_closes,
)
from offline_trader.markets.number_signs import choose_signs
from offline_trader.tables import (
    MISSING,
    DecimalSign,
    Table,
    find_name,
    label,
    parse_numbers,
    plain,
    read_frame,
    read_table,
)
from offline_trader.types import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PriceTable", "finite_or_missing", "frame_prices", "place_of", "read_prices"]

_USUAL_VOLUMES = {"volume", "vol", "v"}


class Located(Protocol):
    """A table whose rows have a name."""

    @property
    def source(self) -> str:
        """The file, for messages."""

    def locate(self, i: int, /) -> str:
        """What messages call row ``i``."""


@dataclass(frozen=True)
class PriceTable:
    """Columns of a file under our names.

    Attributes:
        source: the file, for messages.
        frame: T rows; columns timestamp, close and, where the file has them, open, high, low,
            symbol, clock, adjusted, and the signals asked for under ``signal:NAME``; as read,
            nothing converted.
        volumes: T rows of the columns that may be the volume, best first, under the file's names.
        rows: [T] place in the file.
        symbol: the instrument, where the file names it once; else the file's name.
        stamp_name: the file's own name of the column of times.
        signs: the decimal sign of columns of text that do not show their own, by name.
        notes: what a reader of the file should know.
    """

    source: str
    frame: pd.DataFrame
    volumes: pd.DataFrame
    rows: IntArray
    symbol: str
    stamp_name: str
    signs: dict[str, DecimalSign]
    notes: tuple[str, ...]

    def locate(self, i: int) -> str:
        """What messages call row ``i``."""
        return f"row {int(self.rows[i])}"

    def numbers(self, name: str) -> FloatArray:
        """[T] numbers of a column of :attr:`frame`.

        Raises:
            DataError: text that is no number, with its row.
        """
        sign = self.signs.get(name)
        return parse_numbers(self.frame[name], self.source, self.locate, name, decimal=sign)

    def signal(self, name: str) -> FloatArray | None:
        """[T] numbers of a signal, NaN where a cell is empty; None where the file has none.

        Raises:
            DataError: text that is no number, or an infinite number, with its row.
        """
        if f"signal:{name}" not in self.frame:
            return None
        sign, cells = self.signs.get(f"signal:{name}"), self.frame[f"signal:{name}"]
        values = parse_numbers(cells, self.source, self.locate, name, decimal=sign, multiples=True)
        return finite_or_missing(values, self, name)

    def volume(self) -> tuple[FloatArray, list[str]]:
        """Volumes [T] of the first column of volumes that holds some in half of the bars, else of
        the first that holds any, and what to say about it.

        Raises:
            DataError: text that is no number, with its row.
        """
        if self.volumes.shape[1] == 0:
            return np.zeros(len(self.frame)), ["no volume column: volume is 0 in every bar"]
        bars, columns, filled = len(self.frame), [], []
        for name in self.volumes.columns:
            cells, sign = self.volumes[name], self.signs.get(str(name))
            volume = parse_numbers(
                cells, self.source, self.locate, "volume", decimal=sign, multiples=True
            )
            columns.append(volume)
            filled.append(int(np.count_nonzero(np.nan_to_num(volume))))
            if 2 * filled[-1] >= bars:
                break
        if not any(filled):
            if np.isnan(columns[0]).all():
                return np.zeros(bars), ["the volume column is empty: volume is 0 in every bar"]
            return columns[0], ["volume is 0 in every bar"]
        at = len(filled) - 1 if 2 * filled[-1] >= bars else int(np.argmax(np.array(filled) > 0))
        return columns[at], self._about_volume(at, filled)

    def _about_volume(self, at: int, filled: list[int]) -> list[str]:
        """Which column is the volume, where another was passed over or its name is unusual."""
        names, bars = [str(name) for name in self.volumes.columns], len(self.frame)
        empty = [name for name, n in zip(names[:at], filled, strict=False) if n == 0]
        notes = [f"column {', '.join(empty)} is 0 or empty in every bar"] if empty else []
        notes += [
            f"column {name} is 0 or empty in {bars - n:,} of {bars:,} bars"
            for name, n in zip(names[:at], filled, strict=False) if n
        ]  # fmt: skip
        if at or (plain(names[at]) not in _USUAL_VOLUMES and not names[at].isdigit()):
            notes.append(f"column {names[at]} is used as volume")
        return notes


def finite_or_missing(values: FloatArray, table: Located, name: str) -> FloatArray:
    """The values, if each is a finite number or missing.

    Raises:
        DataError: an infinite one, with its row.
    """
    wrong = np.flatnonzero(np.isinf(values))
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"{table.source} {table.locate(row)}: {name} is {values[row]}",
            expected="a finite number, or an empty cell where there is none",
        )
    return values


def read_prices(path: Path, closes: bool = False, signals: Sequence[str] = ()) -> PriceTable:
    """The bars in a file, not yet converted.

    Args:
        path: the file.
        closes: it holds closes, and opens, highs and lows, if any, are left out.
        signals: further columns to read, where the file has them.

    Raises:
        DataError: no such file, not a table, a needed column missing, a row with too many cells.
    """
    table = read_table(
        path,
        names_closes if closes else names_prices,
        lambda table: _instruments(table, closes, signals) if table.header else None,
    )
    return _prices(table, label(path.name.split(".")[0]), closes, signals)


def frame_prices(frame: pd.DataFrame, symbol: str, signals: Sequence[str] = ()) -> PriceTable:
    """The bars in a pandas frame, not yet converted, as if it were read from a Parquet file.

    Args:
        frame: T rows, times in a column or the index; one instrument, or several in a column
            ``symbol`` or as the second level of the columns.
        symbol: the instrument, where the frame does not name it.
        signals: further columns to keep.

    Raises:
        DataError: no table, or a needed column missing.
    """
    table = read_frame(
        frame, "the frame", names_prices, lambda table: _instruments(table, False, signals)
    )
    return _prices(table, label(symbol), False, signals)


def _prices(table: Table, symbol: str, closes: bool, signals: Sequence[str]) -> PriceTable:
    """The bars of a table; ``symbol``: the instrument where the table names none."""
    notes = list(table.notes)
    if table.header:
        instruments = _instruments(table, closes, signals)
    else:
        columns, remark = _without_header(table, closes)
        instruments = {"": columns}
        notes.append(remark)
    if len(instruments) == 1:
        symbol = next(iter(instruments)) or symbol
    first = next(iter(instruments.values()))
    notes += first.notes
    stamp_name = table.names[first.places["timestamp"]] if table.header else ""
    signs, remarks = choose_signs(table, list(instruments.values()))
    frame, volumes, rows, dropped = _stack(table, instruments)
    frame = _join_clock(frame)
    notes += [*remarks, *dropped]
    return PriceTable(table.source, frame, volumes, rows, symbol, stamp_name, signs, tuple(notes))


def _instruments(table: Table, closes: bool, signals: Sequence[str]) -> dict[str, BarColumns]:
    """Columns of each instrument; of a header in one line, of the one without a name."""
    if not table.groups:
        return _with_signals(table.names, table.source, closes, signals)
    found = {}
    for symbol in dict.fromkeys(group for group in table.groups if group):
        own = [
            name if group in ("", symbol) else ""
            for name, group in zip(table.names, table.groups, strict=True)
        ]
        source = f"{table.source}#{symbol}"
        found[symbol] = _with_signals(own, source, closes, signals)[""]
    return found or {"": recognise(table.names, table.source)}


def _with_signals(
    names: Sequence[str], source: str, closes: bool, signals: Sequence[str]
) -> dict[str, BarColumns]:
    """Instruments among columns ``names``; those of the signals are no part of their bars."""
    places = {f"signal:{signal}": place_of(signal, names) for signal in signals}
    known = {name: at for name, at in places.items() if at is not None}
    left = ["%" if i in known.values() else name for i, name in enumerate(names)]
    found = recognise_closes(left, source) if closes else {"": recognise(left, source)}
    return {
        symbol: replace(columns, places={**columns.places, **known})
        for symbol, columns in found.items()
    }


def place_of(signal: str, names: Sequence[str]) -> int | None:
    """Position of the column of that name, to the letter or else as names of bars are compared."""
    if signal in names:
        return list(names).index(signal)
    return find_name(names, [signal])


def _without_header(table: Table, closes: bool) -> tuple[BarColumns, str]:
    cells = [str(cell) for cell in table.frame.iloc[0]] if len(table.frame) else []
    columns = columns_by_order([cell.strip() for cell in cells], closes)
    if columns is None:
        recognise(cells, table.source)  # says what is missing
        raise DataError(f"{table.source}: no header found", expected="a header with Date, Open, …")
    order = [*columns.places, *(["volume"] if columns.volumes else [])]
    return columns, f"no header: columns read as {', '.join(order)}"


def _stack(
    table: Table, instruments: dict[str, BarColumns]
) -> tuple[pd.DataFrame, pd.DataFrame, IntArray, list[str]]:
    """Instruments that lie side by side, one under the other, with a column ``symbol``.

    Where there are several, rows in which an instrument has no price are left out: another one
    traded then. So are those of a file of closes: it lists days without trading.
    """
    import pandas as pd

    parts, volumes, rows, notes = [], [], [], []
    for symbol, columns in instruments.items():
        part = table.frame.iloc[:, list(columns.places.values())].set_axis(
            list(columns.places), axis=1
        )
        volume = table.frame.iloc[:, list(columns.volumes)]
        keep = np.arange(len(part))
        if len(instruments) > 1 or "open" not in columns.places:
            prices = part[[name for name in part if name in ("open", "high", "low", "close")]]
            text = prices.astype("str").apply(lambda cells: cells.str.strip().str.lower())
            blank = (prices.isna() | text.isin(sorted(MISSING))).all(axis=1)
            keep = np.flatnonzero(~blank.to_numpy(dtype=bool))
            if len(keep) < len(part):
                told = f"{len(part) - len(keep)} rows without a price are left out"
                notes.append(f"{symbol}: {told}" if symbol else told)
        if len(instruments) > 1:
            part = part.assign(symbol=symbol)
            volume = volume.set_axis([f"volume {k}" for k in range(volume.shape[1])], axis=1)
        parts.append(part.iloc[keep])
        volumes.append(volume.iloc[keep])
        rows.append(table.rows[keep])
    if len(parts) == 1:
        alone = (parts[0].reset_index(drop=True), volumes[0].reset_index(drop=True))
        return *alone, rows[0], notes
    shared = [name for name in volumes[0] if all(name in volume for volume in volumes)]
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return (
        pd.concat([part[names] for part in parts], ignore_index=True),
        pd.concat([volume[shared] for volume in volumes], ignore_index=True),
        np.concatenate(rows),
        notes,
    )


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
