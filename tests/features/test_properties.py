"""Causality, freedom of scale, and values on bars that do not move or do not trade."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.errors import DataError
from offline_trader.features import FEATURE_NAMES, compute_features
from offline_trader.markets import Bars

MakeBars = Callable[..., Bars]
COLUMNS = ("open", "high", "low", "close", "volume")


def splice(before: Bars, after: Bars, t: int) -> Bars:
    """Rows up to t of one series, then those of another, at the times of the first up to t and
    at times twice as far apart after it."""
    later = before.timestamps[t] + 2 * (before.timestamps[t + 1 :] - before.timestamps[t])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(before, name)[: t + 1], getattr(after, name)[t + 1 :]])
        for name in COLUMNS
    }
    return Bars("spliced", np.concatenate([before.timestamps[: t + 1], later]), **columns)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(254, 420),
    seed=st.integers(0, 2**32),
    level=st.sampled_from([1e-6, 1.0, 1e5]),
    flat=st.sampled_from([0.0, 0.5]),
    silent=st.sampled_from([0.0, 0.5, 1.0]),
    data=st.data(),
)
def test_changing_later_bars_leaves_earlier_rows_bit_for_bit(
    make_bars: MakeBars,
    n: int,
    seed: int,
    level: float,
    flat: float,
    silent: float,
    data: st.DataObject,
) -> None:
    t = data.draw(st.integers(252, n - 2))
    one = make_bars(n, seed, flat_share=flat, silent_share=silent)
    other = make_bars(n, seed + 1, level=level, sigma=0.3)
    changed = compute_features(splice(one, other, t)).values
    kept = compute_features(one).values
    assert kept[: t + 1].tobytes() == changed[: t + 1].tobytes()
    assert (kept[t + 1 :] != changed[t + 1 :]).any(axis=1).all()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(254, 420), seed=st.integers(0, 2**32), data=st.data())
def test_a_row_needs_no_later_bar(
    make_bars: MakeBars, n: int, seed: int, data: st.DataObject
) -> None:
    t = data.draw(st.integers(252, n - 2))
    bars = make_bars(n, seed, flat_share=0.2)
    alone = compute_features(bars.slice(0, t + 1)).values
    np.testing.assert_allclose(
        alone[252:], compute_features(bars).values[252 : t + 1], rtol=0.0, atol=1e-14
    )


@pytest.mark.parametrize("factor", [2.0**-40, 1e-9, 3.7, 2.0**30])
def test_prices_and_volumes_have_no_scale(make_bars: MakeBars, factor: float) -> None:
    bars = make_bars(600, seed=4, flat_share=0.2)
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    scaled = Bars("scaled", bars.timestamps, **prices, volume=bars.volume * 1000.0)
    one, two = (compute_features(b).values[252:] for b in (bars, scaled))
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-10)


def constant(n: int, volume: float, price: float = 1.1) -> Bars:
    prices = np.full(n, price)
    times = np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(1, "h")
    return Bars("flat", times, prices, prices, prices, prices, np.full(n, volume))


@pytest.mark.parametrize("price", [1.1, 1e-8, 123_456.789])
@pytest.mark.parametrize("volume", [0.0, 7.0])
def test_prices_that_never_move_give_the_neutral_values(price: float, volume: float) -> None:
    features = compute_features(constant(700, volume, price))
    neutral = {
        "rsi_14": 0.5, "bollinger_position": 0.5, "donchian_position_20": 0.5,
        "donchian_position_55": 0.5, "close_location": 0.5, "volume_ratio_20": 1.0,
    }  # fmt: skip
    calendar = ("day_", "week_", "year_")
    for name in FEATURE_NAMES:
        if not name.startswith(calendar):
            column = features.column(name)[252:]
            np.testing.assert_allclose(column, neutral.get(name, 0.0), rtol=0.0, atol=1e-13)


def test_a_market_that_stops_turns_neutral(make_bars: MakeBars) -> None:
    """RSI must not call a series that stopped moving oversold."""
    moving = make_bars(300, seed=5)
    last = moving.close[-1]
    stopped = constant(900, 0.0, last)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(moving, name), getattr(stopped, name)]) for name in COLUMNS
    }
    later = moving.timestamps[-1] + (stopped.timestamps - stopped.timestamps[0])
    times = np.concatenate([moving.timestamps, later + np.timedelta64(1, "h")])
    features = compute_features(Bars("stopped", times, **columns))
    assert np.isfinite(features.values[252:]).all()
    at_stop = features.column("rsi_14")[299]
    assert features.column("rsi_14")[340] == pytest.approx(at_stop, abs=1e-9)
    assert features.column("rsi_14")[-1] == 0.5
    assert features.column("volatility_20")[-1] == 0.0
    assert features.column("volume_ratio_20")[-1] == 1.0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sigma=st.sampled_from([1e-9, 1e-4, 0.02, 0.5]),
    level=st.sampled_from([1e-9, 1.0, 1e9]),
    flat=st.floats(0.0, 1.0),
    silent=st.floats(0.0, 1.0),
)
def test_no_row_after_the_warm_up_lacks_a_value(
    make_bars: MakeBars, seed: int, sigma: float, level: float, flat: float, silent: float
) -> None:
    bars = make_bars(500, seed, sigma=sigma, level=level, flat_share=flat, silent_share=silent)
    assert np.isfinite(compute_features(bars).values[252:]).all()


def test_too_few_bars_are_refused(make_bars: MakeBars) -> None:
    bars = make_bars(253, seed=1)
    assert np.isfinite(compute_features(bars).values[252]).all()
    for n in (1, 2, 30, 252):
        with pytest.raises(DataError, match=rf"random: {n} bars(.|\n)*at least 253"):
            compute_features(bars.slice(0, n))


def test_numbers_beyond_the_range_of_floats_are_refused() -> None:
    bars = constant(300, 7.0)
    volume = bars.volume.copy()
    volume[280:290] = 1e308
    prices = {name: getattr(bars, name) for name in ("open", "high", "low", "close")}
    huge = Bars("huge", bars.timestamps, **prices, volume=volume)
    with pytest.raises(DataError, match=r"huge, bar 2\d\d: volume_ratio_20 has no value"):
        compute_features(huge)
