"""Shaping in the online loop: formulas, the fitted potential, when it is made and how it moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError, DataError
from offline_trader.features import compute_features
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Sampler, Transitions, pack
from offline_trader.learning.settings import LearnerConfig, OnlineConfig, ShapingConfig
from offline_trader.learning.signals import (
    HandMade,
    LearnedPotential,
    Novelty,
    Shaping,
    make_shaping,
)
from offline_trader.learning.stages import finetune
from offline_trader.markets import BarRange, load_market
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig


def learner_of(size: int = 2, **settings: Any) -> Learner:
    given = {"reward_scaling": "none", "hidden": (8, 8), "batch_size": 32, **settings}
    return make_learner(LearnerConfig(algorithm="sac", **given), size, seed=0)


@pytest.fixture(scope="module")
def lanes() -> Simulator:
    bars = load_market("synthetic:walk?bars=700&seed=3")
    features = compute_features(bars)
    market = MarketTensor.from_bars([bars], [features], [BarRange(features.warmup, len(bars))])
    rules = SimulatorConfig(action_mode="target_long_short")
    return Simulator(market, rules, 4, episode_bars=50, random_start=True)


def chain(states: int = 6, episodes: int = 60, seed: int = 0, *, cut: bool = False) -> Transitions:
    """Walks to the right with reward 1 at the end: the value of state s is γ^(steps left)."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, states, episodes)
    rows = [(s, s == states - 1, i) for i, start in enumerate(starts) for s in range(start, states)]
    place, last, number = (np.array(x) for x in zip(*rows, strict=True))
    seen = np.stack([place, rng.standard_normal(len(place))], axis=1).astype(np.float32)
    after = seen + np.array([1.0, 0.0], np.float32)
    none = np.zeros(len(place), bool)
    return Transitions(
        observations=seen,
        actions=rng.uniform(-1, 1, (len(place), 1)).astype(np.float32),
        rewards=last.astype(np.float32),
        next_observations=after,
        terminals=none if cut else last,
        timeouts=last if cut else none,
        episode_ids=number,
    )


def test_hand_made_potentials_are_their_formulas(lanes: Simulator) -> None:
    """On raw observations, whatever scales the agent has."""
    names = list(lanes.market.layout.names)
    seen = np.array(lanes.reset(seed=0))
    for _ in range(20):
        seen = np.array(lanes.step(np.array([0.8, -0.6, 0.0, 0.3])).observations)
    at = {name: seen[:, i].astype(float) for i, name in enumerate(names)}
    e, spread = at["exposure"], at["volatility_20"]
    expected = {
        "trend_alignment": e * np.tanh(at["sma_distance_50"] / np.sqrt(50) / spread),
        "support_resistance": e * (0.5 - at["donchian_position_55"]),
        "unrealised_profit": np.abs(e) * np.tanh(at["unrealised_return"] / spread),
        "holding_time": at["hold_time"],
    }

    class Scales:
        mean = np.linspace(-1, 1, len(names))
        scale = np.linspace(0.5, 2, len(names))

    scales = make_learner(LearnerConfig(hidden=(8,)), len(names), Scales(), 0).preprocessing
    for name, wanted in expected.items():
        assert np.ptp(wanted) > 0.0
        found = HandMade(name, names, scales)(torch.from_numpy(scales.observations(seen)))
        np.testing.assert_allclose(found.numpy(), wanted, atol=2e-5)


def test_the_fitted_potential_is_the_value_of_the_behaviour() -> None:
    potential = LearnedPotential(2, updates=800)
    learner = learner_of(gamma=0.8)
    data = chain(episodes=300)
    potential.fit(columns(data), learner.preprocessing)
    seen = np.stack([np.arange(6), np.zeros(6)], axis=1).astype(np.float32)
    np.testing.assert_allclose(
        potential(torch.from_numpy(seen)).numpy(), 0.8 ** np.arange(5, -1, -1), atol=0.06
    )


