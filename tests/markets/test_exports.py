# ruff: noqa: E501 (lines of other people's files)
"""Exports of data vendors, platforms and exchanges, as short literal files.

Every file holds the bar 10, 12, 9.5, 11.25 (or a thousand times it) of 2 January 2020 first in
time, unless the case says otherwise.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import DataError
from offline_trader.markets import Bars, load_market, load_markets, of_closes

BAR = (10.0, 12.0, 9.5, 11.25)


@dataclass(frozen=True)
class Export:
    """A file and what its first bar in time is.

    Attributes:
        of: who writes such files.
        text: the file.
        time: of the first bar, UTC.
        volume: of the first bar.
        symbol: the instrument.
        notes: notes, all of them but those on times without a zone.
        prices: of the first bar.
        bars: how many.
        tz: zone that the user names.
    """

    of: str
    text: str
    time: str = "2020-01-02"
    volume: float = 7.0
    symbol: str = "prices"
    notes: tuple[str, ...] = ()
    prices: tuple[float, ...] = BAR
    bars: int = 2
    tz: str | None = None


NEWEST = "the file runs newest first: its rows are turned round"
NO_VOLUME = "no volume column: volume is 0 in every bar"
BY_ORDER = "no header: columns read as timestamp, open, high, low, close, volume"

EXPORTS = [
    Export("Yahoo", """Date,Open,High,Low,Close,Adj Close,Volume
2020-01-02,10.000000,12.000000,9.500000,11.250000,11.100000,7
2020-01-03,10.000000,12.000000,9.500000,11.250000,11.100000,8
""", notes=("the adjusted close is not used",)),
    Export("Yahoo's history page", """Date\tOpen\tHigh\tLow\tClose\tAdj Close\tVolume
Jan 3, 2020\t10.00\t12.00\t9.50\t11.25\t11.10\t1,008
Jan 2, 2020\t10.00\t12.00\t9.50\t11.25\t11.10\t1,007
""", volume=1007.0, notes=(
        "Volume: 1,008 is read as 1008, as the rest of the file has it",
        "the adjusted close is not used", NEWEST)),
    Export("yfinance, intraday", """Price,Close,High,Low,Open,Volume
Ticker,SPY,SPY,SPY,SPY,SPY
Datetime,,,,,
2020-01-02 14:30:00+00:00,11.25,12,9.5,10,7
2020-01-02 14:31:00+00:00,11.25,12,9.5,10,7
""", time="2020-01-02T14:30:00", symbol="SPY"),
    Export("yfinance, by ticker", """Ticker,SPY,SPY,SPY,SPY,SPY
Price,Open,High,Low,Close,Volume
Date,,,,,
2020-01-02,10,12,9.5,11.25,7
2020-01-03,10,12,9.5,11.25,7
""", symbol="SPY"),
    Export("yfinance, without names of levels", """,Open,High,Low,Close,Volume
,SPY,SPY,SPY,SPY,SPY
Date,,,,,
2020-01-02,10,12,9.5,11.25,7
2020-01-03,10,12,9.5,11.25,7
""", symbol="SPY"),
    Export("yfinance, index reset", """Date,Close,High,Low,Open,Volume
,SPY,SPY,SPY,SPY,SPY
2020-01-02,11.25,12,9.5,10,7
2020-01-03,11.25,12,9.5,10,7
""", symbol="SPY"),
    Export("stooq", """Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen
2020-01-02,10,12,9.5,11.25,7
2020-01-03,10,12,9.5,11.25,7
""", notes=("column Wolumen is used as volume",)),
    Export("stooq, bulk", """<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>
AAPL.US,5,20200102,093000,10,12,9.5,11.25,7,0
AAPL.US,5,20200102,093500,10,12,9.5,11.25,7,0
""", time="2020-01-02T09:30:00", symbol="AAPL.US"),
    Export("TradingView", """time,open,high,low,close,Volume,Volume MA
1577957400,10,12,9.5,11.25,7,NaN
1577957460,10,12,9.5,11.25,7,NaN
""", time="2020-01-02T09:30:00"),
    Export("TradingView, ISO", """time,open,high,low,close
2020-01-02T09:30:00-05:00,10,12,9.5,11.25
2020-01-02T09:31:00-05:00,10,12,9.5,11.25
""", time="2020-01-02T14:30:00", volume=0.0, notes=(NO_VOLUME,)),
    Export("Binance, bulk", """1577957400000,10,12,9.5,11.25,7,1577957459999,80,3,4,40,0
1577957460000,10,12,9.5,11.25,7,1577957519999,80,3,4,40,0
""", time="2020-01-02T09:30:00", notes=(BY_ORDER,)),
    Export("Binance, bulk of futures", """open_time,open,high,low,close,volume,close_time,quote_volume,count
1577957400000,10,12,9.5,11.25,7,1577957459999,80,3
1577957460000,10,12,9.5,11.25,7,1577957519999,80,3
""", time="2020-01-02T09:30:00"),
    Export("Binance, ms then µs", """1735603200000,10,12,9.5,11.25,7,1735689599999,80,3,4,40,0
1735689600000000,10,12,9.5,11.25,7,1735775999999999,80,3,4,40,0
1735776000000000,10,12,9.5,11.25,7,1735862399999999,80,3,4,40,0
""", time="2024-12-31", bars=3, notes=(BY_ORDER,
        "the unit of the times changes at row 2: milliseconds, then microseconds; each row is "
        "read in its own")),
    Export("CryptoDataDownload", """https://www.CryptoDataDownload.com
