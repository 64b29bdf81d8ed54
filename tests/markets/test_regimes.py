"""The causal regime rule: known shapes, invariance, and no look ahead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import load_market
from offline_trader.markets.regimes import REGIMES, UNKNOWN, RegimeRule, detect_regimes
from offline_trader.types import FloatArray


def _prices(drift: float, sigma: float, n: int, seed: int = 0) -> FloatArray:
    noise = np.random.default_rng(seed).standard_normal(n)
    return np.asarray(100 * np.exp(np.cumsum(drift + sigma * (noise - noise.mean()))))


@pytest.mark.parametrize(("drift", "name"), [(0.004, "bull"), (-0.004, "bear"), (0.0, "sideways")])
def test_a_trend_is_named(drift: float, name: str) -> None:
    labels = detect_regimes(_prices(drift, 0.01, 2000))[252:]
    most = REGIMES[np.bincount(labels, minlength=4).argmax()]
    if name == "sideways":
        # a walk without drift leaves half a standard deviation about as often up as down
        assert np.mean(labels == 2) > 0.2
        assert abs(np.mean(labels == 0) - np.mean(labels == 1)) < 0.25
    else:
        assert most == name
        assert np.mean(labels == REGIMES.index(name)) > 0.9


def test_a_burst_of_volatility_overrides_the_trend() -> None:
    calm, wild = _prices(0.002, 0.005, 1000), np.random.default_rng(1).standard_normal(60) * 0.03
    close = np.concatenate([calm, calm[-1] * np.exp(np.cumsum(wild))])
    labels = detect_regimes(close)
    assert (labels[1020:] == 3).mean() > 0.9
    assert (labels[900:1000] == 3).mean() < 0.05


def test_first_year_is_unknown() -> None:
    labels = detect_regimes(_prices(0.0, 0.01, 300))
    assert (labels[:252] == UNKNOWN).all()
    assert (labels[252:] != UNKNOWN).all()
    assert (detect_regimes(_prices(0.0, 0.01, 252)) == UNKNOWN).all()


def test_by_hand() -> None:
    rule = RegimeRule(trend_bars=2, short_bars=2, long_bars=4, volatility_ratio=10.0)
    steps = np.array([0.01, -0.01, 0.01, -0.01, 0.03, 0.03, -0.05, -0.05])
    labels = detect_regimes(100 * np.exp(np.concatenate([[0.0], np.cumsum(steps)])), rule)
    # trend of two bars against 0.5·σ4·√2: 0, +.02, +.06, −.02, −.10 from row 4 on
    expected = []
    for row in range(4, 9):
        window = steps[row - 4 : row]
        limit = 0.5 * window.std(ddof=1) * np.sqrt(2)
        trend = steps[row - 2 : row].sum()
        expected.append(0 if trend > limit else 1 if trend < -limit else 2)
    assert labels[4:].tolist() == expected
    assert set(expected) == {0, 1, 2}


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(260, 598), factor=st.floats(0.2, 5.0))
def test_no_row_reads_the_future(cut: int, factor: float) -> None:
    close = _prices(0.0003, 0.01, 600)
    changed = close.copy()
    changed[cut + 1 :] *= factor
    assert np.array_equal(detect_regimes(close)[: cut + 1], detect_regimes(changed)[: cut + 1])
    assert np.array_equal(detect_regimes(close)[: cut + 1], detect_regimes(close[: cut + 1]))


def test_scale_of_prices_does_not_matter() -> None:
    close = _prices(0.0003, 0.01, 1500)
    assert np.array_equal(detect_regimes(close), detect_regimes(close * 1024.0))


@pytest.mark.parametrize("source", ["sp500", "nasdaq"])
def test_every_regime_occurs_on_real_prices(source: str) -> None:
    labels = detect_regimes(load_market(source).close)[252:]
    shares = np.bincount(labels, minlength=4) / labels.size
    assert (shares > 0.04).all()
    assert shares.max() < 0.6


def test_refusals() -> None:
    with pytest.raises(DataError, match="positive"):
        detect_regimes([1.0, 0.0])
    with pytest.raises(ConfigError, match="windows"):
        RegimeRule(short_bars=300)
    with pytest.raises(ConfigError, match="thresholds"):
        RegimeRule(trend_threshold=0.0)
