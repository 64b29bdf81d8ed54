"""Bars and features of several instruments, packed one after another for the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError, SchemaMismatch
from offline_trader.features import Features
from offline_trader.markets import BarRange, Bars
from offline_trader.types import FloatArray, IntArray, ObservationLayout

__all__ = ["MarketTensor"]


@dataclass(frozen=True, eq=False)
class MarketTensor:
    """K instruments in S rows, the bars of an instrument in time order.

    Attributes:
        prices: [S, 5] float64: open, high, low, close, volume.
        features: [S, F] float32, finite.
        start, stop: [K] int64, first row of each instrument and the row behind its last.
        periods_per_year: [K] float64, bars a year.
        symbols: K names.
        timestamps: [S] datetime64[ns], UTC.
        layout: names of the observation's columns.
        notes: what a reader of the bars' sources should know, each with its source.
        known_from: [K] datetime64[ns], first bar of each instrument's data, whose range may begin
            later; where it is not known, the range's own.
    """

    prices: FloatArray
    features: NDArray[np.float32]
    start: IntArray
    stop: IntArray
    periods_per_year: FloatArray
    symbols: tuple[str, ...]
    timestamps: NDArray[np.datetime64]
    layout: ObservationLayout
    notes: tuple[str, ...] = ()
    known_from: NDArray[np.datetime64] | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("prices", np.float64), ("features", np.float32)):
            values = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.features.shape[0] != len(self.prices) or len(self.timestamps) != len(self.prices):
            raise DataError(
                f"{len(self.prices)} rows of prices, {self.features.shape[0]} of features, "
                f"{len(self.timestamps)} timestamps",
                expected="one row of each for a bar",
            )
        for symbol, start, stop in zip(self.symbols, self.start, self.stop, strict=True):
            if stop - start < 2:
                raise DataError(f"{symbol}: {stop - start} bars to trade on", expected="2 or more")
        if not np.isfinite(self.features).all():
            row = int(np.flatnonzero(~np.isfinite(self.features).all(axis=1))[0])
            raise DataError(
                f"row {row}: a feature without a value",
                expected="ranges that begin after the features' warm-up",
            )

    @classmethod
    def from_bars(
        cls, bars: Sequence[Bars], features: Sequence[Features], ranges: Sequence[BarRange]
    ) -> MarketTensor:
        """Pack ``ranges`` of ``bars`` with their ``features``, which were computed on all bars.

        Raises:
            DataError: a range that reaches into the warm-up or beyond the bars.
            SchemaMismatch: features of several sets.
        """
        for one, computed in zip(bars, features, strict=True):
            if computed.schema != features[0].schema:
                raise SchemaMismatch(
                    f"{one.source or one.symbol} has features {computed.schema.hash}",
                    expected=f"those of {bars[0].source or bars[0].symbol}, "
                    f"{features[0].schema.hash}",
                )
        for one, computed, part in zip(bars, features, ranges, strict=True):
            if part.start < computed.warmup or part.stop > len(one):
                raise DataError(
                    f"{one.source or one.symbol}: rows {part.start} to {part.stop}",
                    expected=f"a range within {computed.warmup} (the end of the features' "
                    f"warm-up) and {len(one)}",
                )
        parts = list(zip(bars, features, ranges, strict=True))
        lengths = [len(part) for part in ranges]
        stop = np.cumsum(lengths, dtype=np.int64)
        columns = ("open", "high", "low", "close", "volume")
        return cls(
            prices=np.concatenate(
                [
                    np.stack([getattr(b, c)[r.start : r.stop] for c in columns], axis=1)
                    for b, _, r in parts
                ]
            ),
            features=np.concatenate([f.values[r.start : r.stop] for _, f, r in parts]).astype(
                np.float32
            ),
            start=stop - np.asarray(lengths, dtype=np.int64),
            stop=stop,
            periods_per_year=np.array([b.periods_per_year for b in bars]),
            symbols=tuple(b.symbol for b in bars),
            timestamps=np.concatenate([b.timestamps[r.start : r.stop] for b, _, r in parts]),
            layout=features[0].schema.layout,
            notes=tuple(
                dict.fromkeys(
                    f"{b.name}: {note}"
                    for b, f in zip(bars, features, strict=True)
                    for note in (*b.notes, *f.notes)
                )
            ),
            known_from=np.array([b.timestamps[0] for b in bars]),
        )

    def __len__(self) -> int:
        return len(self.prices)

    def instrument(self, k: int) -> MarketTensor:
        """The k-th instrument alone."""
        rows = slice(int(self.start[k]), int(self.stop[k]))
        return MarketTensor(
            self.prices[rows],
            self.features[rows],
            np.zeros(1, dtype=np.int64),
            self.stop[k : k + 1] - self.start[k : k + 1],
            self.periods_per_year[k : k + 1],
            self.symbols[k : k + 1],
            self.timestamps[rows],
            self.layout,
            known_from=None if self.known_from is None else self.known_from[k : k + 1],
        )

    @cached_property
    def table(self) -> FloatArray:
        """[S, 3] float64 as the kernel reads it: open, close, volume."""
        return np.ascontiguousarray(self.prices[:, [0, 3, 4]])

    def instruments(self, borrow_bps_per_year: float) -> FloatArray:
        """[K, 3] float64: first row, row behind the last, borrow cost a bar as a fraction."""
        borrow = borrow_bps_per_year * 1e-4 / self.periods_per_year
        return np.ascontiguousarray(
            np.stack([self.start.astype(float), self.stop.astype(float), borrow], axis=1)
        )
