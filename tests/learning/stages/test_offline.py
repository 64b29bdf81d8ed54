"""Offline training: known answers, the warm start kept or beaten, determinism, resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import OfflineTraderError
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.settings import (
    CloneConfig,
    LearnerConfig,
    LeashConfig,
    OfflineConfig,
)
from offline_trader.learning.stages import Validated, clone, train_offline
from offline_trader.learning.stages.foretold import foretold_rewards

AS_IT_IS = LeashConfig(distance=0.0)
"""The algorithm itself, without what keeps it near its data."""
GRID = np.stack([np.linspace(-1, 1, 201), np.zeros(201)], axis=1).astype(np.float32)


def regret(policy: Any) -> float:
    """Mean square distance from the best action, 0.8 x."""
    return float(np.mean((policy(GRID)[:, 0] - 0.8 * GRID[:, 0]) ** 2))


def score(policy: Any) -> dict[str, float]:
    return {"score": -regret(policy)}


def learner_of(algorithm: Any = "cql", seed: int = 0, **changed: Any) -> Learner:
    settings: dict[str, Any] = {
        "hidden": (32, 32), "batch_size": 64, "actor_lr": 3e-3, "critic_lr": 3e-3,
        "n_action_samples": 4,
    }  # fmt: skip
    used = LearnerConfig.used({"algorithm": algorithm, **settings, **changed})
    return make_learner(LearnerConfig(**used), 2, None, seed)


@pytest.mark.parametrize("algorithm", ["cql", "sac", "cal_ql", "iql", "td3_plus_bc"])
def test_a_bandits_best_action_is_found_from_a_mediocre_clone(
    algorithm: str, uniform_data: Transitions, halfway_data: Transitions
) -> None:
    settings: dict[str, Any] = {"weight_temp": 20.0, "temp_lr": 0.0, "initial_temperature": 0.01}
    learner = learner_of(algorithm, **settings, td3_alpha=20.0, conservative_weight=0.01)
    clone(learner, halfway_data, CloneConfig(updates=200, batch_size=64))
    before = regret(learner)
    assert before == pytest.approx(0.16 / 3, rel=0.4)  # a = 0.4 x against 0.8 x
    config = OfflineConfig(critic_updates=100, updates=400, leash=AS_IT_IS)
    result = train_offline(learner, uniform_data, config, evaluate=score)
    assert result.kept == "best"
    assert regret(learner) < 0.25 * before
    assert result.warm_score == pytest.approx(-before)
    assert result.kept_score == pytest.approx(-regret(learner))


def test_the_warm_start_is_kept_when_nothing_beats_it(uniform_data: Transitions) -> None:
    learner = learner_of()
    actions = learner.act(GRID)

    def worse_with_distance(policy: Any) -> dict[str, float]:
        return {"score": -float(np.abs(policy(GRID) - actions).max())}

    config = OfflineConfig(critic_updates=20, updates=40, evaluate_interval=20)
    result = train_offline(learner, uniform_data, config, evaluate=worse_with_distance)
    assert (result.kept, result.kept_step, result.warm_score) == ("warm_start", 0, 0.0)
    assert result.last_score is not None
    assert result.last_score < 0
    np.testing.assert_array_equal(learner.act(GRID), actions)


def test_a_score_that_is_not_finite_never_wins(uniform_data: Transitions) -> None:
    scores = iter([float("nan"), -5.0, float("inf"), -7.0])
    config = OfflineConfig(critic_updates=5, updates=25, evaluate_interval=10)
    result = train_offline(
        learner_of(), uniform_data, config, evaluate=lambda _: {"score": next(scores)}
    )
    # validated after the critics' phase and at updates 10, 20 and 30
    assert (result.kept, result.kept_step) == ("best", 10)
    assert (result.warm_score, result.kept_score, result.last_score) == (None, -5.0, -7.0)


def test_critics_are_fitted_to_the_warm_policy_before_the_actor_moves(
    uniform_data: Transitions,
) -> None:
    learner = learner_of(reward_scaling="none", algorithm="sac")
    warm = learner.act(GRID)
    config = OfflineConfig(critic_updates=600, updates=0, leash=AS_IT_IS)
    train_offline(learner, uniform_data, config)
    np.testing.assert_array_equal(learner.act(GRID), warm)
    actions = np.linspace(-1, 1, 201, dtype=np.float32)[::-1, None].copy()
    values = learner.algo.predict_value(GRID, actions)
    expected = -((actions[:, 0] - 0.8 * GRID[:, 0]) ** 2)
    assert np.sqrt(np.mean((values - expected) ** 2)) < 0.05


def test_without_validation_the_last_policy_is_kept(uniform_data: Transitions) -> None:
    config = OfflineConfig(critic_updates=5, updates=5)
    result = train_offline(learner_of(), uniform_data, config)
    assert (result.updates, result.kept, result.kept_step) == (10, "last", 10)
    assert result.kept_score is None


@pytest.mark.parametrize(("engine", "distance"), [("stock", 0.0), ("fast", 0.0), ("fast", 2.0)])
def test_an_interrupted_training_resumes_to_the_same_bytes(
    engine: str, distance: float, uniform_data: Transitions, tmp_path: Path
) -> None:
    config = OfflineConfig(
        critic_updates=25, updates=35, evaluate_interval=20, log_interval=15,
        checkpoint_interval=20, leash=LeashConfig(distance=distance, n_critics=3),
    )  # fmt: skip
    saved: dict[int, Path] = {}

    def keep(step: int, state: dict[str, Any]) -> None:
        saved[step] = tmp_path / f"{step}.pt"
        torch.save(state, saved[step])

    rows: list[tuple[int, dict[str, float]]] = []
    whole = learner_of(engine=engine)
    result = train_offline(
        whole, uniform_data, config, lambda s, r: rows.append((s, dict(r))), score, keep
    )
    assert sorted(saved) == [20, 40, 60]
    for start in (20, 40):
        tail: list[tuple[int, dict[str, float]]] = []
        resumed = learner_of(engine=engine, seed=8)
        again = train_offline(
            resumed,
            uniform_data,
            config,
            lambda s, r, tail=tail: tail.append((s, dict(r))),  # type: ignore[misc]
            score,
            resume=torch.load(saved[start], weights_only=True),
        )
        assert again == result
        assert tail == rows[-len(tail) :]
        assert np.array_equal(whole.act(GRID), resumed.act(GRID))
        whole.save(tmp_path / "a.d3")
        resumed.save(tmp_path / "b.d3")
        assert (tmp_path / "a.d3").read_bytes() == (tmp_path / "b.d3").read_bytes()


def test_a_validation_that_draws_numbers_changes_nothing(uniform_data: Transitions) -> None:
    config = OfflineConfig(critic_updates=5, updates=20, evaluate_interval=5)

    def drawing(policy: Any) -> dict[str, float]:
        return {"score": float(torch.rand(3).sum()) * 0 + policy(GRID).mean() * 0}

    runs = []
    for evaluate in (drawing, lambda policy: {"score": 0.0}):
        learner = learner_of(engine="stock")
        rows: list[float] = []
        train_offline(
            learner,
            uniform_data,
            config,
            lambda _, r, rows=rows: rows.extend(r.values()),  # type: ignore[misc]
            evaluate,
        )
        runs.append(rows)
    assert runs[0] == runs[1]


def test_divergence_stops_with_what_diverged(uniform_data: Transitions) -> None:
    learner = learner_of(critic_lr=1e30, engine="stock")
    config = OfflineConfig(critic_updates=0, updates=30, log_interval=10, leash=AS_IT_IS)
    with pytest.raises(OfflineTraderError, match="training diverged"):
        train_offline(learner, uniform_data, config)


def test_a_pull_to_the_data_keeps_the_actor_near_it(halfway_data: Transitions) -> None:
    """Narrow data: without the pull the actor goes further away from the data's policy."""
    distances = []
    for weight in (0.0, 30.0):
        learner = learner_of("sac", behaviour_weight=weight, temp_lr=0.0)
        clone(learner, halfway_data, CloneConfig(updates=200, batch_size=64))
        train_offline(learner, halfway_data, OfflineConfig(critic_updates=100, updates=400))
        distances.append(float(np.mean((learner.act(GRID)[:, 0] - 0.4 * GRID[:, 0]) ** 2)))
    assert distances[1] < 0.3 * distances[0]


