"""Names under which files hold bars. No file is touched here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from offline_trader.errors import DataError
from offline_trader.markets.times import to_utc

__all__ = ["ADJUSTED", "REQUIRED", "SPELLINGS", "plain", "recognise", "to_utc"]

SPELLINGS: dict[str, tuple[str, ...]] = {
    "timestamp": (
        "timestamp", "datetime", "opentime", "date", "time", "bartime", "ts", "dt", "unix",
        "unixtime", "unixtimestamp", "epoch", "gmttime", "localtime", "utctime", "timestamputc",
        "datetimeutc", "dateutc", "timeutc", "tradedate", "tradingdate", "tradingday",
        "dateandtime", "t", "index", "unnamed0", "level0",
    ),
    "open": ("open", "o", "openprice", "priceopen", "pxopen", "openingprice", "first"),
    "high": ("high", "h", "highprice", "pricehigh", "pxhigh", "max"),
    "low": ("low", "l", "lowprice", "pricelow", "pxlow", "min"),
    "close": ("close", "c", "closeprice", "priceclose", "pxlast", "pxclose", "closelast",
              "closingprice", "last", "price"),
    "volume": ("volume", "v", "vol", "realvolume", "basevolume", "totalvolume", "tradevolume",
               "pxvolume", "qty", "quantity", "tickvolume", "tickvol"),
    "symbol": ("symbol", "ticker", "tic", "instrument", "asset", "sym", "pair", "secid", "code",
               "name"),
}  # fmt: skip
"""Column → spellings, compared without case, spaces, punctuation and leading numbers; earlier
ones win."""

ADJUSTED = ("adjclose", "adjustedclose", "adjcloseprice", "closeadj", "closeadjusted")
REQUIRED = ("timestamp", "open", "high", "low", "close")

_NOT_VOLUME = re.compile(r"ma\d*$|avg|average|change|pct|sma|ratio|weighted")


def plain(name: object) -> str:
    """A column's name reduced to what spellings are compared by: ``"1. Open"`` → ``open``."""
    if isinstance(name, tuple):
        name = next((part for part in name if str(part)), "")
    text = re.sub(r"^\s*\d+[.)]\s*", "", str(name).lower())
    return re.sub(r"[^a-z0-9]", "", text)


def recognise(columns: Sequence[object], source: str) -> dict[str, int]:
    """Position of each of our columns among ``columns``.

    Volume and symbol may be missing. ``clock`` is there where ``Date`` and ``Time`` are two
    columns, ``adjusted`` where there is an adjusted close beside the close.

    Raises:
        DataError: a needed column is missing; the message lists what the file has.
    """
    found = _find([plain(name) for name in columns])
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        listed = ", ".join(str(name) for name in columns) or "nothing"
        raise DataError(
            f"{source}: no column for {', '.join(missing)} among {listed}",
            expected="columns " + ", ".join(REQUIRED) + " (the usual spellings are recognised)",
            hint=_hint(missing[0], [str(name) for name in columns], found),
        )
    return found


def _find(names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for ours, spellings in SPELLINGS.items():
        for spelling in spellings:
            if spelling in names and names.index(spelling) not in found.values():
                found[ours] = names.index(spelling)
                break
    if "timestamp" not in found and names and names[0] == "":
        found["timestamp"] = 0  # an index without a name, as pandas writes it
    if "volume" not in found:
        volumes = (n for n in names if n.startswith("volume") and not _NOT_VOLUME.search(n))
        if name := next(volumes, ""):
            found["volume"] = names.index(name)
    stamp = names[found["timestamp"]] if "timestamp" in found else ""
    if stamp in ("date", "tradedate", "tradingdate") and "time" in names:
        found["clock"] = names.index("time")
    adjusted = next((name for name in ADJUSTED if name in names), "")
    if adjusted and "close" in found:
        found["adjusted"] = names.index(adjusted)
    return found


def _hint(missing: str, columns: Sequence[str], found: dict[str, int]) -> str:
    free = {plain(name): name for i, name in enumerate(columns) if i not in found.values()}
    if missing == "close" and (adjusted := next((a for a in ADJUSTED if a in free), "")):
        return (
            f"rename `{free[adjusted]}` to `close` if open, high and low are adjusted as well; "
            "mixing both invents returns"
        )
    near = difflib.get_close_matches(missing, list(free), 1, 0.6)
    if near:
        return f"rename `{free[near[0]]}` to `{missing}`"
    return f"name the column `{missing}`; the first lines must hold the header"
