"""Markets: validated bars, loading, splits in time."""

from __future__ import annotations

from offline_trader.markets.bars import Bars
from offline_trader.markets.loading import (
    BUILTIN_MARKETS,
    load_market,
    load_markets,
    parse_source,
)
from offline_trader.markets.splits import BarRange, Splits, split_bars
from offline_trader.markets.validation import Bar, check_bar

__all__ = [
    "BUILTIN_MARKETS",
    "Bar",
    "BarRange",
    "Bars",
    "Splits",
    "check_bar",
    "load_market",
    "load_markets",
    "parse_source",
    "split_bars",
]