def columns(data: Transitions) -> dict[str, Any]:
    names = (
        *("observations", "actions", "rewards", "next_observations"),
        *("terminals", "timeouts", "episode_ids"),
    )
    return {**{name: getattr(data, name) for name in names}, "raw_rewards": data.rewards}


def test_returns_of_noise_shape_nothing() -> None:
    rng = np.random.default_rng(0)
    data = chain(episodes=300)
    data = replace(data, rewards=rng.standard_normal(len(data)).astype(np.float32))
    potential = LearnedPotential(2, updates=300)
    potential.fit(columns(data), learner_of(gamma=0.5).preprocessing)
    seen = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    assert float(potential(seen).std()) < 0.1


def test_returns_that_a_cut_makes_unknown_are_not_fitted_to() -> None:
    with pytest.raises(DataError, match="have a return that is known"):
        LearnedPotential(2, 10).fit(columns(chain(cut=True)), learner_of(gamma=0.99).preprocessing)


def test_novelty_falls_with_visits_a_snapshot_at_a_time(lanes: Simulator) -> None:
    """Φ = 1/√(1 + n) on scaled observations, of n at the last snapshot; another cell's stays 1."""
    names = list(lanes.market.layout.names)

    class Scales:
        mean = np.linspace(-1, 1, len(names))
        scale = np.linspace(0.5, 2, len(names))

    scales = make_learner(LearnerConfig(hidden=(8,)), len(names), Scales(), 0).preprocessing
    novelty, other = (Novelty(names, scales, interval=8) for _ in range(2))
    flat = np.array(lanes.reset(seed=0))
    held = np.array(lanes.step(np.array([0.8, 0.8, -0.6, 0.3])).observations)

    def phi() -> list[float]:
        seen = np.concatenate([flat[:1], held])
        return novelty(torch.from_numpy(scales.observations(seen))).tolist()

    assert phi() == [1.0] * 5
    novelty.met(flat)
    assert phi() == [1.0] * 5  # the interval is not over
    novelty.met(held)
    once = 2.0**-0.5
    assert phi() == pytest.approx([5.0**-0.5, *[once] * 4])
    novelty.met(flat)
    other.load_state_dict(novelty.state_dict())
    for each in (novelty, other):
        each.met(flat)
        novelty = each
        assert phi() == pytest.approx([13.0**-0.5, *[once] * 4])


@pytest.mark.parametrize("scaling", ["none", "standard"])
def test_rows_are_stored_plain_and_shaped_whenever_they_are_drawn(scaling: Any) -> None:
    """F in the unit of the scaled rewards, nothing after a termination, γᵏ of several bars."""
    data = chain(episodes=80)
    learner = learner_of(gamma=0.8, reward_scaling=scaling)
    shaping = Shaping(ShapingConfig(weight=0.5), learner, [LearnedPotential(2, 50)])
    assert shaping.stored(columns(data), online=False)["rewards"] is data.rewards
    learner.fit_reward_scale(data.rewards)
    scales = learner.preprocessing
    rows = pack(data, scales, n_steps=3)
    batch = Sampler(rows, batch_size=64, seed=0).draw()
    plain = {name: batch[name].clone() for name in batch}
    shaped = shaping.sampled(batch)["rewards"]
    (potential,) = shaping._potentials
    before, after = (potential(plain[n]) for n in ("observations", "next_observations"))
    going = 0.8 ** plain["intervals"][:, 0] * (1.0 - plain["terminals"][:, 0])
    unit = 1.0 if scales.reward is None else scales.reward.scale
    expected = plain["rewards"][:, 0] + 0.5 * (going * after - before) / unit
    torch.testing.assert_close(shaped[:, 0], expected)
    assert float((shaped - plain["rewards"]).abs().max()) > 0.05
    again = Sampler(rows, batch_size=64, seed=0).draw()
    torch.testing.assert_close(again["rewards"], plain["rewards"])


