"""How files spell the columns of bars: English, data vendors' and other languages' names."""

from __future__ import annotations

from offline_trader.tables import SYMBOL_NAMES, TIME_NAMES

__all__ = ["ADJUSTED", "CLOCKS", "DATES", "SPELLINGS"]

SPELLINGS: dict[str, tuple[str, ...]] = {
    "timestamp": TIME_NAMES,
    "open": (
        "open", "o", "openprice", "priceopen", "pxopen", "openingprice", "first", "mido",
        "midopen", "opening", "bido", "bidopen", "openbid", "eröffnung", "eröffnungskurs",
        "eröff.", "eröffn.", "erster", "anfang", "ouverture", "ouv.", "apertura", "aper.",
        "abertura", "otwarcie", "openingskoers", "öppning", "открытие", "откр.", "开", "开盘",
        "开盘价", "開盤", "開盤價", "始値", "시가", "açılış",
    ),
    "high": (
        "high", "h", "highprice", "pricehigh", "pxhigh", "max", "midh", "midhigh", "bidh",
        "bidhigh", "highbid", "highest", "highestprice", "hoch", "tageshoch", "höchst",
        "höchstkurs", "hochkurs", "plus haut", "+ haut", "haut", "máximo", "máx.", "máxima",
        "massimo", "alto", "najwyższy", "maks.", "hoog", "hoogste", "högsta", "максимум",
        "макс.", "максимальная", "高", "最高", "最高价", "最高價", "高値", "고가", "yüksek",
    ),
    "low": (
        "low", "l", "lowprice", "pricelow", "pxlow", "min", "midl", "midlow", "bidl", "bidlow",
        "lowbid", "lowest", "lowestprice", "tief", "tagestief", "tiefst", "tiefstkurs",
        "tiefkurs", "plus bas", "+ bas", "bas", "mínimo", "mín.", "mínima", "minimo", "bajo",
        "baixo", "najniższy", "laag", "laagste", "lägsta", "минимум", "мин.", "минимальная",
        "低", "最低", "最低价", "最低價", "安値", "저가", "düşük",
    ),
    "close": (
        "close", "c", "closeprice", "priceclose", "pxlast", "pxclose", "closelast",
        "closingprice", "settle", "settlement", "last", "lastprice", "tradeprice", "price", "midc",
        "midclose", "bidc", "bidclose", "closebid", "end of day", "schluss", "schlusskurs",
        "schlußkurs", "schlusspreis", "letzter", "zuletzt", "kurs", "clôture", "cloture",
        "clôt.", "fermeture", "dernier", "cierre", "último", "chiusura", "ultimo", "fechamento",
        "fecho", "zamknięcie", "slot", "slotkoers", "laatste", "stängning", "закрытие", "закр.",
        "цена", "收", "收盘", "收盘价", "收盤", "收盤價", "終値", "종가", "kapanış", "şimdi",
    ),
    "volume": (
        "volume", "v", "vol", "realvolume", "basevolume", "totalvolume", "tradevolume",
        "pxvolume", "qty", "quantity", "tickvolume", "tickvol", "volumen", "umsatz", "stück",
        "wolumen", "volym", "объём", "объем", "成交量", "交易量", "出来高", "거래량", "hacim",
        "hac.", "candleacctradevolume", "number of shares", "shares", "share volume",
        "totaltradedquantity", "tottrdqty", "ttltrdqnty", "volume traded",
        "shares traded", "traded volume",
    ),
    "symbol": SYMBOL_NAMES,
}  # fmt: skip
"""Column → spellings, compared as :func:`~offline_trader.tables.plain` reduces them; earlier ones
win."""

ADJUSTED = ("adjclose", "adjustedclose", "adjcloseprice", "closeadj", "closeadjusted")
DATES = (
    "date", "tradedate", "tradingdate", "tradingday", "dtyyyymmdd", "yyyymmdd", "datum", "fecha",
    "data", "дата", "日期", "交易日期", "日付", "일자", "tarih",
)  # fmt: skip
"""Names of a column of days beside which a column of :data:`CLOCKS` holds the time of day."""
CLOCKS = (
    "time", "timeofday", "hour", "zeit", "uhrzeit", "heure", "hora", "ora", "czas", "godzina",
    "время", "时间", "時刻", "시간", "tijd", "saat",
)  # fmt: skip