def test_a_leash_holds_the_policy_near_narrow_data(halfway_data: Transitions) -> None:
    """In units of the data's own deviation; without it the actor goes where values are guessed."""
    learner = learner_of("cql", critic_lr=3e-3)
    clone(learner, halfway_data, CloneConfig(updates=300, batch_size=64, fit="mean"))
    warm = learner.snapshot()
    seen, actions = halfway_data.observations, halfway_data.actions

    def away() -> float:
        return float(np.mean((learner.act(seen) - actions) ** 2))

    deviation, found = away(), {}
    for distance in (1.0, 3.0):
        learner.restore(warm)
        quick = LeashConfig(
            distance=distance, n_critics=4, learning_rate=3e-3, temperature=1e-3, least_weight=0.01
        )
        config = OfflineConfig(critic_updates=200, updates=600, leash=quick)
        train_offline(learner, halfway_data, config)
        found[distance] = away() / deviation
    assert found[1.0] < 1.3 * (1.0 + 1.0)
    assert found[3.0] < 1.3 * (1.0 + 9.0)
    assert found[3.0] > 1.5 * found[1.0]


def test_what_nothing_foretells_of_a_reward_is_not_learned_from(halfway_data: Transitions) -> None:
    """Out of fold: a tenth of the reward's variance is nearly found, of pure noise nothing is."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(len(halfway_data))
    known = np.asarray(halfway_data.rewards, np.float64)
    known = (known - known.mean()) / known.std() / 3.0
    for signal in (known, np.zeros_like(known)):
        noisy = replace(halfway_data, rewards=(signal + noise).astype(np.float32))
        found = foretold_rewards(noisy)
        assert np.square(found - signal).mean() < 0.25 * max(np.square(signal).mean(), 0.05)


def test_a_warm_start_is_given_up_only_for_what_is_better_beyond_its_interval(
    halfway_data: Transitions,
) -> None:
    """The paired interval keeps the warm policy to the bit, whatever learner was trained."""
    noise = np.random.default_rng(0).standard_normal(400)
    for gain, kept in ((0.02, "warm_start"), (1.0, "best")):
        learner = learner_of("cql")
        warm = learner.act(GRID)
        seen: list[Any] = []

        def judged(policy: Any, gain: float = gain, seen: list[Any] = seen) -> Validated:
            seen.append(policy(GRID))
            growth = noise * 0.0 if len(seen) == 1 else noise * 0.5 + gain
            return Validated({"score": float(len(seen))}, growth)

        config = OfflineConfig(critic_updates=10, updates=60, evaluate_interval=20)
        result = train_offline(learner, halfway_data, config, evaluate=judged)
        assert result.kept == kept
        np.testing.assert_array_equal(seen[0], warm)
        assert not np.array_equal(seen[-1], warm)
        expected = warm if kept == "warm_start" else seen[1]  # of equal ones the earliest
        np.testing.assert_array_equal(learner.act(GRID), expected)
