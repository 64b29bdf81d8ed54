"""Bars from pandas frames; :meth:`Bars.to_frame` is the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from offline_trader.errors import DataError
from offline_trader.markets.bars import Bars
from offline_trader.markets.loading import bars_of, one_of
from offline_trader.markets.price_tables import frame_prices
from offline_trader.markets.signals import SignalColumns, with_signals

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_bars"]

_UNNAMED = "bars"


def frame_bars(
    frame: pd.DataFrame,
    *,
    symbol: str | None = None,
    tz: str | None = None,
    adjust: bool = False,
    signals: Sequence[str] = (),
) -> Bars:
    """One instrument's bars in a pandas frame, read by the rules of a file of prices.

    Args:
        frame: a row a bar, its times in a column or in the index; the usual spellings of open,
            high, low, close and volume. It may hold several instruments, in a column ``symbol``
            or as the second level of its columns.
        symbol: which of several instruments; a name for the one that has none.
        tz: time zone of times that carry none; UTC by default.
        adjust: scale prices by the frame's adjusted close ÷ close.
        signals: further columns to keep.

    Raises:
        DataError: no bars, with row and reason, or several instruments and no ``symbol``.
        ConfigError: an unknown time zone.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"a {type(frame).__name__}", expected="a pandas DataFrame with a row a bar")
    table = frame_prices(frame, symbol or _UNNAMED, signals)
    found = bars_of(table, tz, adjust, signals=signals)
    return one_of(with_signals(found, SignalColumns(tuple(signals)), tz), "the frame", symbol)
