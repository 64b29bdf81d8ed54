"""Replay at other positions in online training: what it stores, samples, and goes on with."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.envs import EnvConfig, GoalLanes, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market
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


@pytest.mark.parametrize("realised", [False, True])
@pytest.mark.parametrize("name", ["M1", "M3"])
def test_steps_of_a_known_market_are_what_it_does_from_other_positions(
    name: str, realised: bool
) -> None:
    """Against the market's own step from the same state with the same shocks."""
    market = get_market(name)
    lanes = KnownOptimumLanes(market, 64, seed=3, realised=realised)
    agent = make_learner(LearnerConfig(algorithm="sac", hidden=(8,)), 2)
    transform = TRANSFORMS["replay"](agent, lanes)
    buffer = RingBuffer(6_400, RowLayout(2, 1, TransformChain([transform]).further),
                        agent.preprocessing)  # fmt: skip
    rng, before = np.random.default_rng(0), lanes.reset().copy()
    shocks: list[tuple[Any, Any]] = []  # of each step: y before, the generator before it
    for _ in range(100):
        shocks.append((lanes.state[:, 0].copy(), copy.deepcopy(lanes._rng)))
        actions = rng.uniform(-1, 1, (64, 1)).astype(np.float32)
        actions[0] = 0.0  # shows no gain
        done = lanes.step(actions)
        buffer.add(transform.stored({
            "observations": before, "actions": actions, "rewards": done.rewards,
            "next_observations": lanes.final_observations.copy(), "terminals": done.terminated,
            "raw_rewards": done.rewards, "timeouts": done.truncated,
        }, online=True))  # fmt: skip
        before = done.observations.copy()
    batch = transform.sampled(Sampler(buffer, batch_size=512, seed=1).draw())
    held, taken, raw, after, numbers = (
        batch[column].numpy().astype(np.float64)
        for column in ("observations", "actions", "raw_rewards", "next_observations", "replay_row")
    )
    assert transform.metrics()["replayed"] > 0.8
    stored = buffer.values.numpy()[:, buffer.layout.slices()["replay_row"]][:, 0]
    assert (stored.reshape(100, 64)[:, 0] == -1).all()
    assert np.abs(held[:, 1]).max() == getattr(market, "scale", 1.0)
    for place in range(100, 200):
        if numbers[place, 0] < 0:
            continue
        step, lane = divmod(int(np.flatnonzero(stored == numbers[place, 0])[0]), 64)
        y, shock = shocks[step]
        state = np.stack([y, np.zeros(64)], axis=1)
        state[lane, 1] = held[place, 1]
        asked = np.full(64, taken[place, 0])
        outcome = market.step(state, asked, copy.deepcopy(shock))
        met = outcome.rewards if realised else outcome.expected_rewards
        assert raw[place, 0] == pytest.approx(met[lane] / lanes.reward_scale, rel=2e-3, abs=2e-3)
        np.testing.assert_allclose(after[place], market.observe(outcome.state)[lane], atol=1e-5)


INTERRUPTED = OnlineConfig(
    steps=240, update_ratio=0.25, warmup_steps=32, critic_updates=2, buffer_size=200,
    log_interval=40, checkpoint_interval=40, evaluate_interval=0, transforms=("replay",),
    forecast_weight=1.0,
)  # fmt: skip


def test_an_interrupted_training_on_steps_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def run(seed: int, resume: Any = None) -> tuple[Learner, dict[int, Any]]:
        lanes, saved = KnownOptimumLanes(get_market("M3"), 4, seed=3, realised=True), {}
        settings = LearnerConfig(algorithm="sac", hidden=(16, 16), batch_size=32)
        learner = make_learner(settings, 2, None, seed)
        finetune(
            learner, lanes, None, INTERRUPTED, None, None,
            lambda step, state: saved.update({step: state}), resume=resume,
        )  # fmt: skip
        return learner, saved

    whole, saved = run(0)
    torch.save(saved[120], tmp_path / "state.pt")
    resumed, _ = run(1, torch.load(tmp_path / "state.pt", weights_only=True))
    for name, learner in (("a", whole), ("b", resumed)):
        learner.save(tmp_path / f"{name}.d3")
    assert (tmp_path / "a.d3").read_bytes() == (tmp_path / "b.d3").read_bytes()


def test_an_interrupted_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def run(seed: int, resume: Any = None) -> tuple[Learner, dict[int, Any], list[Any]]:
        lanes, saved, rows = lanes_of(), dict[int, Any](), list[Any]()
        learner = learner_of(lanes, seed)
        finetune(
            learner, lanes, None, INTERRUPTED, lambda step, row: rows.append(dict(row)), None,
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
    with pytest.raises(ConfigError, match="position on M4"):
        TRANSFORMS["replay"](agent, KnownOptimumLanes(get_market("M4"), 2))
    with pytest.raises(ConfigError, match="impact"):
        TRANSFORMS["replay"](agent, lanes_of(rules=SimulatorConfig(impact_bps=5.0)))
