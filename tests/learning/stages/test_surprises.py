"""What is taken off realised rewards: the noise of the gains, and nothing of their mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offline_trader.envs import EnvConfig, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market
from offline_trader.learning.agents import make_learner
from offline_trader.learning.settings import LearnerConfig, OnlineConfig
from offline_trader.learning.stages import finetune
from offline_trader.learning.stages.direct import BarMarket, fit_forecast
from offline_trader.learning.stages.surprises import (
    BarSurprises,
    ControlVariate,
    surprises_of,
    told_surprises,
)
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import PortfolioField


@pytest.mark.parametrize("name", ["M1", "M3"])
def test_the_noise_goes_and_the_mean_stays(name: str) -> None:
    """Against the expected reward given state and action, which the lanes do not tell."""
    lanes = KnownOptimumLanes(get_market(name), 64, seed=3, realised=True)
    scales = make_learner(LearnerConfig(algorithm="sac"), 2).preprocessing
    transform = ControlVariate(surprises_of(lanes, scales), 1.0)
    rng, seen, raw, left = np.random.default_rng(0), lanes.reset().copy(), [], []
    for t in range(300):
        actions = rng.uniform(-1, 1, (64, 1)).astype(np.float32)
        step = lanes.step(actions)
        stored = transform.stored(
            {"observations": seen, "actions": actions, "rewards": step.rewards}, online=True
        )
        assert lanes._last is not None
        expected = lanes._last[2].expected_rewards / lanes.reward_scale
        if t >= 100:
            raw.append(step.rewards - expected)
            left.append(stored["rewards"] - expected)
        seen = step.observations.copy()
    before, after = np.concatenate(raw), np.concatenate(left)
    assert after.std() < 0.1 * before.std()
    assert abs(after.mean()) < 4 * before.std() / np.sqrt(len(before))
    offline = {"rewards": np.ones(3)}
    assert transform.stored(offline, online=False) is offline


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("mode", ["order", "target_long_short"])
def test_over_bars_it_is_each_weight_times_its_gains_surprise(fill: Any, mode: Any) -> None:
    rules = SimulatorConfig(action_mode=mode, fill=fill)
    sources = ("sp500", "nasdaq")
    env = EnvConfig(sources, end="2003-12-31", simulator=rules, episode_bars=9)
    lanes = make_simulator(env, 6, seed=2)
    log = BarMarket(lanes.market, rules).log
    surprises = log.gains - fit_forecast(log).values
    place = lanes.market.layout.column(PortfolioField.EXPOSURE)
    find, rng = BarSurprises(lambda: [lanes]), np.random.default_rng(0)
    seen = lanes.reset().copy()
    compared = 0
    for t in range(40):
        rows, which = lanes.bar_index, lanes.instrument
        step = lanes.step(rng.uniform(-1, 1, (6, 1)).astype(np.float32))
        ended = (step.terminated | step.truncated)[:, None]
        after = np.where(ended, lanes.final_observations, step.observations)
        columns = {"observations": seen, "next_observations": after, "rewards": step.rewards}
        found = find(columns)
        done = lanes.outcome()
        price = lanes.market.table[rows, 1] if fill == "close" else lanes.market.table[rows + 1, 0]
        held = done["units"] * price
        weight = held / (done["cash"] + held)
        wanted = weight * surprises[rows - which, -1]
        if fill == "next_open":
            wanted = wanted + seen[:, place] * surprises[rows - which, 0]
        if t > 0:
            np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-7)
            compared += int((np.abs(wanted) > 1e-4).sum())
        seen = step.observations.copy()
    assert compared > 50
    assert set(lanes.instrument) == {0, 1}


def test_lanes_that_tell_nothing_of_gains_are_refused(target_lanes: Any) -> None:
    learner = make_learner(LearnerConfig(algorithm="sac"), 2)
    with pytest.raises(ConfigError, match="forecast_weight on TargetLanes"):
        finetune(learner, target_lanes(), None, OnlineConfig(forecast_weight=1.0))
    expected = KnownOptimumLanes(get_market("M1"), 2, realised=False)
    with pytest.raises(ConfigError, match="gains of M1"):
        finetune(learner, expected, None, OnlineConfig(forecast_weight=1.0))


def test_a_forecast_counts_only_where_it_foretells() -> None:
    """Of two gains one follows its forecast; of noise a fiftieth does by luck."""
    rng = np.random.default_rng(0)
    forecast, noise = rng.standard_normal((2, 2_000, 2))
    gains = np.stack([0.2 * forecast[:, 0], 0.0 * forecast[:, 1]], axis=1) + noise
    found = told_surprises(gains, forecast)
    assert found is not None
    np.testing.assert_array_equal(found[:, 0], gains[:, 0] - forecast[:, 0])
    np.testing.assert_array_equal(found[:, 1], 0.0)
    assert told_surprises(gains, np.zeros((2_000, 2))) is None
    assert told_surprises(-gains, forecast) is None
    lucky = sum(told_surprises(*rng.standard_normal((2, 500, 1))) is not None for _ in range(400))
    assert lucky <= 20
