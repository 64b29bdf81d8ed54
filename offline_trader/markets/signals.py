"""Signals: numeric columns beside the bars, of the price file or of a file of their own.

A file of its own has a column of times, from which on a row is known, and any number of numeric
columns; with a column of instruments (``symbol``) a row belongs to one of them, without to all. Bar
t gets the last value that is known at its end, never a later one. The end is the bar's stamp, or
so long after it as ``bar_end`` says, but not after the next bar's stamp. A date without a time of
day is known at the end of that day: for bars that are dates themselves, at the bar of that date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError, did_you_mean, visible
from offline_trader.markets.bars import Bars
from offline_trader.markets.price_tables import finite_or_missing, place_of
from offline_trader.markets.validation import PRICES
from offline_trader.tables import (
    SYMBOL_NAMES,
    TIME_NAMES,
    find_name,
    parse_numbers,
    parse_times,
    plain,
    read_table,
)
from offline_trader.types import FloatArray, IntArray

if TYPE_CHECKING:
    from offline_trader.tables import Table, Times

__all__ = [
    "NO_SIGNALS",
    "SIGNAL",
    "WINDOW",
    "SignalColumns",
    "signal_names",
    "windowed",
    "with_signals",
]

SIGNAL = "signal:"
"""What the name of a signal begins with where it stands among feature sets."""
WINDOW = "window:"
"""What the name of a feature set at its last bars begins with: ``window:BARS:SET``."""

_OWN = frozenset({*PRICES, "volume", "timestamp"})
_DAY = np.timedelta64(86_400_000_000_000, "ns")


@dataclass(frozen=True)
class SignalColumns:
    """Which signals to read, and where.

    Attributes:
        names: of the columns.
        files: files that hold those that the price file does not.
        bar_end: how long after its stamp a bar ends, as ``1min``, ``16h``; empty: at its stamp.

    Raises:
        ConfigError: a name twice or one of the bars' own columns, or a length that is none.
    """

    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    bar_end: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "files", tuple(map(str, self.files)))
        for name in self.names:
            if plain(name) in _OWN:
                raise ConfigError(
                    f"signal {name!r} is a column of the bars", expected="another column"
                )
            if not name.strip() or self.names.count(name) > 1:
                raise ConfigError(f"signal {name!r}", expected="each column once, by its name")
        _ = self.length

    @property
    def length(self) -> np.timedelta64:
        """``bar_end`` as nanoseconds."""
        if not self.bar_end:
            return np.timedelta64(0, "ns")
        import pandas as pd

        try:
            found = pd.Timedelta(self.bar_end)
        except ValueError:
            found = pd.Timedelta(-1, "ns")
        if not pd.Timedelta(0) <= found <= pd.Timedelta(31, "D"):
            raise ConfigError(
                f"bar_end is {self.bar_end!r}", expected="a length up to 31 days, as 1min or 16h"
            )
        return found.as_unit("ns").to_timedelta64()


NO_SIGNALS = SignalColumns()


def signal_names(features: str | Sequence[str]) -> tuple[str, ...]:
    """The signals among names of feature sets."""
    given = (features,) if isinstance(features, str) else tuple(features)
    named = dict.fromkeys(windowed(each)[1] for each in given)
    return tuple(each.removeprefix(SIGNAL) for each in named if each.startswith(SIGNAL))


def windowed(name: str) -> tuple[str, str]:
    """What a feature set's name says of a window (``window:8:``, or nothing), and the set's own."""
    if not name.startswith(WINDOW):
        return "", name
    bars, _, inner = name.removeprefix(WINDOW).partition(":")
    return f"{WINDOW}{bars}:", inner


def with_signals(bars: Sequence[Bars], wanted: SignalColumns, tz: str | None) -> list[Bars]:
    """The instruments with all signals that are wanted, in that order.

    Args:
        bars: instruments; those of files have the signals that their own file holds.
        wanted: the signals.
        tz: zone of a signal file's times that carry none.

    Raises:
        ConfigError: files without a name of a signal.
        DataError: a signal that neither the price file nor a signal file holds, or that several
            hold; a file that cannot be read, or that has no row for an instrument.
    """
    if wanted.files and not wanted.names:
        known = [each for file in wanted.files for each in _numeric_names(_read(Path(file)))]
        raise ConfigError(
            f"{wanted.files[0]} is given, and no signal in it is named",
            expected=f"some of {', '.join(known)}",
            hint="--signal NAME for each",
        )
    if not wanted.names:
        return list(bars)
    tables = [_SignalTable(Path(file), wanted.names, tz) for file in wanted.files]
    return [_joined(each, wanted, tables) for each in bars]


def _joined(bars: Bars, wanted: SignalColumns, tables: Sequence[_SignalTable]) -> Bars:
    found, notes = dict(bars.signals), []
    for table in tables:
        for name, values, remark in table.joined(bars, wanted.length):
            if name in found:
                raise DataError(
                    f"{bars.name} and {table.table.source} both hold the signal {name!r}",
                    expected="one place for each signal",
                    hint="rename one of the two",
                )
            found[name] = values
            notes += [visible(remark)] if remark else []
    for name in wanted.names:
        if name not in found:
            places = [bars.name, *(table.table.source for table in tables)]
            known = [each for table in tables for each in _numeric_names(table.table)]
            raise DataError(
                f"{', '.join(places)}: no column {name!r}",
                expected="the signal as a column of the price file, or of a --signal-file",
                hint=did_you_mean(name, known),
            )
    ordered = {name: found[name] for name in wanted.names}
    return replace(bars, signals=ordered, notes=(*bars.notes, *notes))


def _read(path: Path) -> Table:
    table = read_table(path)
    if not table.header or find_name(table.names, TIME_NAMES) is None:
        if table.header and table.names[0] == "":
            return table
        raise DataError(
            f"{table.source}: no column of times among {', '.join(table.names)}",
            expected="a header with a time, from which on a row is known, and the signals",
        )
    return table


def _time_place(table: Table) -> int:
    return find_name(table.names, TIME_NAMES) or 0


def _numeric_names(table: Table) -> list[str]:
    """Names of the columns that may be signals."""
    own = {_time_place(table), find_name(table.names, SYMBOL_NAMES)}
    return [name for i, name in enumerate(table.names) if i not in own and name]


class _SignalTable:
    """A signal file, of which the columns ``names`` are wanted."""

    def __init__(self, path: Path, names: Sequence[str], tz: str | None) -> None:
        self.table = _read(path)
        place = _time_place(self.table)
        times = parse_times(
            self.table.frame.iloc[:, place], tz, self.table.source, self.table.locate
        )
        self._times: Times = times
        symbol = find_name(self.table.names, SYMBOL_NAMES)
        self._symbols = (
            None
            if symbol is None
            else self.table.frame.iloc[:, symbol].astype("str").str.strip().to_numpy(dtype=object)
        )
        self._columns: dict[str, FloatArray] = {}
        for name in names:
            at = place_of(name, self.table.names)
            if at is not None and at not in (place, symbol):
                cells = self.table.frame.iloc[:, at]
                values = parse_numbers(
                    cells, self.table.source, self.table.locate, name, multiples=True
                )
                self._columns[name] = finite_or_missing(values, self.table, name)

    def joined(self, bars: Bars, length: np.timedelta64) -> Iterator[tuple[str, FloatArray, str]]:
        """Each of its signals [T] as of the bars' ends, with a remark or an empty text.

        Raises:
            DataError: no row for the instrument.
        """
        rows = self._rows(bars.symbol)
        known = self._times.utc[rows]
        end = _ends(bars, length)
        if self._times.dates and not _are_dates(bars.timestamps):
            known = known + _DAY
        for name, column in self._columns.items():
            values = column[rows]
            there = np.flatnonzero(~np.isnan(values))
            at = np.searchsorted(known[there], end, side="right") - 1
            taken = np.full(len(bars), np.nan)
            taken[at >= 0] = values[there][at[at >= 0]]
            yield name, taken, self._remark(bars, name, known[there], at)

    def _rows(self, symbol: str) -> IntArray:
        """[R] rows of the instrument, oldest first."""
        rows = np.arange(len(self._times.utc))
        if self._symbols is not None:
            rows = np.flatnonzero(self._symbols == symbol)
            if not rows.size:
                listed = ", ".join(sorted(map(str, set(self._symbols.tolist())))[:8])
                raise DataError(
                    f"{self.table.source}: no rows of {symbol}",
                    expected=f"the instruments of the market; it has {listed}",
                    hint="a file without a column of instruments belongs to all of them",
                )
        times = self._times.utc[rows]
        order = np.argsort(times, kind="stable")
        twice = np.flatnonzero(np.diff(times[order]) == np.timedelta64(0, "ns"))
        if twice.size:
            row = int(rows[order[twice[0] + 1]])
            raise DataError(
                f"{self.table.source} {self.table.locate(row)}: time {times[order[twice[0]]]} "
                "appears twice",
                expected="each time once for an instrument",
            )
        return np.asarray(rows[order], dtype=np.int64)

    def _remark(self, bars: Bars, name: str, known: NDArray[np.datetime64], at: IntArray) -> str:
        """What to say of a signal that ends before the bars do."""
        if not known.size:
            return f"{name} of {self.table.source} is empty"
        late = int(np.count_nonzero(at == len(known) - 1)) - 1
        usual = len(bars) / max(len(known), 1)
        if late <= max(20.0, 20.0 * usual):
            return ""
        day = known[-1].astype("datetime64[D]")
        return (
            f"{name} of {self.table.source} ends on {day}: its last value stands in {late:,} bars"
        )


def _are_dates(stamps: NDArray[np.datetime64]) -> bool:
    return bool((stamps.astype(np.int64) % _DAY.astype(np.int64) == 0).all())


def _ends(bars: Bars, length: np.timedelta64) -> NDArray[np.datetime64]:
    """[T] when each bar ends, at the latest: at its stamp, ``length`` later, or at the next one."""
    ends = bars.timestamps + length
    ends[:-1] = np.minimum(ends[:-1], bars.timestamps[1:])
    return np.asarray(ends)
