"""Loading bars: built-in markets, CSV and Parquet files, synthetic sources.

A source is a string: a built-in name (``sp500``), a path (``prices.csv``), or
``synthetic:KIND?key=value&…``. The built-in bars come with the ``arch`` package (daily S&P 500
and NASDAQ composite, 1999–2018); nothing is fetched.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets.bars import Bars
from offline_trader.markets.columns import recognise, to_utc

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BUILTIN_MARKETS", "load_market", "load_markets", "parse_source"]

BUILTIN_MARKETS: dict[str, str] = {
    "sp500": "S&P 500 index, daily bars 1999-2018",
    "nasdaq": "NASDAQ composite index, daily bars 1999-2018",
}

_PRICES = ("open", "high", "low", "close")


def load_market(
    source: str | Path,
    *,
    symbol: str | None = None,
    tz: str | None = None,
    start: str | None = None,
    end: str | None = None,
) -> Bars:
    """One instrument's bars; see :func:`load_markets`.

    Args:
        source: built-in name, CSV or Parquet path, or ``synthetic:…``.
        symbol: which instrument of a file that holds several.
        tz: time zone of times that carry none; UTC by default.
        start, end: first and last day, included.

    Raises:
        DataError: a missing, unreadable or wrong file (with the row), or several instruments in
            it and no ``symbol``.
        ConfigError: an unknown market, date or time zone.
    """
    found = _load(str(source), tz)
    names = [bars.symbol for bars in found]
    if symbol is not None:
        found = [bars for bars in found if bars.symbol == symbol]
        if not found:
            raise DataError(f"{source}: no instrument {symbol!r}", expected=", ".join(names))
    if len(found) > 1:
        raise DataError(
            f"{source}: {len(found)} instruments ({', '.join(names[:8])})",
            expected="one instrument here",
            hint="name one of them with symbol, as in prices.csv#AAPL",
        )
    return found[0].between(start, end)


def load_markets(
    sources: Sequence[str | Path],
    *,
    tz: str | None = None,
    start: str | None = None,
    end: str | None = None,
) -> list[Bars]:
    """All instruments of all ``sources``, in order; ``file.csv#SYMBOL`` picks one of a file.

    Raises:
        DataError, ConfigError: as :func:`load_market`.
    """
    return [bars.between(start, end) for s in sources for bars in _load(str(s), tz)]


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
    path, _, symbol = source.partition("#")
    if "." not in Path(path).name and not Path(path).exists():
        raise ConfigError(
            f"unknown market {source!r}",
            expected=f"one of {', '.join(BUILTIN_MARKETS)}, or a CSV or Parquet file",
        )
    return "file", path, {"symbol": symbol} if symbol else {}


def _load(source: str, tz: str | None) -> list[Bars]:
    kind, name, parameters = parse_source(source)
    if kind == "builtin":
        return [_load_builtin(name)]
    if kind == "synthetic":
        from offline_trader.markets.synthetic import make_synthetic

        return [make_synthetic(name, parameters)]
    found = _load_file(Path(name), tz)
    symbol = parameters.get("symbol")
    chosen = [b for b in found if symbol is None or b.symbol == symbol]
    if not chosen:
        names = ", ".join(b.symbol for b in found)
        raise DataError(f"{name}: no instrument {symbol!r}", expected=names)
    return chosen


def _load_builtin(name: str) -> Bars:
    """Built-in daily bars; a high or low that rounding left inside the body is widened to it."""
    frame = importlib.import_module(f"arch.data.{name}").load()
    columns = {c.lower(): frame[c].to_numpy(dtype=np.float64) for c in frame.columns}
    columns["high"] = np.maximum.reduce([columns[c] for c in _PRICES])
    columns["low"] = np.minimum.reduce([columns[c] for c in _PRICES])
    return Bars(
        symbol=name,
        timestamps=frame.index.to_numpy().astype("datetime64[ns]"),
        volume=columns["volume"],
        periods_per_year=252.0,
        source=name,
        **{c: columns[c] for c in _PRICES},
    )


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.exists():
        raise DataError(
            f"{path}: no such file",
            expected="a CSV or Parquet file, or a built-in market: " + ", ".join(BUILTIN_MARKETS),
        )
    suffixes = [s.lower() for s in path.suffixes]
    try:
        if suffixes and suffixes[-1] in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
            if frame.index.name or isinstance(frame.index, pd.DatetimeIndex | pd.MultiIndex):
                frame = frame.reset_index()
            return frame
        if not suffixes or not {".csv", ".txt", ".tsv"} & set(suffixes):
            raise DataError(f"{path}: unknown file type", expected=".csv, .csv.gz or .parquet")
        return pd.read_csv(path, sep=None, engine="python", skip_blank_lines=False, comment=None)
    except DataError:
        raise
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: empty file", expected="a header and rows") from None
    except Exception as error:
        raise DataError(
            f"{path}: cannot be read ({str(error).splitlines()[0]})",
            expected="a CSV with a header, or a Parquet file",
        ) from None


def _load_file(path: Path, tz: str | None) -> list[Bars]:
    frame = _read(path)
    source = str(path)
    if len(frame) == 0:
        raise DataError(f"{source}: no rows", expected="a header and at least one bar")
    names = recognise(list(frame.columns), source)
    csv = path.suffix.lower() not in (".parquet", ".pq")
    first = 2 if csv else 0
    locate: Callable[[int], str] = (lambda i: f"line {i + 2}") if csv else (lambda i: f"row {i}")
    times = to_utc(frame[names["timestamp"]], tz, source, first)
    stamps = times.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    columns = {n: _numbers(frame[names[n]], n, source, locate) for n in _PRICES}
    volume = names.get("volume")
    columns["volume"] = (
        np.zeros(len(frame))
        if volume is None
        else _numbers(frame[volume], "volume", source, locate)
    )
    if "symbol" not in names:
        stem = path.name.split(".")[0]
        return [Bars(stem, stamps, source=source, locate=locate, **columns)]
    symbols = frame[names["symbol"]].astype(str).to_numpy()
    found = []
    for name in dict.fromkeys(symbols.tolist()):
        rows = np.flatnonzero(symbols == name)

        def where(i: int, rows: Any = rows) -> str:
            return locate(int(rows[i]))

        part = {key: values[rows] for key, values in columns.items()}
        label = f"{source}#{name}"
        found.append(Bars(str(name), stamps[rows], source=label, locate=where, **part))
    return found


def _numbers(
    column: pd.Series, name: str, source: str, locate: Callable[[int], str]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[T] float64 of a column; text such as ``$1,234.50`` is read, ``n/a`` becomes NaN."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column):
        text = column.astype(str).str.replace(r"[$€£,\s]", "", regex=True)
        numbers = pd.to_numeric(text, errors="coerce")
        given = ~column.isna() & ~text.str.lower().isin(["", "nan", "na", "n/a", "null", "none"])
        bad = np.flatnonzero((numbers.isna() & given).to_numpy())
        if bad.size:
            row = int(bad[0])
            raise DataError(
                f"{source}, {locate(row)}: {name} is {column.iloc[row]!r}", expected="a number"
            )
        column = numbers
    return np.asarray(column.to_numpy(dtype=np.float64))
