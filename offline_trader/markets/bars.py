"""Bars: one instrument's price history, validated once and read-only afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.markets.spacing import count_gaps, infer_periods_per_year
from offline_trader.markets.validation import BAR_COLUMNS, Bar, Locate, SignalBar, check_columns
from offline_trader.tables.dates import parse_date, parse_end
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Bars", "TimeArray"]

TimeArray = NDArray[np.datetime64]

_FIELDS = BAR_COLUMNS


@dataclass(frozen=True, eq=False)
class Bars:
    """T bars of one instrument in time order.

    Bar t is known from its close on: whatever is decided at t may read rows up to and including
    t, and nothing of row t + 1, its open included.

    Attributes:
        symbol: name of the instrument.
        timestamps: [T] datetime64[ns], UTC, strictly increasing.
        open, high, low, close: [T] float64, quote currency, finite and positive, with
            ``low <= min(open, close)`` and ``high >= max(open, close)``.
        volume: [T] float64, units traded, not negative; all zero where it is not known.
        signals: further columns [T] by name, float64, known at the end of their bar; NaN where
            there is no value.
        periods_per_year: bars a year, for annualising; inferred from the timestamps if not given.
        source: where the bars came from, for messages.
        notes: what a reader of the source should know, such as a missing volume.
        locate: (at construction only) what messages call row i, such as ``row 17`` of a file.

    Raises:
        DataError: at construction, for columns that are not bars, with row and reason.
    """

    symbol: str
    timestamps: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    periods_per_year: float = 0.0
    source: str = ""
    notes: tuple[str, ...] = ()
    signals: Mapping[str, FloatArray] = field(default_factory=dict)
    locate: InitVar[Locate | None] = None

    def __post_init__(self, locate: Locate | None) -> None:
        stamps = np.array(self.timestamps, dtype="datetime64[ns]")
        stamps.setflags(write=False)
        object.__setattr__(self, "timestamps", stamps)
        for name in _FIELDS:
            object.__setattr__(self, name, self._column(name, getattr(self, name)))
        signals = {name: self._column(name, values) for name, values in self.signals.items()}
        object.__setattr__(self, "signals", signals)
        if len(stamps) == 0:
            raise DataError(f"{self.name}: no bars", expected="at least one row")
        columns = {name: getattr(self, name) for name in _FIELDS}
        check_columns(stamps, columns, self.name, locate or (lambda i: f"bar {i}"))
        if self.periods_per_year <= 0.0:
            object.__setattr__(self, "periods_per_year", infer_periods_per_year(stamps))

    def _column(self, name: str, given: FloatArray) -> FloatArray:
        """[T] the column, read-only."""
        values = np.array(given, dtype=np.float64)
        if values.shape != self.timestamps.shape or values.ndim != 1:
            raise DataError(
                f"{self.name}: {name} has shape {values.shape}, timestamps {self.timestamps.shape}",
                expected="one value for each bar",
            )
        values.setflags(write=False)
        return values

    def to_frame(self) -> pd.DataFrame:
        """Frame [T] of open, high, low, close, volume and the signals, times (UTC) as index.

        :func:`~offline_trader.markets.frame_bars` with the same symbol and signals gives equal
        bars back.
        """
        return self._frame.copy()

    def plot(self, ax: Axes | None = None) -> Axes:
        """The closes over time, on a logarithmic axis.

        Args:
            ax: matplotlib axes to draw on; None: new ones.
        """
        from offline_trader.markets.showing import plot_closes

        return plot_closes(self, ax)

    def __repr__(self) -> str:
        first, last = (str(self.timestamps[k].astype("datetime64[D]")) for k in (0, -1))
        return (
            f"Bars({self.symbol!r}, {len(self):,} bars, {first} to {last}, "
            f"{self.periods_per_year:g} a year)"
        )

    def _repr_html_(self) -> str:
        from offline_trader.markets.showing import bars_html

        return bars_html(self)

    @property
    def name(self) -> str:
        """What messages call these bars: the source, else the symbol."""
        return self.source or self.symbol or "bars"

    def __len__(self) -> int:
        return len(self.timestamps)

    def __getitem__(self, row: int) -> Bar:
        """Bar ``row`` (negative rows count from the end)."""
        prices = (float(getattr(self, name)[row]) for name in _FIELDS)
        bar = Bar(self.timestamps[row], *prices)
        if not self.signals:
            return bar
        signals = {name: float(values[row]) for name, values in self.signals.items()}
        return SignalBar.with_signals(bar, signals)

    def __iter__(self) -> Iterator[Bar]:
        columns = [getattr(self, name).tolist() for name in _FIELDS]
        bars = map(Bar, self.timestamps, *columns)
        if not self.signals:
            return bars
        rows = zip(*(values.tolist() for values in self.signals.values()), strict=True)
        named = (dict(zip(self.signals, row, strict=True)) for row in rows)
        return map(SignalBar.with_signals, bars, named)

    def slice(self, start: int, stop: int) -> Bars:
        """Bars of rows ``start`` to ``stop`` (excluded).

        Raises:
            DataError: the range is empty or reaches outside.
        """
        if not 0 <= start < stop <= len(self):
            raise DataError(
                f"{self.name}: rows {start} to {stop}", expected=f"a range within 0 to {len(self)}"
            )
        if (start, stop) == (0, len(self)):
            return self
        rows = slice(start, stop)
        return Bars(
            symbol=self.symbol,
            timestamps=self.timestamps[rows],
            open=self.open[rows],
            high=self.high[rows],
            low=self.low[rows],
            close=self.close[rows],
            volume=self.volume[rows],
            periods_per_year=self.periods_per_year,
            source=self.source,
            notes=self.notes,
            signals={name: values[rows] for name, values in self.signals.items()},
        )

    def rows_between(self, start: str | None, end: str | None) -> tuple[int, int]:
        """First row and row after the last one dated ``start`` to ``end``, both included.

        A date may be a year, a month, a day or a minute (``2012``, ``2012-06``, ``2012-06-30``,
        ``2012-06-30T15:30``), in UTC, and is included as a whole.

        Raises:
            ConfigError: a date that cannot be read.
            DataError: no bar in between.
        """
        t = self.timestamps
        first = 0 if start is None else int(np.searchsorted(t, parse_date(start)))
        stop = len(t) if end is None else int(np.searchsorted(t, parse_end(end)))
        if first >= stop:
            raise DataError(
                f"{self.name}: no bars from {start or 'the start'} to {end or 'the end'}",
                expected=f"dates within {t[0].astype('datetime64[D]')} to "
                f"{t[-1].astype('datetime64[D]')}",
            )
        return first, stop

    def between(self, start: str | None = None, end: str | None = None) -> Bars:
        """Bars dated ``start`` to ``end``, both included; see :meth:`rows_between`."""
        if start is None and end is None:
            return self
        return self.slice(*self.rows_between(start, end))

    @cached_property
    def _frame(self) -> pd.DataFrame:
        import pandas as pd

        columns = {name: getattr(self, name) for name in _FIELDS} | dict(self.signals)
        table = np.stack(list(columns.values()))  # one block, which frames are fast on
        return pd.DataFrame(table.T, columns=list(columns), index=self._times)

    @cached_property
    def _times(self) -> pd.DatetimeIndex:
        import pandas as pd

        return pd.DatetimeIndex(self.timestamps, tz="UTC", name="timestamp")

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of symbol, timestamps and all columns, signals included."""
        h = hashlib.sha256(self.symbol.encode())
        h.update(self.timestamps.astype("<i8").tobytes())
        for name in _FIELDS:
            h.update(getattr(self, name).astype("<f8").tobytes())
        for name, values in self.signals.items():
            h.update(name.encode() + b"\0" + values.astype("<f8").tobytes())
        return h.hexdigest()

    @cached_property
    def gaps(self) -> int:
        """Places where expected bars are missing: kept, and counted by
        :func:`~offline_trader.markets.spacing.count_gaps`."""
        return count_gaps(self.timestamps)
