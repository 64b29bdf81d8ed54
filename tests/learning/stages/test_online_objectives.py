"""Several objectives in the online loop: in the simulator, with offline data, interrupted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from offline_trader.envs import EnvConfig, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.learning.agents import MultiObjectiveAgent, goal_learner, make_learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.settings import (
    COMPONENTS,
    CuriosityConfig,
    LearnerConfig,
    ObjectivesConfig,
    OnlineConfig,
)
from offline_trader.learning.signals import components_of
from offline_trader.learning.stages import finetune

ENV = EnvConfig(market=("sp500",), end="2004-12-31", episode_bars=30)
ONLINE = OnlineConfig(
    steps=480, update_ratio=0.25, warmup_steps=96, critic_updates=10, buffer_size=300,
    log_interval=120, checkpoint_interval=240,
)  # fmt: skip
SIZE = 37


def agent_of(objectives: ObjectivesConfig, seed: int = 0) -> MultiObjectiveAgent:
    config = LearnerConfig(algorithm="sac", hidden=(16, 16), batch_size=32)
    learner = make_learner(config, SIZE, None, seed)
    if objectives.takes_preference:
        learner = goal_learner(learner, config, np.ones(len(COMPONENTS)), seed)
    return MultiObjectiveAgent(learner, objectives, seed)


def logged() -> Transitions:
    """Two episodes of 40 steps of random actions."""
    lanes, rng = make_simulator(replace(ENV, episode_bars=40), 1, seed=3), np.random.default_rng(0)
    seen, rows = np.array(lanes.reset()), []
    for t in range(80):
        action = rng.uniform(-1, 1, (1, 1)).astype(np.float32)
        done = lanes.step(action)
        ended = done.terminated | done.truncated
        after = np.where(ended[:, None], lanes.final_observations, done.observations)
        rows.append((seen[0], action[0], done.rewards[0], after[0], bool(ended[0]), t // 40))
        seen = np.array(done.observations)
    o, a, r, n, ends, ids = (np.array(x) for x in zip(*rows, strict=True))
    none = np.zeros(80, bool)
    return Transitions(o, a, r.astype(np.float32), n, none, ends, ids)


def test_training_resumes_to_the_same_actions_and_tells_its_objectives() -> None:
    config = replace(ONLINE, objectives=ObjectivesConfig("given", limit="drawdown", at_most=0.05))
    seen = np.array(make_simulator(ENV, 8, seed=1).reset())
    rows: list[dict[str, Any]] = []
    saved: dict[int, Any] = {}
    whole = agent_of(config.objectives)
    finetune(
        *(whole, make_simulator(ENV, 8, seed=1), logged(), config),
        lambda _, row: rows.append(dict(row)),
        checkpoint=saved.__setitem__,
    )
    told = {key: value for row in rows for key, value in row.items()}
    for name in COMPONENTS:
        assert np.isfinite(told[f"online/objective_{name}"])
        assert np.isfinite(told[f"online/critic_loss_{name}"])
    assert told["online/limit_price"] >= 0.0
    resumed = agent_of(config.objectives, seed=5)
    finetune(resumed, make_simulator(ENV, 8, seed=77), logged(), config, resume=saved[240])
    np.testing.assert_array_equal(whole.policy()(seen), resumed.policy()(seen))
    assert not np.array_equal(whole.policy()(seen), agent_of(config.objectives).policy()(seen))


def test_logged_rows_have_the_components_that_lanes_would_have() -> None:
    """Of whole episodes, each from its own beginning."""
    from offline_trader.learning.signals import ObjectiveColumns, Objectives

    data = logged()
    places = ObjectiveColumns(ENV.layout.names)
    columns: dict[str, Any] = {
        "observations": data.observations,
        "next_observations": data.next_observations,
        "raw_rewards": data.rewards,
        "episode_ids": data.episode_ids,
    }
    found = Objectives(places).stored(columns, online=False)["objectives"]
    facts = places.facts(columns).reshape(2, 40, 7).transpose(1, 0, 2)
    apart = components_of(facts, np.zeros((40, 2), bool)).transpose(1, 0, 2).reshape(80, -1)
    # cells are counted over all lanes, so the order of the steps matters to exploration alone
    keep = [i for i, name in enumerate(COMPONENTS) if name != "exploration"]
    np.testing.assert_allclose(found[:, keep], apart[:, keep], atol=1e-6)


def test_what_changes_a_reward_is_refused_beside_objectives() -> None:
    """And an agent without heads, or objectives without an agent for them."""
    with pytest.raises(ConfigError, match=r"online\.objectives with online\.curiosity\.weight"):
        OnlineConfig(objectives=ObjectivesConfig("fixed"), curiosity=CuriosityConfig(weight=0.1))
    lanes = make_simulator(ENV, 8, seed=1)
    with pytest.raises(ConfigError, match=r"preference=none for MultiObjectiveAgent"):
        finetune(agent_of(ObjectivesConfig("fixed")), lanes, None, ONLINE)
    plain = make_learner(LearnerConfig(algorithm="sac", hidden=(16, 16)), SIZE, None, 0)
    with pytest.raises(ConfigError, match=r"preference=fixed for Learner"):
        finetune(plain, lanes, None, replace(ONLINE, objectives=ObjectivesConfig("fixed")))
