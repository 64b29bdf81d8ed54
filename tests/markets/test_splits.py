"""Splits in time: order, gap, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import BarRange, Bars, load_market, split_bars


def daily(n: int) -> Bars:
    days = np.datetime64("2010-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D")
    ones = np.ones(n)
    return Bars("X", days, ones, ones, ones, ones, ones)


def test_built_in_split_at_the_ends_of_years() -> None:
    bars = load_market("sp500")
    splits = split_bars(bars, "2012", "2014-12-31", gap_bars=5)
    assert splits.train == BarRange(0, 3521)
    assert str(bars.timestamps[splits.train.stop - 1])[:10] == "2012-12-31"
    assert splits.validation.start == splits.train.stop + 5
    assert str(bars.timestamps[splits.validation.stop - 1])[:10] == "2014-12-31"
    assert splits.test == BarRange(splits.validation.stop + 5, len(bars))


@given(st.integers(30, 200), st.integers(0, 12), st.data())
def test_ranges_are_ordered_disjoint_and_apart(n: int, gap: int, data: st.DataObject) -> None:
    bars = daily(n)
    one = data.draw(st.integers(0, n - 1))
    two = data.draw(st.integers(0, n - 1))
    ends = [str(bars.timestamps[i].astype("datetime64[D]")) for i in (one, two)]
    fits = one + gap < two and two + gap + 1 < n
    if not fits:
        with pytest.raises(DataError, match="range is empty"):
            split_bars(bars, ends[0], ends[1], gap)
        return
    splits = split_bars(bars, ends[0], ends[1], gap)
    assert (splits.train.start, splits.train.stop) == (0, one + 1)
    assert splits.validation.start - splits.train.stop == gap
    assert splits.test.start - splits.validation.stop == gap
    assert splits.test.stop == n


def test_wrong_ranges_are_refused() -> None:
    with pytest.raises(ConfigError, match="gap_bars = -1"):
        split_bars(daily(50), "2010-01-10", "2010-01-20", -1)
    with pytest.raises(ConfigError, match="bar range 3 to 3"):
        BarRange(3, 3)
    with pytest.raises(DataError, match="the train range is empty"):
        split_bars(daily(50), "2010-01-10", "2010-01-20", 0, first_bar=30)
    assert len(BarRange(3, 8)) == 5
