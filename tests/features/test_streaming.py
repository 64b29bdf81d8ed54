"""Bar by bar equals batch to 1e-9, on every kind of bars."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.errors import DataError
from offline_trader.features import FEATURE_NAMES, StreamingFeatures, compute_features
from offline_trader.markets import Bars, load_market
from offline_trader.types import FloatArray

MakeBars = Callable[..., Bars]


def stream(bars: Bars) -> FloatArray:
    features = StreamingFeatures()
    return np.array([features.update(bar) for bar in bars])


def compare(bars: Bars) -> None:
    batch = compute_features(bars).values
    live = stream(bars)
    assert np.isnan(live[:252]).all()
    np.testing.assert_allclose(live[252:], batch[252:], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("market", ["sp500", "nasdaq"])
def test_five_thousand_real_bars(market: str) -> None:
    compare(load_market(market))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sigma=st.sampled_from([1e-7, 1e-3, 0.02, 0.3]),
    level=st.sampled_from([1e-8, 1.0, 1e6]),
    flat=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    silent=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_random_bars_that_may_stand_still_or_not_trade(
    make_bars: MakeBars, seed: int, sigma: float, level: float, flat: float, silent: float
) -> None:
    compare(make_bars(800, seed, sigma=sigma, level=level, flat_share=flat, silent_share=silent))


@pytest.mark.parametrize(("history", "tolerance"), [(253, 1e-6), (500, 1e-9)])
def test_a_history_that_begins_later_comes_near(history: int, tolerance: float) -> None:
    bars = load_market("sp500")
    for end in (1_900, 3_300, 4_700):
        whole = StreamingFeatures.after(bars.slice(0, end)).update(bars[end])
        part = StreamingFeatures.after(bars.slice(end - history, end)).update(bars[end])
        np.testing.assert_allclose(part, whole, rtol=0.0, atol=tolerance)


def test_intraday_bars(make_bars: MakeBars) -> None:
    compare(make_bars(1200, seed=9, sigma=1e-3, step=np.timedelta64(300_000_000_000, "ns")))


def test_a_long_standstill_after_movement(make_bars: MakeBars) -> None:
    """Wilder's sums fade through TA-Lib's own zero (1e-14) here."""
    moving, flat = make_bars(300, seed=2), make_bars(900, seed=3, flat_share=1.0)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(moving, name), getattr(flat, name)])
        for name in ("open", "high", "low", "close", "volume")
    }
    days = np.arange(1200) * np.timedelta64(1, "D")
    compare(Bars("still", np.datetime64("2000-01-01", "ns") + days, **columns))


def test_a_copy_and_a_pickle_go_on_alike(make_bars: MakeBars) -> None:
    bars = make_bars(520, seed=6)
    features = StreamingFeatures.after(bars.slice(0, 510))
    assert features.count == 510
    others = [copy.deepcopy(features), pickle.loads(pickle.dumps(features))]
    for bar in bars.slice(510, 520):
        expected = features.update(bar)
        for other in others:
            np.testing.assert_array_equal(other.update(bar), expected)


def test_a_refused_bar_leaves_the_stream_as_it_was(make_bars: MakeBars) -> None:
    bars = make_bars(300, seed=7)
    features = StreamingFeatures.after(bars.slice(0, 299))
    last = bars[299]
    wrong = [
        (last._replace(high=last.low), r"streamed bar 299 refused: high .* < "),
        (last._replace(close=np.nan), "close is missing"),
        (last._replace(timestamp=bars.timestamps[298]), "appears twice"),
        (last._replace(timestamp=bars.timestamps[10]), "comes after"),
    ]
    for bar, message in wrong:
        with pytest.raises(DataError, match=message):
            features.update(bar)
    np.testing.assert_allclose(
        features.update(last), compute_features(bars).values[299], rtol=0.0, atol=1e-9
    )


def test_values_that_overflow_are_refused(make_bars: MakeBars) -> None:
    bars = make_bars(300, seed=8)
    features = StreamingFeatures.after(bars.slice(0, 298))
    features.update(bars[298]._replace(volume=1.7e308))
    with pytest.raises(DataError, match="streamed bar 299: volume_ratio_20 has no value"):
        features.update(bars[299]._replace(volume=1.7e308))
    assert FEATURE_NAMES[16] == "volume_ratio_20"
