"""Results as brokers, exchanges and backtesters write them: literal rows, profits by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.imported import Imported, ImportOptions, read_imported


def read(folder: Path, text: str, **options: object) -> Imported:
    path = folder / "x.csv"
    path.write_text(text, encoding="utf-8")
    return read_imported(path, ImportOptions(**options))  # type: ignore[arg-type]


def says(found: Imported, *parts: str) -> None:
    """Every part is in one note or another."""
    for part in parts:
        assert any(part in note for note in found.notes), (part, found.notes)


def rows(header: str, *lines: str) -> str:
    return "\n".join([header, *lines]) + "\n"


Case = tuple[str, dict[str, object], list[float], str]
SERIES: dict[str, Case] = {
    "per cent in the name": (
        rows("Date,Daily Return (%)", "2020-01-02,0.06", "2020-01-03,-0.03", "2020-01-06,0.02"),
        {},
        [0.0006, -0.0003, 0.0002],
        "read as per cent, as its name says",
    ),
    "per cent in the name and the cells": (
        rows("Date,Return %", "2020-01-02,0.06%", "2020-01-03,-0.03%"),
        {},
        [0.0006, -0.0003],
        "",
    ),
    "the user knows better than the name": (
        rows("Date,Return %", "2020-01-02,0.06", "2020-01-03,-0.03"),
        {"percent": False},
        [0.06, -0.03],
        "",
    ),
    "pct that can only be per cent": (
        rows("Date,return_pct", "2020-01-02,0.4", "2020-01-03,-1.02", "2020-01-06,0.2"),
        {},
        [0.004, -0.0102, 0.002],
        "`return_pct` is read as per cent",
    ),
    "pct that is a share": (
        rows("Date,return_pct", "2020-01-02,0.004", "2020-01-03,-.0102", "2020-01-06,0.002"),
        {},
        [0.004, -0.0102, 0.002],
        "`return_pct` is read as shares",
    ),
    "profits of a day in per cent": (
        rows("date;Profit %", "02.01.2020;0,5", "03.01.2020;-0,25"),
        {},
        [0.005, -0.0025],
        "as its name says",
    ),
    "profits of a day with per cent signs in the cells": (
        rows("date,PnL", "2020-01-02,0.5%", "2020-01-03,-0.25%"),
        {},
        [0.005, -0.0025],
        "",
    ),
    "growth since the start, called returns": (
        rows("date,cum_returns", "2020-01-01,1.01", "2020-01-02,1.0302", "2020-01-03,0.927180"),
        {},
        [0.02, -0.1],
        "`cum_returns` is read as growth since the start: it begins near 1",
    ),
    "Series.to_csv without names": (
        rows(",0", "2020-01-02,0.01", "2020-01-03,-0.02", "2020-01-06,0.01"),
        {},
        [0.01, -0.02, 0.01],
        "`0` is read as returns",
    ),
    "Series.to_csv with a named index": (
        rows("Date,0", "2020-01-02,0.01", "2020-01-03,-0.02"),
        {},
        [0.01, -0.02],
        "`0` is read as returns",
    ),
    "no header": (
        rows("2020-01-02,0.01", "2020-01-03,-0.02", "2020-01-06,0.01"),
        {},
        [0.01, -0.02, 0.01],
        "`column 2` is read as returns",
    ),
    "no header, equity": (
        rows("2020-01-02,10000", "2020-01-03,10100", "2020-01-06,9999"),
        {},
        [0.01, -0.01],
        "`column 2` is read as equity",
    ),
    "log returns by name": (
        rows("Date,log_return", "2020-01-02,0.01", "2020-01-03,-0.02"),
        {},
        [np.expm1(0.01), np.expm1(-0.02)],
        "read as log returns",
    ),
    "log returns asked for": (
        rows("Date,ret", "2020-01-02,0.01", "2020-01-03,-2"),
        {"log_returns": True},
        [np.expm1(0.01), np.expm1(-2.0)],
        "read as log returns",
    ),
    "money of a day": (
        rows("Date,PnL", "2020-01-02,100", '2020-01-03,"(55.00)"', '2020-01-06,"$1,045.00"'),
        {"capital": 1000.0},
        [0.1, -0.05, 1.0],
        "depend on the capital of 1,000",
    ),
    "newest first": (
        rows("Date,returns", "2020-01-06,0.01", "2020-01-03,-0.02", "2020-01-02,0.03"),
        {},
        [0.03, -0.02, 0.01],
        "turned round",
    ),
    "returns since the start": (
        rows("date,cum_returns", "2020-01-01,0", "2020-01-02,0.01", "2020-01-03,0.0201"),
        {},
        [0.01, 0.01],
        "returns since the start",
    ),
    "a table of months": (
        rows(
            "Year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec,YTD",
            "2021,1.2%,-0.4%,,,,,,,,,,,0.8%",
            "2020,,,,,,,,,,,2%,-1%,1%",
        ),
        {},
        [0.02, -0.01, 0.012, -0.004],
        "years by months",
    ),
    "year and month": (
        rows("Year,Month,Portfolio 1 Return", "2020,1,1.00%", "2020,2,-1.00%", "2020,3,2%"),
        {},
        [0.01, -0.01, 0.02],
        "",
    ),
    "money as Europe writes it": (
        rows("Datum;Kapital", "02.01.2020;1.000,50 €", "03.01.2020;2.001,00 €"),
        {},
        [1.0],
        "",
    ),
    "what else is there is named": (
        rows("Date,Strategy,Benchmark", "2020-01-02,0.004,1", "2020-01-03,-.01,1"),
        {},
        [0.004, -0.01],
        "`Strategy` is read as returns; not used: Benchmark",
    ),
    "the per cent sign tells money from return": (
        rows("date,Profit %,Profit", "2020-01-02,1,50", "2020-01-03,-2,-99"),
        {},
        [0.01, -0.02],
        "not used: Profit",
    ),
}


@pytest.mark.parametrize("case", SERIES)
def test_series(tmp_path: Path, case: str) -> None:
    text, options, returns, note = SERIES[case]
    found = read(tmp_path, text, **options)
    np.testing.assert_allclose(found.equity[1:] / found.equity[:-1] - 1.0, returns, atol=1e-12)
    if note:
        says(found, note)


def test_months_are_their_last_days_in_every_spelling(tmp_path: Path) -> None:
    for first, second in (("201501", "201502"), ("2015-01", "2015-02"), ("Jan 2015", "Feb 2015")):
        found = read(tmp_path, rows("date,returns", f"{first},0.01", f"{second},-0.02"))
        assert [str(t)[:10] for t in found.times[1:]] == ["2015-01-31", "2015-02-28"]


def test_what_cannot_be_told_of_a_series_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"may be per cent or shares"):
        read(tmp_path, rows("date,return_pct", "2020-01-02,.04", "2020-01-03,-.05"))
    with pytest.raises(ConfigError, match=r"no capital") as info:
        read(tmp_path, rows("date,pnl", "2020-01-02,4", "2020-01-03,-5"))
    assert "--capital" in str(info.value)
    with pytest.raises(ConfigError, match=r"tell no kind"):
        read(tmp_path, rows("2020-01-02,0.01", "2020-01-03,0.02"))  # all positive and small
    with pytest.raises(DataError, match=r"equity at 2020-01-03 is -1"):
        read(tmp_path, rows("date,pnl", "2020-01-02,4", "2020-01-03,-15"), capital=10.0)
    refused: list[tuple[dict[str, object], str]] = [
        ({"capital": 5.0}, "--capital with an equity"),
        ({"log_returns": True, "kind": "equity"}, "--log-returns with equity"),
        ({"profit": "net"}, "--profit net with equity"),
        ({"percent": False}, "--no-percent with an equity"),
    ]
    for options, message in refused:
        with pytest.raises(ConfigError, match=message):
            read(tmp_path, rows("date,equity", "2020-01-02,4", "2020-01-03,5"), **options)


TRADES: dict[str, tuple[str, list[float], list[int], list[str]]] = {
    "MT4: costs are beside a gross profit; a deposit is no trade": (
        rows(
            "Ticket,Open Time,Type,Size,Item,Price,S / L,T / P,Close Time,Price,Commission,Taxes,"
            "Swap,Profit",
            "1,2020.01.01 00:00:00,balance,,,,,,,,,,,1000.00",
            "2,2020.01.02 10:00:00,buy,0.10,eurusd,1.10000,0,0,2020.01.02 12:00:00,1.10010,-0.70,"
            "0.00,-0.50,1.00",
            "3,2020.01.03 10:00:00,sell,0.10,eurusd,1.10000,0,0,2020.01.03 12:00:00,1.09900,-0.70,"
            "0.00,0.00,10.00",
        ),
        [-0.2, 9.3],
        [1, -1],
        ["Commission, Taxes, Swap (written with a minus) are taken off", "balance"],
    ),
    "MT5 positions: Time and Price come twice": (
        rows(
            "Time,Position,Symbol,Type,Volume,Price,S / L,T / P,Time,Price,Commission,Swap,Profit",
            "2020.01.02 10:00:00,1,EURUSD,buy,1,1.1,,,2020.01.02 12:00:00,1.101,-7.00,0.00,100.00",
            "2020.01.03 10:00:00,2,EURUSD,sell,1,1.1,,,2020.01.03 12:00:00,1.099,-7.00,-1.2,100",
        ),
        [93.0, 91.8],
        [1, -1],
        ["the first `Time` is the entry's"],
    ),
    "MT5 report: titles above, other tables below": (
        rows(
            "Trade History Report,,,,,,,,,,,,",
            "Name:,,,John,,,,,,,,,",
            "Date:,,,2023.01.05 10:00,,,,,,,,,",
            "Positions,,,,,,,,,,,,",
            "Time,Position,Symbol,Type,Volume,Price,S / L,T / P,Time,Price,Commission,Swap,Profit",
            "2020.01.02 10:00,1,EURUSD,buy,1,1.1,,,2020.01.02 12:00,1.101,-7.00,0.00,1 000.00",
            "Orders,,,,,,,,,,,,",
            "Open Time,Order,Symbol,Type,Volume,Price,S / L,T / P,Time,State,,Comment,",
            "2020.01.02 10:00:00,2,EURUSD,buy,1 / 1,market,,,2020.01.02 12:00:00,filled,,,",
        ),
        [993.0],
        [1],
        ["('Orders') are another table and were not read"],
    ),
    "MT5 deals: costs of both ends": (
        rows(
            "Time,Deal,Symbol,Type,Direction,Volume,Price,Order,Commission,Fee,Swap,Profit,Balance,"
            "Comment",
            "2020.01.01 00:00:00,1,,balance,,,,,0.00,0.00,0.00,10 000.00,10 000.00,",
            "2020.01.02 10:00:00,2,EURUSD,buy,in,0.1,1.1,2,-0.70,0.00,0.00,0.00,9 999.30,",
            "2020.01.02 12:00:00,3,EURUSD,sell,out,0.1,1.101,3,-0.70,0.00,-0.10,10.00,10 008.50,",
        ),
        [8.5],
        [1],
        ["balance", "Commission, Fee, Swap are taken off"],
    ),
    "TradingView: two rows a trade, the last one open": (
        rows(
            "Trade #,Type,Date/Time,Signal,Price USD,Position size (qty),Position size (value),"
            "Net P&L USD,Net P&L %,Cumulative P&L USD",
            "1,Exit long,2020-01-10,Close,110,1,100,10,10,10",
            "1,Entry long,2020-01-02,Long,100,1,100,10,10,10",
            "2,Exit short,2020-01-14,Close,112,1,110,-2,-1.8,8",
            "2,Entry short,2020-01-13,Short,110,1,110,-2,-1.8,8",
            "3,Exit long,2020-01-17,Open,112,1,110,5,1.8,8",
            "3,Entry long,2020-01-16,Long,110,1,110,5,1.8,8",
        ),
        [10.0, -2.0],
        [1, -1],
        ["two rows a trade", "1 trade left out, still open"],
    ),
    "TradingView of older days: profits in the exit's row alone": (
        rows(
            "Trade #,Type,Signal,Date/Time,Price,Contracts,Profit,Profit %,Cum. Profit",
            "1,Entry Long,L,2020-01-02 10:00,100,1,,,",
            "1,Exit Long,S,2020-01-03 10:00,110,1,10,10,10",
        ),
        [10.0],
        [1],
        [],
    ),
    "profit in per cent is no money": (
        rows(
            "Entry time,Exit time,Profit %",
            "2020-01-02,2020-01-03,1.5",
            "2020-01-06,2020-01-07,-.5",
        ),
        [150.0, -50.75],
        [1, 1],
        ["`Profit %` is read as per cent"],
    ),
    "commissions with a minus": (
        rows(
            "entry_time,exit_time,entry_price,exit_price,qty,commission",
            "2020-01-02,2020-01-03,10,11,100,-5",
            "2020-01-06,2020-01-07,10,9,100,-5",
        ),
        [95.0, -105.0],
        [1, 1],
        ["less commission (written with a minus)"],
    ),
    "two columns of fees": (
        rows(
            "Size,Entry Timestamp,Avg Entry Price,Entry Fees,Exit Timestamp,Avg Exit Price,"
            "Exit Fees,Direction,Status",
            "10,2020-01-02,10,1,2020-01-03,11,2,Long,Closed",
            "10,2020-01-02,10,1,2020-01-03,11,2,Short,Closed",
        ),
        [7.0, -13.0],
        [1, -1],
        ["less Entry Fees, Exit Fees"],
    ),
    "vectorbt: PnL is net, the prices show": (
        rows(
            "Size,Entry Timestamp,Avg Entry Price,Entry Fees,Exit Timestamp,Avg Exit Price,"
            "Exit Fees,PnL,Return,Direction,Status",
            "10,2020-01-02,10,1,2020-01-03,11,2,7,0.07,Long,Closed",
            "10,2020-01-02,10,1,2020-01-03,11,2,-13,-.13,Short,Closed",
        ),
        [7.0, -13.0],
        [1, -1],
        ["`PnL` is read as net, as the prices show"],
    ),
    "QuantConnect: P&L is gross, the prices show": (
        rows(
            "Entry Time,Symbols,Exit Time,Direction,Entry Price,Exit Price,Quantity,P&L,Fees",
            "2020-01-02T15:00:00Z,SPY,2020-01-03T15:00:00Z,Buy,100,101,10,10,2",
            "2020-01-02T15:00:00Z,SPY,2020-01-03T16:00:00Z,Sell,100,100.1,10,-1,2",
        ),
        [8.0, -3.0],
        [1, -1],
        ["`P&L` is read as gross, as the prices show"],
    ),
    "NinjaTrader: a point is worth 50, the profit is net": (
        rows(
            "Trade number,Instrument,Market pos.,Qty,Entry price,Exit price,Entry time,Exit time,"
            "Profit,Cum. net profit,Commission,Clearing Fee",
            "1,ES,Long,1,3200,3210,1/2/2020 9:30:00 AM,1/2/2020 10:30:00 AM,$495.50,$496,$4.50,$0",
            "2,ES,Short,1,3200,3210,1/14/2020 9:30:00 AM,1/14/2020 10:30:00 AM,($504.50),"
            "($9.00),$4.50,$0",
            "3,ES,Long,1,3200,3202,1/15/2020 9:30:00 AM,1/15/2020 10:30:00 AM,$95.50,$87,$4.50,$0",
        ),
        [495.5, -504.5, 95.5],
        [1, -1, 1],
        ["`Profit` is read as net, as the prices show"],
    ),
    "freqtrade: profit_abs is net, fee_open is a rate": (
        rows(
            "pair,amount,open_date,close_date,open_rate,close_rate,fee_open,fee_close,"
            "profit_ratio,profit_abs,is_open,is_short",
            "BTC/USDT,0.01,2020-01-02 00:00:00+00:00,2020-01-02 05:00:00+00:00,10000,10100,.001,"
            ".001,0.008,0.8,False,False",
            "BTC/USDT,0.01,2020-01-03 00:00:00+00:00,2020-01-03 05:00:00+00:00,10000,10100,.001,"
            ".001,-0.012,-1.2,False,True",
        ),
        [0.8, -1.2],
        [1, -1],
        [],
    ),
    "backtrader: pnlcomm is net": (
        rows(
            "ref,datein,dateout,dir,pricein,priceout,pnl,pnl%,pnlcomm,size",
            "1,2020-01-02,2020-01-05,long,10,11,10,10,9,10",
            "2,2020-01-08,2020-01-09,short,10,11,-10,-10,-11,10",
        ),
        [9.0, -11.0],
        [1, -1],
        ["were not used: pnl"],
    ),
    "AmiBroker": (
        rows(
            "Ticker,Trade,Date,Price,Ex. date,Ex. Price,% chg,Profit,% Profit,Shares,Cum. Profit",
            "AAPL,Long,1/2/2020,10,1/15/2020,11,10%,100,10%,100,100",
            "AAPL,Short,1/16/2020,10,1/17/2020,11,10%,-100,-10%,100,0",
        ),
        [100.0, -100.0],
        [1, -1],
        [],
    ),
    "Tradovate: sold before bought": (
        rows(
            "symbol,qty,buyPrice,sellPrice,pnl,boughtTimestamp,soldTimestamp",
            "ES,1,3200,3201,$50.00,01/02/2020 10:00:00,01/02/2020 10:05:00",
            "ES,1,3202,3201,$(50.00),01/14/2020 10:09:00,01/14/2020 10:05:00",
        ),
        [50.0, -50.0],
        [1, -1],
        ["sold before bought"],
    ),
    "cTrader: net and gross": (
        rows(
            "Symbol,Opening direction,Opening time (UTC+0),Closing time (UTC+0),Entry price,"
            "Closing price,Closing Quantity,Gross EUR,Swap,Commissions,Net EUR,Balance EUR",
            "EURUSD,Buy,02/01/2020 10:00:00.123,02/01/2020 12:00:00.123,1.1,1.101,0.01 Lots,1.00,0,"
            "-0.06,0.94,1000.94",
            "EURUSD,Sell,23/01/2020 10:00:00.123,23/01/2020 12:00:00.123,1.1,1.101,0.01 Lots,-1.00,"
            "0,-0.06,-1.06,999.88",
        ),
        [0.94, -1.06],
        [1, -1],
        [],
    ),
    "Bybit: a sale closes a long": (
        rows(
            "Contracts,Closing Direction,Qty,Entry Price,Exit Price,Closed P&L,Trade Time(UTC+0)",
            "BTCUSDT,Sell,0.01,10000,10100,0.9,2020-01-02 10:00:00",
            "BTCUSDT,Buy,0.01,10000,10100,-1.1,2020-01-03 10:00:00",
        ),
        [0.9, -1.1],
        [1, -1],
        ["a sale closes a long"],
    ),
    "Schwab, realised gains": (
        rows(
            "Symbol,Closed Date,Opened Date,Quantity,Proceeds,Cost Basis (CB),Gain/Loss ($),"
            "Gain/Loss (%)",
            "AAPL,01/15/2020,01/02/2020,10,110,100,$10.00,10%",
            "MSFT,01/16/2020,01/02/2020,10,90,100,-$10.00,-10%",
        ),
        [10.0, -10.0],
        [1, 1],
        ["were not used: Proceeds"],
    ),
    "date and time of day in two columns": (
        rows(
            "Entry Date,Entry Time,Exit Date,Exit Time,PnL",
            "2020-01-02,09:30,2020-01-02,15:30,5",
            "2020-01-03,09:30,2020-01-03,15:30,-5",
        ),
        [5.0, -5.0],
        [1, 1],
        [],
    ),
    "fills of Binance": (
        rows(
            "Date(UTC),Pair,Side,Price,Executed,Amount,Fee",
            "2023-01-05 10:00:00,BTCUSDT,SELL,24000,0.0300000000BTC,720USDT,0.72USDT",
            "2023-01-02 10:00:00,BTCUSDT,BUY,23000,0.0300000000BTC,690.0000000USDT,0.69USDT",
        ),
        [30.0 - 1.41],
        [1],
        ["2 fills are 1 round trip", "less Fee"],
    ),
    "fees in coins are no money": (
        rows(
            "Date(UTC),Market,Type,Price,Amount,Total,Fee,Fee Coin",
            "2023-01-05 10:00:00,BTCUSDT,SELL,24000,0.03,720,0.001,BNB",
            "2023-01-02 10:00:00,BTCUSDT,BUY,23000,0.03,690,0.001,BNB",
        ),
        [30.0],
        [1],
        ["were not used: Fee"],
    ),
    "fills of Robinhood": (
        rows(
            '"Activity Date","Process Date","Settle Date","Instrument","Description","Trans Code",'
            '"Quantity","Price","Amount"',
            '"1/24/2023","1/24/2023","1/26/2023","AAPL","Apple","Sell","10","$130.00","$1,300.00"',
            '"1/5/2023","1/5/2023","1/5/2023","AAPL","Dividend","CDIV","","","$2.00"',
            '"1/3/2023","1/3/2023","1/5/2023","AAPL","Apple\nCUSIP","Buy","10","$125","($1,250)"',
            '"1/2/2023","1/2/2023","1/2/2023","","Deposit","ACH","","","$5,000.00"',
            '"","","","","","","","","The data provided is for informational purposes"',
        ),
        [50.0],
        [1],
        ["2 rows left out, no trades: ACH, CDIV", "remarks or totals"],
    ),
    "orders of Lean: their type is no side": (
        rows(
            "Time,Symbol,Price,Quantity,Type,Status,Value,Tag",
            "2023-01-03T14:30:00Z,SPY,380,10,Market,Filled,3800,",
            "2023-01-04T14:30:00Z,SPY,385,-10,Market,Filled,-3850,",
            "2023-01-05T14:30:00Z,SPY,0,10,Limit,Canceled,0,",
        ),
        [50.0],
        [1],
        ["1 row left out, not filled: Canceled"],
    ),
    "trades of CCXT: order is a number, cost the notional": (
        rows(
            "id,timestamp,datetime,symbol,order,type,side,takerOrMaker,price,amount,cost,fee",
            "1,1672756200000,2023-01-03T14:30:00.000Z,BTC/USDT,998877,limit,sell,taker,17000,.1,1700,"
            "\"{'cost': 1.6, 'currency': 'USDT'}\"",
            "2,1672842600000,2023-01-04T14:30:00.000Z,BTC/USDT,998878,limit,buy,taker,16000,.1,1600,"
            "\"{'cost': 1.7, 'currency': 'USDT'}\"",
        ),
        [100.0],
        [-1],
        ["were not used: cost, fee"],
    ),
    "Interactive Brokers, flex": (
        rows(
            "ClientAccountID,Symbol,DateTime,Quantity,TradePrice,IBCommission,Buy/Sell,"
            "FifoPnlRealized",
            "U1,AAPL,20230103;093000,10,125,-1,BUY,0",
            "U1,AAPL,20230104;093000,-10,126,-1,SELL,8",
        ),
        [8.0],
        [1],
        ["`FifoPnlRealized` is read as net, as the prices show"],
    ),
    "Fidelity, account history": (
        rows(
            "Run Date,Action,Symbol,Description,Type,Quantity,Price ($),Commission ($),Fees ($),"
            "Accrued Interest ($),Amount ($),Settlement Date",
            "01/24/2023,YOU SOLD APPLE INC (AAPL) (Cash),AAPL,APPLE INC,Cash,-10,130,,0.02,,"
            "1299.98,01/26/2023",
            "01/20/2023,DIVIDEND RECEIVED APPLE INC (AAPL) (Cash),AAPL,APPLE INC,Cash,,,,,,2.3,",
            "01/03/2023,YOU BOUGHT APPLE INC (AAPL) (Cash),AAPL,APPLE INC,Cash,10,125,1,,,-1251,"
            "01/05/2023",
        ),
        [48.98],
        [1],
        ["1 row left out, no trades: DIVIDEND RECEIVED", "less Commission ($), Fees ($)"],
    ),
    "Coinbase, fills": (
        rows(
            "portfolio,trade id,product,side,created at,size,size unit,price,fee,total,"
            "price/fee/total unit",
            "default,1,BTC-USD,BUY,2023-01-03T14:30:00.123Z,0.5,BTC,16000,4,-8004,USD",
            "default,2,BTC-USD,SELL,2023-01-04T14:30:00.123Z,0.5,BTC,17000,4.25,8495.75,USD",
        ),
        [491.75],
        [1],
        ["2 fills are 1 round trip", "less fee"],
    ),
    "Coinbase, statement": (
        rows(
            "ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,"
            "Price at Transaction,Subtotal,Total (inclusive of fees and/or spread),"
            "Fees and/or Spread,Notes",
            "a,2023-01-04 14:30:00 UTC,Advanced Trade Sell,BTC,-0.5,USD,$17000.00,$8500.00,"
            "$8495.75,$4.25,Sold 0.5 BTC",
            "b,2023-01-03 14:30:00 UTC,Advanced Trade Buy,BTC,0.5,USD,$16000.00,$8000.00,"
            "$8004.00,$4.00,Bought 0.5 BTC",
            "c,2023-01-02 14:30:00 UTC,Deposit,USD,9000,USD,$1.00,$9000.00,$9000.00,$0.00,",
        ),
        [491.75],
        [1],
        ["1 row left out, no trades: Deposit", "less Fees and/or Spread"],
    ),
    "OKX, trading history": (
        rows(
            "id,Order id,Time,Trade Type,Symbol,Action,Amount,Trading Unit,Filled Price,PnL,Fee,"
            "Fee Unit,Position Change,Position Balance,Balance,Balance Unit",
            "2,12,2023-01-04 14:30:00,Perpetual swap,BTC-USDT-SWAP,Close long,0.5,BTC,17000,500,"
            "-4.25,USDT,-0.5,0,10491.75,USDT",
            "1,11,2023-01-03 14:30:00,Perpetual swap,BTC-USDT-SWAP,Open long,0.5,BTC,16000,0,"
            "-4,USDT,0.5,0.5,9996,USDT",
        ),
        [491.75],
        [1],
        ["`PnL` is read as gross, as the prices show: Fee are taken off"],
    ),
    "OKX, names of its interface": (
        rows(
            "instId,side,posSide,ordType,fillPx,fillSz,fee,feeCcy,ts,tradeId",
            "BTC-USDT,buy,net,limit,16000,0.5,-4,USDT,1672756200000,1",
            "BTC-USDT,sell,net,limit,17000,0.5,-4.25,USDT,1672842600000,2",
        ),
        [491.75],
        [1],
        ["2 fills are 1 round trip", "less fee"],
    ),
    "fills of Kraken": (
        rows(
            '"txid","ordertxid","pair","time","type","ordertype","price","cost","fee","vol"',
            '"T1","O1","XXBTZUSD","2023-01-03 14:30:00.1234","buy","limit",16000.0,8000,4,0.5',
            '"T2","O2","XXBTZUSD","2023-01-04 14:30:00.1234","sell","limit",17000.0,8500,4.25,0.5',
        ),
        [491.75],
        [1],
        ["less fee", "were not used: cost"],
    ),
    "fills of Alpaca": (
        rows(
            "activity_type,cum_qty,id,leaves_qty,order_id,order_status,price,qty,side,symbol,"
            "transaction_time,type",
            "FILL,10,a,0,b,filled,125,10,buy,AAPL,2023-01-03T14:30:00.123Z,fill",
            "FILL,10,a,0,c,filled,130,10,sell,AAPL,2023-01-04T14:30:00.123Z,fill",
        ),
        [50.0],
        [1],
        ["2 fills are 1 round trip", "less no costs"],
    ),
    "backtesting.py, _trades as a file": (
        rows(
            ",Size,EntryBar,ExitBar,EntryPrice,ExitPrice,SL,TP,PnL,Commission,ReturnPct,EntryTime,"
            "ExitTime,Duration,Tag",
            "0,10,5,9,125.0,130.0,,,47.45,2.55,0.03796,2023-01-03,2023-01-09,6 days,",
            "1,-5,12,14,128.0,130.0,,,-11.29,1.29,-0.01764,2023-01-12,2023-01-16,4 days,",
        ),
        [47.45, -11.29],
        [1, -1],
        ["`PnL` is read as net, as the prices show"],
    ),
    "Schwab, transactions": (
        rows(
            '"Transactions for account XXXX as of 01/05/2023"',
            '"Date","Action","Symbol","Description","Quantity","Price","Fees & Comm","Amount"',
            '"01/24/2023","Sell","AAPL","APPLE","10","$126.00","$0.10","$1259.90"',
            '"01/04/2023 as of 01/03/2023","Qualified Dividend","AAPL","APPLE","","","","$2.00"',
            '"01/03/2023","Buy","AAPL","APPLE","10","$125.00","$0.00","-$1250.00"',
            '"Transactions Total","","","","","","","$11.90"',
        ),
        [9.9],
        [1],
        ["Qualified Dividend"],
    ),
}


def test_profits_with_per_cent_signs_are_never_money(tmp_path: Path) -> None:
    text = rows(
        "Entry Time,Exit Time,PnL", "2020-01-01,2020-01-03,1.5%", "2020-02-01,2020-02-03,-1%"
    )
    found = read(tmp_path, text)
    np.testing.assert_allclose([trade.net_profit for trade in found.trades], [150.0, -101.5])
    says(found, "`PnL` compounds from the initial cash")
    text = rows(
        "Entry Time,Exit Time,Profit,Net Profit",
        "2020-01-01,2020-01-03,30,1.5%",
        "2020-02-01,2020-02-03,-20,-1%",
    )
    found = read(tmp_path, text)
    np.testing.assert_allclose([trade.net_profit for trade in found.trades], [30.0, -20.0])


@pytest.mark.parametrize("case", TRADES)
def test_trades(tmp_path: Path, case: str) -> None:
    text, profits, directions, notes = TRADES[case]
    found = read(tmp_path, text)
    assert found.kind == "trades"
    np.testing.assert_allclose([trade.net_profit for trade in found.trades], profits, atol=1e-9)
    assert [trade.direction for trade in found.trades] == directions
    np.testing.assert_allclose(found.equity[-1], 10_000.0 + sum(profits), atol=1e-9)
    says(found, *notes)


def test_what_a_plain_profit_is_may_be_said(tmp_path: Path) -> None:
    text = rows("entry_time,exit_time,pnl,commission", "2020-01-02,2020-01-03,10,2")
    told = read(tmp_path, text)
    assert told.trades[0].net_profit == 10.0
    says(told, "`pnl` is read as net, since nothing says otherwise: commission are not taken off")
    assert read(tmp_path, text, profit="gross").trades[0].net_profit == 8.0
    minus = text.replace(",2\n", ",-2\n")
    assert read(tmp_path, minus).trades[0].net_profit == 8.0
    assert read(tmp_path, minus, profit="net").trades[0].net_profit == 10.0


def test_a_rebate_stays_a_rebate(tmp_path: Path) -> None:
    text = rows(
        "entry_time,exit_time,entry_price,exit_price,qty,fee",
        "2020-01-02,2020-01-03,10,11,1,-0.5",
        "2020-01-02,2020-01-03,10,11,1,-0.5",
        "2020-01-02,2020-01-03,10,11,1,0.25",
    )
    assert [t.net_profit for t in read(tmp_path, text).trades] == [0.5, 0.5, 1.25]


def test_lots_are_closed_first_in_first_out(tmp_path: Path) -> None:
    """Also through zero: 3 bought, 5 sold, 2 bought is a long trade and a short one."""
    text = rows(
        "time,side,qty,price",
        "2020-01-02,buy,1,10",
        "2020-01-03,buy,2,13",
        "2020-01-06,sell,5,15",
        "2020-01-07,buy,2,14",
        "2020-01-08,buy,1,14",
    )
    found = read(tmp_path, text)
    assert [t.net_profit for t in found.trades] == pytest.approx([5.0 + 4.0, 2.0])
    assert [t.direction for t in found.trades] == [1, -1]
    assert found.trades[0].entry_price == pytest.approx(12.0)
    assert found.trades[0].entry_time[:10] == "2020-01-02"
    says(found, "1 lot left out, still open")


def test_rows_that_are_wrong_are_named(tmp_path: Path) -> None:
    for text, message in (
        (
            rows("time,side,qty,price", "2020-01-02,buy,1,10", "2020-01-03,up,1,10"),
            "row 3: side is 'up'",
        ),
        (
            rows("time,side,qty,price", "2020-01-02,buy,1,10", "2020-01-03,sell,,10"),
            "row 3: qty is",
        ),
        (
            rows("time,side,qty,price", "2020-01-02,buy,1,10", "2020-01-03,sell,1,"),
            "row 3: price is",
        ),
        (rows("time,side,qty,price", "2020-01-02,buy,1,10"), "none closes a position"),
        (
            rows("Trade #,Type,Date,Price,Profit", "1,Exit long,2020-01-02,5,1"),
            "row 2: trade 1 has no entry",
        ),
        (
            rows("buy date,sell date,pnl", "2020-01-02,,1", ",2020-01-02,1"),
            "row 3: the time in `buy date` is missing",
        ),
        (rows("exit_time,return", "2020-01-02,-5"), "row 2: return is -5"),
    ):
        with pytest.raises(DataError, match=message):
            read(tmp_path, text)


def test_parquet_feather_and_packed_text_say_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"date": pd.date_range("2020-01-01", periods=5), "returns": [0.01, -0.02, 0.0, 0.5, -0.1]}
    )
    frame.to_parquet(tmp_path / "r.parquet")
    frame.to_feather(tmp_path / "r.feather")
    frame.to_csv(tmp_path / "r.csv.xz", index=False)
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";", decimal=",")
    found = [
        read_imported(tmp_path / name, ImportOptions())
        for name in ("r.parquet", "r.feather", "r.csv.xz", "semicolons.csv")
    ]
    for each in found:
        np.testing.assert_allclose(each.equity, found[0].equity, rtol=1e-15)
        np.testing.assert_array_equal(each.times, found[0].times)


@pytest.mark.parametrize("name", ["Drawdown %", "max_dd", "DD (%)", "Underwater"])
def test_a_lone_column_of_drawdowns_is_no_return(tmp_path: Path, name: str) -> None:
    text = rows(f"date,{name}", "2020-01-02,0", "2020-01-03,-0.01", "2020-01-06,-0.02")
    with pytest.raises(ConfigError, match="holds drawdowns, which tell no returns"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("cells", "profits", "note"),
    [
        (("0.4", "-1.02"), [40.0, -102.408], "`return_pct` is read as per cent"),
        (("0.004", "-.0102"), [40.0, -102.408], "`return_pct` is read as shares"),
    ],
)
def test_the_unit_of_trades_returns_is_told_by_their_size(
    tmp_path: Path, cells: tuple[str, str], profits: list[float], note: str
) -> None:
    first, second = cells
    header = "entry_time,exit_time,return_pct"
    found = read(
        tmp_path, rows(header, f"2020-01-02,2020-01-03,{first}", f"2020-01-06,2020-01-07,{second}")
    )
    assert [trade.net_profit for trade in found.trades] == pytest.approx(profits)
    says(found, note)
    unclear = rows(header, "2020-01-02,2020-01-03,0.04", "2020-01-06,2020-01-07,-0.05")
    with pytest.raises(ConfigError, match="may be per cent or shares"):
        read(tmp_path, unclear)
