# ruff: noqa: E501 (headers of other people's files)
"""Price files at random: re-formatted ones give the same bars, damaged ones a message or bars."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import OfflineTraderError
from offline_trader.markets import load_markets

BARS = 12
PRICES = ("open", "high", "low", "close")


def table(draw: random.Random) -> pd.DataFrame:
    """Bars with two decimals, at minutes or days."""
    step = draw.choice(["D", "min"])
    start = draw.choice(["2020-02-20", "1999-12-28", "2024-12-25 09:30"])
    times = pd.date_range(
        pd.Timestamp(start).normalize() if step == "D" else start, periods=BARS, freq=step
    )
    level = draw.choice([1.5, 150.0, 25_000.0])
    close = np.array([round(level * (1 + draw.uniform(-0.02, 0.02)), 2) for _ in range(BARS)])
    open_ = np.concatenate([close[:1], close[:-1]])
    frame = pd.DataFrame({"time": times, "open": open_, "close": close})
    frame["high"] = np.round(np.maximum(open_, close) * 1.01 + 0.01, 2)
    frame["low"] = np.round(np.minimum(open_, close) * 0.99 - 0.01, 2)
    frame["volume"] = [float(draw.randint(1, 2_000_000)) for _ in range(BARS)]
    return frame


def number(x: float, decimal: str, group: str, places: int) -> str:
    text = f"{x:,.{places}f}"
    return text.replace(",", "\0").replace(".", decimal).replace("\0", group)


TIMES: tuple[Callable[[pd.Timestamp], str], ...] = (
    lambda t: t.strftime("%Y-%m-%d %H:%M:%S"),
    lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
    lambda t: t.strftime("%Y%m%d %H%M%S"),
    lambda t: t.strftime("%Y.%m.%d %H:%M"),
    lambda t: t.strftime("%m/%d/%Y %I:%M %p"),
    lambda t: t.strftime("%d.%m.%Y %H:%M:%S.000"),
    lambda t: t.strftime("%b %d, %Y %H:%M"),
    lambda t: t.tz_localize("UTC").tz_convert("US/Eastern").strftime("%Y%m%d %H:%M:%S US/Eastern"),
    lambda t: t.tz_localize("UTC").tz_convert("Asia/Tokyo").isoformat(),
    lambda t: str(t.value // 10**9),
    lambda t: str(t.value // 10**6),
    lambda t: str(t.value // 10**3),
    lambda t: str(t.value),
)
NAMES = (
    {"time": "Date", "open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"},
    {"time": "<TIME>", "open": "<OPEN>", "high": "<HIGH>", "low": "<LOW>", "close": "<CLOSE>", "volume": "<VOL>"},
    {"time": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"},
    {"time": "window_start", "open": "Open (USD)", "high": "High (USD)", "low": "Low (USD)", "close": "Close (USD)", "volume": "Volume (BTC)"},
    {"time": "Datum", "open": "Eröffnung", "high": "Hoch", "low": "Tief", "close": "Schluss", "volume": "Volumen"},
    {"time": "日期", "open": "开盘", "high": "最高", "low": "最低", "close": "收盘", "volume": "成交量"},
)  # fmt: skip


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", data)
    return buffer.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".csv": bytes,
    ".csv.gz": lambda data: gzip.compress(data, mtime=0),
    ".csv.bz2": bz2.compress,
    ".txt.xz": lzma.compress,
    ".zip": zipped,
}


def as_text(frame: pd.DataFrame, draw: random.Random) -> tuple[str, bytes]:
    """The table in one of many layouts, and the ending of its file's name."""
    frame = frame[::-1] if draw.random() < 0.3 else frame
    delimiter = draw.choice(",;\t|")
    decimal, group = draw.choice([(".", ""), (".", ","), (",", "."), (",", " "), (".", "'")])
    quote = draw.choice(['"', '"' if {decimal, group} & {delimiter} else ""])
    if {decimal, group} & {delimiter}:
        quote = '"'
    time, names = draw.choice(TIMES), draw.choice(NAMES)
    order = ["time", *draw.sample([*PRICES, "volume"], 5)]
    lines = [delimiter.join(f"{quote}{names[name]}{quote}" for name in order)]
    for row in frame.to_dict("records"):
        cells = [
            time(row["time"]) if name == "time"
            else number(row[name], decimal, group, 0 if name == "volume" else 2)
            for name in order
        ]  # fmt: skip
        q = '"' if delimiter in cells[0] else quote
        lines.append(
            delimiter.join([f"{q}{cells[0]}{q}", *(f"{quote}{c}{quote}" for c in cells[1:])])
        )
        if draw.random() < 0.05:
            lines.append("")
    preamble = draw.choice([[], ["# a title"], ["", ""], ["https://www.example.com/"]])
    end = draw.choice(["\n", "\r\n"])
    text = end.join([*preamble, *lines]) + draw.choice(["", end])
    encoding = draw.choice(["utf-8", "utf-8-sig", "utf-16"])
    ending = draw.choice(list(PACKERS))
    return ending, PACKERS[ending](text.encode(encoding))