unix,date,symbol,open,high,low,close,Volume BTC,Volume USD
1578009600,2020-01-03 00:00:00,BTC/USD,10,12,9.5,11.25,8,80
1577923200,2020-01-02 00:00:00,BTC/USD,10,12,9.5,11.25,7,70
""", symbol="BTC/USD", notes=("column Volume BTC is used as volume", NEWEST)),
    Export("Kraken", """1577957400,10,12,9.5,11.25,7,3
1577957460,10,12,9.5,11.25,7,3
""", time="2020-01-02T09:30:00", notes=(BY_ORDER,)),
    Export("Coinbase", """time,low,high,open,close,volume
1577957460,9.5,12,10,11.25,7
1577957400,9.5,12,10,11.25,7
""", time="2020-01-02T09:30:00", notes=(NEWEST,)),
    Export("Polygon, flat file", """ticker,volume,open,close,high,low,window_start,transactions
AAPL,7,10,11.25,12,9.5,1577975400000000000,3
AAPL,7,10,11.25,12,9.5,1577975460000000000,3
""", time="2020-01-02T14:30:00", symbol="AAPL"),
    Export("Polygon, aggregates", """v,vw,o,c,h,l,t,n
7,10.5,10,11.25,12,9.5,1577975400000,3
7,10.5,10,11.25,12,9.5,1577975460000,3
""", time="2020-01-02T14:30:00"),
    Export("Alpaca", """symbol,timestamp,open,high,low,close,volume,trade_count,vwap
SPY,2020-01-02 05:00:00+00:00,10,12,9.5,11.25,7,3,10.5
SPY,2020-01-03 05:00:00+00:00,10,12,9.5,11.25,7,3,10.5
""", time="2020-01-02T05:00:00", symbol="SPY"),
    Export("Databento", """ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol
2020-01-02T14:30:00.000000000Z,33,1,5,10.000000000,12.000000000,9.500000000,11.250000000,7,ESH0
2020-01-02T14:31:00.000000000Z,33,1,5,10.000000000,12.000000000,9.500000000,11.250000000,7,ESH0
""", time="2020-01-02T14:30:00", symbol="ESH0"),
    Export("IEX", """close,high,low,open,symbol,volume,id,key,date,change,changePercent
11.25,12,9.5,10,AAPL,7,X,AAPL,1577923200000,0,0.1
11.25,12,9.5,10,AAPL,7,X,AAPL,1578009600000,0,0.1
""", symbol="AAPL"),
    Export("Alpha Vantage", """timestamp,1. open,2. high,3. low,4. close,5. volume
2020-01-03,10,12,9.5,11.25,8
2020-01-02,10,12,9.5,11.25,7
""", notes=(NEWEST,)),
    Export("Quandl", """Date,Open,High,Low,Last,Change,Settle,Volume,Previous Day Open Interest
2020-01-03,10,12,9.5,11,,11.25,8,100
2020-01-02,10,12,9.5,11,,11.25,7,100
""", notes=("column Settle is used as close, not Last", NEWEST)),
    Export("Investing.com", '''"Date","Price","Open","High","Low","Vol.","Change %"
"01/13/2020","11.25","10.00","12.00","9.50","1.30M","0.12%"
"01/02/2020","11.25","10.00","12.00","9.50","1.20K","-0.12%"
''', volume=1200.0, notes=(NEWEST,)),
    Export("Investing.com, German", '''"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"
"03.01.2020","11.250,00","10.000,00","12.000,00","9.500,00","1,30M","0,12%"
"02.01.2020","11.250,00","10.000,00","12.000,00","9.500,00","1,20K","-0,12%"
''', volume=1200.0, prices=(10_000.0, 12_000.0, 9_500.0, 11_250.0), notes=(NEWEST,)),
    Export("Investing.com, French", '''"Date","Dernier","Ouv.","Plus Haut","Plus Bas","Vol.","Variation %"
"03/01/2020","11,250","10,000","12,000","9,500","1,30M","0,12%"
"02/01/2020","11,250","10,000","12,000","9,500","1,20K","-0,12%"
"31/12/2019","11,250","10,000","12,000","9,500","1,20K","-0,12%"
''', time="2019-12-31", bars=3, volume=1200.0, notes=(
        "open: 10,000 is read as 10, as the rest of the file has it",
        "high: 12,000 is read as 12, as the rest of the file has it",
        "low: 9,500 is read as 9.5, as the rest of the file has it",
        "close: 11,250 is read as 11.25, as the rest of the file has it", NEWEST)),
    Export("Boursorama", """Date;Ouverture;Plus haut;Plus bas;Clôture;Volume
02/01/2020;10,00;12,00;9,50;11,25;1 007
13/01/2020;10,00;12,00;9,50;11,25;1 008
""", volume=1007.0),
    Export("ariva", """Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen
2020-01-03;10,00;12,00;9,50;11,25;3;8
2020-01-02;10,00;12,00;9,50;11,25;3;7
""", notes=("column Volumen is used as volume", NEWEST)),
    Export("German Excel", """Datum;Eröffnung;Hoch;Tief;Schluss;Volumen
