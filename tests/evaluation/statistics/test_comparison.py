"""Superior predictive ability: its size and power; interquartile mean across seeds."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.errors import DataError
from offline_trader.evaluation.statistics import (
    interquartile_mean,
    seed_summary,
    superior_to_all,
    superior_to_benchmark,
)
from offline_trader.types import FloatArray


def _pair(rng: np.random.Generator, edge: float) -> tuple[FloatArray, FloatArray]:
    """A policy that holds 70 % of the market plus its own noise, with ``edge`` more a bar."""
    market = rng.standard_t(6, 750) * 0.01 + 0.0003
    own = rng.standard_t(6, 750) * 0.005
    return 0.7 * market + own + 0.3 * 0.0003 + edge, market


@pytest.mark.slow
def test_size_of_the_spa_test_is_five_percent() -> None:
    rng = np.random.default_rng(40)
    rejected = 0
    for _ in range(1500):
        policy, market = _pair(rng, 0.0)
        p = superior_to_benchmark(policy, market, rng=rng, replicates=299)
        assert p is not None
        rejected += p < 0.05
    assert 0.03 <= rejected / 1500 <= 0.07


def test_spa_finds_a_real_edge_and_no_other() -> None:
    rng = np.random.default_rng(1)
    policy, market = _pair(rng, 0.001)
    better = superior_to_benchmark(policy, market, rng=rng, replicates=300)
    worse = superior_to_benchmark(market, policy, rng=rng, replicates=300)
    assert better is not None
    assert worse is not None
    assert better < 0.01
    assert worse > 0.5


def test_spa_accounts_for_the_number_of_models() -> None:
    """The best of 40 worthless models looks significant alone and not among the forty."""
    rng = np.random.default_rng(6)
    market = rng.normal(0, 0.01, 500)
    models = rng.normal(0, 0.01, (500, 40))
    best = models[:, models.mean(axis=0).argmax()]
    alone = superior_to_benchmark(best, np.zeros(500), rng=rng, replicates=300)
    among = superior_to_benchmark(models, np.zeros(500), rng=rng, replicates=300)
    assert alone is not None
    assert among is not None
    assert alone < 0.05 < among
    assert market.shape == (500,)


def test_a_noisy_model_does_not_hide_a_sure_one() -> None:
    """Without studentising, the greatest mean of chance's making is that of the noisiest model:
    arch's own test gives 0.7 here."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0.0, 1.0, (500, 6))
    noise -= noise.mean(axis=0)
    models = noise * [0.001, 0.03, 0.03, 0.03, 0.03, 0.03] + [0.0003, 0, 0, 0, 0, 0]
    alone = superior_to_benchmark(models[:, 0], np.zeros(500), rng=rng, replicates=300)
    among = superior_to_benchmark(models, np.zeros(500), rng=rng, replicates=300)
    assert alone is not None
    assert among is not None
    assert alone <= among < 0.01


def test_spa_of_one_model_is_a_one_sided_test_of_its_mean() -> None:
    """Independent returns: Φ(−t) but for the block length and the draws."""
    rng = np.random.default_rng(8)
    returns = rng.normal(0.0, 0.01, 2000)
    returns += 0.01 * 1.5 / np.sqrt(2000) - returns.mean()  # t = 1.5
    p = superior_to_benchmark(returns, np.zeros(2000), rng=rng, replicates=4000)
    assert p == pytest.approx(0.0668, abs=0.02)


def test_who_earned_less_has_a_p_value_of_one() -> None:
    rng = np.random.default_rng(4)
    market = rng.normal(0.0, 0.01, 300)
    worse = market - np.abs(rng.normal(0.0, 0.001, 300))
    assert superior_to_benchmark(worse, market, rng=rng, replicates=200) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("n_models", [5, 20])
def test_size_with_several_models_of_unequal_risk(n_models: int) -> None:
    rng = np.random.default_rng(41)
    rejected = 0
    for _ in range(1000):
        market = rng.standard_t(6, 500) * 0.01
        own = rng.standard_t(6, (500, n_models)) * np.geomspace(0.001, 0.03, n_models)
        p = superior_to_benchmark(market[:, None] + own, market, rng=rng, replicates=299)
        assert p is not None
        rejected += p < 0.05
    assert 0.025 <= rejected / 1000 <= 0.07


def test_beating_all_means_beating_the_strongest() -> None:
    rng = np.random.default_rng(2)
    policy, market = _pair(rng, 0.0012)
    assert (superior_to_all(policy, [market], rng=rng, replicates=200) or 0) < 0.05
    stronger = policy + 0.001 + rng.normal(0, 1e-4, policy.size)
    both = superior_to_all(policy, [market, stronger], rng=rng, replicates=200)
    assert both is not None
    assert both > 0.5
    assert superior_to_all(policy, [], rng=rng) is None
    assert superior_to_all(policy, [market, policy], rng=rng, replicates=200) is None


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean([0, 1, 2, 100]) == pytest.approx(1.5)
    # n = 5: a quarter of five is 1.25, so the second and fourth score weigh 3/4
    assert interquartile_mean([0, 1, 2, 3, 100]) == pytest.approx((0.75 * 1 + 2 + 0.75 * 3) / 2.5)
    assert interquartile_mean([7.0]) == 7.0


def test_seed_summary_is_stratified() -> None:
    """Two tasks of different level: resampling within tasks keeps the level's share fixed."""
    rng = np.random.default_rng(0)
    low, high = rng.normal(0, 1, 10), rng.normal(100, 1, 10)
    found = seed_summary([low, high], rng=rng)
    assert found.interval is not None
    assert found.interval[0] < found.iqm < found.interval[1]
    assert found.interval[1] - found.interval[0] < 5
    pooled = seed_summary(np.concatenate([low, high]), rng=rng)
    assert pooled.interval is not None
    assert pooled.interval[1] - pooled.interval[0] > 20


def test_seed_interval_covers() -> None:
    rng = np.random.default_rng(5)
    truth, covered = 0.0, 0
    for _ in range(200):
        found = seed_summary(rng.normal(0, 1, 20), rng=rng, replicates=400)
        assert found.interval is not None
        covered += found.interval[0] <= truth <= found.interval[1]
    assert 0.86 <= covered / 200 <= 0.99


def test_few_seeds_have_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert seed_summary([1.0, 2.0], rng=rng).interval is None
    with pytest.raises(DataError):
        seed_summary([1.0, float("nan"), 2.0], rng=rng)
    with pytest.raises(DataError):
        interquartile_mean([])


def test_spa_refuses_what_does_not_fit() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="benchmark"):
        superior_to_benchmark(np.zeros(40), np.zeros(50), rng=rng)
    assert superior_to_benchmark(np.zeros(40), np.zeros(40), rng=rng) is None