def as_binary(frame: pd.DataFrame, draw: random.Random) -> tuple[str, bytes]:
    """The table in Parquet or Feather, times as column or index, numbers as they come."""
    names = draw.choice(NAMES)
    frame = frame.rename(columns=names)
    zone = draw.choice([None, "UTC", "America/New_York"])
    stamps = frame[names["time"]]
    if zone is not None and bool((stamps != stamps.dt.normalize()).all()):
        frame[names["time"]] = stamps.dt.tz_localize("UTC").dt.tz_convert(zone)
    if draw.random() < 0.3:
        frame[names["open"]] = frame[names["open"]].astype(str)
    buffer = io.BytesIO()
    if draw.random() < 0.5:
        frame = frame.set_index(names["time"]) if draw.random() < 0.5 else frame
        frame.to_parquet(buffer)
        return ".parquet", buffer.getvalue()
    frame.to_feather(buffer)
    return ".feather", buffer.getvalue()


def reformat(seed: int, folder: Path) -> tuple[pd.DataFrame, Path]:
    draw = random.Random(seed)
    frame = table(draw)
    ending, data = (as_binary if draw.random() < 0.25 else as_text)(frame, draw)
    file = folder / f"a{ending}"
    file.write_bytes(data)
    return frame, file


def check_reformatted(seed: int, folder: Path) -> None:
    frame, file = reformat(seed, folder)
    (bars,) = load_markets([file])
    np.testing.assert_array_equal(bars.timestamps, frame["time"].to_numpy(), err_msg=f"seed {seed}")
    for name in (*PRICES, "volume"):
        np.testing.assert_array_equal(getattr(bars, name), frame[name], err_msg=f"{seed} {name}")


ODD = (
    b"", b"9" * 400, b"-1", b"nan", b"inf", b"1e999", b"\xff\xfe", b"\x00", b'"', b",", b";", b"\n",
    b"1,150", b"31/12/2019", b"0000", b"99999999", b"2262-01-01", b"=1+1", b"\x1b[31m", b"[1, 2]",
    b"20200230", b"+", b"1.2.3", "\u202e".encode(), b"1e5", b"NaT", b"12:00", b"%",
)  # fmt: skip


def damage(data: bytes, draw: random.Random) -> bytes:
    """One to four random changes: a bit, bytes cut, doubled or put in, an odd cell, an end."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data)) if data else 0
        to = at + draw.randint(1, 12)
        match draw.randrange(7):
            case 0 if data:
                data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:to] + data[at:]
            case 3:
                data = data[:at] + draw.randbytes(draw.randint(1, 8)) + data[at:]
            case 4:
                data = data[:at]
            case 5:
                lines = data.split(b"\n")
                i = draw.randrange(len(lines))
                cells = lines[i].split(b",")
                cells[draw.randrange(len(cells))] = draw.choice(ODD)
                lines[i] = b",".join(cells)
                data = b"\n".join(lines)
            case _:
                data = data[:at] + draw.choice(ODD) + data[at:]
    return data


def check_damaged(seed: int, folder: Path) -> None:
    _, file = reformat(seed, folder)
    draw = random.Random(-1 - seed)
    file.write_bytes(damage(file.read_bytes(), draw))
    source = f"closes:{file}" if draw.random() < 0.2 else str(file)
    try:
        found = load_markets([source], tz=draw.choice([None, "America/New_York"]))
    except OfflineTraderError as error:
        told = error.found
        found = []
    else:
        told = str(file)
    # outside of the handler: whatever else was raised is no message
    assert str(file) in told, f"seed {seed}: {told}"
    assert told.isprintable(), f"seed {seed}: {told}"
    for bars in found:
        assert len(bars) > 0
        assert np.isfinite(bars.close).all()


@pytest.mark.parametrize("block", range(4))
def test_re_formatted_files_give_the_same_bars(tmp_path: Path, block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        check_reformatted(seed, tmp_path)


@pytest.mark.parametrize("block", range(4))
def test_damaged_files_give_bars_or_a_message(tmp_path: Path, block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        check_damaged(seed, tmp_path)


@pytest.mark.slow
def test_thousands_of_files(tmp_path: Path) -> None:
    for seed in range(1_000, 6_000):
        check_damaged(seed, tmp_path)
        if seed % 5 == 0:
            check_reformatted(seed, tmp_path)
