"""What a caller may give as a market, and the source by which runs know it.

A run names its bars by where they can be read again, so that it can be resumed, repeated by a
command, or trained in another process. Bars that are in memory only are kept in a Parquet file
first, named by their content.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union, cast

from offline_trader.errors import ConfigError, OfflineTraderError
from offline_trader.markets import Bars, SignalColumns, frame_bars, load_market
from offline_trader.runs import atomic_write
from offline_trader.workbench.wording import in_python

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEPT_BARS", "Day", "MarketLike", "day_text", "found_again", "load_bars", "sources_of"]

MarketLike: TypeAlias = Union[Bars, "pd.DataFrame", str, Path]
"""Bars, a frame of them, or a source: a built-in name, a file, ``synthetic:…``."""
Day: TypeAlias = str | date
"""A date as ISO text (``2012``, ``2012-06``, ``2012-06-30``), or Python's or pandas' own."""
KEPT_BARS = Path("runs") / "bars"
"""Where bars that came from memory are kept, below the working directory."""


@in_python
def load_bars(
    market: MarketLike,
    *,
    symbol: str | None = None,
    tz: str | None = None,
    start: Day | None = None,
    end: Day | None = None,
    adjust: bool = False,
    signals: Sequence[str] = (),
) -> Bars:
    """One instrument's bars, checked.

    Args:
        market: a built-in name (``sp500``, ``nasdaq``), a CSV, Parquet, Feather or JSON file,
            ``synthetic:…``, or a pandas DataFrame with a row a bar.
        symbol: which of several instruments; a name for a frame that has none.
        tz: time zone of times that carry none; UTC by default.
        start, end: first and last date, included.
        adjust: scale prices by the adjusted close ÷ close. It uses dividends paid after the bar.
        signals: further numeric columns to keep.

    Raises:
        DataError: a missing or wrong file or frame, with the row; several instruments and no
            ``symbol``; no bars in the range.
        ConfigError: an unknown market, date or time zone.
    """
    first, last = day_text(start), day_text(end)
    if isinstance(market, Bars):
        return market.between(first, last)
    if isinstance(market, str | Path):
        wanted = SignalColumns(tuple(signals))
        return load_market(
            market, symbol=symbol, tz=tz, start=first, end=last, adjust=adjust, signals=wanted
        )
    return frame_bars(market, symbol=symbol, tz=tz, adjust=adjust, signals=signals).between(
        first, last
    )


def day_text(day: Day | None) -> str | None:
    """The date as settings hold it; of a time at midnight the day, which is included as a whole."""
    if day is None or isinstance(day, str):
        return day
    if isinstance(day, datetime):
        if day.tzinfo is not None:
            from datetime import UTC

            day = day.astimezone(UTC).replace(tzinfo=None)
        if day.time() == datetime.min.time():
            return day.date().isoformat()
        return day.isoformat()
    return day.isoformat()


def sources_of(
    markets: MarketLike | Sequence[MarketLike] | None, signals: Sequence[str] = ()
) -> list[str] | None:
    """Sources of the markets; None where none is given. Frames keep the columns ``signals``.

    Raises:
        DataError: a frame that holds no bars.
        ConfigError: bars whose ``periods_per_year`` was set by hand.
    """
    if markets is None:
        return None
    if isinstance(markets, list | tuple):
        return [_source(each, signals) for each in markets]
    return [_source(cast(MarketLike, markets), signals)]


def found_again(sources: Sequence[str]) -> list[str]:
    """The sources that a model names, which has the names of its files alone: those of kept bars
    with their place."""
    return [each if Path(each).exists() else _place_of_kept(each) for each in sources]


def _place_of_kept(source: str) -> str:
    kept = KEPT_BARS / source
    return str(kept) if kept.is_file() else source


def _source(market: MarketLike, signals: Sequence[str]) -> str:
    if isinstance(market, str | Path):
        return str(market)
    bars = market if isinstance(market, Bars) else frame_bars(market, signals=signals)
    return bars.source if _is_there(bars, bars.source) else _kept(bars)


def _is_there(bars: Bars, source: str) -> bool:
    """Whether ``source`` gives these very bars."""
    try:
        wanted = SignalColumns(tuple(bars.signals))
        found = load_market(source, signals=wanted) if source else None
    except OfflineTraderError:
        return False
    return found is not None and _equal(found, bars)


def _equal(found: Bars, bars: Bars) -> bool:
    return found.sha256 == bars.sha256 and found.periods_per_year == bars.periods_per_year


def _kept(bars: Bars) -> str:
    """The file that the bars are kept in, written if it is not there."""
    name = re.sub(r"[^\w.+-]+", "-", bars.symbol).strip("-.") or "bars"
    path = KEPT_BARS / f"{name}-{bars.sha256[:12]}.parquet"
    if not _is_there(bars, str(path)):
        buffer = io.BytesIO()
        bars.to_frame().assign(symbol=bars.symbol).to_parquet(buffer)
        atomic_write(path, buffer.getvalue())
        if not _is_there(bars, str(path)):
            raise ConfigError(
                f"{bars.symbol} has {bars.periods_per_year:g} periods a year, set by hand",
                expected="those that its timestamps show",
                hint="leave periods_per_year out; bars in memory are read again from a file",
            )
    return str(path)
