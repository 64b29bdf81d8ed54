"""Names of columns: what they are compared by, and the spellings that all readers share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["SYMBOL_NAMES", "TIME_NAMES", "find_name", "is_percent", "plain"]

_UNIT = re.compile(
    r"(?<=\w)\s*[(\[]\s*(?:in\s+)?(?:[$€£¥]|[A-Z]{3,5}|[Uu]nits?|[Ss]hares|[Cc]ontracts|[Ll]ots"
    r"|[Pp]rice|[Cc]lient\s+[Tt]ime|[Ll]ocal(?:\s+[Tt]ime)?)\s*[)\]]"
)


def plain(name: object) -> str:
    """A column's name reduced to what spellings are compared by: ``"1. Open"`` → ``open``.

    Case, accents, spaces, punctuation, leading numbers and units in brackets (``Open (USD)``)
    are dropped. A per cent sign is kept as ``pct``: ``Profit %`` is another thing than ``Profit``.
    """
    if isinstance(name, tuple):
        name = next((part for part in name if str(part)), "")
    text = re.sub(r"^\s*\d+[.)]\s*", "", str(name))
    text = _UNIT.sub("", text).replace("%", " pct ")
    text = unicodedata.normalize("NFKD", text.casefold())
    letters = (c for c in text if c.isalnum())
    return "".join(letters)


def is_percent(name: object) -> bool:
    """True where a column's name says that its numbers are per cent, as ``Return (%)`` does."""
    return "%" in str(name) or "％" in str(name)


def find_name(names: Sequence[object], spellings: Iterable[str]) -> int | None:
    """Position of the first of ``names`` that is spelled one of the ways, earlier ways first."""
    known = {plain(name): i for i, name in reversed(list(enumerate(names)))}
    return next((known[each] for each in map(plain, spellings) if each in known), None)


TIME_NAMES: tuple[str, ...] = (
    "timestamp", "datetime", "opentime", "date", "dates", "time", "bartime", "ts", "dt", "unix",
    "unixtime", "unixtimestamp", "epoch", "gmttime", "localtime", "utctime", "timestamputc",
    "datetimeutc", "dateutc", "timeutc", "tradedate", "tradingdate", "tradingday", "windowstart",
    "dateopen", "dateandtime", "opendate", "opentimestamp", "timeperiodstart", "timeopen",
    "starttime", "startdate", "start", "begin", "beginsat", "barstart", "tsevent", "timestampms",
    "timestampns", "asofdate", "pricedate", "effectivedate", "businessdate", "dtyyyymmdd",
    "yyyymmdd", "datestamp", "sessiondate", "exchangedate", "exchangetimestamp", "t", "index",
    "unnamed0", "level0", "candledatetimeutc", "candlebegintime", "klineopentime", "periodstart",
    "intervalstart", "timestart", "barstarttime", "tradetime",
    "datum", "zeit", "zeitpunkt", "datumzeit", "fecha", "fechahora", "data", "czas", "dataora",
    "dataeora", "datahora", "dateheure", "дата", "время", "дата и время", "时间", "日期",
    "交易日期", "交易日", "時間", "日時", "日付", "日付け", "日期时间", "일자", "날짜", "일시",
    "tarih", "tijd", "dato",
)  # fmt: skip
"""Names of the column that holds a row's time; earlier ones win."""

SYMBOL_NAMES: tuple[str, ...] = (
    "symbol", "ticker", "tic", "instrument", "asset", "sym", "pair", "secid", "code", "name",
    "tickersymbol", "tscode", "ric", "isin",
    "тикер", "股票代码", "代码", "证券代码", "コード", "종목코드",
)  # fmt: skip
"""Names of the column that holds a row's instrument; earlier ones win."""