02.01.2020;10.000,00;12.000,00;9.500,00;11.250,00;1.007
03.01.2020;10.000,00;12.000,00;9.500,00;11.250,00;1.008
""", prices=(10_000.0, 12_000.0, 9_500.0, 11_250.0), volume=1007.0, notes=(
        "Volumen: 1.007 is read as 1007, as the rest of the file has it",
        "column Volumen is used as volume")),
    Export("thousands in a file of tabs", """Date\tOpen\tHigh\tLow\tClose\tVolume
2020-01-02\t20,030\t20,100\t19,950\t20,050\t850
2020-01-03\t20,030\t20,100\t19,950\t20,050\t1,150
""", prices=(20_030.0, 20_100.0, 19_950.0, 20_050.0), volume=850.0, notes=(
        "open: 20,030 is read as 20030, as the rest of the file has it",
        "high: 20,100 is read as 20100, as the rest of the file has it",
        "low: 19,950 is read as 19950, as the rest of the file has it",
        "close: 20,050 is read as 20050, as the rest of the file has it",
        "Volume: 1,150 is read as 1150, as the rest of the file has it")),
    Export("thousands beside decimals", """Date;Open;High;Low;Close;Volume
2020-01-02;1,000.5;1,200;950;1,125.25;850
2020-01-03;1,000.5;1,200;950;1,125.25;1,150
""", prices=(1000.5, 1200.0, 950.0, 1125.25), volume=850.0, notes=(
        "high: 1,200 is read as 1200, as the rest of the file has it",
        "Volume: 1,150 is read as 1150, as the rest of the file has it")),
    Export("NinjaTrader", """20200102 093000;10;12;9.5;11.25;7
20200102 093100;10;12;9.5;11.25;7
""", time="2020-01-02T14:30:00", tz="America/New_York", notes=(BY_ORDER,)),
    Export("NinjaTrader, daily", """20200102;10;12;9.5;11.25;7
20200103;10;12;9.5;11.25;7
""", notes=(BY_ORDER,)),
    Export("MetaTrader 4", """2020.01.02,09:30,10,12,9.5,11.25,7
2020.01.02,09:31,10,12,9.5,11.25,7
""", time="2020-01-02T09:30:00", notes=(
        "no header: columns read as timestamp, clock, open, high, low, close, volume",)),
    Export("MetaTrader 5", """<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>
2020.01.02\t09:30:00\t10\t12\t9.5\t11.25\t7\t0\t1
2020.01.02\t09:31:00\t10\t12\t9.5\t11.25\t7\t0\t1
""", time="2020-01-02T09:30:00", notes=(
        "column <VOL> is 0 or empty in every bar", "column <TICKVOL> is used as volume")),
    Export("MetaTrader 5 of an exchange", """<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>
2020.01.02\t10\t12\t9.5\t11.25\t3\t7\t1
2020.01.03\t10\t12\t9.5\t11.25\t3\t0\t1
"""),
    Export("HistData, ASCII", """20200102 093000;10;12;9.5;11.25;0
20200102 093100;10;12;9.5;11.25;0
""", time="2020-01-02T14:30:00", tz="Etc/GMT+5", volume=0.0,
        notes=(BY_ORDER, "volume is 0 in every bar")),
    Export("HistData, MetaStock", """<TICKER>,<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>
EURUSD,20200102,093000,10,12,9.5,11.25,7
EURUSD,20200102,093100,10,12,9.5,11.25,7
""", time="2020-01-02T09:30:00", symbol="EURUSD"),
    Export("MetaStock without a header", """EURUSD,20200102,093000,10,12,9.5,11.25,7
EURUSD,20200102,093100,10,12,9.5,11.25,7
""", time="2020-01-02T09:30:00", symbol="EURUSD", notes=(
        "no header: columns read as symbol, timestamp, clock, open, high, low, close, volume",)),
    Export("AmiBroker", """$NAME,IBM
Ticker,Date/Time,Open,High,Low,Close,Volume
IBM,1/2/2020,10,12,9.5,11.25,7
IBM,1/13/2020,10,12,9.5,11.25,7
""", symbol="IBM"),
    Export("Bloomberg, saved by Excel", """IBM US Equity,,,,,
Period,D,,,,
Dates,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME
1/2/2020,10,12,9.5,11.25,7
1/13/2020,10,12,9.5,11.25,7
""", notes=("column PX_VOLUME is used as volume",)),
    Export("Refinitiv, saved by Excel", """Interday Price History,,,,,,,
IBM.N,,,,,,,
Exchange Date,Close,Net,%Chg,Open,Low,High,Volume
13-Jan-2020,11.25,0.1,+1.1%,10,9.5,12,8
02-Jan-2020,11.25,0.1,+1.1%,10,9.5,12,7
""", notes=(NEWEST,)),
    Export("Sierra Chart", """Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume
2020/1/2, 09:30:00.000000, 10.00, 12.00, 9.50, 11.25, 7, 3, 3, 4
2020/1/2, 09:31:00.000000, 10.00, 12.00, 9.50, 11.25, 7, 3, 3, 4
""", time="2020-01-02T09:30:00"),
    Export("Dukascopy", """Gmt time,Open,High,Low,Close,Volume
02.01.2020 09:30:00.000,10,12,9.5,11.25,7
02.01.2020 09:31:00.000,10,12,9.5,11.25,7
""", time="2020-01-02T09:30:00"),
    Export("JForex", """Time (EET),Open,High,Low,Close,Volume
