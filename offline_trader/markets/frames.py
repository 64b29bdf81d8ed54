"""Bars from and to pandas frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.errors import DataError
from offline_trader.markets.bars import Bars
from offline_trader.markets.loading import bars_of, one_of
from offline_trader.markets.price_tables import frame_prices

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_of", "from_frame"]

_UNNAMED = "bars"


def from_frame(
    frame: pd.DataFrame, *, symbol: str | None = None, tz: str | None = None, adjust: bool = False
) -> Bars:
    """One instrument's bars in a frame; see :meth:`Bars.from_frame`."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"a {type(frame).__name__}", expected="a pandas DataFrame with a row a bar")
    found = bars_of(frame_prices(frame, symbol or _UNNAMED), tz, adjust)
    return one_of(found, "the frame", symbol)


def frame_of(bars: Bars) -> pd.DataFrame:
    """Frame [T] of the bars; see :meth:`Bars.to_frame`."""
    import pandas as pd

    names = ("open", "high", "low", "close", "volume")
    index = pd.DatetimeIndex(bars.timestamps, tz="UTC", name="timestamp")
    return pd.DataFrame({name: getattr(bars, name).copy() for name in names}, index=index)
