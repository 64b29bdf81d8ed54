"""What names of columns and words of brokers say."""

from __future__ import annotations

import pytest

from offline_trader.tables.headings import Headings, read_heading
from offline_trader.tables.trade_words import fate_of_order, what_row_says


@pytest.mark.parametrize(
    ("name", "key", "unit"),
    [
        ("Daily Return (%)", "dailyreturn", "percent"),
        ("Profit %", "profit", "percent"),
        ("% Profit", "profit", "percent"),
        ("Return in percent", "return", "percent"),
        ("return_pct", "return", "pct"),
        ("ReturnPct", "return", "pct"),
        ("pct_change", "pctchange", ""),
        ("ret (bps)", "ret", "bps"),
        ("Profit (pips)", "profit", "points"),
        ("Profit (R)", "profit", "points"),
        ("Net P&L USD", "netpl", "money"),
        ("Gain/Loss ($)", "gainloss", "money"),
        ("fee_usdt", "fee", "money"),
        ("Opening time (UTC+0)", "openingtime", ""),
        ("Trade #", "trade", ""),
        ("0", "0", ""),
    ],
)
def test_names_tell_the_thing_and_its_unit(name: str, key: str, unit: str) -> None:
    found = read_heading(name)
    assert (found.key, found.unit) == (key, unit)


def test_columns_that_were_found_count_as_used() -> None:
    headings = Headings(["Time", "Profit %", "Profit", "Time"])
    assert headings.places(("time",)) == [0, 3]
    assert headings.find(("profit",), ["", "money"]) == 2
    assert headings.find(("profit",), ["money"]) is None
    assert headings.used == {2}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        *((word, "buy") for word in ("BUY", "b", "1", "+1", "bot", "Buy to Cover", "open_long",
                                     "Close Short", "Market Buy", "YOU BOUGHT APPLE INC (AAPL)")),
        *((word, "sell") for word in ("SELL", "sell_short", "SLD", "-1", "-1.0", "Exit long",
                                      "open short")),
        *((word, "pending") for word in ("buy limit", "sell stop", "Buy Stop Limit")),
        *((word, "no trade") for word in ("balance", "CDIV", "ACH", "Qualified Dividend",
                                          "Electronic Funds Transfer Received (Cash)")),
        *((word, "") for word in ("hold", "up", "Market", "", "42")),
    ],
)  # fmt: skip
def test_what_a_row_says(word: str, said: str) -> None:
    assert what_row_says(word) == said


def test_what_a_status_says() -> None:
    for word in ("Filled", "closed", "PARTIALLY_FILLED", "done"):
        assert fate_of_order(word) == "filled"
    for word in ("Canceled", "cancelled by user", "REJECTED", "expired", "open", "new"):
        assert fate_of_order(word) == "not filled"
    assert fate_of_order("green") == ""
