"""What a market holds, for whoever is about to use it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.markets.bars import Bars
from offline_trader.markets.builtin import BUILTIN_MARKETS
from offline_trader.markets.loading import load_markets

__all__ = ["MarketFacts", "check_market", "list_markets"]


@dataclass(frozen=True)
class MarketFacts:
    """One instrument of a market.

    Attributes:
        source: built-in name, file or synthetic source, as it was given.
        symbol: the instrument.
        bars: number of bars.
        first, last: times of the first and last bar, ISO, UTC.
        gaps: places where expected bars are missing.
        periods_per_year: bars a year.
        zero_volume_bars: bars with a volume of 0.
        last_close: close of the last bar, quote currency.
        sha256: hash of symbol, timestamps, prices and volumes.
        notes: what a reader of the source should know.
    """

    source: str
    symbol: str
    bars: int
    first: str
    last: str
    gaps: int
    periods_per_year: float
    zero_volume_bars: int
    last_close: float
    sha256: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"notes": list(self.notes)}


def check_market(
    source: str | Path,
    *,
    tz: str | None = None,
    start: str | None = None,
    end: str | None = None,
) -> list[MarketFacts]:
    """Facts on every instrument of ``source``, every row of which is read and validated.

    Args:
        source: as for :func:`~offline_trader.markets.load_markets`.
        tz: time zone of times that carry none; UTC by default.
        start, end: first and last date, included.

    Raises:
        DataError: the market is refused, with row and reason.
        ConfigError: an unknown market, date or time zone.
    """
    return [_facts(str(source), b) for b in load_markets([source], tz=tz, start=start, end=end)]


def list_markets() -> list[MarketFacts]:
    """Facts on the built-in markets."""
    return [facts for name in BUILTIN_MARKETS for facts in check_market(name)]


def _facts(source: str, bars: Bars) -> MarketFacts:
    def moment(t: np.datetime64) -> str:
        return str(t.astype("datetime64[s]")).replace("T00:00:00", "")

    return MarketFacts(
        source=source,
        symbol=bars.symbol,
        bars=len(bars),
        first=moment(bars.timestamps[0]),
        last=moment(bars.timestamps[-1]),
        gaps=bars.gaps,
        periods_per_year=round(bars.periods_per_year, 4),
        zero_volume_bars=int(np.count_nonzero(bars.volume == 0.0)),
        last_close=float(bars.close[-1]),
        sha256=bars.sha256,
        notes=bars.notes,
    )
