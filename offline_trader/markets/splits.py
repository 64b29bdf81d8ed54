"""Chronological splits with a gap: train, then validation, then test."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets.bars import Bars

__all__ = ["BarRange", "Splits", "split_bars"]


@dataclass(frozen=True)
class BarRange:
    """Rows ``start`` to ``stop`` (excluded) of a series of bars."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ConfigError(
                f"bar range {self.start} to {self.stop}", expected="0 <= start < stop"
            )

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Splits:
    """Three ranges in time order that share no bar and no feature window of their decisions.

    A feature at the first validation bar may read training bars (the past is public); what the
    gap keeps out is a training target that ends inside the validation range.
    """

    train: BarRange
    validation: BarRange
    test: BarRange


def split_bars(
    bars: Bars, train_end: str, validation_end: str, gap_bars: int = 5, first_bar: int = 0
) -> Splits:
    """Splits at two dates, both the last day of their range, with ``gap_bars`` left out between.

    Args:
        bars: [T].
        train_end: last day of training, ISO.
        validation_end: last day of validation, ISO.
        gap_bars: bars dropped after each of the two dates.
        first_bar: first row of training, such as the end of the features' warm-up.

    Raises:
        ConfigError: dates in the wrong order, a negative gap.
        DataError: a range would be empty.
    """
    if gap_bars < 0:
        raise ConfigError(f"split.gap_bars = {gap_bars}", expected="0 or more")
    train_stop = bars.rows_between(None, train_end)[1]
    validation_stop = bars.rows_between(None, validation_end)[1]
    edges = [
        ("train", first_bar, train_stop),
        ("validation", train_stop + gap_bars, validation_stop),
        ("test", validation_stop + gap_bars, len(bars)),
    ]
    for name, start, stop in edges:
        if start >= stop:
            raise DataError(
                f"{bars.source or bars.symbol}: the {name} range is empty "
                f"(training ends {train_end}, validation ends {validation_end}, "
                f"gap {gap_bars} bars)",
                expected=f"dates within {bars.timestamps[0].astype('datetime64[D]')} to "
                f"{bars.timestamps[-1].astype('datetime64[D]')}, in order",
            )
    train, validation, test = (BarRange(start, stop) for _, start, stop in edges)
    return Splits(train, validation, test)
