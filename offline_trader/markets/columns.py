"""Names under which files hold bars, and how their times are read. No file is touched here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SPELLINGS", "recognise", "to_utc"]

SPELLINGS: dict[str, tuple[str, ...]] = {
    "timestamp": (
        "timestamp", "date", "datetime", "time", "opentime", "ts", "t", "index", "bartime",
        "dt", "unix", "unixtime", "epoch", "gmttime", "localtime", "tradedate", "unnamed0",
    ),
    "open": ("open", "o", "openprice", "priceopen", "px_open", "pxopen", "first"),
    "high": ("high", "h", "highprice", "pricehigh", "max", "pxhigh"),
    "low": ("low", "l", "lowprice", "pricelow", "min", "pxlow"),
    "close": ("close", "c", "closeprice", "priceclose", "last", "closelast", "pxlast", "price"),
    "volume": ("volume", "v", "vol", "qty", "tickvol", "tickvolume", "totalvolume", "basevolume",
               "volumeusd", "sharesvolume", "volumebtc"),
    "symbol": ("symbol", "ticker", "instrument", "asset", "sym", "secid", "code", "name", "tic"),
}  # fmt: skip
"""Column → spellings, compared without case, spaces and punctuation; earlier ones win."""

_REQUIRED = ("timestamp", "open", "high", "low", "close")


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def recognise(columns: Sequence[object], source: str) -> dict[str, object]:
    """The file's own name for each of our columns; volume and symbol may be missing.

    ``Adj Close`` is not used: adjusted closes beside unadjusted opens would invent returns.

    Raises:
        DataError: a needed column is missing; the message lists what the file has.
    """
    plain = {name: _plain(name) for name in columns}
    found: dict[str, object] = {}
    for ours, spellings in SPELLINGS.items():
        for spelling in map(_plain, spellings):
            match = [name for name, text in plain.items() if text == spelling]
            if match and match[0] not in found.values():
                found[ours] = match[0]
                break
    if "timestamp" not in found and "date" in found:
        found["timestamp"] = found["date"]
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise DataError(
            f"{source}: no column for {', '.join(missing)} among "
            f"{', '.join(map(str, columns)) or 'nothing'}",
            expected="a header with " + ", ".join(_REQUIRED) + " (usual spellings are recognised)",
            hint=f"rename the column, for example to `{missing[0]}`",
        )
    return found


def _epoch_unit(values: np.ndarray) -> str:
    """Unit of epoch numbers, from their size: years 1970–2200 overlap in no two units."""
    size = float(np.nanmedian(np.abs(values)))
    for unit, limit in (("s", 1e10), ("ms", 1e13), ("us", 1e16)):
        if size < limit:
            return unit
    return "ns"


def to_utc(column: pd.Series, tz: str | None, source: str, first_line: int) -> pd.Series:
    """UTC times of a column of text, epoch numbers or datetimes.

    Times with an offset are converted; times without one are read in ``tz`` (UTC if None).
    Eight-digit numbers such as 20180131 are dates.

    Raises:
        DataError: a value that is no time, with its line.
        ConfigError: an unknown time zone, or a local time that the zone does not have.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64)
        if np.all((values >= 1.8e7) & (values < 2.3e7)):
            column = column.astype("int64").astype(str)
        else:
            return pd.to_datetime(column, unit=_epoch_unit(values), utc=True)
    text = column.astype(str) if column.dtype == object else column
    parsed = (
        pd.to_datetime(text, errors="coerce", utc=False, format=None)
        if _uniform(text)
        else pd.to_datetime(text, errors="coerce", utc=True, format="mixed")
    )
    bad = np.flatnonzero(parsed.isna().to_numpy())
    if bad.size:
        raise DataError(
            f"{source}, line {first_line + int(bad[0])}: "
            f"{column.iloc[int(bad[0])]!r} is not a date or time",
            expected="dates such as 2018-01-31, times such as 2018-01-31 09:30, or epoch numbers",
        )
    if parsed.dt.tz is not None:
        return parsed.dt.tz_convert("UTC")
    try:
        return parsed.dt.tz_localize(tz or "UTC", ambiguous="infer").dt.tz_convert("UTC")
    except Exception as error:
        raise ConfigError(
            f"{source}: the times cannot be read in time zone {tz}: {error}",
            expected="an IANA name such as America/New_York, and times that exist there",
            hint="store the times with their offset or in UTC",
        ) from None


def _uniform(text: pd.Series) -> bool:
    """True where pandas can infer one format for all rows (no mixed offsets)."""
    import warnings

    import pandas as pd

    if not pd.api.types.is_string_dtype(text):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            pd.to_datetime(text, errors="raise")
        except (ValueError, UserWarning, FutureWarning, TypeError):
            return False
    return True
