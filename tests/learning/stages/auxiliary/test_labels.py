"""Labels of bars by hand, masked without their bars; naive ones causal; the GARCH by a loop."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from offline_trader.learning.stages.auxiliary import BarLabels, label_bars
from offline_trader.learning.stages.auxiliary.garch import garch_volatility
from offline_trader.learning.stages.auxiliary.labels import VOLUME_BARS
from offline_trader.markets.regimes import detect_regimes
from offline_trader.types import FloatArray

NAIVE = ("last_return", "last_volatility", "garch", "last_volume", "last_regime")


def prices_of(rows: int = 600, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    clustered = 0.01 * (1.0 + 2.0 * (np.arange(rows) // 40 % 2))
    close = 100.0 * np.exp(np.cumsum(clustered * rng.standard_normal(rows)))
    volume = np.exp(rng.standard_normal(rows))
    return np.stack([close, close, close, close, volume], axis=1)


def test_returns_and_volatility_are_those_of_the_bars_after() -> None:
    prices = np.full((6, 5), 1.0)
    prices[:, 3] = [1.0, 2.0, 1.0, 4.0, 4.0, 8.0]
    two = np.log(2.0)
    labels = label_bars(prices, 2, 6)
    np.testing.assert_allclose(labels.next_return[:-1], [two, -two, 2 * two, 0.0, two])
    np.testing.assert_allclose(labels.last_return[1:], labels.next_return[:-1])
    root = np.sqrt
    expected = [two, two * root(2.5), two * root(2.0), two * root(0.5)]
    np.testing.assert_allclose(labels.volatility[:4], expected)
    assert np.isnan(labels.volatility[4:]).all()
    assert np.isnan(labels.next_return[-1])
    np.testing.assert_allclose(labels.last_volatility[2:], labels.volatility[:4])
    assert (labels.volume == -1).all()
    assert (labels.regime == -1).all()
    assert np.isnan(labels.garch).all()


def test_a_volume_is_low_or_high_beside_those_before_it() -> None:
    prices = prices_of()
    volume = prices[:, 4]
    labels = label_bars(prices, 20, 600)
    for t in (VOLUME_BARS - 1, 400, 598):
        low, high = np.quantile(volume[t - VOLUME_BARS + 1 : t + 1], (1 / 3, 2 / 3))
        for found, value in ((labels.volume[t], volume[t + 1]), (labels.last_volume[t], volume[t])):
            assert found == (0 if value < low else 2 if value > high else 1)
    assert (labels.volume[: VOLUME_BARS - 1] == -1).all()
    assert labels.volume[-1] == -1
    np.testing.assert_allclose(np.bincount(labels.volume[VOLUME_BARS:-1]) / 347, 1 / 3, atol=0.08)
    prices[:, 4] = 0.0
    assert (label_bars(prices, 20, 600).volume == -1).all()


def test_the_regime_is_that_of_the_horizon() -> None:
    prices = prices_of()
    labels, regimes = label_bars(prices, 20, 600), detect_regimes(prices[:, 3])
    np.testing.assert_array_equal(labels.regime[:-20], regimes[20:])
    np.testing.assert_array_equal(labels.last_regime, regimes)
    assert (labels.regime[-20:] == -1).all()


@pytest.mark.parametrize("cut", [300, 450])
def test_what_is_said_naively_reads_no_later_bar_and_labels_no_further_than_the_horizon(
    cut: int,
) -> None:
    prices = prices_of()
    changed = prices.copy()
    changed[cut:] = prices_of(seed=1)[cut:]
    ours, theirs = label_bars(prices, 20, 250), label_bars(changed, 20, 250)
    for each in fields(BarLabels):
        until = cut if each.name in NAIVE else cut - 20
        a, b = (getattr(labels, each.name)[:until] for labels in (ours, theirs))
        np.testing.assert_array_equal(a, b, err_msg=each.name)
        after, changed_after = (getattr(labels, each.name)[cut:] for labels in (ours, theirs))
        assert not np.array_equal(after, changed_after, equal_nan=True), each.name


def test_the_garch_is_the_recursion_with_its_long_run() -> None:
    rng = np.random.default_rng(0)
    sigma2, shocks = 1e-4, []
    for _ in range(3_000):
        shocks.append(np.sqrt(sigma2) * rng.standard_normal())
        sigma2 = 2e-6 + 0.1 * shocks[-1] ** 2 + 0.88 * sigma2
    returns = np.array([np.nan, *shocks])
    found = garch_volatility(returns, 5, 2_001)
    from arch import arch_model

    model = arch_model(100.0 * returns[1:2_001], mean="Zero", vol="GARCH", rescale=False)
    omega, alpha, beta = model.fit(disp="off").params
    assert alpha + beta == pytest.approx(0.98, abs=0.04)
    variance = np.mean((100.0 * returns[1:2_001]) ** 2)
    for t in range(1, len(returns)):
        variance = omega + alpha * (100.0 * returns[t]) ** 2 + beta * variance
        ahead, path = variance, []
        for _ in range(5):
            path.append(ahead)
            ahead = omega + (alpha + beta) * ahead
        if t in (1, 2, 1_000, 3_000):
            assert found[t] == pytest.approx(np.sqrt(np.mean(path)) / 100.0, rel=1e-9)
    assert np.isnan(garch_volatility(returns, 5, 50)).all()
