"""One reader for whatever people have: what a table holds, before anything is converted."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

from offline_trader.errors import ConfigError, DataError
from offline_trader.tables import LIMIT_VARIABLE, Table, parse_times, read_table


def cells(table: Table) -> list[list[str]]:
    return [list(map(str, row)) for row in table.frame.itertuples(index=False)]


def write(folder: Path, content: bytes | str, name: str = "a.csv") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_cell_is_text_as_it_stands(tmp_path: Path, delimiter: str) -> None:
    lines = [
        "# title",
        "",
        "when,What (%),what,what",
        "2020-01-02,007,NA,",
        "2020-01-03,1.50,x y,-",
    ]
    text = "\n".join(lines).replace(",", delimiter)
    table = read_table(write(tmp_path, text))
    assert table.names == ("when", "What (%)", "what", "what")
    assert list(table.frame.columns) == ["when", "What (%)", "what", "what.1"]
    assert cells(table) == [["2020-01-02", "007", "NA", ""], ["2020-01-03", "1.50", "x y", "-"]]
    assert [table.locate(i) for i in (0, 1)] == ["row 4", "row 5"]
    assert (table.header, table.delimiter) == (True, delimiter)


def test_blank_lines_keep_the_count_of_an_editor(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a,b\n\n1,2\n,\n\n3,4\n"))
    assert (cells(table), table.rows.tolist()) == ([["1", "2"], ["3", "4"]], [3, 6])


@pytest.mark.parametrize("names", ["date,2015,2016", "Datum,0,2016", ",0,1"])
def test_a_header_may_hold_numbers_behind_the_name_of_a_time(tmp_path: Path, names: str) -> None:
    table = read_table(write(tmp_path, f"{names}\n2020-01-02,1,2\n2020-01-03,3,4\n"))
    assert (table.header, table.names) == (True, tuple(names.split(",")))
    assert cells(table)[0] == ["2020-01-02", "1", "2"]


BARCHART = '"Downloaded from Barchart.com as of 11-26-2026 12:00pm CST"'


def test_a_sentence_below_the_rows_is_a_remark(tmp_path: Path) -> None:
    rows = "Time,Open,Last\n11/25/2026,1,2\n11/24/2026,3,4\n"
    table = read_table(write(tmp_path, f"{rows}{BARCHART}\n"))
    assert cells(table) == [["11/25/2026", "1", "2"], ["11/24/2026", "3", "4"]]
    assert table.notes == (f"row 4 is a remark and was not read: {BARCHART[1:-1]!r}",)
    # what may be a bar that was cut, or stands between rows, is for the reader to refuse
    for odd in ("11/23/2026", "Nov 23, 2026", "Mon, Nov 23, 2026", "gone", "2026-11-23 09:30 x"):
        assert len(read_table(write(tmp_path, f'{rows}"{odd}"\n')).frame) == 3, odd
    assert len(read_table(write(tmp_path, f"{rows}{BARCHART}\n11/23/2026,5,6\n")).frame) == 4


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_year_month_and_day_in_three_columns_are_a_date(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"Year": [2020, 2020], "Day": [2, 13], "Close": [1.5, 2.5], "MONTH": 1})
    file = tmp_path / f"a.{kind}"
    getattr(frame, f"to_{kind}")(file, index=False)
    table = read_table(file)
    assert table.names == ("date", "Close")
    assert table.frame["date"].tolist() == ["2020-01-02", "2020-01-13"]
    assert table.notes == ("columns Year, MONTH, Day are read as one date",)
    dated = frame.assign(Date=["2021-02-03", "2021-02-04"])
    getattr(dated, f"to_{kind}")(file, index=False)
    assert read_table(file).names == ("Year", "Day", "Close", "MONTH", "Date")


def test_a_file_without_a_header(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "2020-01-02;1;2\n2020-01-03;3;4\n"))
    assert (table.header, table.names) == (False, ("", "", ""))
    assert list(table.frame.columns) == ["1", "2", "3"]
    assert cells(table)[1] == ["2020-01-03", "3", "4"]


def test_the_line_that_holds_the_names_is_the_reader_s_to_tell(tmp_path: Path) -> None:
    file = write(tmp_path, "Account,Currency\nX,USD\ntime,units\n2020-01-02,5\n")
    assert read_table(file).names == ("Account", "Currency")
    assert read_table(file, lambda names: "units" in names).names == ("time", "units")


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("utf-16", ()),
        ("cp1252", ("not UTF-8: read as Windows-1252",)),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, note: tuple[str, ...]) -> None:
    table = read_table(write(tmp_path, "Eröffnung,Schluß\n1,2\n".encode(encoding)))
    assert (table.names, table.notes) == (("Eröffnung", "Schluß"), note)


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_typed_columns_keep_their_types(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"t": pd.date_range("2020-01-02", periods=2), "x": [1.5, 2.5]})
    file = tmp_path / "typed.data"
    getattr(frame, f"to_{kind}")(file)
    table = read_table(file)
    pd.testing.assert_frame_equal(table.frame, frame)
    assert (table.names, table.locate(1)) == (("t", "x"), "row 1")


def test_more_than_the_limit_is_refused_before_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    packed = write(tmp_path, gzip.compress(b"a,b\n" + b"1,2\n" * 500_000), "a.csv.gz")
    with pytest.raises(DataError, match=r"a.csv.gz: unpacked it holds more than 1 MB"):
        read_table(packed)
    equal = tmp_path / "a.parquet"
    pd.DataFrame({"x": [1.0] * 200_000}).to_parquet(equal)
    assert equal.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"200,000 rows of 1 columns take 2 MB, the limit is 1 MB"):
        read_table(equal)
    monkeypatch.setenv(LIMIT_VARIABLE, "4")
    assert (len(read_table(packed).frame), len(read_table(equal).frame)) == (500_000, 200_000)
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    with pytest.raises(ConfigError, match=f"{LIMIT_VARIABLE} is 'much'"):
        read_table(packed)


PRICES = ("open", "high", "low", "close")


@pytest.mark.parametrize(
    ("time", "value", "found"),
    [
        (pa.array([0, 1], pa.timestamp("s", tz="Mars/Base")), 1.0, "cannot be read"),
        (pa.array([0, 10**17], pa.timestamp("s")), 1.0, "row 1: the time is 1e+17"),
        (pa.array([0, 10**17], pa.timestamp("s", tz="Asia/Tokyo")), 1.0, "row 1: the time is"),
        (pa.array([0, 1], pa.duration("s")), 1.0, "row 0: '0 days 00:00:00' is not a date"),
        (pa.array([0, 1], pa.time32("s")), 1.0, "row 0: '00:00:00' is not a date"),
        (pa.array([b"\xff", b"1"]), 1.0, "row 0: '\\\\xff' is not a date"),
        (pa.array([[1], [2]]), 1.0, r"row 0: '[1]' is not a date"),
        (pa.array([0, 1], pa.timestamp("s")), [1.0], "row 0: open is '[1.]'"),
        (pa.array([0, 1], pa.timestamp("s")), {"x": 1}, 'row 0: open is "{'),
        (pa.array([0, 1], pa.timestamp("s")), b"\xff", "row 0: open is "),
    ],
)  # fmt: skip
def test_columns_of_types_that_are_no_bars(
    tmp_path: Path, time: pa.Array, value: object, found: str
) -> None:
    from offline_trader.markets import load_market

    table = pa.table({"time": time, **{name: [value, value] for name in PRICES}})
    feather.write_feather(table, tmp_path / "a.feather")
    with pytest.raises(DataError) as refused:
        load_market(tmp_path / "a.feather")
    assert found in refused.value.found


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="it is no file"):
        read_table(tmp_path / "pipe.csv")


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m-%d-%Y"])
def test_a_day_that_could_be_a_month_is_read_by_the_order_and_told(form: str) -> None:
    """Either reading keeps these rows in order: only which end comes first differs."""
    days = pd.to_datetime(["2020-01-05", "2020-02-04", "2020-03-03"])
    found = parse_times(pd.Series(days.strftime(form)), None, "a.csv", str)
    assert found.utc.tolist() == days.as_unit("ns").to_numpy().tolist()
    (note,) = found.notes
    assert "is read as 2020-01-05, which has the rows oldest first" in note
    assert "newest first it could be 2020-05-01" in note
    plain = pd.to_datetime(["2020-01-05", "2020-02-04", "2020-03-13"])
    assert parse_times(pd.Series(plain.strftime(form)), None, "a.csv", str).notes == ()
