"""Offline training with replays: where there are any, what they teach, resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.settings import (
    CloneConfig,
    LearnerConfig,
    OfflineConfig,
    ReplayConfig,
)
from offline_trader.learning.stages import TrainResult, clone, train_offline
from offline_trader.learning.stages.direct import Log, PositionMarket

GRID = np.stack([np.linspace(-1, 1, 101), np.zeros(101)], axis=1).astype(np.float32)


def narrow_log(n: int = 2_000) -> tuple[PositionMarket, Transitions]:
    """Gains 0.8 x, rewards ``p·g − p²/2``: the best position is 0.8 x, the logged ones 0.3 x."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, n + 1).astype(np.float32)
    positions = np.clip(0.3 * x[:n] + 0.02 * rng.standard_normal(n), -1, 1).astype(np.float32)
    before = np.append(np.float32(0.0), positions[:-1])
    gains = 0.8 * x[:n].astype(np.float64)
    log = Log(x[:n, None], gains[:, None], np.array([[0, n]]))
    data = Transitions(
        observations=np.stack([x[:n], before], axis=1),
        actions=positions[:, None],
        rewards=(positions * gains - positions.astype(np.float64) ** 2 / 2).astype(np.float32),
        next_observations=np.stack([x[1:], positions], axis=1),
        terminals=np.zeros(n, np.bool_),
        timeouts=np.arange(n) == n - 1,
        episode_ids=np.zeros(n, np.int64),
    )
    return PositionMarket(log, risk=1.0), data


def learner_of(seed: int = 0, **changed: Any) -> Learner:
    settings: dict[str, Any] = {
        "algorithm": "cql", "hidden": (32, 32), "batch_size": 64, "gamma": 0.5, "actor_lr": 3e-3,
        "critic_lr": 3e-3, "temp_lr": 0.0, "initial_temperature": 0.01, "n_action_samples": 4,
    }  # fmt: skip
    used = LearnerConfig.used({**settings, **changed})
    return make_learner(LearnerConfig(**used), 2, None, seed)


def regret(policy: Any) -> float:
    return float(np.mean((policy(GRID)[:, 0] - 0.8 * GRID[:, 0]) ** 2))


def score(policy: Any) -> dict[str, float]:
    return {"score": -regret(policy)}


def config_of(**changed: Any) -> OfflineConfig:
    quick = ReplayConfig(learning_rate=3e-3, temperature=0.01)
    settings: dict[str, Any] = {"critic_updates": 100, "updates": 400, "replay": quick}
    return OfflineConfig(**{**settings, **changed})


@pytest.mark.parametrize("algorithm", ["cql", "sac"])
def test_narrow_data_teach_what_they_do_not_hold(algorithm: str) -> None:
    market, data = narrow_log()
    learner = learner_of(algorithm=algorithm)
    clone(learner, data, CloneConfig(updates=300, batch_size=64, fit="mean"))
    warm = regret(learner)
    assert warm > 0.06  # 0.3 x against 0.8 x
    result = train_offline(learner, data, config_of(), evaluate=score, market=market)
    assert result.kept == "best"
    assert regret(learner) < 0.1 * warm
    assert result.kept_score == pytest.approx(-regret(learner))
    values = learner.algo.predict_value(GRID, 0.8 * GRID[:, :1])
    worse = learner.algo.predict_value(GRID, -0.8 * GRID[:, :1])
    assert (values - worse)[np.abs(GRID[:, 0]) > 0.5].min() > 0  # the critics came along


def test_the_warm_start_is_kept_to_the_bit_where_nothing_is_better() -> None:
    market, data = narrow_log()
    learner = learner_of()
    actions = learner.act(GRID)

    def worse_with_distance(policy: Any) -> dict[str, float]:
        return {"score": -float(np.abs(policy(GRID) - actions).max())}

    config = config_of(critic_updates=20, updates=40, evaluate_interval=20)
    result = train_offline(learner, data, config, evaluate=worse_with_distance, market=market)
    assert (result.kept, result.warm_score) == ("warm_start", 0.0)
    assert result.last_score is not None
    assert result.last_score < 0.0
    np.testing.assert_array_equal(learner.act(GRID), actions)


def test_an_interrupted_training_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    market, data = narrow_log(400)
    config = config_of(
        critic_updates=20, updates=30, evaluate_interval=10, log_interval=15, checkpoint_interval=20
    )
    saved: dict[int, Path] = {}

    def keep(step: int, state: dict[str, Any]) -> None:
        saved[step] = tmp_path / f"{step}.pt"
        torch.save(state, saved[step])

    def trained(name: str, **further: Any) -> tuple[TrainResult, bytes, list[Any]]:
        rows: list[Any] = []
        learner = learner_of()
        result = train_offline(
            learner, data, config, lambda s, r: rows.append((s, dict(r))), score,
            seed=4, market=market, **further,
        )  # fmt: skip
        learner.save(tmp_path / name)
        return result, (tmp_path / name).read_bytes(), rows

    whole = trained("whole.d3", checkpoint=keep)
    for start in (20, 40):
        again = trained("again.d3", resume=torch.load(saved[start], weights_only=True))
        assert again[:2] == whole[:2]
        assert again[2] == whole[2][-len(again[2]) :]


REFUSED: tuple[tuple[dict[str, Any], dict[str, Any], str], ...] = (
    ({"algorithm": "iql"}, {}, "learner.algorithm = iql holds on to the actions of the data"),
    ({"behaviour_weight": 0.5}, {}, "learner.behaviour_weight > 0"),
    ({}, {"n_steps": 3}, "offline.n_steps = 3"),
)


@pytest.mark.parametrize(("learner", "offline", "reason"), REFUSED)
def test_what_cannot_be_replayed_is_refused_or_left_out_with_the_reason(
    learner: dict[str, Any], offline: dict[str, Any], reason: str
) -> None:
    market, data = narrow_log(300)
    asked = config_of(updates=1, critic_updates=1, replay=ReplayConfig(mode="always"), **offline)
    with pytest.raises(ConfigError, match=reason):
        train_offline(learner_of(**learner), data, asked, market=market)
    rows: list[dict[str, Any]] = []
    settled = config_of(updates=1, critic_updates=1, **offline)
    result = train_offline(
        learner_of(**learner), data, settled, lambda _, row: rows.append(dict(row)), market=market
    )
    assert reason in rows[0]["offline/replay"]
    assert reason in result.replay
    assert not any("offline/replayed" in row for row in rows)


def test_transitions_alone_cannot_be_replayed() -> None:
    _, data = narrow_log(300)
    asked = config_of(updates=1, critic_updates=1, replay=ReplayConfig(mode="always"))
    with pytest.raises(ConfigError, match="transitions alone, without their bars"):
        train_offline(learner_of(), data, asked)
    rows: list[Any] = []
    settled = config_of(updates=1, critic_updates=1)
    result = train_offline(learner_of(), data, settled, lambda _, row: rows.append(row))
    assert result.replay == ""
    assert not any("offline/replay" in row for row in rows)
