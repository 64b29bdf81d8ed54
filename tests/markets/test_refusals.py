"""Files that are refused: the file, the row as an editor counts it, the reason, what to do."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import load_market

HEAD = "Date,Open,High,Low,Close,Volume\n"
GOOD = "2020-01-02,10,12,9,11,7\n2020-01-03,10,12,9,11,7\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + GOOD + "2020-01-06,10,10.5,9,11,7\n", "bars.csv row 4: high 10.5 < close 11"),
        (HEAD + GOOD + "2020-01-06,10,12,10.5,11,7\n", "bars.csv row 4: low 10.5 > open 10"),
        (HEAD + "\n" + GOOD + "\n\n2020-01-06,0,12,0,11,7\n", "bars.csv row 7: open is 0"),
        (HEAD + GOOD + "2020-01-06,10,12,-9,11,7\n", "bars.csv row 4: low is -9"),
        (HEAD + GOOD + "2020-01-06,10,12,,11,7\n", "bars.csv row 4: low is missing"),
        (HEAD + GOOD + "2020-01-06,10,12,NaN,11,7\n", "bars.csv row 4: low is missing"),
        (HEAD + GOOD + "2020-01-06,10,inf,9,11,7\n", "bars.csv row 4: high is inf"),
        (HEAD + GOOD + "2020-01-06,10,12,nine,11,7\n", "bars.csv row 4: low is 'nine'"),
        (HEAD + GOOD + "2020-01-06,10,12,9,11,-7\n", "bars.csv row 4: volume is -7"),
        (HEAD + GOOD + "2020-01-06,10,12,9,11,\n", "bars.csv row 4: volume is missing"),
        (HEAD + GOOD + "2020-01-06,10\n", "bars.csv row 4: high is missing"),
        (HEAD + GOOD + "2020-01-06,10,12,9,11,7,7\n", "bars.csv row 4: 7 cells"),
        (HEAD + "2020-01-06,1,000,12,9,11,7\n", "bars.csv row 2: 7 cells, the header names 6"),
        (HEAD + GOOD + '2020-01-06,10,12,9,"11,7\n', "bars.csv row 4: a quotation mark"),
        (HEAD + GOOD + "2020-01-02,10,12,9,11,7\n",
         "bars.csv row 4: time 2020-01-02 comes after 2020-01-03"),
        (HEAD + GOOD + "2020-01-03,10,12,9,11,7\n",
         "bars.csv row 4: time 2020-01-03 appears twice"),
        (HEAD + GOOD + ",10,12,9,11,7\n", "bars.csv row 4: the time is missing"),
        (HEAD + GOOD + "soon,10,12,9,11,7\n", "bars.csv row 4: 'soon' is not a date or time"),
        (HEAD + GOOD + "2020-02-30,10,12,9,11,7\n", "bars.csv row 4: '2020-02-30' is not a date"),
        (HEAD + GOOD.replace("2020", "1020"), "bars.csv row 2: the year of '1020-01-02' is 1020"),
        (HEAD + GOOD + "source: somewhere\n", "bars.csv row 4: 'source: somewhere' is not a date"),
        (HEAD + "43832,10,12,9,11,7\n", "bars.csv row 2: 43832 looks like a day number"),
        (",Open,High,Low,Close\n0,10,12,9,11\n1,10,12,9,11\n", "bars.csv row 2: 0 is not a time"),
        (HEAD + "03/04/2020,10,12,9,11,7\n03/05/2020,10,12,9,11,7\n",
         "bars.csv row 2: in '03/04/2020' day and month cannot be told apart"),
        (HEAD + "2020-01-02 09:30Z,10,12,9,11,7\n2020-01-02 09:31,10,12,9,11,7\n",
         "bars.csv row 3: '2020-01-02 09:31' has no offset"),
        ("Date,Sym,Symbol,Open,High,Low,Close\n2020-01-02,,,10,12,9,11\n",
         "bars.csv row 2: the symbol is missing"),
        ("# exported\n" + HEAD + GOOD + "2020-01-06,10,10.5,9,11,7\n",
         "bars.csv row 5: high 10.5 < close 11"),
        ("Price,Close,High,Low,Open,Volume\nTicker,A,A,A,A,A\nDate,,,,,\n2020-01-02,11,10,9,10,7\n",
         "bars.csv row 4: high 10 < close 11"),
        (GOOD + "2020-01-06,10,10.5,9,11,7\n", "bars.csv row 3: high 10.5 < close 11"),
    ],
)  # fmt: skip
def test_rows_are_named_as_an_editor_counts_them(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(text)
    with pytest.raises(DataError) as error:
        load_market(file)
    assert error.value.found.startswith(f"{tmp_path}/{message}")
    assert error.value.expected


def test_rows_of_one_instrument_among_several_keep_their_place(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    rows = ["2020-01-02,A,10,12,9,11\n", "2020-01-02,B,10,12,9,11\n", "2020-01-03,A,10,12,9,11\n"]
    file.write_text("Date,Symbol,Open,High,Low,Close\n" + "".join(rows) + rows[1])
    with pytest.raises(DataError, match=r"bars.csv#B row 5: time 2020-01-02 appears twice"):
        load_market(file, symbol="A")


@pytest.mark.parametrize(
    ("header", "found", "hint"),
    [
        ("Date,Open,High,Low,Volume", "no column for close among Date, Open", "column `close`"),
        ("Date,Open,Hgih,Low,Close", "no column for high", "rename `Hgih` to `high`"),
        ("Date,Open,High,Low,Adj Close", "no column for close", "rename `Adj Close`"),
        ("Day,Open,High,Low,Close", "no column for timestamp", "column `timestamp`"),
        ("Date,P,Q,R,S", "no column for open, high, low, close among Date, P, Q, R, S", "header"),
        ("x,y", "no column for timestamp, open, high, low, close among x, y", "header"),
    ],
)
def test_missing_columns(tmp_path: Path, header: str, found: str, hint: str) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("# title\n" + header + "\n")
    with pytest.raises(DataError) as error:
        load_market(file)
    assert found in error.value.found
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bars.csv", b"", "the file is empty"),
        ("bars.csv", b"\n \n\n", "the file is empty"),
        ("bars.csv", HEAD.encode(), "no rows"),
        ("bars.csv", b"\x00\x01\x02", "this is no text file"),
        ("bars.csv.gz", b"\x1f\x8b", "cannot be read"),
        ("bars.csv.gz", b"plain text", "cannot be read"),
        ("bars.csv.xz", b"plain text", "cannot be read"),
        ("bars.csv.zip", b"plain text", "cannot be read"),
        ("bars.xlsx", b"anything", "file type .xlsx is not read"),
        ("bars.parquet", b"PAR1 and no more", "cannot be read"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_market(tmp_path / name)


def test_parquet_rows_count_from_zero(tmp_path: Path) -> None:
    times = pd.date_range("2020-01-02", periods=3)
    frame = pd.DataFrame({"open": 1.0, "high": [2.0, 2.0, 0.5], "low": 0.5, "close": 1.0}, times)
    frame.to_parquet(tmp_path / "bars.parquet")
    with pytest.raises(DataError, match=r"bars.parquet row 2: high 0.5 < close 1"):
        load_market(tmp_path / "bars.parquet")
    frame.iloc[:0].to_parquet(tmp_path / "bars.parquet")
    with pytest.raises(DataError, match="no rows"):
        load_market(tmp_path / "bars.parquet")
    frame.assign(high=True, low=pd.Timestamp(0)).to_parquet(tmp_path / "bars.parquet")
    with pytest.raises(DataError, match="row 0: high is 'True'"):
        load_market(tmp_path / "bars.parquet")


@pytest.mark.parametrize("clock", ["2020-03-08 02:30", "2020-11-01 01:30"])
def test_local_times_that_the_zone_skips_or_repeats(tmp_path: Path, clock: str) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(HEAD + f"{clock},10,12,9,11,7\n")
    with pytest.raises(DataError, match=r"row 2: local time .* is skipped or comes twice"):
        load_market(file, tz="America/New_York")


def test_sources_that_are_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown market 'sp5000'"):
        load_market("sp5000")
    with pytest.raises(DataError, match=r"nothing.csv: no such file"):
        load_market(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="cannot be read"):
        load_market(tmp_path)
