"""Loading bars: built-in markets, CSV and Parquet files, synthetic sources.

A source is a string: a built-in name (``sp500``), a path (``prices.csv``, or ``prices.csv#AAPL``
for one instrument of a file that holds several; ``closes:prices.csv`` for a file of closes), or
``synthetic:KIND?key=value&…``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError, visible
from offline_trader.markets.bars import Bars
from offline_trader.markets.builtin import BUILTIN_MARKETS, load_builtin
from offline_trader.markets.price_tables import PriceTable, read_prices
from offline_trader.markets.signals import NO_SIGNALS, SignalColumns, with_signals
from offline_trader.markets.suspicion import suspicious_bars
from offline_trader.markets.validation import PRICES
from offline_trader.tables import is_zone, label, parse_times
from offline_trader.types import FloatArray, IntArray

__all__ = [
    "absolute_source",
    "bars_of",
    "load_market",
    "load_markets",
    "of_closes",
    "one_of",
    "parse_source",
]

_CLOSES = "closes:"
CLOSES_NOTE = (
    "a market of closes: open, high and low are the close, orders fill at the next close, and "
    "features of the range within a bar say nothing"
)
_ROUNDING = 1e-9
"""A high this share below the close (or a low above it) is rounding of the file's maker."""


def load_market(
    source: str | Path,
    *,
    symbol: str | None = None,
    tz: str | None = None,
    start: str | None = None,
    end: str | None = None,
    adjust: bool = False,
    signals: SignalColumns = NO_SIGNALS,
) -> Bars:
    """One instrument's bars.

    Args:
        source: built-in name, CSV or Parquet path, or ``synthetic:…``.
        symbol: which instrument of a file that holds several.
        tz: time zone of times that carry none; UTC by default.
        start, end: first and last date, included.
        adjust: scale prices by the file's adjusted close ÷ close, for dividends and splits. Off
            by default: adjustment uses dividends paid after the bar.
        signals: further columns to read, of the file or of files of their own.

    Raises:
        DataError: a missing, unreadable or wrong file (with the row), or several instruments in
            it and no ``symbol``.
        ConfigError: an unknown market, date or time zone.
    """
    found = with_signals(_load(str(source), tz, adjust, signals), signals, tz)
    return one_of(found, str(source), symbol).between(start, end)


def one_of(found: list[Bars], source: str, symbol: str | None) -> Bars:
    """The one of ``found``, or the one of name ``symbol``; ``source`` is where they are from.

    Raises:
        DataError: no such one, or several without ``symbol``.
    """
    names = [bars.symbol for bars in found]
    if symbol is not None:
        found = [bars for bars in found if bars.symbol == symbol]
        if not found:
            raise DataError(f"{source}: no instrument {symbol!r}", expected=", ".join(names[:20]))
    if len(found) > 1:
        listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise DataError(
            f"{source}: {len(found)} instruments ({listed})",
            expected="one instrument here",
            hint=f"name one of them, as in {source}#{names[0]}",
        )
    return found[0]


def load_markets(
    sources: Sequence[str | Path],
    *,
    tz: str | None = None,
    start: str | None = None,
    end: str | None = None,
    adjust: bool = False,
    signals: SignalColumns = NO_SIGNALS,
) -> list[Bars]:
    """All instruments of all ``sources``, in order; arguments as for :func:`load_market`.

    The second instrument of a name is called ``NAME#2``, and so on: metadata are kept by name.

    Raises:
        DataError, ConfigError: as :func:`load_market`.
    """
    found: list[Bars] = []
    seen: Counter[str] = Counter()
    loaded = [bars for source in sources for bars in _load(str(source), tz, adjust, signals)]
    for bars in with_signals(loaded, signals, tz):
        seen[bars.symbol] += 1
        count = seen[bars.symbol]
        named = bars if count == 1 else replace(bars, symbol=f"{bars.symbol}#{count}")
        found.append(named.between(start, end))
    return found


