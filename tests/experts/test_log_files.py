"""Logs as brokers and exchanges write them: which rows are fills, which way, how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.experts.log_files import TradeLog, read_log


def read(folder: Path, *lines: str, kind: str = "auto", name: str = "log.csv") -> TradeLog:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_log(str(path), kind)


FILLS: dict[str, tuple[list[str], list[float], str]] = {
    "Alpaca": (
        [
            "activity_type,cum_qty,id,leaves_qty,order_id,order_status,price,qty,side,symbol,"
            "transaction_time,type",
            "FILL,10,a,0,b,filled,100.5,10,buy,AAPL,2023-01-03T14:30:00.123Z,fill",
            "FILL,12,a,0,c,filled,101.5,2,sell_short,AAPL,2023-01-04T14:30:00.123Z,partial_fill",
        ],
        [10.0, -2.0],
        "",
    ),
    "Robinhood": (
        [
            "Activity Date,Process Date,Settle Date,Instrument,Description,Trans Code,Quantity,"
            "Price,Amount",
            '1/24/2023,1/24/2023,1/26/2023,AAPL,Apple,Sell,3,$130.00,"$390.00"',
            '1/23/2023,1/23/2023,1/26/2023,AAPL,AAPL call,BTO,1,$1.00,"($100.00)"',
            "1/5/2023,1/5/2023,1/5/2023,AAPL,Cash Div,CDIV,,,$2.00",
            '1/3/2023,1/3/2023,1/5/2023,AAPL,Apple,Buy,10,$125.07,"($1,250.70)"',
        ],
        [10.0, -3.0],
        "1 row left out, options: BTO",
    ),
    "Binance, units with their coin": (
        [
            "Date(UTC),Pair,Side,Price,Executed,Amount,Fee",
            "2023-01-02 10:00:00,BTCUSDT,BUY,23456.6,0.03BTC,703.6980000000USDT,0.70USDT",
            "2023-01-05 10:00:00,BTCUSDT,SELL,24000,0.02BTC,480USDT,0.48USDT",
        ],
        [0.03, -0.02],
        "",
    ),
    "Binance, amounts of money alone": (
        [
            "Date(UTC),Pair,Side,Price,Amount",
            "2023-01-02 10:00:00,BTCUSDT,BUY,20000,703.70USDT",
            "2023-01-05 10:00:00,BTCUSDT,SELL,20000,400.00USDT",
        ],
        [0.035185, -0.02],
        "`Amount` is money: units are it ÷ `Price`",
    ),
    "Lean": (
        [
            "Time,Symbol,Price,Quantity,Type,Status,Value,Tag",
            "2023-01-03T14:30:00Z,SPY,380,10,Market,Filled,3800,",
            "2023-01-04T14:30:00Z,SPY,385,-4,Market,Filled,-1540,",
            "2023-01-05T14:30:00Z,SPY,0,10,Limit,Canceled,0,",
        ],
        [10.0, -4.0],
        "1 row left out, not filled: Canceled",
    ),
    "CCXT": (
        [
            "id,timestamp,datetime,symbol,order,type,side,takerOrMaker,price,amount,cost,fee",
            "1,1672756200000,2023-01-03T14:30:00.000Z,BTC/USDT,998877,limit,buy,taker,16000,0.1,1600,",
            "2,1672842600000,2023-01-04T14:30:00.000Z,BTC/USDT,998878,limit,sell,taker,17000,0.1,1700,",
        ],
        [0.1, -0.1],
        "",
    ),
    "Kraken": (
        [
            '"txid","ordertxid","pair","time","type","ordertype","price","cost","fee","vol"',
            '"T1","O1","XXBTZUSD","2023-01-03 14:30:00.1234","buy","limit",16000.0,1600,2.56,0.1',
            '"T2","O2","XXBTZUSD","2023-01-04 14:30:00.1234","sell","limit",17000.0,850,2.72,0.05',
        ],
        [0.1, -0.05],
        "",
    ),
    "Coinbase, fills": (
        [
            "portfolio,trade id,product,side,created at,size,size unit,price,fee,total,"
            "price/fee/total unit",
            "default,1,BTC-USD,BUY,2023-01-03T14:30:00.123Z,0.5,BTC,16000,4,-8004,USD",
            "default,2,BTC-USD,SELL,2023-01-04T14:30:00.123Z,0.25,BTC,17000,4.25,4245.75,USD",
        ],
        [0.5, -0.25],
        "",
    ),
    "Coinbase, statement": (
        [
            "ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,"
            "Price at Transaction,Subtotal,Total (inclusive of fees and/or spread),Notes",
            "a,2023-01-04 14:30:00 UTC,Advanced Trade Sell,BTC,-0.25,USD,$17000,$4250,$4248,",
            "b,2023-01-03 14:30:00 UTC,Advanced Trade Buy,BTC,0.5,USD,$16000,$8000,$8004,",
            "c,2023-01-02 14:30:00 UTC,Deposit,USD,9000,USD,$1.00,$9000.00,$9000.00,",
        ],
        [0.5, -0.25],
        "1 row left out, no trades: Deposit",
    ),
    "semicolons and decimal commas": (
        ["Zeit;Side;Qty", "02.01.2023 10:00;buy;1,5", "25.01.2023 10:00;sell;0,5"],
        [1.5, -0.5],
        "",
    ),
    "a cancelled order of which a part was filled": (
        [
            "Symbol,Side,Status,Filled,Total Qty,Price,Placed Time,Filled Time",
            "AAPL,Buy,Cancelled,4,10,125,01/23/2023 09:30:00,01/23/2023 09:30:01",
            "AAPL,Buy,Cancelled,0,10,125,01/23/2023 09:31:00,01/23/2023 09:31:01",
            "AAPL,Sell,Filled,4,4,125,01/24/2023 09:31:00,01/24/2023 09:31:01",
        ],
        [4.0, -4.0],
        "1 row left out, not filled: Cancelled",
    ),
    "no sides": (
        ["time,units", "2023-01-02,2", "2023-01-03,1"],
        [2.0, 1.0],
        "every row is read as a purchase",
    ),
    "one row a trade": (
        [
            "pair,amount,open_date,close_date,open_rate,close_rate,profit_abs,is_short",
            "BTC/USDT,2,2020-01-02 00:00:00,2020-01-02 05:00:00,10000,10100,0.8,False",
            "BTC/USDT,3,2020-01-02 06:00:00,2020-01-02 08:00:00,10000,10100,0.8,True",
        ],
        [2.0, -2.0, -3.0, 3.0],
        "a fill at its entry and one at its exit",
    ),
    "two rows a trade": (
        [
            "Trade #,Type,Date/Time,Signal,Price USD,Position size (qty),Net P&L USD",
            "1,Exit long,2020-01-10,Close,110,2,10",
            "1,Entry long,2020-01-02,Long,100,2,10",
            "2,Exit short,2020-01-17,Open,112,3,5",
            "2,Entry short,2020-01-16,Short,110,3,5",
        ],
        [2.0, -2.0, -3.0],
        "trades that are still open",
    ),
}


@pytest.mark.parametrize("case", FILLS)
def test_fills(tmp_path: Path, case: str) -> None:
    lines, units, note = FILLS[case]
    log = read(tmp_path, *lines)
    assert log.kind == "fills"
    np.testing.assert_allclose(log.values, units, rtol=1e-12)
    assert (np.diff(log.times.astype(np.int64)) > 0).all()
    assert any(note in each for each in log.notes) or not note, log.notes


def test_a_signal_of_ones_is_the_position_that_is_wanted(tmp_path: Path) -> None:
    lines = ("date,close,signal", "2020-01-02,5,1", "2020-01-03,5,0", "2020-01-06,6,-1")
    log = read(tmp_path, *lines)
    assert log.kind == "weights"
    assert log.values.tolist() == [1.0, 0.0, -1.0]
    assert any("the position that is wanted" in note for note in log.notes)
    assert read(tmp_path, *lines, kind="actions").kind == "actions"
    graded = read(tmp_path, "date,signal", "2020-01-02,0.5", "2020-01-03,-1")
    assert graded.kind == "actions"


def test_signals_in_words(tmp_path: Path) -> None:
    """Buy, hold and sell are orders, long, flat and short positions; a note says which."""
    orders = read(tmp_path, "date,signal", "2020-01-02,BUY", "2020-01-03,Hold", "2020-01-06,SELL")
    assert (orders.kind, orders.values.tolist()) == ("legacy", [3.0, 0.0, 5.0])
    assert any("BUY_LARGE, HOLD and SELL_ALL" in note for note in orders.notes)
    for name in ("signal", "position"):
        lines = (f"date,{name}", "2020-01-02,Long", "2020-01-03,FLAT", "2020-01-06,short")
        wanted = read(tmp_path, *lines)
        assert (wanted.kind, wanted.values.tolist()) == ("weights", [1.0, 0.0, -1.0])
        assert any("the position that is wanted" in note for note in wanted.notes)
    with pytest.raises(DataError, match="row 3: signal is 'HODL'"):
        read(tmp_path, "date,signal", "2020-01-02,BUY", "2020-01-03,HODL")
    with pytest.raises(DataError, match=r"row 2: signal is 'BUY'(.|\n)*buy, hold and sell alone"):
        read(tmp_path, "date,signal", "2020-01-02,BUY", "2020-01-03,flat")


def test_sides_with_pauses_beside_units_are_still_fills(tmp_path: Path) -> None:
    lines = ("date,action,units,price", "2020-01-02,buy,5,10", "2020-01-03,sell,5,11")
    assert read(tmp_path, *lines).kind == "fills"


def test_a_position_in_units_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 3: position is '100'") as caught:
        read(tmp_path, "date,position", "2020-01-02,0", "2020-01-03,100", "2020-01-06,200")
    assert "units held" in str(caught.value)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "date,weight", "2020-01-02,0", "2020-01-03,100")
    assert "units held" not in str(caught.value)


def test_dates_of_an_american_layout_are_month_first(tmp_path: Path) -> None:
    """With no day above 12 both readings fit; newest first they may even fit oldest first."""
    head = "Activity Date,Instrument,Trans Code,Quantity,Price"
    log = read(tmp_path, head, "2/1/2023,AAPL,Sell,3,$130", "1/3/2023,AAPL,Buy,10,$125")
    assert [str(time)[:10] for time in log.times] == ["2023-01-03", "2023-02-01"]
    assert any("month first" in note for note in log.notes)
    alone = read(tmp_path, head, "1/3/2023,AAPL,Buy,10,$125", "1/3/2023,AAPL,Buy,2,$125")
    assert [str(time)[:10] for time in alone.times] == ["2023-01-03"] * 2
    clear = read(tmp_path, head, "1/24/2023,AAPL,Sell,3,$130", "1/3/2023,AAPL,Buy,10,$125")
    assert not any("month first" in note for note in clear.notes)
    with pytest.raises(DataError, match="day and month cannot be told apart"):
        read(tmp_path, "date,side,qty", "1/3/2023,buy,1", "1/4/2023,buy,1")


def test_weights_in_per_cent(tmp_path: Path) -> None:
    for header, cell in (("date,Weight (%)", "50"), ("date,weight", "50%"), ("date,weight", "0.5")):
        assert read(tmp_path, header, f"2020-01-02,{cell}").values.tolist() == [0.5]
    with pytest.raises(DataError, match=r"row 2: weight is '50'"):
        read(tmp_path, "date,weight", "2020-01-02,50")


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (
            ["time,side,qty", "2020-01-02,buy,1", "2020-01-03,sell,x"],
            DataError,
            "row 3: qty is 'x'",
        ),
        (["time,side,qty,price", "2020-01-02,up,1,1"], DataError, "row 2: side is 'up'"),
        (["time,side,amount", "2020-01-02,buy,5USDT"], DataError, "amount is money, and there is"),
        (["time,Status,Side,Qty", "2020-01-02,Rejected,Buy,1"], DataError, "no row is a fill"),
        (["time,side,qty", "never,buy,1"], DataError, "row 2: 'never' is not a date"),
        (["time,order,price", "2020-01-02,998877,1"], ConfigError, "no kind of log"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, lines: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(tmp_path, *lines)