2020.01.02 11:30:00,10,12,9.5,11.25,7
2020.01.02 11:31:00,10,12,9.5,11.25,7
""", time="2020-01-02T09:30:00", notes=("times are in EET, as the name Time (EET) says",)),
    Export("FirstRate", """2020-01-02 09:30:00,10,12,9.5,11.25,7
2020-01-02 09:31:00,10,12,9.5,11.25,7
""", time="2020-01-02T14:30:00", tz="US/Eastern", notes=(BY_ORDER,)),
    Export("Kibot", """01/02/2020,09:30,10,12,9.5,11.25,7
01/13/2020,09:31,10,12,9.5,11.25,7
""", time="2020-01-02T14:30:00", tz="US/Eastern", notes=(
        "no header: columns read as timestamp, clock, open, high, low, close, volume",)),
    Export("EOD", """Symbol,Date,Open,High,Low,Close,Volume
AAPL,02-Jan-2020,10,12,9.5,11.25,7
AAPL,03-Jan-2020,10,12,9.5,11.25,7
""", symbol="AAPL"),
    Export("Nasdaq.com", """Date,Close/Last,Volume,Open,High,Low
01/13/2020,$11.25,8,$10.00,$12.00,$9.50
01/02/2020,$11.25,7,$10.00,$12.00,$9.50
""", notes=(NEWEST,)),
    Export("WSJ", """Date, Open, High, Low, Close, Volume
01/13/20, 10.00, 12.00, 9.50, 11.25, 8
01/02/20, 10.00, 12.00, 9.50, 11.25, 7
""", notes=(NEWEST,)),
    Export("KRX", """"일자","종가","대비","등락률","시가","고가","저가","거래량","거래대금"
"2020/01/03","11250","0","0.0","10000","12000","9500","8","80"
"2020/01/02","11250","0","0.0","10000","12000","9500","7","80"
""", prices=(10_000.0, 12_000.0, 9_500.0, 11_250.0), notes=(
        "column 거래량 is used as volume", NEWEST)),
    Export("akshare", """日期,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅
2020-01-02,10,11.25,12,9.5,7,70,1.0,0.5
2020-01-03,10,11.25,12,9.5,7,70,1.0,0.5
""", notes=("column 成交量 is used as volume",)),
    Export("Japanese", """日付,始値,高値,安値,終値,出来高
2020/1/2,10,12,9.5,11.25,7
2020/1/3,10,12,9.5,11.25,7
""", notes=("column 出来高 is used as volume",)),
    Export("Finam", """<TICKER>;<PER>;<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>
SBER;D;20200102;0;10;12;9.5;11.25;7
SBER;D;20200103;0;10;12;9.5;11.25;7
""", symbol="SBER"),
    Export("MOEX", """begin;end;open;close;high;low;value;volume
2020-01-02 10:00:00;2020-01-02 10:59:59;10;11.25;12;9.5;70;7
2020-01-02 11:00:00;2020-01-02 11:59:59;10;11.25;12;9.5;70;7
""", time="2020-01-02T10:00:00"),
    Export("NSE", '''"Date ","series ","OPEN ","HIGH ","LOW ","PREV. CLOSE ","ltp ","close ","VOLUME "
"03-Jan-2020","EQ","10.00","12.00","9.50","11.00","11.20","11.25","1,00,008"
"02-Jan-2020","EQ","10.00","12.00","9.50","11.00","11.20","11.25","1,00,007"
''', volume=100_007.0, notes=(NEWEST,)),
    Export("IB, API", """date,open,high,low,close,volume,average,barCount
20200102 09:30:00 US/Eastern,10,12,9.5,11.25,7,10.5,3
20200102 09:31:00 US/Eastern,10,12,9.5,11.25,7,10.5,3
""", time="2020-01-02T14:30:00"),
    Export("IB, older API", """date,open,high,low,close,volume
20200102  09:30:00,10,12,9.5,11.25,7
20200102  09:31:00,10,12,9.5,11.25,7
""", time="2020-01-02T14:30:00", tz="US/Eastern"),
    Export("OANDA", """time,volume,complete,mid.o,mid.h,mid.l,mid.c
2020-01-02T09:30:00.000000000Z,7,True,10,12,9.5,11.25
2020-01-02T09:31:00.000000000Z,7,True,10,12,9.5,11.25
""", time="2020-01-02T09:30:00"),
    Export("CoinAPI", """time_period_start;time_period_end;time_open;time_close;price_open;price_high;price_low;price_close;volume_traded;trades_count
2020-01-02T09:30:00.0000000Z;2020-01-02T09:31:00.0000000Z;2020-01-02T09:30:02.0000000Z;2020-01-02T09:30:58.0000000Z;10;12;9.5;11.25;7;3
2020-01-02T09:31:00.0000000Z;2020-01-02T09:32:00.0000000Z;2020-01-02T09:31:02.0000000Z;2020-01-02T09:31:58.0000000Z;10;12;9.5;11.25;7;3
""", time="2020-01-02T09:30:00", notes=("column volume_traded is used as volume",)),
    Export("CoinMarketCap", """timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;timestamp