def parse_source(source: str) -> tuple[str, str, dict[str, str]]:
    """Kind (``builtin``, ``file`` or ``synthetic``), name and parameters of a source string.

    Raises:
        ConfigError: neither a built-in name nor something that looks like a path.
    """
    if source.startswith("synthetic:"):
        name, _, query = source.removeprefix("synthetic:").partition("?")
        return "synthetic", name, dict(parse_qsl(query, keep_blank_values=True))
    if source in BUILTIN_MARKETS:
        return "builtin", source, {}
    closes = {"closes": "1"} if source.startswith(_CLOSES) and not Path(source).exists() else {}
    source = source.removeprefix(_CLOSES) if closes else source
    path, symbol = source, ""
    if not Path(source).exists():
        path, _, symbol = source.partition("#")
    if "." not in Path(path).name and not Path(path).exists():
        raise ConfigError(
            f"unknown market {source!r}",
            expected=f"one of {', '.join(BUILTIN_MARKETS)}, or a CSV or Parquet file",
        )
    return "file", path, closes | ({"symbol": symbol} if symbol else {})


def of_closes(source: str) -> str:
    """The source string that reads the file of ``source`` as one of closes.

    Raises:
        ConfigError: a source that is no file.
    """
    kind, _, parameters = parse_source(source)
    if kind != "file":
        raise ConfigError(f"--closes with {source!r}", expected="a file of closes")
    return source if "closes" in parameters else _CLOSES + source


def absolute_source(source: str) -> str:
    """The source string with its file's absolute path; others as they are."""
    kind, name, parameters = parse_source(source)
    if kind != "file":
        return source
    prefix = _CLOSES if "closes" in parameters else ""
    return prefix + str(Path(name).resolve()) + source[len(prefix) + len(name) :]


def _load(source: str, tz: str | None, adjust: bool, signals: SignalColumns) -> list[Bars]:
    kind, name, parameters = parse_source(source)
    if kind == "builtin":
        return [load_builtin(name)]
    if kind == "synthetic":
        from offline_trader.markets.synthetic import make_synthetic

        return [make_synthetic(name, parameters)]
    found = _load_file(Path(name), tz, adjust, closes="closes" in parameters, signals=signals.names)
    symbol = parameters.get("symbol")
    chosen = [bars for bars in found if symbol is None or bars.symbol == symbol]
    if not chosen:
        listed = ", ".join(bars.symbol for bars in found[:20])
        raise DataError(f"{label(name)}: no instrument {symbol!r}", expected=listed)
    return chosen


def _load_file(
    path: Path, tz: str | None, adjust: bool, closes: bool, signals: Sequence[str]
) -> list[Bars]:
    return bars_of(read_prices(path, closes, signals), tz, adjust, closes, signals)


def bars_of(
    table: PriceTable,
    tz: str | None = None,
    adjust: bool = False,
    closes: bool = False,
    signals: Sequence[str] = (),
) -> list[Bars]:
    """Every instrument's bars in a table of prices; arguments as for :func:`load_market`.

    Raises:
        DataError: cells that are no bars, with their row.
        ConfigError: an unknown time zone.
    """
    zone, notes = _zone(table, tz)
    times = parse_times(table.frame["timestamp"], zone, table.source, table.locate)
    notes = [*table.notes, *notes, *times.notes]
    if closes:
        close = table.numbers("close")
        columns = {name: close.copy() for name in PRICES}
        notes.append(CLOSES_NOTE)
    else:
        columns = {name: table.numbers(name) for name in PRICES}
    notes += [*_adjust(table, columns, adjust), *_absorb_rounding(columns)]
    columns["volume"], remarks = table.volume()
    notes += remarks
    columns |= {f"signal:{name}": x for name in signals if (x := table.signal(name)) is not None}
    if zone is None and not times.zoned and not times.dates:
        notes.append("times without a zone are read as UTC")
    groups = _instruments(table)
    return [
        _bars(table, symbol, rows, times.utc, columns, notes, alone=len(groups) == 1)
        for symbol, rows in groups
    ]


