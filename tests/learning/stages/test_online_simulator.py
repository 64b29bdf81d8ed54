"""Online training in the trading simulator on real prices, interrupted and resumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from offline_trader.envs import EnvConfig, make_simulator
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import LearnerConfig, OnlineConfig
from offline_trader.learning.stages import finetune

ENV = EnvConfig(market=("sp500",), end="2004-12-31", episode_bars=30)
ONLINE = OnlineConfig(
    steps=480, update_ratio=0.25, warmup_steps=96, critic_updates=10, buffer_size=300,
    log_interval=120, checkpoint_interval=240,
)  # fmt: skip


def learner_of(observation_size: int, seed: int = 0) -> Learner:
    config = LearnerConfig(algorithm="sac", hidden=(32, 32), batch_size=32, layer_norm=True)
    return make_learner(config, observation_size, None, seed)


def test_training_in_the_simulator_is_finite_and_resumes_to_the_same_actions() -> None:
    simulator = make_simulator(ENV, 8, seed=1)
    seen = simulator.reset().copy()
    rows: list[tuple[int, dict[str, float]]] = []
    saved: dict[int, Any] = {}
    whole = learner_of(seen.shape[1])
    result = finetune(
        whole,
        make_simulator(ENV, 8, seed=1),
        None,
        ONLINE,
        lambda s, r: rows.append((s, dict(r))),
        checkpoint=saved.__setitem__,
    )
    assert sorted(saved) == [240, 480]
    assert result.updates == 98  # from the step that ends the warm-up on: (480 - 96 + 8) / 4
    assert all(np.isfinite(list(row.values())).all() for _, row in rows)
    # episodes of 30 bars in 8 lanes end within steps 121 to 240, and those lanes trade
    second = dict(rows)[240]
    assert second["online/episodes"] >= 8
    assert second["online/trade_rate"] > 0.05
    assert second["online/action_entropy"] > 0.5
    resumed = learner_of(seen.shape[1], seed=5)
    finetune(resumed, make_simulator(ENV, 8, seed=77), None, ONLINE, resume=saved[240])
    np.testing.assert_array_equal(whole.act(seen), resumed.act(seen))
    assert not torch.equal(
        torch.from_numpy(whole.act(seen)), torch.from_numpy(learner_of(seen.shape[1]).act(seen))
    )
