"""Cloning: the likelihood by hand, the clone through d3rlpy's file, saturation, resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.settings import ALGORITHMS, CloneConfig, LearnerConfig
from offline_trader.learning.stages import D3rlpyActorPolicy, clone
from offline_trader.types import FloatArray

SHORT = CloneConfig(updates=60, batch_size=64, log_interval=20, checkpoint_interval=30)


class Scale:
    mean, scale = np.array([0.25, 1.0]), np.array([0.5, 2.0])


def learner_of(algorithm: Any = "cql", seed: int = 0) -> Learner:
    return make_learner(
        LearnerConfig(algorithm=algorithm, hidden=(32, 32), engine="stock"), 2, Scale(), seed
    )


def rule_data(rule: Any, count: int = 6_000) -> Transitions:
    """Episodes of 20 steps whose actions are ``rule(x)`` of the first observation column."""
    seen = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    ends = np.arange(count) % 20 == 19
    actions = rule(seen[:, :1]).astype(np.float32)
    rewards = np.zeros(count, np.float32)
    return Transitions(seen, actions, rewards, seen, ends & False, ends, np.arange(count) // 20)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_clone_acts_like_the_expert_and_the_same_in_stock_d3rlpy(
    algorithm: str, tmp_path: Path
) -> None:
    import d3rlpy

    data = rule_data(lambda x: 0.7 * np.tanh(2 * x))
    learner = learner_of(algorithm)
    result = clone(learner, data, CloneConfig(updates=300, batch_size=128, learning_rate=3e-3))
    assert result.holdout_mse is not None
    assert result.holdout_mean_mse is not None
    assert result.holdout_transitions == 600
    assert result.holdout_mse < 0.02 * result.holdout_mean_mse
    learner.save(tmp_path / "clone.d3")
    stock = d3rlpy.load_learnable(str(tmp_path / "clone.d3"))
    np.testing.assert_allclose(
        stock.predict(data.observations), learner.act(data.observations), atol=1e-6
    )


def test_saturated_actions_stay_finite_and_are_repeated() -> None:
    data = rule_data(lambda x: np.sign(x))
    learner = learner_of()
    rows: list[dict[str, float]] = []
    clone(learner, data, CloneConfig(updates=800), lambda _, row: rows.append(dict(row)))
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    clear = np.abs(data.observations[:, 0]) > 0.3
    acted = learner.act(data.observations[clear])
    assert np.mean(np.sign(acted) == data.actions[clear]) > 0.99
    assert np.abs(acted).mean() > 0.95


def test_the_likelihood_is_that_of_the_change_of_variables() -> None:
    learner = learner_of()
    policy = D3rlpyActorPolicy(learner, CloneConfig(action_clip=0.9, min_std=0.1))
    seen = torch.tensor([[0.1, 0.2], [1.0, -1.0]])
    actions = torch.tensor([[0.5], [1.0]])
    _, log_density, entropy = policy.evaluate_actions(seen, actions)
    with torch.no_grad():
        output = learner.algo.impl.policy(seen)
    for row, action in enumerate((0.5, 0.9)):
        mu, std = output.mu[row].item(), max(output.logstd[row].exp().item(), 0.1)
        raw = np.arctanh(action)
        normal = np.exp(-0.5 * ((raw - mu) / std) ** 2) / (std * np.sqrt(2 * np.pi))
        assert log_density[row].item() == pytest.approx(np.log(normal / (1 - action**2)), abs=1e-5)
        assert entropy[row].item() == pytest.approx(0.5 * np.log(2 * np.pi * np.e * std**2), 1e-5)


def test_the_density_of_the_clone_integrates_to_one() -> None:
    policy = D3rlpyActorPolicy(learner_of(), CloneConfig(action_clip=0.999999))
    grid = torch.tanh(torch.linspace(-7, 7, 4001))[:, None]
    with torch.no_grad():
        _, log_density, _ = policy.evaluate_actions(torch.zeros(4001, 2), grid)
    assert np.trapezoid(log_density.exp().numpy(), grid[:, 0].numpy()) == pytest.approx(1, abs=2e-3)


def test_fit_to_the_mean_does_not_exaggerate_noisy_actions() -> None:
    rng = np.random.default_rng(0)

    def noisy(x: FloatArray) -> FloatArray:
        return np.clip(0.5 * np.sign(x) + rng.normal(0.0, 0.4, x.shape), -1.0, 1.0)

    data = rule_data(noisy)
    long = data.actions[data.observations[:, 0] > 0.0].mean()
    found = {}
    for fit in ("likelihood", "mean"):
        learner = learner_of()
        config = CloneConfig(updates=400, batch_size=256, learning_rate=3e-3, fit=fit)
        clone(learner, data, config)
        found[fit] = float(learner.act(np.array([[1.0, 0.0]], np.float32))[0, 0])
    assert abs(found["mean"] - long) < 0.04
    assert found["likelihood"] > long + 0.05


def test_cloning_leaves_the_critics_alone(halfway_data: Transitions) -> None:
    learner = learner_of()
    before = [p.clone() for p in learner.algo.impl.q_function.parameters()]
    clone(learner, halfway_data, SHORT)
    after = learner.algo.impl.q_function.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("fit", ["likelihood", "measured"])
def test_an_interrupted_cloning_resumes_to_the_same_bytes(
    fit: Any, halfway_data: Transitions, tmp_path: Path
) -> None:
    saved: dict[int, Path] = {}

    def keep(step: int, state: dict[str, Any]) -> None:
        saved[step] = tmp_path / f"{step}.pt"
        torch.save(state, saved[step])

    config = replace(SHORT, fit=fit, checkpoint_interval=20)
    whole, rows = learner_of(), []
    result = clone(
        whole, halfway_data, config, lambda s, r: rows.append((s, dict(r))), checkpoint=keep
    )
    begun = 30 if fit == "measured" else 0  # both fits have had half of so few updates
    assert sorted(saved) == [step for step in (20, 40, 60) if step > begun]
    resumed, tail = learner_of(seed=9), []
    again = clone(
        resumed,
        halfway_data,
        config,
        lambda s, r: tail.append((s, dict(r))),
        resume=torch.load(saved[40], weights_only=True),
    )
    assert np.array_equal(
        whole.act(halfway_data.observations), resumed.act(halfway_data.observations)
    )
    assert again == result
    assert bool(result.told) == (fit == "measured")
    assert [s for s, _ in rows] == [step for step in (20, 40, 60) if step > begun]
    assert tail == rows[-1:]


@pytest.mark.parametrize("saturated", [True, False])
def test_the_measured_fit_is_the_one_nearer_to_the_actions(saturated: bool) -> None:
    rng = np.random.default_rng(0)

    def noisy(x: FloatArray) -> FloatArray:
        return np.clip(0.5 * np.sign(x) + rng.normal(0.0, 0.4, x.shape), -1.0, 1.0)

    data = rule_data(noisy if saturated else lambda x: 0.5 * np.tanh(x))
    config = CloneConfig(updates=500, batch_size=128, learning_rate=3e-3)
    assert config.fit == "measured"
    learner = learner_of()
    result = clone(learner, data, config)
    alone = {}
    for fit in ("likelihood", "mean"):
        other = learner_of()
        clone(other, data, replace(config, fit=fit, updates=200))
        held = clone(other, data, replace(config, fit=fit, updates=0))
        alone[fit] = held.holdout_mse
    assert result.fit == min(alone, key=lambda fit: alone[fit] or 0.0)
    assert f"{alone[result.fit]:.4f}" in result.told[0]
    if saturated:
        assert result.fit == "mean"
    same = learner_of()
    clone(same, data, replace(config, fit=result.fit))  # type: ignore[arg-type]
    np.testing.assert_array_equal(learner.act(data.observations), same.act(data.observations))
