"""Loading: built-in markets, save → load, facts, and what is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from offline_trader.errors import DataError
from offline_trader.markets import (
    BUILTIN_MARKETS,
    Bars,
    check_market,
    list_markets,
    load_market,
    load_markets,
)


@pytest.mark.parametrize("name", list(BUILTIN_MARKETS))
def test_built_in_bars_are_those_of_their_package(name: str) -> None:
    import importlib

    frame = importlib.import_module(f"arch.data.{name}").load()
    bars = load_market(name)
    assert len(bars) == 5031
    np.testing.assert_array_equal(bars.timestamps, frame.index.to_numpy())
    for column in ("Open", "High", "Low", "Close", "Volume"):
        np.testing.assert_array_equal(getattr(bars, column.lower()), frame[column].to_numpy())
    assert bars.periods_per_year == 252.0
    # longer than a week-end with a holiday: September 11th 2001, the days of mourning after New
    # Year 2007, the hurricane of October 2012
    assert bars.gaps == 3


def test_a_built_in_market_is_read_without_pandas_and_without_arch() -> None:
    code = (
        "import sys; from offline_trader.markets import load_market; load_market('sp500');"
        "print([m for m in ('pandas', 'arch', 'torch', 'numba', 'talib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_facts_for_the_command_line(tmp_path: Path) -> None:
    sp500, nasdaq = list_markets()
    assert (sp500.source, sp500.symbol, sp500.bars) == ("sp500", "sp500", 5031)
    assert (sp500.first, sp500.last) == ("1999-01-04", "2018-12-31")
    assert (sp500.zero_volume_bars, nasdaq.zero_volume_bars) == (0, 2)
    assert sp500.sha256 == load_market("sp500").sha256
    assert json.loads(json.dumps(nasdaq.to_dict())) == nasdaq.to_dict()
    rows = [f"2020-01-0{d} 09:30,{s},10,12,9,11\n" for d in (2, 3) for s in "AB"]
    (tmp_path / "two.csv").write_text("Date,Symbol,Open,High,Low,Close\n" + "".join(rows))
    facts = check_market(tmp_path / "two.csv", end="2020-01-02")
    assert [(f.symbol, f.bars, f.first, f.last) for f in facts] == [
        ("A", 1, "2020-01-02T09:30:00", "2020-01-02T09:30:00"),
        ("B", 1, "2020-01-02T09:30:00", "2020-01-02T09:30:00"),
    ]
    assert facts[0].notes == (
        "no volume column: volume is 0 in every bar",
        "times without a zone are read as UTC",
    )
    with pytest.raises(DataError, match="no such file"):
        check_market(tmp_path / "three.csv")


def test_dates_select_in_every_source() -> None:
    (bars,) = load_markets(["sp500"], start="2005", end="2005-06")
    assert str(bars.timestamps[0])[:10] == "2005-01-03"
    assert str(bars.timestamps[-1])[:10] == "2005-06-30"
    assert bars.periods_per_year == 252.0


@st.composite
def random_bars(draw: st.DrawFn) -> Bars:
    n = draw(st.integers(1, 12))
    numbers = hnp.arrays(np.float64, (4, n), elements=st.floats(1e-6, 1e9))
    prices = np.sort(draw(numbers), axis=0)
    volume = draw(hnp.arrays(np.float64, n, elements=st.floats(0.0, 1e15)))
    volume[0] = draw(st.floats(1.0, 10.0))
    steps = draw(hnp.arrays(np.int64, n, elements=st.integers(1, 10**16)))
    start = np.datetime64("2001-02-03T04:05:06.789", "ns")
    swap = draw(st.booleans())
    return Bars(
        symbol="some",
        timestamps=start + np.cumsum(steps) * np.timedelta64(1, "ns"),
        open=prices[2 if swap else 1],
        high=prices[3],
        low=prices[0],
        close=prices[1 if swap else 2],
        volume=volume,
    )


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bars=random_bars())
def test_save_and_load_is_the_identity(tmp_path: Path, suffix: str, bars: Bars) -> None:
    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name: getattr(bars, name) for name in names})
    frame.insert(0, "timestamp", pd.DatetimeIndex(bars.timestamps, tz="UTC"))
    file = tmp_path / f"some{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False)
    assert load_market(file).sha256 == bars.sha256


def test_instruments_of_one_name_are_told_apart(tmp_path: Path) -> None:
    rows = "".join(f"2020-01-0{day},10,12,9.5,11.25,7\n" for day in range(1, 5))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "prices.csv").write_text("time,open,high,low,close,volume\n" + rows)
    files = [tmp_path / folder / "prices.csv" for folder in ("a", "b")]
    found = load_markets([*files, "sp500", "sp500", files[0]])
    names = ["prices", "prices#2", "sp500", "sp500#2", "prices#3"]
    assert [bars.symbol for bars in found] == names
    assert len({bars.sha256 for bars in found}) == 5
    assert found[1].source == str(files[1])
    assert found[3].periods_per_year == 252.0
