"""The built-in markets: index bars that come with the ``arch`` package, so nothing is fetched."""

from __future__ import annotations

import csv
import functools
import gzip
import importlib.util
from pathlib import Path

import numpy as np

from offline_trader.errors import DataError
from offline_trader.markets.bars import Bars
from offline_trader.markets.validation import PRICES

__all__ = ["BUILTIN_MARKETS", "load_builtin"]

BUILTIN_MARKETS: dict[str, str] = {
    "sp500": "S&P 500 index, daily bars 1999-2018",
    "nasdaq": "NASDAQ composite index, daily bars 1999-2018",
}


@functools.cache
def load_builtin(name: str) -> Bars:
    """Daily bars of a built-in market, as ``arch`` ships them: nothing is repaired.

    The file is read directly, since importing ``arch`` takes seconds.

    Raises:
        DataError: the package or its file is missing.
    """
    spec = importlib.util.find_spec("arch")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    files = [Path(place) / "data" / name / f"{name}.csv.gz" for place in places]
    path = next((file for file in files if file.exists()), None)
    if path is None:
        raise DataError(
            f"the built-in market {name} is not there",
            expected="the arch package with its data",
            hint="install it: pip install 'arch>=7.2'",
        )
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {field: np.array([float(row[field.title()]) for row in rows]) for field in PRICES}
    return Bars(
        symbol=name,
        timestamps=np.array([_iso(row["Date"]) for row in rows], dtype="datetime64[ns]"),
        open=columns["open"],
        high=columns["high"],
        low=columns["low"],
        close=columns["close"],
        volume=np.array([float(row["Volume"]) for row in rows]),
        periods_per_year=252.0,
        source=name,
    )


def _iso(month_first: str) -> str:
    """``1/4/1999`` (January 4th) as 1999-01-04."""
    month, day, year = month_first.split("/")
    return f"{year}-{month:0>2}-{day:0>2}"
