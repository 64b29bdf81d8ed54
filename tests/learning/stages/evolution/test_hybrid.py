"""SAC with turns of evolution: what a turn changes, what it leaves, and going on after a stop."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.config import from_dict
from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market
from offline_trader.evaluation.known_optimum.direct_market import logged_market, placebo_market
from offline_trader.evaluation.known_optimum.placebo import Placebo
from offline_trader.learning.agents import Agent, Learner, make_learner
from offline_trader.learning.settings import HybridAgentConfig, LearnerConfig, OnlineConfig
from offline_trader.learning.stages import finetune
from offline_trader.learning.stages.direct import PositionMarket
from offline_trader.learning.stages.evolution import HybridAgent
from offline_trader.pipeline.phases import _canonical

TURNS = HybridAgentConfig(
    every=16, generations=12, population=32, windows=32, bars=16, critic_updates=4,
    learning_rate=0.05, sigma=0.1,
)  # fmt: skip
ONLINE = OnlineConfig(
    steps=256, update_ratio=0.25, warmup_steps=32, critic_updates=4, evaluate_interval=0,
    log_interval=64, checkpoint_interval=160,
)  # fmt: skip
PLACEBO = placebo_market(Placebo(), n_lanes=8, n_steps=60)
# prices stand still and nothing costs anything: all policies are equally good
NOTHING = replace(
    PLACEBO, log=replace(PLACEBO.log, gains=0.0 * PLACEBO.log.gains), proportional_cost=0.0
)


def learner_of(seed: int = 0) -> Learner:
    config = LearnerConfig(algorithm="sac", hidden=(8, 8), batch_size=32, gamma=0.9)
    return make_learner(config, 2, seed=seed)


def hybrid_of(market: PositionMarket, turns: HybridAgentConfig = TURNS) -> HybridAgent:
    return HybridAgent(learner_of(), lambda: [market], turns, seed=3)


def lanes() -> KnownOptimumLanes:
    return KnownOptimumLanes(get_market("M3"), 8, seed=5, episode_steps=40, realised=True)


def trained(agent: Agent, config: OnlineConfig = ONLINE, **given: Any) -> dict[str, float]:
    """The last row of the log."""
    rows: list[dict[str, Any]] = []
    finetune(agent, lanes(), None, config, lambda _, row: rows.append(dict(row)), seed=1, **given)
    return rows[-1]


def saved(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(_canonical(state), buffer)
    return buffer.getvalue()


def test_a_turn_that_gains_is_accepted_and_moments_are_forgotten() -> None:
    """The accepted policy is better where it was tried, and Adam begins anew behind it."""
    agent = hybrid_of(logged_market("M3", seed=2))
    row = trained(agent)
    assert row["online/evolution_accepted"] >= 1.0
    assert row["online/evolution_turns"] == 3.0
    assert row["online/updates"] == 58.0  # the first 4 of critics alone
    critics, actor = (_adam_steps(agent.learner, f"{name}_optim") for name in ("critic", "actor"))
    assert critics in (54 - 16, 54 - 32, 54 - 48)  # since the last accepted turn
    assert critics - actor == TURNS.critic_updates


def _adam_steps(learner: Learner, name: str) -> int:
    learner.engine.flush()
    state = getattr(learner.algo.impl.modules, name).state_dict()["state"]
    return max((int(each["step"]) for each in state.values()), default=0)


def test_what_sac_loses_is_taken_back() -> None:
    """An actor that learns far too fast from critics that know nothing ends each stretch worse."""
    config = LearnerConfig(
        algorithm="sac", hidden=(8, 8), batch_size=32, gamma=0.9, actor_lr=0.3, critic_lr=1e-5
    )
    # the next gain is what is seen now, so what evolution finds is far better than a constant
    told = replace(PLACEBO.log, gains=PLACEBO.log.features[:, :1].astype(np.float64))
    market = replace(PLACEBO, log=told, proportional_cost=0.0)
    turns = replace(TURNS, learning_rate=0.3, sigma=0.2, generations=20, population=64)
    wild = HybridAgent(make_learner(config, 2, seed=0), lambda: [market], turns, seed=3)
    row = trained(wild)
    assert row["online/evolution_returned"] >= 1.0


def test_where_nothing_is_gained_it_is_sac_to_the_byte() -> None:
    agent, alone = hybrid_of(NOTHING), learner_of()
    row = trained(agent)
    trained(alone)
    assert row["online/evolution_turns"] == 3.0
    for name in ("accepted", "returned", "gain"):
        assert row[f"online/evolution_{name}"] == 0.0
    assert saved(agent.learner.state_dict()) == saved(alone.state_dict())


def test_an_interrupted_hybrid_goes_on_to_the_same_bytes() -> None:
    market, states = logged_market("M3", seed=2), dict[int, bytes]()
    whole = hybrid_of(market)
    trained(whole, checkpoint=lambda step, state: states.update({step: saved(state)}))
    assert sorted(states) == [160]
    resumed = hybrid_of(market)
    state = torch.load(io.BytesIO(states[160]), weights_only=True)
    row = trained(resumed, resume=state)
    assert row["online/evolution_turns"] == 3.0
    assert saved(resumed.state_dict()) == saved(whole.state_dict())


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"log_interval": 3}, "hybrid_agent.log_interval=3"),
        ({"market_input": "forecast"}, "hybrid_agent.market_input=forecast"),
        ({"trial_windows": 8}, "trial_windows=8"),
        ({"every": 0}, "every"),
    ],
)
def test_settings_that_it_does_not_read_are_refused(setting: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        from_dict(HybridAgentConfig, setting)
