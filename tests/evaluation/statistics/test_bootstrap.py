"""Bootstrap intervals: coverage on simulated series, agreement with closed forms, edges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.measures import performance, sharpe_ratio
from offline_trader.evaluation.statistics import (
    INTERVAL_MEASURES,
    Interval,
    NoInterval,
    bootstrap,
    bootstrap_interval,
    measured_difference,
    measured_interval,
    performance_intervals,
    sharpe_difference,
    stationary_indices,
)
from offline_trader.evaluation.statistics import resampling as _resampling
from offline_trader.types import FloatArray


def ar_garch(
    n_series: int, n_bars: int, autocorrelation: float, sharpe: float, seed: int
) -> FloatArray:
    """[S, T] AR(1)–GARCH(1,1) (.1, .85) returns with the given true Sharpe ratio a bar, sd 1 %."""
    rng = np.random.default_rng(seed)
    variance, shock, level = np.ones(n_series), np.zeros(n_series), np.zeros(n_series)
    out = np.empty((n_series, n_bars))
    for t in range(-300, n_bars):
        variance = 0.05 + 0.1 * shock**2 + 0.85 * variance
        shock = np.sqrt(variance) * rng.standard_normal(n_series)
        level = autocorrelation * level + shock
        if t >= 0:
            out[:, t] = level
    return np.asarray(0.01 * (out * math.sqrt(1 - autocorrelation**2) + sharpe))


def _coverage(measure: str, truth: float, series: FloatArray, replicates: int = 1000) -> float:
    covered = 0
    for k, returns in enumerate(series):
        found = bootstrap_interval(
            returns, measure, 1.0, rng=np.random.default_rng(k), replicates=replicates
        )
        assert found is not None
        covered += found.low <= truth <= found.high
    return covered / len(series)


@pytest.mark.slow
@pytest.mark.parametrize(("autocorrelation", "seed"), [(0.1, 101), (0.3, 102)])
def test_sharpe_intervals_cover_in_500_series(autocorrelation: float, seed: int) -> None:
    """The share itself has a standard error of one point: benchmarks hold more repeats."""
    series = ar_garch(500, 1000, autocorrelation, 0.05, seed=seed)
    assert 0.93 <= _coverage("sharpe", 0.05, series) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["mean_return", "volatility", "sortino"])
def test_other_intervals_cover_in_500_series(measure: str) -> None:
    long = ar_garch(2000, 5000, 0.1, 0.05, seed=8)
    truth = {
        "mean_return": 0.0005,
        "volatility": 0.01,
        "sortino": 0.0005 / math.sqrt(float(np.mean(np.minimum(long, 0) ** 2))),
    }[measure]
    coverage = _coverage(measure, truth, ar_garch(500, 1000, 0.1, 0.05, seed=12))
    # the variance of a GARCH series is estimated from few turbulent spells: wider tolerance
    assert (0.85 if measure == "volatility" else 0.92) <= coverage <= 0.975


def test_coverage_on_a_few_series() -> None:
    series = ar_garch(60, 500, 0.2, 0.05, seed=1)
    assert 0.86 <= _coverage("sharpe", 0.05, series, replicates=300) <= 1.0


def test_independent_normal_returns_give_the_closed_form_error() -> None:
    """Lo (2002): se = √((1 + SR²/2)/T) for independent normal returns."""
    returns = np.random.default_rng(0).normal(0.1, 1.0, 4000)
    found = bootstrap_interval(returns, "sharpe", 1.0, rng=np.random.default_rng(1))
    ratio = sharpe_ratio(returns)
    assert found is not None
    assert ratio is not None
    assert found.value == pytest.approx(ratio, rel=1e-12)
    expected = math.sqrt((1 + ratio**2 / 2) / 4000)
    assert found.standard_error == pytest.approx(expected, rel=0.06)
    assert found.high - found.low == pytest.approx(2 * 2.03 * expected, rel=0.12)


@pytest.mark.parametrize(("code", "shift"), [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (4, 0.3)])
def test_influence_functions_are_the_derivatives(code: int, shift: float) -> None:
    """Jackknife: T·(measure − measure without bar t) ≈ ψ_t, to first order in 1/T."""
    rng = np.random.default_rng(3)
    x = rng.standard_t(6, (400, 2)) * 0.01 + 0.002
    x[:, 1] += shift * x[:, 0]
    psi, other = np.empty(400), np.empty(399)
    value = _resampling.influence(x, code, psi)
    left_out = [
        399 * (value - _resampling.influence(np.delete(x, t, axis=0), code, other))
        for t in range(400)
    ]
    assert np.corrcoef(psi, left_out)[0, 1] > 0.999
    assert np.std(left_out) == pytest.approx(np.std(psi), rel=0.02)


def test_stationary_indices_have_the_block_length() -> None:
    found = stationary_indices(1000, 8.0, 200, np.random.default_rng(0))
    assert found.shape == (200, 1000)
    jumps = np.mean((np.diff(found, axis=1) % 1000) != 1)
    assert 1 / jumps == pytest.approx(8.0, rel=0.05)


def test_intervals_of_all_measures_agree_with_the_measures() -> None:
    returns = ar_garch(1, 800, 0.1, 0.08, seed=4)[0]
    found = performance_intervals(returns, 252.0, rng=np.random.default_rng(0), risk_free=0.02)
    values = performance(returns, 252.0, risk_free=0.02)
    assert set(found) == set(INTERVAL_MEASURES)
    for name, interval in found.items():
        assert isinstance(interval, Interval)
        assert interval.value == pytest.approx(values[name], rel=1e-9), name
        assert interval.low < interval.value < interval.high


def test_difference_of_sharpe_ratios_is_paired() -> None:
    rng = np.random.default_rng(0)
    market = rng.normal(0.0005, 0.01, 1500)
    policy = market + rng.normal(0.0004, 0.001, 1500)
    found = sharpe_difference(policy, market, 252.0, rng=rng)
    assert found is not None
    assert found.low > 0
    alone = bootstrap_interval(policy, "sharpe", 252.0, rng=rng)
    assert alone is not None
    assert found.high - found.low < 0.3 * (alone.high - alone.low)
    assert sharpe_difference(market, market, rng=rng) is None


def test_same_seed_same_interval_and_nan_is_left_out() -> None:
    returns = ar_garch(1, 300, 0.1, 0.05, seed=2)[0]
    holes = np.insert(returns, [10, 200], math.nan)
    one, two = (bootstrap_interval(each, rng=np.random.default_rng(7)) for each in (returns, holes))
    assert one == two


def test_what_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert bootstrap_interval(np.zeros(100), rng=rng) is None
    assert bootstrap_interval(rng.normal(size=20), rng=rng) is None
    assert bootstrap_interval(np.abs(rng.normal(size=99)), "sortino", rng=rng) is None
    with pytest.raises(ConfigError, match="no interval of 'calmar'"):
        bootstrap_interval(np.zeros(50), "calmar", rng=rng)
    with pytest.raises(ConfigError, match="replicates"):
        bootstrap_interval(np.zeros(50), rng=rng, replicates=10)
    with pytest.raises(DataError, match="same bars"):
        sharpe_difference(np.zeros(50), np.zeros(40), rng=rng)


def test_constant_growth_has_no_sharpe_interval() -> None:
    """Returns of an equity curve of constant growth differ by rounding alone."""
    equity = 1.001 ** np.arange(300.0)
    returns = equity[1:] / equity[:-1] - 1.0
    assert np.ptp(returns) > 0.0
    rng = np.random.default_rng(0)
    found = performance_intervals(returns, 252.0, rng=rng, replicates=100)["sharpe"]
    assert found == NoInterval("the returns do not vary")


def test_an_error_that_is_rounding_gives_no_interval() -> None:
    """Of returns that are as often +1 % as -1 % the influence on the volatility is zero."""
    coin = np.tile([0.01, -0.01], 100)
    found = measured_interval(coin, "volatility", 252.0, rng=np.random.default_rng(0))
    assert isinstance(found, NoInterval)
    assert "rounding" in found.reason
    assert isinstance(
        measured_interval(coin, "sharpe", 252.0, rng=np.random.default_rng(0)), Interval
    )


def test_where_one_bar_decides_there_is_no_interval_but_a_reason() -> None:
    """More than a third of the resamples lack the loss, and with it all of the variance."""
    one_loss = np.r_[-0.3, [0.01] * 50]
    idle = np.full(250, 0.0001)
    idle[[10, 60]] = 0.02, -0.01
    for returns in (one_loss, idle):
        for measure in ("sharpe", "volatility"):
            found = measured_interval(returns, measure, rng=np.random.default_rng(0))
            assert isinstance(found, NoInterval), (measure, found)
            assert "a few bars decide alone" in found.reason
            assert bootstrap_interval(returns, measure, rng=np.random.default_rng(0)) is None


@pytest.mark.parametrize("seed", range(12))
def test_a_difference_that_rests_on_few_bars_is_within_reach_of_its_error(seed: int) -> None:
    """It read 0.14 (-0.05 to 91.34) with a standard error of 0.13."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0005, 0.01, 120)
    for bars in (2, 4, 6, 10, 20, 40):
        policy = market + rng.normal(0.0, 1e-5, 120)
        policy[rng.integers(0, 120, bars)] = 0.0
        found = measured_difference(policy, market, 252.0, rng=rng, replicates=500)
        if isinstance(found, NoInterval):
            assert bars < 20
            assert "a few bars decide alone" in found.reason
            continue
        assert found.value - 8 * found.standard_error < found.low < found.value
        assert found.value < found.high < found.value + 8 * found.standard_error


