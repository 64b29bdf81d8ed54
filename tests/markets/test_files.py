"""Files as people have them: spellings, times, numbers; what each gives is known by hand."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import Bars, load_market, load_markets

OPEN, HIGH, LOW, CLOSE = 10.0, 12.0, 9.5, 11.25


def load(path: Path, text: str | bytes, name: str = "prices.csv", tz: str | None = None) -> Bars:
    file = path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_market(file, tz=tz)


def seconds(bars: Bars) -> list[str]:
    return [str(t.astype("datetime64[s]")) for t in bars.timestamps]


@pytest.mark.parametrize(
    "header",
    [
        "Date,Open,High,Low,Close,Volume",
        "timestamp,open,high,low,close,volume",
        "DATETIME, OPEN, HIGH, LOW, CLOSE, VOLUME",
        "open_time,o,h,l,c,v",
        "Open Time,Open Price,High Price,Low Price,Close Price,Quote",
        "<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
        "timestamp,1. open,2. high,3. low,4. close,5. volume",
        '"time","open","high","low","close","tick_volume"',
        "unix,open,high,low,close,Volume BTC",
        "Unnamed: 0,Open,High,Low,Last,Vol.",
        ",Open,High,Low,Close,Volume",
        "ts,first,max,min,last,qty",
    ],
)
def test_spellings_of_columns(tmp_path: Path, header: str) -> None:
    bars = load(tmp_path, f"{header}\n2020-01-02,10,12,9.5,11.25,7\n2020-01-03,10,12,9.5,11.25,7\n")
    assert seconds(bars) == ["2020-01-02T00:00:00", "2020-01-03T00:00:00"]
    assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close) == (OPEN, HIGH, LOW, CLOSE)
    assert bars[0].volume == (0.0 if "Quote" in header else 7.0)
    assert bars.symbol == "prices"


@pytest.mark.parametrize(
    ("first", "second", "tz", "expected"),
    [
        ("2020-01-02", "2020-01-03", None, "2020-01-02T00:00:00"),
        ("2020-01-02", "2020-01-03", "Asia/Tokyo", "2020-01-02T00:00:00"),  # a date is a date
        ("2020-01-02 09:30", "2020-01-02 09:31", None, "2020-01-02T09:30:00"),
        ("2020-01-02 09:30", "2020-01-02 09:31", "America/New_York", "2020-01-02T14:30:00"),
        ("2020-07-02T09:30:00", "2020-07-02T09:31:00", "America/New_York", "2020-07-02T13:30:00"),
        ("2020-01-02 09:30:00-05:00", "2020-07-02 09:30:00-04:00", None, "2020-01-02T14:30:00"),
        ("2020-01-02T09:30:00Z", "2020-01-02T09:31:00Z", "Asia/Tokyo", "2020-01-02T09:30:00"),
        ("2020-01-02T09:30:00.250Z", "2020-01-02T09:31:00Z", None, "2020-01-02T09:30:00"),
        ("2020-01-02 09:30 UTC", "2020-01-02 09:31 UTC", None, "2020-01-02T09:30:00"),
        ("02.01.2020 09:30:00.000 GMT+0130", "02.01.2020 09:31:00.000 GMT+0130", None,
         "2020-01-02T08:00:00"),
        ("2020-01-02 00:00:00+01:00", "2020-07-02 00:00:00+02:00", None, "2020-01-02T00:00:00"),
        ("2020-01-02T00:00:00.000-05:00", "2020-01-03T00:00:00.000-05:00", None,
         "2020-01-02T00:00:00"),
        ("2020-01-02 00:00:00+01:00", "2020-01-03 00:00:01+01:00", None, "2020-01-01T23:00:00"),
        ("02.01.2020 00:00:00.000 GMT+0900", "03.01.2020 00:00:00.000 GMT+0900", None,
         "2020-01-02T00:00:00"),
        ("2020.01.02 09:30", "2020.01.02 09:31", None, "2020-01-02T09:30:00"),
        ("2020/01/02 09:30:15", "2020/01/02 09:31:15", None, "2020-01-02T09:30:15"),
        ("20200102", "20200103", None, "2020-01-02T00:00:00"),
        ("202001020930", "202001020931", None, "2020-01-02T09:30:00"),
        ("20200102093015", "20200102093115", None, "2020-01-02T09:30:15"),
        ("20200102 093015", "20200102 093115", None, "2020-01-02T09:30:15"),
        ("1577957400", "1577957460", "Asia/Tokyo", "2020-01-02T09:30:00"),
        ("1577957400.0", "1577957460.0", None, "2020-01-02T09:30:00"),
        ("1577957400000", "1577957460000", None, "2020-01-02T09:30:00"),
        ("1577957400000000", "1577957460000000", None, "2020-01-02T09:30:00"),
        ("1577957400000000000", "1577957460000000000", None, "2020-01-02T09:30:00"),
        ("01/02/2020", "01/15/2020", None, "2020-01-02T00:00:00"),  # only month-first fits
        ("02/01/2020", "15/01/2020", None, "2020-01-02T00:00:00"),  # only day-first fits
        ("02/01/2020", "01/02/2020", None, "2020-01-02T00:00:00"),  # only day-first ascends
        ("1/2/2020 9:30 AM", "1/15/2020 1:30 PM", None, "2020-01-02T09:30:00"),
        ("Jan 02, 2020", "Jan 03, 2020", None, "2020-01-02T00:00:00"),
        ("January 2, 2020", "January 3, 2020", None, "2020-01-02T00:00:00"),
        ("02-Jan-2020", "03-Jan-2020", None, "2020-01-02T00:00:00"),
        ("2-Jan-20", "3-Jan-20", None, "2020-01-02T00:00:00"),
    ],
)  # fmt: skip
def test_spellings_of_times(
    tmp_path: Path, first: str, second: str, tz: str | None, expected: str
) -> None:
    rows = "".join(f'"{time}",10,12,9.5,11.25,7\n' for time in (first, second))
    bars = load(tmp_path, "time,open,high,low,close,volume\n" + rows, tz=tz)
    assert seconds(bars)[0] == expected
    assert len(bars) == 2


def test_nineteen_digits_are_exact(tmp_path: Path) -> None:
    rows = "".join(f"{1577957400000000001 + i},10,12,9.5,11.25\n" for i in range(3))
    bars = load(tmp_path, "time,open,high,low,close\n" + rows)
    assert bars.timestamps.astype(np.int64).tolist() == [1577957400000000001 + i for i in range(3)]


def test_the_hour_that_autumn_repeats_is_told_by_the_order_of_rows(tmp_path: Path) -> None:
    clock = ["00:30", "01:30", "01:30", "02:30"]
    rows = "".join(f"2020-11-01 {time},10,12,9.5,11.25,7\n" for time in clock)
    text = "time,open,high,low,close,volume\n" + rows
    bars = load(tmp_path, text, tz="America/New_York")
    assert [time[11:16] for time in seconds(bars)] == ["04:30", "05:30", "06:30", "07:30"]


@pytest.mark.parametrize(
    ("cells", "delimiter", "volume"),
    [
        ('"1,000.50","1,200.00",950,"1,125.25","1,234,567"', ",", 1_234_567.0),
        ("$1000.5,$1200,$950,$1125.25,12K", ",", 12_000.0),
        ("1000.5,1200,950,1125.25,1.5M", ",", 1_500_000.0),
        ("1.000,50;1.200,00;950,00;1.125,25;7", ";", 7.0),
        ("1000,5;1200;950;1125,25;7,5", ";", 7.5),
        ("1000.5\t1200\t950\t1125.25\t7", "\t", 7.0),
        ("1000.5|1.2e3|950|1125.25|7", "|", 7.0),
        ("1000.5, 1200, 950, 1125.25, 7", ",", 7.0),
    ],
)
def test_spellings_of_numbers(tmp_path: Path, cells: str, delimiter: str, volume: float) -> None:
    header = delimiter.join(["Date", "Open", "High", "Low", "Close", "Volume"])
    bars = load(tmp_path, f"{header}\n2020-01-02{delimiter}{cells}\n")
    assert bars[0][1:] == (1000.5, 1200.0, 950.0, 1125.25, volume)


ROWS = "2020-01-02,10,12,9.5,11.25,7\n2020-01-03,10,12,9.5,11.25,7\n"
CSV = "Date,Open,High,Low,Close,Volume\n" + ROWS


def zipped(content: bytes) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.csv", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode("utf-8-sig")),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", CSV.replace("\n", "\r\n").encode()),
        ("a.csv", CSV.replace("\n", "\n\n").encode()),
        ("a.csv", ("\n\n" + CSV + "\n,,,,,\n").encode()),
        ("a.csv", ("https://www.example.com/data\n" + CSV).encode()),
        ("a.csv", ROWS.encode()),
        ("a.csv", CSV.replace("\n", ",\n").encode()),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv.bz2", bz2.compress(CSV.encode())),
        ("a.csv.xz", lzma.compress(CSV.encode())),
        ("a.csv.zip", zipped(CSV.encode())),
        ("a.txt", CSV.encode()),
    ],
)
def test_shapes_of_text_files(tmp_path: Path, name: str, content: bytes) -> None:
    bars = load(tmp_path, content, name)
    assert [*bars] == [*load(tmp_path, CSV, "plain.csv")]
    assert bars.symbol == "a"


def test_headers_of_three_lines_name_the_instrument(tmp_path: Path) -> None:
    text = (
        "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n"
        "2020-01-02,11.25,12,9.5,10,7\n"
    )
    bars = load(tmp_path, text)
    assert (bars.symbol, bars[0].open, bars[0].close) == ("AAPL", OPEN, CLOSE)
    wide = "Price,Close,Close\nTicker,AAPL,MSFT\nDate,,\n2020-01-02,1,2\n"
    with pytest.raises(
        DataError, match=r"prices.csv#AAPL: no column for open, high(.|\n)*--closes"
    ):
        load(tmp_path, wide)


def test_date_and_time_in_two_columns(tmp_path: Path) -> None:
    tabs = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
    text = tabs + "2020.01.02\t09:30:00\t10\t12\t9.5\t11.25\t7\t0\t1\n"
    bars = load(tmp_path, text, tz="Europe/Berlin")
    assert seconds(bars) == ["2020-01-02T08:30:00"]
    compact = "<TICKER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n"
    bars = load(tmp_path, compact + "AAPL.US,20200102,093000,10,12,9.5,11.25,7\n")
    assert (bars.symbol, seconds(bars)) == ("AAPL.US", ["2020-01-02T09:30:00"])
    bars = load(tmp_path, "2020.01.02,09:30,10,12,9.5,11.25,7\n")
    assert seconds(bars) == ["2020-01-02T09:30:00"]


def test_bulk_rows_without_a_header_are_read_and_noted(tmp_path: Path) -> None:
    row = "1577957400000,10,12,9.5,11.25,7,1577957459999,80,3,4,40,0\n"
    bars = load(tmp_path, row + row.replace("1577957400000", "1577957460000"))
    assert seconds(bars)[0] == "2020-01-02T09:30:00"
    assert bars[0].volume == 7.0
    assert bars.notes == ("no header: columns read as timestamp, open, high, low, close, volume",)


def test_a_symbol_column_gives_several_instruments(tmp_path: Path) -> None:
    rows = [f"2020-01-0{day},{name},10,12,9.5,11.25\n" for day in (2, 3) for name in ("B", "NA")]
    text = "date,ticker,open,high,low,close\n" + "".join(rows)
    (tmp_path / "two.csv").write_text(text)
    both = load_markets([tmp_path / "two.csv"])
    assert [(bars.symbol, len(bars)) for bars in both] == [("B", 2), ("NA", 2)]
    assert load_market(f"{tmp_path}/two.csv#NA").sha256 == both[1].sha256
    assert load_market(tmp_path / "two.csv", symbol="B").sha256 == both[0].sha256
    assert [b.symbol for b in load_markets(["sp500", f"{tmp_path}/two.csv#B"])] == ["sp500", "B"]
    with pytest.raises(DataError, match=r"2 instruments \(B, NA\)(.|\n)*two.csv#B"):
        load_market(tmp_path / "two.csv")
    for wrong in (f"{tmp_path}/two.csv#C", f"{tmp_path}/two.csv"):
        with pytest.raises(DataError, match="no instrument 'C'"):
            load_market(wrong, symbol="C")


def test_notes_say_what_is_missing_or_left(tmp_path: Path) -> None:
    head = "Date,Open,High,Low,Close"
    row = "2020-01-02,10,12,9.5,11.25"
    assert load(tmp_path, f"{head}\n{row}\n").notes == (
        "no volume column: volume is 0 in every bar",
    )
    assert load(tmp_path, f"{head},Volume\n{row},0\n").notes == ("volume is 0 in every bar",)
    assert load(tmp_path, f"{head},Volume\n{row},\n").notes == (
        "the volume column is empty: volume is 0 in every bar",
    )
    assert load(tmp_path, f"{head},Volume USD\n{row},1\n").notes == (
        "column Volume USD is used as volume",
    )
    assert load(tmp_path, f"{head},Adj Close,Volume\n{row},9,1\n").notes == (
        "the adjusted close is not used",
    )
    timed = f"{head},Volume\n{row},1\n".replace("02,", "02 09:30,")
    assert load(tmp_path, timed).notes == ("times without a zone are read as UTC",)
    assert load(tmp_path, timed, tz="UTC").notes == ()


def test_adjusted_prices_are_scaled_only_on_demand(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("Date,Open,High,Low,Close,Adj Close,Volume\n2020-01-02,10,12,9.5,11.25,9,7\n")
    assert load_market(file)[0].close == CLOSE
    bar = load_market(file, adjust=True)[0]
    np.testing.assert_allclose(bar[1:], (8.0, 9.6, 7.6, 9.0, 7.0), rtol=1e-15)
    file.write_text(CSV)
    with pytest.raises(DataError, match="no adjusted close"):
        load_market(file, adjust=True)


def test_rounding_of_the_body_is_absorbed_and_noted_and_more_is_refused(tmp_path: Path) -> None:
    head = "Date,Open,High,Low,Close,Volume\n"
    bars = load(tmp_path, head + "2020-01-02,10,11.249999999999998,9.5,11.25,7\n")
    assert bars.high[0] == CLOSE
    assert bars.notes == ("1 bars: high or low widened to the body by less than 1e-09 (rounding)",)
    with pytest.raises(DataError, match=r"prices.csv row 2: high 11.2499 < close 11.25"):
        load(tmp_path, head + "2020-01-02,10,11.2499,9.5,11.25,7\n")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo", "America/New_York", "UTC"])
def test_midnights_of_an_exchange_are_the_dates_of_its_sessions(tmp_path: Path, zone: str) -> None:
    days = pd.date_range("2020-01-06", "2020-12-31", freq="B", tz=zone)
    frame = pd.DataFrame(
        {"Open": OPEN, "High": HIGH, "Low": LOW, "Close": CLOSE, "Volume": 7}, index=days
    )
    frame.to_parquet(tmp_path / "a.parquet")
    frame.rename_axis("Date").to_csv(tmp_path / "a.csv")
    for name in ("a.parquet", "a.csv"):
        bars = load_market(tmp_path / name)
        assert np.array_equal(bars.timestamps, days.tz_localize(None).to_numpy())
        assert (bars.periods_per_year, bars.gaps) == (252.0, 0)


@pytest.mark.parametrize("index", ["column", "index", "aware", "text", "stacked"])
def test_parquet_as_pandas_writes_it(tmp_path: Path, index: str) -> None:
    times = pd.date_range("2020-01-02 09:30", periods=3, freq="min")
    frame = pd.DataFrame(
        {"Open": OPEN, "High": HIGH, "Low": LOW, "Close": CLOSE, "Volume": 7}, index=times
    )
    expected = "2020-01-02T09:30:00"
    symbol = "a"
    if index == "column":
        frame = frame.rename_axis("Date").reset_index()
    elif index == "aware":
        frame = frame.tz_localize("America/New_York")
        expected = "2020-01-02T14:30:00"
    elif index == "text":
        frame = frame.set_axis(times.strftime("%Y-%m-%d %H:%M"), axis=0)
    elif index == "stacked":
        frame.columns = pd.MultiIndex.from_product([frame.columns, ["SPY"]])
        symbol = "SPY"
    frame.to_parquet(tmp_path / "a.parquet")
    bars = load_market(tmp_path / "a.parquet")
    assert (seconds(bars)[0], bars.symbol, len(bars)) == (expected, symbol, 3)
    assert bars[0][1:] == (OPEN, HIGH, LOW, CLOSE, 7.0)


def test_unknown_zones_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'America/New_York'"):
        load(
            tmp_path,
            CSV.replace("-02", "-02 09:30").replace("-03", "-03 09:30"),
            tz="America/NewYork",
        )


def test_a_volume_of_few_bars_gives_way_to_one_of_most(tmp_path: Path) -> None:
    """An exchange's VOL under a quoted symbol: 0 but for a stray bar, and TICKVOL is filled."""
    head = "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\n"
    volumes = [(5, 0), (6, 0), (7, 3), (8, 0)]
    rows = [f"2020.01.0{k + 2}\t10\t12\t9.5\t11.25\t{t}\t{v}" for k, (t, v) in enumerate(volumes)]
    bars = load(tmp_path, head + "\n".join(rows) + "\n")
    assert [bar.volume for bar in bars] == [5.0, 6.0, 7.0, 8.0]
    assert bars.notes == (
        "column <VOL> is 0 or empty in 3 of 4 bars", "column <TICKVOL> is used as volume"
    )  # fmt: skip
    thin = load(tmp_path, (head + "\n".join(rows) + "\n").replace("<TICKVOL>", "<SPREAD>"))
    assert [bar.volume for bar in thin] == [0.0, 0.0, 3.0, 0.0]


@pytest.mark.parametrize("cell", ["1.73E+12", "1.7348E+12", "2E+12"])
def test_epochs_that_a_spreadsheet_cut_are_refused_with_the_way_out(
    tmp_path: Path, cell: str
) -> None:
    text = "timestamp,open,high,low,close\n" + f"{cell},10,12,9.5,11.25\n" * 2
    with pytest.raises(DataError, match="is not a date or time") as caught:
        load(tmp_path, text)
    assert "cut the digits" in str(caught.value)
    assert "column as text" in str(caught.value)
