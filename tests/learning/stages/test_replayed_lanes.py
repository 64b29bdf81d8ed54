"""Replay at other positions in online training: what it stores, samples, and goes on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.envs import EnvConfig, GoalLanes, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.goals import GoalTask
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import TRANSFORMS, RingBuffer, RowLayout, Sampler, TransformChain
from offline_trader.learning.settings import LearnerConfig, OnlineConfig
from offline_trader.learning.stages import finetune
from offline_trader.simulator import Simulator, SimulatorConfig

RULES = SimulatorConfig(action_mode="target_long_short")


def lanes_of(n: int = 4, seed: int = 3, rules: SimulatorConfig = RULES) -> Simulator:
    env = EnvConfig(market=("synthetic:ou?bars=420&seed=1",), episode_bars=20, simulator=rules)
    return make_simulator(env, n, seed)


def learner_of(lanes: Simulator, seed: int = 0) -> Learner:
    config = LearnerConfig(algorithm="sac", hidden=(16, 16), batch_size=32, actor_lr=1e-3)
    return make_learner(config, lanes.observation_size, None, seed)


def test_sampled_rows_are_what_the_simulator_does_from_other_portfolios() -> None:
    lanes = lanes_of()
    agent, width = learner_of(lanes), len(lanes.market.layout.features)
    chain = TransformChain([TRANSFORMS["replay"](agent, lanes)])
    layout = RowLayout(lanes.observation_size, 1, chain.further)
    buffer = RingBuffer(400, layout, agent.preprocessing)
    rng, before = np.random.default_rng(0), lanes.reset().copy()
    for _ in range(60):
        actions = rng.uniform(-1, 1, (4, 1)).astype(np.float32)
        done = lanes.step(actions)
        ended = done.terminated | done.truncated
        after = np.where(ended[:, None], lanes.final_observations, done.observations)
        step: dict[str, Any] = {"observations": before, "actions": actions, "rewards": done.rewards,
                "next_observations": after, "terminals": done.terminated,
                "raw_rewards": done.rewards, "timeouts": done.truncated}  # fmt: skip
        buffer.add(chain.stored(step))
        before = np.array(done.observations)
    stored = buffer.values[:240, layout.slices()["replay_row"]][:, 0].numpy().astype(int)
    assert (stored[:4] == -1).all()  # the first step was not seen
    seen = buffer.values[4:240, layout.slices()["observations"]].numpy()
    bars = lanes.market.features[stored[4:]]
    np.testing.assert_allclose(seen[:, :width], agent.preprocessing.observations(
        np.hstack([bars, np.zeros((236, lanes.observation_size - width), np.float32)])
    )[:, :width], rtol=1e-5, atol=1e-5)  # fmt: skip

    batch = chain.sampled(Sampler(buffer, batch_size=64, seed=1).draw())
    assert chain.metrics()["replayed"] > 0.8
    again = Simulator(lanes.market, RULES, 64, auto_reset=False)
    rows = batch["replay_row"][:, 0].numpy().astype(int)
    held = batch["observations"][:, width:].numpy()
    known = np.flatnonzero(rows >= 0)
    rows[rows < 0] = rows[known[0]]
    again.reset()
    again.place(rows, held.astype(np.float64), batch["replay_equity"][:, 0].numpy().astype(float))
    result = again.step(batch["actions"].numpy())
    raw = batch["raw_rewards"][:, 0].numpy()
    np.testing.assert_allclose(result.rewards[known], raw[known], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(
        result.observations[known, width:],
        batch["next_observations"][known, width:],
        rtol=1e-3,
        atol=1e-4,
    )
    assert float(np.abs(held[:, 0] - held[0, 0]).max()) > 0.1


def test_an_interrupted_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    config = OnlineConfig(
        steps=240, update_ratio=0.25, warmup_steps=32, critic_updates=2, buffer_size=200,
        log_interval=40, checkpoint_interval=40, evaluate_interval=0, transforms=("replay",),
        forecast_weight=1.0,
    )  # fmt: skip

    def run(seed: int, resume: Any = None) -> tuple[Learner, dict[int, Any], list[Any]]:
        lanes, saved, rows = lanes_of(), dict[int, Any](), list[Any]()
        learner = learner_of(lanes, seed)
        finetune(
            learner, lanes, None, config, lambda step, row: rows.append(dict(row)), None,
            lambda step, state: saved.update({step: state}), resume=resume,
        )  # fmt: skip
        return learner, saved, rows

    whole, saved, rows = run(0)
    assert rows[-1]["online/replayed"] > 0.8
    torch.save(saved[120], tmp_path / "state.pt")
    resumed, _, _ = run(1, torch.load(tmp_path / "state.pt", weights_only=True))
    for name, learner in (("a", whole), ("b", resumed)):
        learner.save(tmp_path / f"{name}.d3")
    assert (tmp_path / "a.d3").read_bytes() == (tmp_path / "b.d3").read_bytes()


def test_where_bars_tell_nothing_of_other_positions_it_is_refused() -> None:
    lanes = lanes_of()
    agent = learner_of(lanes)
    with pytest.raises(ConfigError, match="replay in offline training"):
        TRANSFORMS["replay"](agent, None)
    with pytest.raises(ConfigError, match="replay in GoalLanes"):
        TRANSFORMS["replay"](agent, GoalLanes(lanes, GoalTask("exposure").within(short=True), 0))
    with pytest.raises(ConfigError, match="impact"):
        TRANSFORMS["replay"](agent, lanes_of(rules=SimulatorConfig(impact_bps=5.0)))