def test_series_that_move_as_one_have_no_difference() -> None:
    rng = np.random.default_rng(0)
    market = rng.normal(0.0005, 0.01, 300)
    for twin in (market, 0.5 * market, market + 1e-17, np.expm1(np.log1p(market))):
        found = measured_difference(twin, market, rng=rng, replicates=100)
        assert found == NoInterval("the two have equal returns, or one is a multiple of the other")
    found = measured_difference(market, np.full(300, 0.001), rng=rng)
    assert found == NoInterval("the returns do not vary")


def near_pairs(
    n_series: int, n_bars: int, correlation: float, seed: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Normal returns with Sharpe ratios .06 and .05 a bar and the given correlation."""
    rng = np.random.default_rng(seed)
    for _ in range(n_series):
        one, own = rng.standard_normal((2, n_bars))
        other = correlation * one + math.sqrt(1.0 - correlation**2) * own
        yield 0.01 * (one + 0.06), 0.01 * (other + 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("n_bars", [120, 1000])
@pytest.mark.parametrize("correlation", [0.99, 0.999])
def test_differences_of_nearly_equal_series_cover(correlation: float, n_bars: int) -> None:
    covered = 0
    for k, (one, other) in enumerate(near_pairs(1000, n_bars, correlation, seed=60)):
        found = sharpe_difference(one, other, 1.0, rng=np.random.default_rng(k), replicates=500)
        assert found is not None
        covered += found.low <= 0.01 <= found.high
    assert 0.93 <= covered / 1000 <= 0.97


def test_blocks_and_samples_are_those_of_arch() -> None:
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    for n, autocorrelation in ((40, 0.0), (300, 0.6), (2_500, -0.3), (2_500, 0.97)):
        series = ar_garch(1, n, autocorrelation, 0.0, seed=n)[0]
        expected = float(optimal_block_length(series)["stationary"].iloc[0])
        assert bootstrap.optimal_block(series) == pytest.approx(
            np.clip(expected, 1.0, n / 4.0), rel=1e-12
        )
        sampler = StationaryBootstrap(7.5, np.arange(n), seed=np.random.default_rng(3))
        drawn = stationary_indices(n, 7.5, 2, np.random.default_rng(3))
        np.testing.assert_array_equal(drawn, [sampler.update_indices() for _ in range(2)])


@pytest.mark.parametrize("autocorrelation", [0.0, 0.4, 0.95])
def test_a_long_series_in_buckets_has_the_intervals_of_its_bars(
    monkeypatch: pytest.MonkeyPatch, autocorrelation: float
) -> None:
    pair = ar_garch(2, 6_000, autocorrelation, 0.01, seed=11)
    series, other = pair[0], 0.7 * pair[0] + 0.7 * pair[1]
    bars: list[Any] = []
    buckets: list[Any] = []
    for limit, found in ((10_000, bars), (1_500, buckets)):
        monkeypatch.setattr(bootstrap, "BUCKETS", limit)
        rng = np.random.default_rng(5)
        measured = performance_intervals(series, 252.0, rng=rng, replicates=4_000)
        found += [each for each in measured.values() if isinstance(each, Interval)]
        difference = measured_difference(series, other, 252.0, rng=rng, replicates=4_000)
        assert isinstance(difference, Interval)
        found.append(difference)
    assert len(bars) == len(buckets) == len(INTERVAL_MEASURES) + 1
    for one, long in zip(bars, buckets, strict=True):
        assert (long.value, long.standard_error, long.n) == (one.value, one.standard_error, one.n)
        width = one.high - one.low
        assert abs(long.low - one.low) < 0.06 * width
        assert abs(long.high - one.high) < 0.06 * width


def test_buckets_cover_all_bars_and_keep_within_a_block() -> None:
    assert bootstrap.bucket_edges(10_000, 3.0) is None
    for n, block in ((10_001, 1.0), (280_000, 5.0), (280_000, 1_500.0)):
        edges = bootstrap.bucket_edges(n, block)
        assert edges is not None
        sizes = np.diff(edges)
        assert (edges[0], edges[-1]) == (0, n)
        assert sizes.max() - sizes.min() <= 1
        assert sizes.max() <= max(n / 10_000, block / 16.0) + 2.0
