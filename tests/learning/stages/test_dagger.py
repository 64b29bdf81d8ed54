"""DAgger: the schedule and the answers by hand, drift mended, resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum import AskedMarket, get_market, optimal_policy
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import CloneConfig, DaggerConfig, LearnerConfig
from offline_trader.learning.stages import STAGES, StageData
from offline_trader.learning.stages.dagger import imitate

FIT = CloneConfig(updates=20, batch_size=32, checkpoint_interval=10, holdout=0.0, fit="mean")
SHORT = DaggerConfig(rounds=3, steps=64, lanes=8, clone=FIT)


def learner_of(seed: int = 0) -> Learner:
    return make_learner(LearnerConfig(hidden=(16, 16), reward_scaling="none"), 2, seed=seed)


class Recorded(AskedMarket):
    """M3 with its optimal policy, and who acted in every step."""

    def __init__(self, lanes: int = 8, seed: int = 0) -> None:
        market = get_market("M3")
        super().__init__(market, lanes, optimal_policy(market), seed=seed)
        self.by_expert: list[float] = []

    def step(self, actions: Any) -> Any:
        self.by_expert.append(float(np.mean(actions == self.expert_actions())))
        return super().step(actions)


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_the_expert_acts_in_the_share_that_the_schedule_gives(beta: float) -> None:
    lanes = Recorded(lanes=50)
    rows: list[dict[str, Any]] = []
    config = DaggerConfig(rounds=3, steps=2_000, lanes=50, beta=beta, clone=FIT)
    result = imitate(learner_of(), lanes, config, lambda _, row: rows.append(dict(row)))
    shares = np.array(lanes.by_expert).reshape(3, 40).mean(axis=1)
    np.testing.assert_allclose(shares, [1.0, beta, beta**2], atol=0.04)
    assert [row["dagger/beta"] for row in rows if "dagger/beta" in row] == [1.0, beta, beta**2]
    assert (result.answers, result.updates) == (6_000, 60)


def test_answers_are_those_to_the_states_that_the_learner_came_to(tmp_path: Path) -> None:
    states: list[dict[str, Any]] = []
    learner = learner_of()
    imitate(learner, Recorded(), SHORT, checkpoint=lambda _, state: states.append(state))
    last = states[-1]
    seen, told = last["observations"].numpy(), last["actions"].numpy()
    assert seen.shape == (3 * 64, 2)
    np.testing.assert_array_equal(told, optimal_policy(get_market("M3"))(seen))
    positions = np.abs(seen[:, 1])
    assert np.isin(positions[:64], (0.0, 1.0)).all()  # the expert's own
    assert not np.isin(positions[72:], (0.0, 1.0)).any()  # the learner's


def test_it_mends_the_drift_of_a_clone_from_as_many_answers() -> None:
    market = get_market("M3")
    regrets: dict[str, list[float]] = {"clone": [], "dagger": []}
    for seed in range(2):
        for name, rounds in (("clone", 1), ("dagger", 5)):
            fit = CloneConfig(
                updates=600 // rounds, learning_rate=3e-3, holdout=0.0, fit="likelihood"
            )
            config = DaggerConfig(rounds=rounds, steps=1_000 // rounds, lanes=8, clone=fit)
            learner, lanes = learner_of(seed), Recorded(seed=seed)
            result = imitate(learner, lanes, config, seed=seed)
            assert result.answers == 1_000
            lanes = Recorded(lanes=64, seed=99)
            lost = np.zeros(64)
            seen = lanes.reset()
            for _ in range(300):
                actions = learner.act(seen)
                lost += market.regret(lanes.state, actions[:, 0].astype(np.float64))
                seen = lanes.step(actions).observations
            regrets[name].append(float(lost.mean()))
    assert all(a < b for a, b in zip(regrets["dagger"], regrets["clone"], strict=True)), regrets
    assert np.mean(regrets["dagger"]) < 0.5 * np.mean(regrets["clone"]), regrets


@pytest.mark.parametrize("step", [30, 40, 50])
def test_an_interrupted_stage_resumes_to_the_same_bytes(step: int, tmp_path: Path) -> None:
    def keep(done: int, state: dict[str, Any]) -> None:
        torch.save(state, tmp_path / f"{done}.pt")

    whole, rows, tail = learner_of(), [], []
    stage = STAGES["dagger"](SHORT)
    result = stage.fit(
        whole, StageData(asked=Recorded()), lambda s, r: rows.append((s, dict(r))), None, keep
    )
    resumed = learner_of(seed=9)
    again = stage.fit(
        resumed,
        StageData(asked=Recorded(seed=5)),
        lambda s, r: tail.append((s, dict(r))),
        resume=torch.load(tmp_path / f"{step}.pt", weights_only=True),
    )
    assert again == result
    assert tail == [
        row for row in rows if row[0] > step or (row[0] == step and "dagger/mse" in row[1])
    ]
    grid = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.testing.assert_array_equal(whole.act(grid), resumed.act(grid))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="the dagger stage without asked"):
        STAGES["dagger"](SHORT).fit(learner_of(), StageData())
    with pytest.raises(ConfigError, match="the learner acts, too"):
        DaggerConfig(beta=1.0)
    with pytest.raises(ConfigError, match="a step of every lane"):
        DaggerConfig(steps=4, lanes=8)
