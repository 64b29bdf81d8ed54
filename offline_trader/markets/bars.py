"""Bars: one instrument's price history, validated once and read-only afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError
from offline_trader.types import BoolArray, FloatArray

__all__ = ["Bars", "TimeArray", "infer_periods_per_year", "parse_date"]

TimeArray = NDArray[np.datetime64]

_DAY_NS = 86_400_000_000_000
_YEAR_DAYS = 365.25
_FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class Bars:
    """T bars of one instrument in time order.

    Attributes:
        symbol: name of the instrument.
        timestamps: [T] datetime64[ns], UTC, strictly increasing.
        open, high, low, close: [T] float64, quote currency, finite and positive, with
            ``low <= min(open, close)`` and ``high >= max(open, close)``.
        volume: [T] float64, units traded, not negative; all zero where it is not known.
        periods_per_year: bars a year, for annualising.
        source: where the bars came from, for messages.
        locate: maps a row to how the source names it (``line 17``), for messages.
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
    locate: Callable[[int], str] | None = None

    def __post_init__(self) -> None:
        stamps = np.array(self.timestamps, dtype="datetime64[ns]")
        stamps.setflags(write=False)
        object.__setattr__(self, "timestamps", stamps)
        for name in _FIELDS:
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.shape != stamps.shape or values.ndim != 1:
                raise DataError(
                    f"{self._name}: {name} has shape {values.shape}, timestamps {stamps.shape}",
                    expected="one value for each bar",
                )
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if len(stamps) == 0:
            raise DataError(f"{self._name}: no bars", expected="at least one row")
        self._validate()
        if self.periods_per_year <= 0.0:
            object.__setattr__(self, "periods_per_year", infer_periods_per_year(stamps))

    @property
    def _name(self) -> str:
        return self.source or self.symbol or "bars"

    def _refuse(
        self, bad: BoolArray, reason: Callable[[int], str], expected: str, hint: str
    ) -> None:
        rows = np.flatnonzero(bad)
        if rows.size == 0:
            return
        row = int(rows[0])
        where = self.locate(row) if self.locate is not None else f"row {row}"
        more = f" (and {rows.size - 1} more rows)" if rows.size > 1 else ""
        raise DataError(f"{self._name}, {where}: {reason(row)}{more}", expected=expected, hint=hint)

    def _validate(self) -> None:
        t = self.timestamps
        nat = np.isnat(t)
        self._refuse(
            nat, lambda i: "no timestamp", "a date or time in every row", "fill or drop the row"
        )
        step = np.diff(t.astype(np.int64), prepend=t[:1].astype(np.int64) - 1)
        self._refuse(
            step == 0,
            lambda i: f"timestamp {t[i]} appears twice",
            "each timestamp once for an instrument",
            "drop the duplicate, or name the column that holds the instrument `symbol`",
        )
        self._refuse(
            step < 0,
            lambda i: f"timestamp {t[i]} comes after {t[i - 1]}",
            "rows in time order, oldest first",
            "sort the file by time",
        )
        for name in ("open", "high", "low", "close"):
            x = getattr(self, name)
            bad = ~np.isfinite(x) | (x <= 0.0)
            self._refuse(
                bad,
                lambda i, x=x, name=name: f"{name} is {x[i]:g}",  # type: ignore[misc]
                "finite, positive prices",
                "drop rows without a trade; shift or back-adjust series that cross zero",
            )
        high, low = self.high, self.low
        top, bottom = np.maximum(self.open, self.close), np.minimum(self.open, self.close)
        self._refuse(
            high < top,
            lambda i: f"high {high[i]:g} < max(open, close) {top[i]:g}",
            "high ≥ open and close",
            "check that the columns are not swapped",
        )
        self._refuse(
            low > bottom,
            lambda i: f"low {low[i]:g} > min(open, close) {bottom[i]:g}",
            "low ≤ open and close",
            "check that the columns are not swapped",
        )
        volume = self.volume
        self._refuse(
            ~np.isfinite(volume) | (volume < 0.0),
            lambda i: f"volume is {volume[i]:g}",
            "a finite volume of 0 or more",
            "write 0 where nothing traded, or drop the column",
        )

    def __len__(self) -> int:
        return len(self.timestamps)

    def slice(self, start: int, stop: int) -> Bars:
        """Bars of rows ``start`` to ``stop`` (excluded).

        Raises:
            DataError: the range is empty or reaches outside.
        """
        if not 0 <= start < stop <= len(self):
            raise DataError(
                f"{self._name}: rows {start} to {stop}", expected=f"a range within 0 to {len(self)}"
            )
        columns = {name: getattr(self, name)[start:stop] for name in _FIELDS}
        return Bars(
            symbol=self.symbol,
            timestamps=self.timestamps[start:stop],
            periods_per_year=self.periods_per_year,
            source=self.source,
            **columns,
        )

    def rows_between(self, start: str | None, end: str | None) -> tuple[int, int]:
        """First row and row after the last one dated ``start`` to ``end``, both days included.

        Raises:
            ConfigError: a date that cannot be read.
            DataError: no bar in between.
        """
        t = self.timestamps
        first = 0 if start is None else int(np.searchsorted(t, parse_date(start)))
        stop = len(t)
        if end is not None:
            limit = parse_date(end)
            whole_day = limit == limit.astype("datetime64[D]")
            limit = limit + np.timedelta64(1, "D") if whole_day else limit + np.timedelta64(1, "ns")
            stop = int(np.searchsorted(t, limit))
        if first >= stop:
            raise DataError(
                f"{self._name}: no bars from {start or 'the start'} to {end or 'the end'}",
                expected=f"dates within {t[0].astype('datetime64[D]')} to "
                f"{t[-1].astype('datetime64[D]')}",
            )
        return first, stop

    def between(self, start: str | None = None, end: str | None = None) -> Bars:
        """Bars dated ``start`` to ``end``, both days included; see :meth:`rows_between`."""
        if start is None and end is None:
            return self
        return self.slice(*self.rows_between(start, end))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of symbol, timestamps and all columns."""
        h = hashlib.sha256(self.symbol.encode())
        h.update(np.ascontiguousarray(self.timestamps.astype(np.int64)).tobytes())
        for name in _FIELDS:
            h.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return h.hexdigest()

    @cached_property
    def gaps(self) -> int:
        """Steps between bars longer than any calendar closure explains: kept, and counted.

        More than four times the usual step within a session, and more than five days for daily
        bars (a week-end with holidays on both sides).
        """
        steps = np.diff(self.timestamps.astype(np.int64))
        if steps.size == 0:
            return 0
        usual = float(np.median(steps))
        limit = max(4.0 * usual, 5.0 * _DAY_NS) if usual >= _DAY_NS else 4.0 * usual
        return int(np.count_nonzero(steps > limit))


def parse_date(text: str) -> np.datetime64:
    """UTC time of an ISO date or date-time, such as 2012-12-31.

    Raises:
        ConfigError: the text is neither.
    """
    try:
        return np.datetime64(str(text).strip().replace("Z", "")).astype("datetime64[ns]")
    except ValueError:
        raise ConfigError(
            f"date {text!r} cannot be read", expected="an ISO date, such as 2012-12-31"
        ) from None


def infer_periods_per_year(timestamps: TimeArray) -> float:
    """Bars a year of ``timestamps`` [T]: 252 and 365 for daily bars, else what the spacing says.

    Intraday series count the bars seen on a typical day with trading (a 6.5-hour session of
    minute bars has 390, a round-the-clock one 1,440) times 252 or 365 days.
    """
    if len(timestamps) < 3:
        return 252.0
    ns = timestamps.astype(np.int64)
    usual = float(np.median(np.diff(ns)))
    days = timestamps.astype("datetime64[D]")
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    all_week = bool(np.mean(weekday >= 5) > 0.15)
    trading_days = 365.0 if all_week else 252.0
    if usual < 0.9 * _DAY_NS:
        _, counts = np.unique(days, return_counts=True)
        return float(np.median(counts)) * trading_days
    if usual < 1.5 * _DAY_NS:
        return trading_days
    return round(_YEAR_DAYS * _DAY_NS / usual, 2)