def _zone(table: PriceTable, tz: str | None) -> tuple[str | None, list[str]]:
    """Zone of times that carry none: ``tz``, else the one that the column's name gives."""
    named = re.search(r"[(\[]([A-Z]{3,4})[)\]]", table.stamp_name)
    if tz is not None or named is None or not is_zone(named[1]):
        return tz, []
    return named[1], [f"times are in {named[1]}, as the name {table.stamp_name} says"]


def _bars(
    table: PriceTable,
    symbol: str,
    rows: IntArray,
    stamps: NDArray[np.datetime64],
    columns: Mapping[str, FloatArray],
    notes: Sequence[str],
    alone: bool,
) -> Bars:
    """One instrument's bars; ``alone``: the only one of its file."""
    ns = stamps[rows].astype(np.int64)
    remarks: list[str] = []
    if len(ns) > 1 and bool((np.diff(ns) <= 0).all()) and ns[0] > ns[-1]:
        rows = rows[::-1]
        remarks.append("the file runs newest first: its rows are turned round")
    place = _Place(table, rows)
    part = {name: values[rows] for name, values in columns.items()}
    bars = Bars(
        symbol=symbol,
        timestamps=stamps[rows],
        open=part["open"],
        high=part["high"],
        low=part["low"],
        close=part["close"],
        volume=part["volume"],
        source=table.source if alone else f"{table.source}#{symbol}",
        signals={
            name.removeprefix("signal:"): values
            for name, values in part.items()
            if name.startswith("signal:")
        },
        locate=place,
    )
    remarks += suspicious_bars(bars.timestamps, part, place)
    return replace(bars, notes=tuple(map(visible, (*notes, *remarks))))


class _Place:
    """What messages call row i of one instrument: its row in the file."""

    def __init__(self, table: PriceTable, rows: IntArray) -> None:
        self.table, self.rows = table, rows

    def __call__(self, i: int) -> str:
        return self.table.locate(int(self.rows[i]))


def _instruments(table: PriceTable) -> list[tuple[str, IntArray]]:
    """Each instrument with its rows, in the order of their first rows."""
    if "symbol" not in table.frame:
        return [(visible(table.symbol), np.arange(len(table.frame)))]
    symbols = table.frame["symbol"].astype("string").str.strip()
    blank = np.flatnonzero((symbols.isna() | (symbols == "")).to_numpy(dtype=bool))
    if blank.size:
        raise DataError(
            f"{table.source} {table.locate(int(blank[0]))}: the symbol is missing",
            expected="the instrument in every row",
        )
    codes, names = symbols.factorize()
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return [(visible(str(name)), order[edges[k] : edges[k + 1]]) for k, name in enumerate(names)]


def _adjust(table: PriceTable, columns: dict[str, FloatArray], adjust: bool) -> list[str]:
    """Scale prices in place by adjusted close ÷ close where that is asked for."""
    if "adjusted" not in table.frame:
        if adjust:
            raise DataError(
                f"{table.source}: no adjusted close", expected="a column `Adj Close` to adjust by"
            )
        return []
    if not adjust:
        return ["the adjusted close is not used"]
    factor = table.numbers("adjusted") / columns["close"]
    for name in PRICES:
        columns[name] = columns[name] * factor
    return ["prices are adjusted by the adjusted close"]


def _absorb_rounding(columns: dict[str, FloatArray]) -> list[str]:
    """Widen, in place, highs and lows that miss the body by no more than rounding."""
    top = np.maximum(columns["open"], columns["close"])
    bottom = np.minimum(columns["open"], columns["close"])
    high, low = columns["high"], columns["low"]
    lift = (high < top) & (high >= top * (1.0 - _ROUNDING))
    drop = (low > bottom) & (low <= bottom * (1.0 + _ROUNDING))
    count = int(np.count_nonzero(lift | drop))
    if not count:
        return []
    columns["high"], columns["low"] = np.where(lift, top, high), np.where(drop, bottom, low)
    return [f"{count} bars: high or low widened to the body by less than {_ROUNDING:g} (rounding)"]
