"""The direct agent in the online loop: it learns, on the lanes' own markets, and keeps critics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offline_trader.config import from_dict
from offline_trader.envs import EnvConfig, make_market, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import backtest
from offline_trader.features import FeatureScaler
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import DirectAgentConfig, LearnerConfig, OnlineConfig
from offline_trader.learning.stages import finetune
from offline_trader.learning.stages.direct import DirectAgent
from offline_trader.simulator import SimulatorConfig

RULES = SimulatorConfig(action_mode="target_long_short", half_spread_bps=0, slippage_bps=0)


def env(seed: int) -> EnvConfig:
    return EnvConfig((f"synthetic:ou?bars=3000&seed={seed}",), simulator=RULES, episode_bars=100)


def growth(learner: Learner, seed: int) -> float:
    """Net log growth a bar on the bars of ``seed``."""
    equity = backtest(learner, make_market(env(seed)), RULES).equity
    return float(np.diff(np.log(equity)).mean())


def test_fine_tuning_through_the_gradient_earns_on_bars_it_has_not_seen() -> None:
    lanes = make_simulator(env(1), 8, seed=1)
    market = lanes.market
    scaler = FeatureScaler.fit(market.features.astype(np.float64), market.layout)
    config = LearnerConfig(algorithm="sac", hidden=(16, 16))
    learner = make_learner(config, market.layout.size, scaler, 0)
    critic = {name: x.clone() for name, x in _critics(learner).items()}
    agent = DirectAgent(learner, lambda: [lanes], DirectAgentConfig(learning_rate=5e-3), 2)
    before, rows = growth(learner, 2), list[dict[str, Any]]()
    online = OnlineConfig(
        steps=1_600, update_ratio=0.05, warmup_steps=0, critic_updates=0, evaluate_interval=0,
        log_interval=400, rate_decay=0.5,
    )  # fmt: skip
    result = finetune(agent, lanes, None, online, lambda _, row: rows.append(dict(row)))
    assert result.updates == pytest.approx(0.05 * 1_600, abs=13)
    # the best band earns 9.75 bp a bar at 40 bp a side; these costs are a fortieth of that
    assert growth(learner, 2) > before + 5e-4
    assert rows[-1]["online/objective"] > rows[0]["online/objective"]
    assert all(bool((x == critic[name]).all()) for name, x in _critics(learner).items())


def _critics(learner: Learner) -> dict[str, Any]:
    state: dict[str, Any] = learner.algo.impl.modules.q_funcs.state_dict()
    return state


@pytest.mark.parametrize(
    "setting", [{"updates": 3}, {"market_input": "forecast"}, {"log_interval": 1}]
)
def test_settings_of_the_stage_alone_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a setting of the direct stage alone"):
        from_dict(DirectAgentConfig, setting)
