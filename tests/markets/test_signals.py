"""Signals: columns beside the bars, and files joined as of the bars' ends, never later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import (
    SignalBar,
    SignalColumns,
    frame_bars,
    load_market,
    load_markets,
)

MINUTES = pd.date_range("2024-01-02 14:30", periods=6, freq="min")
DAYS = pd.date_range("2024-01-02", periods=6, freq="D")


def prices(folder: Path, times: pd.DatetimeIndex, **columns: Any) -> Path:
    file = folder / "prices.csv"
    frame = pd.DataFrame({"time": times, "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5})
    for name, values in columns.items():
        frame[name] = values
    frame.to_csv(file, index=False)
    return file


def signals(folder: Path, rows: list[tuple[str, object]], name: str = "mood.csv") -> Path:
    file = folder / name
    file.write_text(
        "time,mood\n" + "".join(f"{time},{value}\n" for time, value in rows), encoding="utf-8"
    )
    return file


def mood(market: Path, file: Path, bar_end: str = "") -> list[float]:
    wanted = SignalColumns(("mood",), (str(file),), bar_end)
    return list(load_market(market, signals=wanted).signals["mood"])


def test_further_columns_of_the_price_file_are_signals(tmp_path: Path) -> None:
    file = prices(
        tmp_path, DAYS, **{"Put/Call": [1, 2, "", 4, 5, 6], "mood": range(6), "note": "x"}
    )
    bars = load_market(file, signals=SignalColumns(("mood", "Put/Call")))
    assert list(bars.signals) == ["mood", "Put/Call"]
    np.testing.assert_array_equal(bars.signals["Put/Call"], [1, 2, np.nan, 4, 5, 6])
    plain = load_market(file)
    assert plain.signals == {}
    np.testing.assert_array_equal(plain.close, bars.close)
    assert plain.sha256 != bars.sha256
    part = bars.slice(2, 5)
    np.testing.assert_array_equal(part.signals["mood"], [2, 3, 4])
    assert isinstance(bars[3], SignalBar)
    assert bars[3].signals == {"mood": 3.0, "Put/Call": 4.0}
    assert [bar.signals["mood"] for bar in bars] == list(range(6))
    assert list(bars.to_frame().columns[-2:]) == ["mood", "Put/Call"]
    assert bars.to_frame()["mood"].tolist() == list(range(6))


def test_they_are_no_part_of_the_bars(tmp_path: Path) -> None:
    file = prices(tmp_path, DAYS, volume_change=range(6))
    bars = load_market(file, signals=SignalColumns(("volume_change",)))
    assert (bars.volume == 0.0).all()
    closes = tmp_path / "closes.csv"
    pd.DataFrame({"time": DAYS, "SPY": 10.0, "QQQ": 20.0, "mood": range(6)}).to_csv(
        closes, index=False
    )
    found = load_markets([f"closes:{closes}"], signals=SignalColumns(("mood",)))
    assert [each.symbol for each in found] == ["SPY", "QQQ"]
    assert all(list(each.signals["mood"]) == list(range(6)) for each in found)


def test_a_frame_keeps_the_signals_that_are_asked_for() -> None:
    frame = pd.DataFrame(
        {"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "mood": range(6)}, index=DAYS
    )
    bars = frame_bars(frame, signals=["mood"])
    assert list(bars.signals["mood"]) == list(range(6))
    with pytest.raises(DataError, match="no column 'moods'"):
        frame_bars(frame, signals=["moods"])


def test_a_bar_gets_the_last_value_known_at_its_end_and_never_a_later_one(tmp_path: Path) -> None:
    market = prices(tmp_path, MINUTES)
    file = signals(
        tmp_path,
        [
            ("2024-01-02 14:30:00", 1),  # at the first stamp
            ("2024-01-02 14:31:59", 2),
            ("2024-01-02 14:33:00", ""),  # says nothing
            ("2024-01-02 14:34:01", 3),
        ],
    )
    nan = np.nan
    # stamps are the ends: 14:31 does not know 14:31:59
    np.testing.assert_array_equal(mood(market, file), [1, 1, 2, 2, 2, 3])
    # stamps are the starts of minutes: known until the next stamp
    np.testing.assert_array_equal(mood(market, file, "1min"), [1, 2, 2, 2, 3, 3])
    # a length beyond the next stamp is cut there, but for the last bar
    np.testing.assert_array_equal(mood(market, file, "16h"), [1, 2, 2, 2, 3, 3])
    late = signals(tmp_path, [("2024-01-02 14:32:30", 7)], "late.csv")
    np.testing.assert_array_equal(mood(market, late), [nan, nan, nan, 7, 7, 7])


def test_a_date_is_known_at_the_end_of_its_day(tmp_path: Path) -> None:
    dates = signals(tmp_path, [("2024-01-02", 1), ("2024-01-03", 2)])
    daily = prices(tmp_path, DAYS)
    np.testing.assert_array_equal(mood(daily, dates), [1, 2, 2, 2, 2, 2])
    minutes = prices(tmp_path, pd.date_range("2024-01-02 23:57", periods=6, freq="min"))
    nan = np.nan
    np.testing.assert_array_equal(mood(minutes, dates), [nan, nan, nan, 1, 1, 1])


def test_a_time_of_day_is_later_than_the_date_of_a_daily_bar(tmp_path: Path) -> None:
    daily = prices(tmp_path, DAYS)
    file = signals(tmp_path, [("2024-01-03 15:00:00", 5), ("2024-01-03 22:00:00", 6)])
    nan = np.nan
    np.testing.assert_array_equal(mood(daily, file), [nan, nan, 6, 6, 6, 6])
    np.testing.assert_array_equal(mood(daily, file, "21h"), [nan, 5, 6, 6, 6, 6])


def test_changing_what_is_later_changes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    market = prices(tmp_path, pd.date_range("2024-01-02", periods=200, freq="h"))
    times = pd.date_range("2024-01-01", periods=900, freq="17min")
    values = rng.normal(size=900)
    bars = load_market(market)
    whole = [(str(t), v) for t, v in zip(times, values, strict=True)]
    before = mood(market, signals(tmp_path, whole))
    for cut in (30, 90, 150):
        end = bars.timestamps[cut]
        kept = [(t, v if np.datetime64(t) <= end else 99.0) for t, v in whole]
        after = mood(market, signals(tmp_path, kept))
        assert after[: cut + 1] == before[: cut + 1]
        assert after[cut + 2] == 99.0


def test_a_column_of_instruments_parts_the_rows(tmp_path: Path) -> None:
    market = tmp_path / "two.csv"
    rows = [f"{day.date()},{s},10,11,9,10.5\n" for s in ("AAA", "BBB") for day in DAYS]
    market.write_text("date,symbol,open,high,low,close\n" + "".join(rows), encoding="utf-8")
    file = tmp_path / "mood.csv"
    file.write_text(
        "date,symbol,mood\n2024-01-01,AAA,1\n2024-01-01,BBB,2\n2024-01-04,BBB,3\n", encoding="utf-8"
    )
    wanted = SignalColumns(("mood",), (str(file),))
    first, second = load_markets([market], signals=wanted)
    assert list(first.signals["mood"]) == [1] * 6
    assert list(second.signals["mood"]) == [2, 2, 3, 3, 3, 3]
    file.write_text("date,symbol,mood\n2024-01-01,AAA,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="no rows of BBB"):
        load_markets([market], signals=wanted)


def test_one_that_ends_before_the_bars_is_told(tmp_path: Path) -> None:
    market = prices(tmp_path, pd.date_range("2024-01-02", periods=100, freq="D"))
    file = signals(tmp_path, [(f"2024-01-{day:02d}", day) for day in range(2, 30)])
    bars = load_market(market, signals=SignalColumns(("mood",), (str(file),)))
    assert any("ends on 2024-01-29: its last value stands in 72 bars" in n for n in bars.notes)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("2024-01-02", "high")], r"mood\.csv row 2: mood is 'high'"),
        ([("2024-01-02", 1), ("2024-01-02", 2)], r"row 3: time .* appears twice"),
        ([("2024-01-02", "inf")], r"row 2: mood is"),
        ([("soon", 1)], r"row 2: 'soon' is not a date"),
    ],
)
def test_a_wrong_file_is_told_with_its_row(
    tmp_path: Path, rows: list[tuple[str, object]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        mood(prices(tmp_path, DAYS), signals(tmp_path, rows))


def test_what_is_no_signal_is_refused(tmp_path: Path) -> None:
    market = prices(tmp_path, DAYS, mood=range(6))
    file = signals(tmp_path, [("2024-01-02", 1)])
    with pytest.raises(DataError, match="both hold the signal 'mood'"):
        mood(market, file)
    with pytest.raises(DataError, match="no column 'moon'") as stop:
        load_market(market, signals=SignalColumns(("moon",), (str(file),)))
    assert "did you mean 'mood'" in str(stop.value)
    with pytest.raises(ConfigError, match="no signal in it is named"):
        load_market(market, signals=SignalColumns((), (str(file),)))
    with pytest.raises(ConfigError, match="a column of the bars"):
        SignalColumns(("Close",))
    with pytest.raises(ConfigError, match="bar_end is 'soon'"):
        SignalColumns(("mood",), bar_end="soon")
    nothing = tmp_path / "nothing.csv"
    nothing.write_text("mood,other\n1,2\n", encoding="utf-8")
    bare = prices(tmp_path, DAYS)
    with pytest.raises(DataError, match="no column of times"):
        mood(bare, nothing)
