"""Bars from and to pandas frames: equal to what a file of the frame gives."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from offline_trader.errors import DataError
from offline_trader.markets import frame_bars, load_market

BARS = load_market("sp500", end="2000")


def test_a_frame_and_back_are_equal_bars() -> None:
    frame = BARS.to_frame()
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"
    again = frame_bars(frame, symbol="sp500")
    assert again.sha256 == BARS.sha256
    frame.iloc[0, 0] = 0.0
    assert BARS.open[0] != 0.0


def test_spellings_zones_and_columns_of_times_are_those_of_files(tmp_path: Path) -> None:
    frame = BARS.to_frame().reset_index()
    frame["timestamp"] = frame["timestamp"].dt.tz_convert(None).astype("datetime64[s]")
    other = frame.rename(columns={"timestamp": "Date", "close": "Close*", "volume": "Vol."})
    frame.to_parquet(tmp_path / "sp500.parquet")
    for each in (frame, other, other.set_index("Date")):
        found = frame_bars(each, symbol="sp500", tz="America/New_York")
        assert found.sha256 == load_market(tmp_path / "sp500.parquet", tz="America/New_York").sha256


def test_one_of_several_instruments_is_asked_for() -> None:
    one, two = (BARS.to_frame() * factor for factor in (1.0, 2.0))
    beside = pd.concat({"AAA": one, "BBB": two}, axis=1)
    below = pd.concat([one.assign(symbol="AAA"), two.assign(symbol="BBB")])
    for frame in (beside, beside.swaplevel(axis=1), below):
        found = frame_bars(frame, symbol="BBB")
        np.testing.assert_array_equal(found.close, 2.0 * BARS.close)
        with pytest.raises(DataError, match="2 instruments"):
            frame_bars(frame)
        with pytest.raises(DataError, match="no instrument 'CCC'"):
            frame_bars(frame, symbol="CCC")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda f: f.drop(columns="close"), "the frame: no column for close"),
        (lambda f: f.assign(high=f["high"].where(np.arange(len(f)) != 7, 1.0)), "row 7: high 1"),
        (lambda f: f.iloc[:0], "the frame: no rows"),
        (lambda f: f.iloc[[0, 2, 1]], "row 2"),
        (lambda f: f["close"], "a Series"),
        (lambda f: f.reset_index(drop=True), "timestamp"),
    ],
)
def test_what_is_no_frame_of_bars_is_refused(changed: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        frame_bars(changed(BARS.to_frame()))  # type: ignore[operator]


def test_bars_show_themselves() -> None:
    assert repr(BARS) == "Bars('sp500', 504 bars, 1999-01-04 to 2000-12-29, 252 a year)"
    shown = BARS._repr_html_()
    assert BARS.sha256[:16] in shown
    assert shown.count("<polyline") == 1
    matplotlib.use("agg")
    axes = BARS.plot()
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(np.asarray(line.get_ydata()), BARS.close)
    assert BARS.plot(axes) is axes