def test_the_weight_goes_up_where_nothing_is_held_whatever_is_asked_for(lanes: Simulator) -> None:
    """Orders of all kinds within the hold zone are one action: none."""
    config = ShapingConfig(("holding_time",), weight=0.5, adaptive=True, interval=40)
    orders = Simulator(lanes.market, SimulatorConfig(), 4, episode_bars=50, random_start=True)
    for largest, expected in ((0.09, 0.52), (1.0, 0.5)):
        shaping = make_shaping(learner_of(lanes.market.layout.size), orders, config, 0)
        before, rng = np.array(orders.reset(seed=0)), np.random.default_rng(0)
        for _ in range(20):
            actions = largest * rng.uniform(-1, 1, (4, 1)).astype(np.float32)
            after = np.array(orders.step(actions).observations)
            row = {"observations": before, "next_observations": after, "actions": actions}
            shaping.stored({**row, "raw_rewards": np.zeros(4)}, online=True)
            before = after
        assert shaping.weight == pytest.approx(expected)


def test_the_weight_goes_up_for_few_actions_and_down_for_success() -> None:
    config = ShapingConfig(weight=0.5, adaptive=True, interval=40)
    rng = np.random.default_rng(0)

    def after(actions: Any, rewards: Any) -> float:
        shaping = Shaping(config, learner_of(), [])
        for _ in range(10):
            shaping.stored({"actions": actions(), "raw_rewards": rewards()}, online=True)
        return shaping.weight

    def same() -> Any:
        return np.full((8, 1), 0.2)

    def many() -> Any:
        return rng.uniform(-1, 1, (8, 1))

    def nothing() -> Any:
        return rng.standard_normal(8) - np.mean(rng.standard_normal(8))

    def success() -> Any:
        return 0.5 + 0.1 * rng.standard_normal(8)

    assert after(same, lambda: np.zeros(8)) == pytest.approx(0.52)
    assert after(many, lambda: -success()) == pytest.approx(0.5)
    assert after(many, success) == pytest.approx(0.48)
    assert after(same, success) == pytest.approx(0.5)


def test_finetuning_with_shaping_is_logged_and_resumed(lanes: Simulator) -> None:
    shaping = ShapingConfig(potentials=("trend_alignment", "novelty"), adaptive=True,
                            interval=16)  # fmt: skip
    config = OnlineConfig(
        steps=96, warmup_steps=32, critic_updates=2, update_ratio=0.1, shaping=shaping,
        log_interval=48, checkpoint_interval=48, evaluate_interval=0, offline_share=0.0,
    )  # fmt: skip
    size = lanes.market.layout.size
    rows: list[Any] = []
    states: dict[int, Any] = {}

    def run(resume: Any = None) -> Any:
        learner = learner_of(size)
        fresh = Simulator(lanes.market, lanes.config, 4, episode_bars=50, random_start=True)
        finetune(
            learner, fresh, None, config, lambda step, values: rows.append(values),
            checkpoint=lambda step, state: states.setdefault(step, state) and None, resume=resume,
        )  # fmt: skip
        return learner.snapshot()["modules"]["policy"]

    whole = run()
    assert rows[0]["online/shaping"] > 0.0
    assert "online/shaping_weight" in rows[0]
    again = run(states[48])
    for name, value in whole.items():
        assert torch.equal(value, again[name])


def test_what_cannot_be_shaped_is_refused(lanes: Simulator, target_lanes: Any) -> None:
    with pytest.raises(ConfigError, match="potentials = hope"):
        ShapingConfig(potentials=("hope",))
    for name in ("trend_alignment", "novelty"):
        with pytest.raises(ConfigError, match=f"{name} on observations without exposure"):
            make_shaping(learner_of(), target_lanes(), ShapingConfig(potentials=(name,)), 0)
    config = OnlineConfig(
        steps=64, warmup_steps=32, critic_updates=0, shaping=ShapingConfig(potentials=("learned",))
    )
    with pytest.raises(ConfigError, match="without offline data"):
        finetune(learner_of(lanes.market.layout.size), lanes, None, config)
