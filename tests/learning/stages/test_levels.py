"""The stages' markets against their table, and the rule by which difficulty adapts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from offline_trader.learning.settings import DifficultyConfig
from offline_trader.learning.stages.levels import (
    LEVELS,
    Difficulty,
    Level,
    adapted,
    level_market,
    level_paths,
    level_rules,
)
from offline_trader.markets.synthetic import REGIME_MIXTURES, TurbulentMarket, turbulent_market
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray

TABLE = """
beginner     .10 .8 .0001 0     bull          .05 .3 .50
intermediate .15 .6 .001  .0005 mixed_bullish .10 .5 .45
advanced     .20 .4 .002  .001  sideways      .15 .6 .45
expert       .25 .2 .003  .0015 mixed_bearish .20 .7 .45
master       .30 .1 .003  .002  all           .25 .8 .45
"""


def test_the_stages_are_those_of_the_table() -> None:
    for level, line in zip(LEVELS, TABLE.strip().splitlines(), strict=True):
        name, volatility, trend, cost, slippage, regime, noise, sharpe, wins = line.split()
        assert (level.name, level.regime) == (name, regime)
        numbers = (volatility, trend, cost, slippage, noise, sharpe, wins)
        assert [float(each) for each in numbers] == [
            level.volatility, level.trend, level.cost, level.slippage, level.noise, level.sharpe,
            level.win_rate,
        ]  # fmt: skip
        rising, falling = REGIME_MIXTURES[level.regime][:2]
        assert rising > 0.0
        assert falling > 0.0


def seeing(level: Level, threshold: float, seed: int = 5) -> tuple[float, float]:
    """Sharpe ratios a year, net of all costs, of a policy that sees the expected return and of
    buy-and-hold: +1 above ``threshold`` deviations, 0 below ``-threshold``, else as it was.

    Orders fill at the next open, so the position of before earns the gap, the new one the day.
    """
    path = turbulent_market(level_market(level, Difficulty.of(level), None, 20_000, seed))
    opened, closed = np.log(path.bars.open), np.log(path.bars.close)
    gap, day = opened[1:] - closed[:-1], closed[1:] - opened[1:]
    told = path.expected[:-1] / path.deviation.mean()
    position, held = np.zeros(len(told)), 0.0
    for t, each in enumerate(told):
        held = 1.0 if each > threshold else 0.0 if each < -threshold else held
        position[t] = held
    before = np.concatenate(([0.0], position[:-1]))
    cost = level.cost + level.slippage
    earned = before * gap + position * day - cost * np.abs(position - before)

    def ratio(returns: FloatArray) -> float:
        return float(returns.mean() / returns.std() * math.sqrt(252.0))

    return ratio(earned), ratio(gap + day)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_who_sees_the_drift_can_pass_a_stage_and_a_holder_cannot(level: Level) -> None:
    best, held = max(seeing(level, share * level.signal) for share in (0.1, 0.5, 1.0))
    assert best >= 1.5 * level.sharpe
    assert best > 1.5 * max(held, 0.0)
    # without its signal the stage's costs leave nothing to earn by it
    without, _ = seeing(replace(level, signal=0.0), 0.02)
    assert without < best - 0.5


def filtered(level: Level, episodes: int, seed: int = 7) -> tuple[float, float]:
    """Shares of episodes of 1,000 bars with the stage's Sharpe ratio, and ahead of buy-and-hold, of
    a policy that has seen past closes alone: the drift by least squares on their averages."""
    spans, warm = (3, 6, 12, 25, 50, 100), 200

    def averages(closes: FloatArray) -> FloatArray:
        returns = np.diff(np.log(closes), prepend=np.log(closes[0]))
        columns = [lfilter([1 / n], [1, 1 / n - 1], returns) for n in spans]
        return np.stack([*columns, np.ones(len(returns))], axis=1)

    law = level_market(level, Difficulty.of(level), None, 30_000, seed)
    path = turbulent_market(law)
    weights = np.linalg.lstsq(averages(path.bars.close), path.expected, rcond=None)[0]
    threshold = 0.3 * level.signal * path.deviation.mean()
    reached = ahead = 0
    for k in range(episodes):
        path = turbulent_market(replace(law, bars=1_001 + warm, seed=seed + 1 + k))
        told = (averages(path.bars.close) @ weights)[warm:-1]
        decided = np.where(told > threshold, 1.0, np.where(told < -threshold, -1.0, np.nan))
        known = np.maximum.accumulate(np.where(np.isnan(decided), -1, np.arange(len(decided))))
        position = np.where(known >= 0, decided[known], 0.0)
        opened, closed = np.log(path.bars.open)[warm:], np.log(path.bars.close)[warm:]
        gap, day = opened[1:] - closed[:-1], closed[1:] - opened[1:]
        before = np.concatenate(([0.0], position[:-1]))
        cost = (level.cost + level.slippage) * np.abs(position - before)
        earned = before * gap + position * day - cost
        reached += earned.mean() / earned.std() * math.sqrt(252.0) >= level.sharpe
        ahead += earned.sum() > (gap + day).sum()
    return reached / episodes, ahead / episodes


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_who_filters_past_bars_can_pass_a_stage(level: Level) -> None:
    assert min(filtered(level, 40)) >= 0.85  # an exam asks for 0.79


def test_a_fitted_market_lends_its_clusters_and_the_size_of_its_bars() -> None:
    level, now = LEVELS[2], Difficulty(0.002, 1.2, 0.5, 0.1, 0.5)
    like = TurbulentMarket(volatility=0.40, alpha=0.03, tail=4.0, volume=7.0)
    law = level_market(level, now, like, 300, 9)
    # twice the volatility that the stages stand for, 0.2 a year
    assert law.volatility == pytest.approx(0.20 * 1.2 * 2.0)
    assert (law.alpha, law.tail, law.volume) == (0.03, 4.0, 7.0)
    assert (law.bars, law.seed, law.regime, law.signal) == (300, 9, "sideways", level.signal)
    assert law.persistence == pytest.approx(1.0 - 1.0 / (1.0 + 50.0 * 0.5))
    assert law.regime_bars == pytest.approx(60.0)
    rules = level_rules(level, now, like, SimulatorConfig(borrow_bps_per_year=7.0))
    assert rules.commission_bps == pytest.approx(2 * 20.0)
    assert rules.slippage_bps == pytest.approx(2 * 10.0)
    assert rules.half_spread_bps == pytest.approx(2 * 10.0)
    assert rules.borrow_bps_per_year == 7.0


def test_paths_are_seeded_to_the_byte_and_their_features_disturbed() -> None:
    level, shape = LEVELS[4], (3, 400)

    def made(now: Difficulty, seed: int = 1) -> tuple[FloatArray, FloatArray]:
        seeds = np.random.SeedSequence(seed)
        market = level_paths(level, now, None, ("builtin",), shape, seeds)
        assert np.diff(market.stop, prepend=0).tolist() == [401] * 3
        return market.prices, np.asarray(market.features, np.float64)

    now = Difficulty.of(level)
    prices, features = made(now)
    again = made(now)
    assert prices.tobytes() == again[0].tobytes()
    assert features.tobytes() == again[1].tobytes()
    assert not np.array_equal(prices, made(now, 2)[0])
    clean_prices, clean = made(now._replace(noise=0.0))
    np.testing.assert_array_equal(prices, clean_prices)
    moving = clean.std(axis=0) > 1e-6
    spread = (features - clean).std(axis=0)[moving] / clean.std(axis=0)[moving]
    np.testing.assert_allclose(spread, 0.25, rtol=0.15)


GOOD, BAD, MIXED = np.full(20, 0.05), np.full(20, -0.05), np.tile([0.05, -0.03], 10)


def test_difficulty_follows_its_rule() -> None:
    config = DifficultyConfig()
    now = Difficulty(0.001, 1.0, 0.6, 0.1, 1.0)
    harder = adapted(now, GOOD, config)
    assert harder == pytest.approx((0.00102, 1.02, 0.6 / 1.02, 0.102, 1 / 1.02))
    assert adapted(now, BAD, config) == pytest.approx(
        (0.001 / 1.02, 1 / 1.02, 0.612, 0.1 / 1.02, 1.02)
    )
    # a mean of 1 % and half of the episodes won: neither
    assert adapted(now, MIXED, config) == now
    # good on average by a few large profits, with 30 % of them won: easier
    few = np.where(np.arange(20) < 6, 0.5, -0.01)
    assert adapted(now, few, config) == adapted(now, BAD, config)
    # many small profits: won, but not above 2 %
    assert adapted(now, np.full(20, 0.01), config) == now


def test_difficulty_stops_at_its_bounds_and_leaves_what_begins_beyond_them() -> None:
    config = DifficultyConfig(factor=2.0)
    now = hard = easy = Difficulty(0.001, 1.0, 0.6, 0.1, 1.0)
    for _ in range(20):
        hard, easy = adapted(hard, GOOD, config), adapted(easy, BAD, config)
    assert hard == pytest.approx((0.003, 1.5, 0.3, 0.5, 0.25))
    assert easy == pytest.approx((0.0005, 0.3, 0.9, 0.05, 2.0))
    master = Difficulty.of(LEVELS[4], adaptive=True)
    assert master.clarity == 0.1
    assert adapted(master, GOOD, config).clarity == 0.1
    assert adapted(master, BAD, config).clarity == 0.2
    assert now.spread == Difficulty.of(LEVELS[0], adaptive=True).spread