"2020-01-02T00:00:00.000Z";"2020-01-02T23:59:59.999Z";"x";"x";"2781";10;12;9.5;11.25;7;100;"2020-01-02T23:59:59.999Z"
"2020-01-03T00:00:00.000Z";"2020-01-03T23:59:59.999Z";"x";"x";"2781";10;12;9.5;11.25;7;100;"2020-01-03T23:59:59.999Z"
""", time="2020-01-02T23:59:59", symbol="2781"),
    Export("units in the names", """Date,Open (USD),High (USD),Low (USD),Close (USD),Volume (BTC)
2020-01-02,10,12,9.5,11.25,7
2020-01-03,10,12,9.5,11.25,7
"""),
    Export("a currency behind each name", """time,open_usd,high_usd,low_usd,close_usd,volume
2020-01-02,10,12,9.5,11.25,7
2020-01-03,10,12,9.5,11.25,7
"""),
    Export("quantmod", """"","SPY.Open","SPY.High","SPY.Low","SPY.Close","SPY.Volume","SPY.Adjusted"
"2020-01-02",10,12,9.5,11.25,7,11.1
"2020-01-03",10,12,9.5,11.25,7,11.1
""", notes=("column SPY.Volume is used as volume",)),
    Export("bids and asks", """time,bid_o,bid_h,bid_l,bid_c,ask_o,ask_h,ask_l,ask_c
2020-01-02T09:30Z,10,12,9.5,11.25,11,13,10.5,12.25
2020-01-02T09:31Z,10,12,9.5,11.25,11,13,10.5,12.25
""", time="2020-01-02T09:30:00", volume=0.0,
        notes=("prices are bids, such as column bid_c", NO_VOLUME)),
    Export("date_open", """date_open,date_close,open,high,low,close,volume
2020-01-02,2020-01-03,10,12,9.5,11.25,7
2020-01-03,2020-01-04,10,12,9.5,11.25,7
"""),
    Export("quoted decimal commas", '''Date,Open,High,Low,Close,Volume
2020-01-02,"10,0","12,0","9,5","11,25",7
2020-01-03,"10,0","12,0","9,5","11,25",7
'''),
    Export("blanks between the cells", """Date        Open  High  Low  Close  Volume
2020-01-02  10    12    9.5  11.25  7
2020-01-03  10    12    9.5  11.25  7
"""),
    Export("a numbered index before it", """,date,open,high,low,close,volume
0,2020-01-02,10,12,9.5,11.25,7
1,2020-01-03,10,12,9.5,11.25,7
"""),
    Export("Upbit", """market,candle_date_time_utc,opening_price,high_price,low_price,trade_price,candle_acc_trade_volume
KRW-BTC,2020-01-02T09:30:00,10,12,9.5,11.25,7
KRW-BTC,2020-01-02T09:31:00,10,12,9.5,11.25,7
""", time="2020-01-02T09:30:00", notes=("column candle_acc_trade_volume is used as volume",)),
    Export("Tushare, newest first", """ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount
000001.SZ,20200103,10,12,9.5,11.25,11,0.25,2.2,8,80
000001.SZ,20200102,10,12,9.5,11.25,11,0.25,2.2,7,70
""", symbol="000001.SZ", notes=(NEWEST,)),
    Export("Euronext", """"Historical Data"
"From 2020-01-01 to 2020-01-31"
FR0000120271
Date;Open;High;Low;Last;Close;"Number of Shares";"Number of Trades";Turnover;vwap
03/01/2020;10;12;9.5;11.2;11.25;8;3;80;10.5
02/01/2020;10;12;9.5;11.2;11.25;7;3;70;10.5
31/12/2019;10;12;9.5;11.2;11.25;7;3;70;10.5
""", time="2019-12-31", bars=3, notes=("column Close is used as close, not Last",
        "column Number of Shares is used as volume", NEWEST)),
    Export("Excel with its separator in a line", """sep=;
Date;Open;High;Low;Close;Volume
2020-01-02;10;12;9,5;11,25;7
2020-01-03;10;12;9,5;11,25;7
"""),
    Export("Zerodha", """date,open,high,low,close,volume
2020-01-02 09:15:00+0530,10,12,9.5,11.25,7
2020-01-02 09:16:00+0530,10,12,9.5,11.25,7
""", time="2020-01-02T03:45:00"),
    Export("Tiingo", """date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor
2020-01-02T00:00:00.000Z,11.25,12,9.5,10,7,11.1,12,9.5,10,7,0,1
2020-01-03T00:00:00.000Z,11.25,12,9.5,10,7,11.1,12,9.5,10,7,0,1
""", notes=("the adjusted close is not used",)),
    Export("Robinhood", """begins_at,open_price,close_price,high_price,low_price,volume,session,interpolated,symbol
2020-01-02T14:30:00Z,10.000000,11.250000,12.000000,9.500000,7,reg,False,F
2020-01-02T14:35:00Z,10.000000,11.250000,12.000000,9.500000,7,reg,False,F
""", time="2020-01-02T14:30:00", symbol="F"),
    Export("a comment above it", """# data of 2020, in USD
