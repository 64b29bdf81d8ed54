"""Markets: validated bars, loading, splits in time."""

from __future__ import annotations

from offline_trader.markets.bars import Bars
from offline_trader.markets.builtin import BUILTIN_MARKETS
from offline_trader.markets.checking import MarketFacts, check_market, list_markets
from offline_trader.markets.frames import frame_bars
from offline_trader.markets.loading import (
    absolute_source,
    load_market,
    load_markets,
    of_closes,
    parse_source,
)
from offline_trader.markets.signals import SIGNAL, WINDOW, SignalColumns, signal_names, windowed
from offline_trader.markets.spacing import infer_periods_per_year
from offline_trader.markets.splits import BarRange, Splits, split_bars
from offline_trader.markets.validation import (
    BAR_COLUMNS,
    Bar,
    SignalBar,
    check_bar,
    nanoseconds,
)

__all__ = [
    "BAR_COLUMNS",
    "BUILTIN_MARKETS",
    "SIGNAL",
    "WINDOW",
    "Bar",
    "BarRange",
    "Bars",
    "MarketFacts",
    "SignalBar",
    "SignalColumns",
    "Splits",
    "absolute_source",
    "check_bar",
    "check_market",
    "frame_bars",
    "infer_periods_per_year",
    "list_markets",
    "load_market",
    "load_markets",
    "nanoseconds",
    "of_closes",
    "parse_source",
    "signal_names",
    "split_bars",
    "windowed",
]
