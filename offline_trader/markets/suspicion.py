"""Bars that are likely to be wrong although each is valid: told, never mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from offline_trader.markets.validation import PRICES
from offline_trader.types import BoolArray, FloatArray

__all__ = ["suspicious_bars"]

_FACTOR = 1.5  # a move or a range below this factor is never told
_TIMES_USUAL = 25.0  # nor one below so many times the usual one
_TIMES_USUAL_OF_SPLIT = 8.0  # nor an exact split below so many
_TOLD = 3
_EXACT = 0.01
_USUAL_SPLITS = (2, 3, 4, 5, 10)
_SPLITS = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50)


def suspicious_bars(
    stamps: NDArray[np.datetime64], columns: Mapping[str, FloatArray], locate: Callable[[int], str]
) -> list[str]:
    """A note for each of the first bars that move by a factor, and how many there are.

    Told is a close-to-close move, or a high above (a low below) the prices around it, by more than
    1.5 times that is also 25 times the median of such moves: what an unadjusted split, a wrong
    decimal point or a stray tick looks like. Where prices move more than that allows, a move of the
    factor 2, 3, 4, 5 or 10, or one of them upside down, within 1 % is told from 8 times the median.

    Args:
        stamps: [T] datetime64[ns].
        columns: open, high, low, close, each [T], positive.
        locate: what to call row i.
    """
    open_, high, low, close = (np.log(columns[name]) for name in PRICES)
    if len(close) < 3:
        return []
    move = np.concatenate([[0.0], np.diff(close)])
    body_top, body_bottom = np.maximum(open_, close), np.minimum(open_, close)
    found: dict[int, str] = {}
    kinds = (
        ("the close is {x} times the one before", move, True),
        ("the open is {x} times the close before", np.append([0.0], open_[1:] - close[:-1]), True),
        ("the high is {x} times open and close", high - body_top, False),
        ("the low is {x} times open and close", low - body_bottom, False),
    )
    for text, log_factor, may_split in kinds:
        size = np.abs(log_factor)
        usual = float(np.median(size))
        likely = size > max(np.log(_FACTOR), _TIMES_USUAL * usual)
        if may_split:
            likely |= _are_splits(size) & (size > _TIMES_USUAL_OF_SPLIT * usual)
        for row in np.flatnonzero(likely).tolist():
            factor = float(np.exp(min(log_factor[row], 700.0)))
            found.setdefault(row, text.format(x=f"{factor:.4g}") + _cause(factor))
    notes = [
        f"suspicious {locate(row)} ({_day(stamps[row])}): {found[row]}"
        for row in sorted(found)[:_TOLD]
    ]
    if len(found) > _TOLD:
        notes.append(f"{len(found) - _TOLD} more suspicious rows of this kind")
    return notes


def _are_splits(size: FloatArray) -> BoolArray:
    """[T] True for sizes of log factors that are those of a usual split."""
    splits = np.log(_USUAL_SPLITS)
    off = np.abs(size[:, None] - splits).min(axis=1)
    return np.asarray(off < _EXACT)


def _cause(factor: float) -> str:
    """What such a factor is often a sign of."""
    size = max(factor, 1.0 / factor)
    split = next((n for n in _SPLITS if abs(size / n - 1.0) < 0.05), 0)
    if split:
        ratio = f"{split}:1" if factor < 1.0 else f"1:{split}"
        return f": a {ratio} split that is not adjusted?"
    power = round(np.log10(size))
    if power >= 2 and abs(size / 10.0**power - 1.0) < 0.2:
        return ": a decimal point in another place, or another unit?"
    return ": a wrong price?"


def _day(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[s]")).replace("T00:00:00", "")
