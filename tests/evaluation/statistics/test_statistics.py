"""Closed-form statistics: golden values and the null strategies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kurtosis, norm, skew

from offline_trader.errors import ConfigError
from offline_trader.evaluation.statistics import (
    deflated_sharpe_ratio,
    expected_maximum,
    min_backtest_years,
    min_track_record,
    probabilistic_sharpe_ratio,
    psr_from_moments,
    sharpe_evidence,
    wilson_interval,
)


def test_psr_golden() -> None:
    assert psr_from_moments(0.05, 1000, -0.5, 6.0) == pytest.approx(0.94045, abs=5e-6)


def test_psr_of_a_series_uses_population_moments() -> None:
    returns = np.random.default_rng(3).standard_t(5, 300) * 0.01 + 0.0005
    ratio = returns.mean() / returns.std(ddof=1)
    inside = 1 - skew(returns) * ratio + (kurtosis(returns, fisher=False) - 1) / 4 * ratio**2
    expected = norm.cdf((ratio - 0.02) * math.sqrt(299) / math.sqrt(inside))
    assert probabilistic_sharpe_ratio(returns, 0.02) == pytest.approx(expected, abs=1e-12)


def test_expected_maximum_against_simulation() -> None:
    draws = np.random.default_rng(0).standard_normal((20_000, 50)).max(axis=1)
    assert expected_maximum(50) == pytest.approx(draws.mean(), abs=0.03)
    assert expected_maximum(50) == pytest.approx(2.27630, abs=1e-5)
    assert expected_maximum(1) == 0.0


def test_min_backtest_length_of_the_paper() -> None:
    """Bailey et al. (2014): with five years, no more than 45 trials for a ratio of 1."""
    assert min_backtest_years(45) == pytest.approx(5.0, abs=0.01)
    assert min_backtest_years(45, 2.0) == pytest.approx(1.25, abs=0.01)


def test_min_track_record_of_daily_bars() -> None:
    """4.2 years before an annual Sharpe ratio of .8 differs from 0."""
    bars = min_track_record(0.8 / math.sqrt(252))
    assert bars is not None
    assert bars / 252 == pytest.approx(4.2, abs=0.05)
    assert min_track_record(-0.01) is None


def test_psr_at_the_minimum_track_record_is_the_confidence() -> None:
    bars = min_track_record(0.07, -0.4, 5.0, 0.01, 0.9)
    assert bars is not None
    variance = 1 + 0.4 * 0.07 + 0.07**2
    psr = norm.cdf(0.06 * math.sqrt(bars - 1) / math.sqrt(variance))
    assert psr == pytest.approx(0.9, abs=1e-12)


def test_deflated_is_psr_against_the_hurdle_of_luck() -> None:
    returns = np.random.default_rng(1).normal(0.001, 0.01, 500)
    hurdle = math.sqrt(0.002) * expected_maximum(20)
    assert deflated_sharpe_ratio(returns, 20, 0.002) == probabilistic_sharpe_ratio(returns, hurdle)
    assert deflated_sharpe_ratio(returns, 1, 0.0) == probabilistic_sharpe_ratio(returns)


def test_best_of_fifty_null_strategies_passes_psr_but_not_dsr() -> None:
    rng = np.random.default_rng(50)
    repeats, psr_passed, dsr_passed = 300, 0, 0
    for _ in range(repeats):
        returns = rng.normal(0.0, 0.01, (50, 750))
        ratios = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        best = sharpe_evidence(returns[ratios.argmax()], 252.0, ratios.tolist())
        assert best.psr is not None
        assert best.dsr is not None
        psr_passed += best.psr > 0.95
        dsr_passed += best.dsr > 0.95
    assert 0.85 <= psr_passed / repeats <= 0.97
    assert dsr_passed / repeats <= 0.02


def test_evidence_without_variance_or_trials() -> None:
    flat = sharpe_evidence(np.zeros(100), 252.0)
    assert flat.sharpe is None
    assert flat.psr is None
    unknown = sharpe_evidence(np.random.default_rng(0).normal(0, 1, 50) * 0.01, 252.0, n_trials=7)
    assert unknown.dsr is None
    assert unknown.hurdle is None


def test_wilson_golden() -> None:
    """8 of 10 at 95 %: (0.4902, 0.9433), Newcombe (1998) method 3."""
    low, high = wilson_interval(8, 10) or (0.0, 0.0)
    assert low == pytest.approx(0.49016, abs=1e-5)
    assert high == pytest.approx(0.94332, abs=1e-5)
    assert wilson_interval(0, 0) is None
    zero = wilson_interval(0, 5)
    assert zero is not None
    assert zero[0] == 0.0
    with pytest.raises(ConfigError):
        wilson_interval(3, 2)


def test_a_ratio_of_almost_nothing_needs_no_length_of_10_to_the_20_bars() -> None:
    returns = np.tile([0.01, -0.01], 200)
    returns[0] += 1e-9
    found = sharpe_evidence(returns, 252.0)
    assert found.sharpe is not None
    assert 0 < found.sharpe < 1e-8
    assert found.min_track_record_years is None