# Date, Open, High are explained elsewhere
date,open,high,low,close,volume
2020-01-02,10,12,9.5,11.25,7
2020-01-03,10,12,9.5,11.25,7
"""),
]  # fmt: skip


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.of)
def test_exports_are_read_as_they_are_meant(tmp_path: Path, export: Export) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(export.text, encoding="utf-8")
    bars = load_market(file, tz=export.tz)
    bar = bars[0]
    assert str(bar.timestamp.astype("datetime64[s]")).replace("T00:00:00", "") == export.time
    assert (bar.open, bar.high, bar.low, bar.close) == export.prices
    assert (bar.volume, bars.symbol, len(bars)) == (export.volume, export.symbol, export.bars)
    told = tuple(note for note in bars.notes if note != "times without a zone are read as UTC")
    assert told == export.notes


def write(folder: Path, text: str | bytes, name: str = "prices.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def days(bars: Bars) -> list[str]:
    return [str(t)[:10] for t in bars.timestamps]


SEVERAL = """Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume
Ticker,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT
Date,,,,,,,,,,
2020-01-02,11.25,,12,,9.5,,10,,7,
2020-01-03,11.25,22.5,12,24,9.5,19,10,20,7,14
2020-01-06,11.25,22.5,12,24,9.5,19,10,20,7,14
"""


def test_tickers_side_by_side_are_instruments(tmp_path: Path) -> None:
    file = write(tmp_path, SEVERAL)
    apple, microsoft = load_markets([file])
    assert (apple.symbol, microsoft.symbol) == ("AAPL", "MSFT")
    assert days(apple) == ["2020-01-02", "2020-01-03", "2020-01-06"]
    assert days(microsoft) == ["2020-01-03", "2020-01-06"]
    assert microsoft[0][1:] == (20.0, 24.0, 19.0, 22.5, 14.0)
    assert "MSFT: 1 rows without a price are left out" in microsoft.notes
    assert load_market(f"{file}#MSFT").sha256 == microsoft.sha256
    with pytest.raises(DataError, match=r"2 instruments \(AAPL, MSFT\)(.|\n)*prices.csv#AAPL"):
        load_market(file)
    broken = write(
        tmp_path, SEVERAL.replace("2020-01-06,11.25,22.5,12,24", "2020-01-06,11.25,22.5,12,2")
    )
    with pytest.raises(DataError, match=r"prices.csv#MSFT row 6: high 2 < close 22.5"):
        load_markets([broken])


@pytest.mark.parametrize("by_ticker", [False, True])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_two_levels_as_pandas_writes_them(
    tmp_path: Path, kind: str, by_ticker: bool
) -> None:
    times = pd.date_range("2020-01-02 14:30", periods=3, freq="min", tz="UTC", name="Datetime")
    names = ["Open", "High", "Low", "Close", "Volume"]
    parts = {
        symbol: pd.DataFrame([[10.0 * k, 12 * k, 9.5 * k, 11.25 * k, 7 * k]] * 3, times, names)
        for symbol, k in (("SPY", 1), ("QQQ", 2))
    }
    frame = pd.concat(parts, axis=1, names=["Ticker", "Price"])
    if not by_ticker:
        frame = frame.swaplevel(axis=1).sort_index(axis=1)
    file = tmp_path / f"a.{kind}"
    getattr(frame, f"to_{kind}")(file)
    spy, qqq = sorted(load_markets([file]), key=lambda bars: bars.close[0])
    assert (spy.symbol, qqq.symbol) == ("SPY", "QQQ")
    assert spy[2][1:] == (10.0, 12.0, 9.5, 11.25, 7.0)
    assert qqq[2][1:] == (20.0, 24.0, 19.0, 22.5, 14.0)
    assert str(qqq.timestamps[0])[:16] == "2020-01-02T14:30"


def test_feather_and_decimal_columns(tmp_path: Path) -> None:
    import decimal

    import pyarrow as pa
    from pyarrow import feather

    times = pd.date_range("2020-01-02", periods=2)
    cells = {name: [decimal.Decimal(str(x))] * 2 for name, x in zip("ohlc", BAR, strict=True)}
    table = pa.table({"t": pa.array(times.date), **cells})
    for compression in ("lz4", "uncompressed"):
        feather.write_feather(table, tmp_path / "a.feather", compression=compression)
        bars = load_market(tmp_path / "a.feather")
        assert (bars[1][1:5], days(bars)) == (BAR, ["2020-01-02", "2020-01-03"])


@pytest.mark.parametrize(
    ("encoding", "header", "name"),
    [
        ("cp1252", "Datum;Eröffnung;Hoch;Tief;Schluß;Volumen", "Windows-1252"),
        ("gb18030", "日期;开盘;最高;最低;收盘;成交量", "GB 18030"),
        ("cp932", "日付;始値;高値;安値;終値;出来高", "Shift-JIS"),
        ("cp949", "일자;시가;고가;저가;종가;거래량", "EUC-KR"),
        ("cp1251", "Дата;Открытие;Максимум;Минимум;Закрытие;Объём", "Windows-1251"),
        ("cp1250", "Data;Otwarcie;Najwyższy;Najniższy;Zamknięcie;Wolumen", "Windows-1250"),
        ("utf-16", "Datum;Eröffnung;Hoch;Tief;Schluß;Volumen", ""),
    ],
)
def test_files_in_the_encodings_of_their_country(
    tmp_path: Path, encoding: str, header: str, name: str
) -> None:
    text = header + "\n2020-01-02;10;12;9.5;11.25;7\n2020-01-03;10;12;9.5;11.25;7\n"
    bars = load_market(write(tmp_path, text.encode(encoding)))
    assert bars[0][1:] == (*BAR, 7.0)
    assert (f"not UTF-8: read as {name}" in bars.notes) == bool(name)


def test_a_unit_that_changes_in_the_middle_is_read_row_by_row(tmp_path: Path) -> None:
    day = 86_400_000
    stamps = [1_734_652_800_000 + i * day for i in range(200)]
    stamps += [(1_734_652_800_000 + i * day) * 1000 for i in range(200, 500)]
    rows = "".join(f"{stamp},10,12,9.5,11.25,7\n" for stamp in stamps)
    bars = load_market(write(tmp_path, "open_time,open,high,low,close,volume\n" + rows))
    expected = np.datetime64("2024-12-20") + np.arange(500)
    np.testing.assert_array_equal(bars.timestamps, expected)
    assert bars.notes == (
        "the unit of the times changes at row 202: milliseconds, then microseconds; each row is "
        "read in its own",
    )


def test_old_daily_bars_in_milliseconds_pass_1970(tmp_path: Path) -> None:
    stamps = np.datetime64("1962-01-02") + np.arange(20_000)
    ms = stamps.astype("datetime64[ms]").astype(np.int64)
    rows = "".join(f"{stamp},10,12,9.5,11.25\n" for stamp in ms)
    bars = load_market(write(tmp_path, "time,open,high,low,close\n" + rows))
    np.testing.assert_array_equal(bars.timestamps, stamps)


def test_a_comma_that_nothing_explains_is_refused(tmp_path: Path) -> None:
    head = "Date;Open;High;Low;Close\n"
    rows = (
        "2020-01-02;110,250;110,300;110,100;110,200\n2020-01-03;110,250;110,300;110,100;110,200\n"
    )
    with pytest.raises(DataError, match=r"row 2: open is '110,250', in which the comma may"):
        load_market(write(tmp_path, head + rows))
    told = head + rows + "2020-01-06;110,2;110,300;110,100;110,200\n"
    assert load_market(write(tmp_path, told))[0].close == 110.2
    whole = rows.replace(",", ".")
    assert load_market(write(tmp_path, head + whole))[0].close == 110.2


def test_newest_first_is_turned_round_for_each_instrument(tmp_path: Path) -> None:
    rows = [f"2020-01-0{d},{s},10,12,9.5,{x}\n" for s in "AB" for d, x in ((3, 11), (2, 10))]
    text = "date,symbol,open,high,low,close\n" + "".join(rows)
    for bars in load_markets([write(tmp_path, text)]):
        assert days(bars) == ["2020-01-02", "2020-01-03"]
        assert (bars.close.tolist(), NEWEST in bars.notes) == ([10.0, 11.0], True)
    broken = text.replace("2020-01-02,B,10,12", "2020-01-02,B,10,9")
    with pytest.raises(DataError, match=r"prices.csv#B row 5: high 9 < close 10"):
        load_markets([write(tmp_path, broken)])


def test_newest_first_local_times_of_autumn_are_told_by_their_order(tmp_path: Path) -> None:
    clock = ["02:30", "01:30", "01:30", "00:30"]
    rows = "".join(f"2020-11-01 {time},10,12,9.5,11.25,7\n" for time in clock)
    file = write(tmp_path, "time,open,high,low,close,volume\n" + rows)
    bars = load_market(file, tz="America/New_York")
    assert [str(t)[11:16] for t in bars.timestamps] == ["04:30", "05:30", "06:30", "07:30"]


CLOSES = ["2020-01-02,10,5\n", "2020-01-03,11,6\n"]


@pytest.mark.parametrize(
    ("head", "rows", "symbol"),
    [
        ("Date,Close\n", "2020-01-02,10\n2020-01-03,11\n", "prices"),
        ("Date,Adj Close\n", "2020-01-02,10\n2020-01-03,11\n", "prices"),
        ("DATE,SP500\n", "2020-01-02,10\n2020-01-03,11\n", "prices"),
        ("Date,0\n", "2020-01-02,10\n2020-01-03,11\n", "prices"),
        (",0\n", "2020-01-02,10\n2020-01-03,11\n", "prices"),
        ("", "2020-01-02,10\n2020-01-03,11\n", "prices"),
        ("Date;Schlusskurs\n", "03.01.2020;11,0\n02.01.2020;10,0\n", "prices"),
        ("Price,Close\nTicker,SPY\nDate,\n", "2020-01-02,10\n2020-01-03,11\n", "SPY"),
    ],
)
def test_a_market_of_closes(tmp_path: Path, head: str, rows: str, symbol: str) -> None:
    file = write(tmp_path, head + rows)
    bars = load_market(of_closes(str(file)))
    assert (bars.symbol, days(bars)) == (symbol, ["2020-01-02", "2020-01-03"])
    for name in ("open", "high", "low", "close"):
        assert getattr(bars, name).tolist() == [10.0, 11.0]
    assert bars.volume.tolist() == [0.0, 0.0]
    assert any(note.startswith("a market of closes: open, high and low are") for note in bars.notes)


def test_per_cent_are_no_closes(tmp_path: Path) -> None:
    file = write(tmp_path, "Date,Close %\n2020-01-02,10\n2020-01-03,11\n")
    with pytest.raises(DataError, match="no column for close among Date, Close %"):
        load_market(f"closes:{file}")


def test_days_without_a_close_are_left_out_of_closes(tmp_path: Path) -> None:
    rows = "2020-01-01,.\n2020-01-02,10\n2020-01-03,\n2020-01-06,11\n2020-01-07,-1\n"
    file = write(tmp_path, "date,SP500\n" + rows)
    with pytest.raises(DataError, match=r"prices\.csv row 6: open is -1"):
        load_market(f"closes:{file}")
    file.write_text(file.read_text().replace("-1\n", "12\n"))
    bars = load_market(f"closes:{file}")
    assert (days(bars), bars.close.tolist()) == (
        ["2020-01-02", "2020-01-06", "2020-01-07"],
        [10.0, 11.0, 12.0],
    )
    assert "2 rows without a price are left out" in bars.notes


def test_closes_side_by_side_are_instruments(tmp_path: Path) -> None:
    text = "Date,AAPL,MSFT\n2020-01-02,10,\n2020-01-03,11,6\n2020-01-06,12,7\n"
    both = load_markets([of_closes(str(write(tmp_path, text)))])
    assert [(bars.symbol, bars.close.tolist()) for bars in both] == [
        ("AAPL", [10.0, 11.0, 12.0]), ("MSFT", [6.0, 7.0])
    ]  # fmt: skip
    assert load_market(f"closes:{tmp_path}/prices.csv#MSFT").sha256 == both[1].sha256


def test_closes_are_read_only_when_that_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path, "Date,Close,Volume\n2020-01-02,10,7\n2020-01-03,11,8\n")
    with pytest.raises(DataError, match=r"no column for open, high, low(.|\n)*--closes"):
        load_market(file)
    assert load_market(f"closes:{file}").volume.tolist() == [7.0, 8.0]


def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    import os

    packed = gzip.compress(EXPORTS[0].text.encode(), mtime=0)
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x1b[2J.csv.gz"))
    file.write_bytes(packed)
    bars = load_market(file)
    assert bars.symbol == "caf\\xe9\\x1b[2J"
    assert bars.name.endswith("/caf\\xe9\\x1b[2J.csv.gz")
    assert len(bars.sha256) == 64


def test_what_a_terminal_would_obey_is_shown_as_an_escape(tmp_path: Path) -> None:
    escape = "\x1b[31m"
    text = f"Date,Sym\u00a0bol,Open,High,Low,Close,Volume{escape}\n2020-01-02,A{escape},10,12,9.5,11.25,7\n"
    bars = load_market(write(tmp_path, text))
    assert bars.symbol == "A\\x1b[31m"
    assert all(note.isprintable() for note in bars.notes)
    with pytest.raises(DataError) as refused:
        load_market(write(tmp_path, text.replace(",10,", f",{escape},")))
    assert refused.value.found.endswith("row 2: open is '\\x1b[31m'")


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ('[[1577957400000, 10, 12, 9.5, 11.25, 7], [1577957460000, "10", "12", 9.5, 11.25, 7]]', "a"),
        ('[{"t": 1577957400000, "o": 10, "h": 12, "l": 9.5, "c": 11.25, "v": 7},'
         ' {"t": 1577957460000, "o": 10, "h": 12, "l": 9.5, "c": 11.25, "v": 7}]', "a"),
        ('{"time": "2020-01-02T09:30:00Z", "volume": 7, "mid": {"o": "10", "h": "12", "l": "9.5", "c": "11.25"}}\n'
         '{"time": "2020-01-02T09:31:00Z", "volume": 7, "mid": {"o": "10", "h": "12", "l": "9.5", "c": "11.25"}}\n', "a"),
        ('{"s": "ok", "t": [1577957400, 1577957460], "o": [10, 10], "h": [12, 12], "l": [9.5, 9.5],'
         ' "c": [11.25, 11.25], "v": [7, 7]}', "a"),
        ('{"ticker": "X", "results": [{"T": "AAPL", "v": 7, "o": 10, "c": 11.25, "h": 12, "l": 9.5, "timestamp": 1577957400000},'
         ' {"T": "AAPL", "v": 7, "o": 10, "c": 11.25, "h": 12, "l": 9.5, "timestamp": 1577957460000}]}', "a"),
        ('{"Meta Data": {"1. Information": "x"}, "Time Series (1min)": {'
         '"2020-01-02 09:31:00": {"1. open": "10", "2. high": "12", "3. low": "9.5", "4. close": "11.25", "5. volume": "7"},'
         '"2020-01-02 09:30:00": {"1. open": "10", "2. high": "12", "3. low": "9.5", "4. close": "11.25", "5. volume": "7"}}}', "a"),
    ],
)  # fmt: skip
def test_json_as_exchanges_and_vendors_answer(tmp_path: Path, text: str, symbol: str) -> None:
    for name, data in (("a.json", text.encode()), ("a.json.gz", gzip.compress(text.encode()))):
        bars = load_market(write(tmp_path, data, name))
        assert (bars[0][1:], bars.symbol, len(bars)) == ((*BAR, 7.0), symbol, 2)
        assert str(bars.timestamps[0])[:19] == "2020-01-02T09:30:00"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "5", '"x"', "[1, 2]", "{", "[" * 100_000, '{"a": {"b": 1}}\n[1]']
)
def test_json_that_is_no_table(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"a\.json"):
        load_market(write(tmp_path, text, "a.json"))
