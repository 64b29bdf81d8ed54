"""Logged data as rows with goals, and online training towards goals, interrupted and resumed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.envs import EnvConfig, GoalLanes, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.goals import GoalTask
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Preprocessing, Transitions
from offline_trader.learning.settings import (
    CuriosityConfig,
    LearnerConfig,
    OnlineConfig,
    ShapingConfig,
)
from offline_trader.learning.stages import finetune
from offline_trader.learning.stages.goal_rows import rows_with_goals

ENV = EnvConfig(market=("sp500",), end="2004-12-31", episode_bars=30)
ONLINE = OnlineConfig(
    steps=480, update_ratio=0.25, warmup_steps=96, critic_updates=10, buffer_size=301,
    log_interval=120, checkpoint_interval=240, curiosity=CuriosityConfig(weight=0.1),
    shaping=ShapingConfig(("trend_alignment", "novelty"), interval=100),
)  # fmt: skip


def logged(lanes: GoalLanes, steps: int) -> tuple[Transitions, list[dict[str, Any]]]:
    """Transitions of lane 0's simulator, and what its goal lanes showed of them."""
    plain = make_simulator(ENV, 1, 3)
    before, wide = plain.reset().copy(), lanes.reset().copy()
    rows: dict[str, list[Any]] = {
        name: [] for name in ("observations", "actions", "rewards", "next_observations", "ends")
    }
    shown = []
    rng = np.random.default_rng(0)
    for _ in range(steps):
        action = rng.uniform(-1, 1, (1, 1)).astype(np.float32)
        done, with_goals = plain.step(action), lanes.step(action)
        ended = bool(done.truncated[0])
        after = plain.final_observations if ended else done.observations
        goal_ended = bool(with_goals.terminated[0] or with_goals.truncated[0])
        final = lanes.final_observations if goal_ended else with_goals.observations
        shown.append(
            {"observations": wide[0], "next_observations": final[0].copy(),
             "terminals": bool(with_goals.terminated[0]), "timeouts": bool(with_goals.truncated[0])}
        )  # fmt: skip
        for name, value in zip(
            rows, (before[0], action[0], done.rewards[0], after[0].copy(), ended), strict=True
        ):
            rows[name].append(value)
        before, wide = done.observations.copy(), with_goals.observations.copy()
    ends = np.array(rows.pop("ends"))
    ids = np.cumsum(np.append(False, ends[:-1]))
    made: Any = rows
    return Transitions(**made, terminals=ends & False, timeouts=ends, episode_ids=ids), shown


@pytest.mark.parametrize("kind", ["exposure", "return"])
def test_logged_rows_are_what_the_lanes_would_have_shown(kind: Any) -> None:
    task = GoalTask(kind, horizon=8)
    lanes = GoalLanes(make_simulator(ENV, 1, 3), task)
    data, shown = logged(lanes, 70)
    columns = {name: getattr(data, name) for name in Transitions.__dataclass_fields__}
    ours = rows_with_goals(columns, task, lanes.achieved_column, 0)
    for row, each in enumerate(shown):
        for name in ("observations", "next_observations"):
            np.testing.assert_allclose(ours[name][row, :-1], each[name][:-1], atol=2e-6)
        assert ours["terminals"][row] == each["terminals"]
        assert ours["timeouts"][row] == each["timeouts"]
    goals = ours["observations"][:, -1]
    np.testing.assert_array_equal(goals, ours["next_observations"][:, -1])
    assert len(np.unique(goals)) == ours["episode_ids"][-1] + 1
    achieved = ours["next_observations"][:, lanes.achieved_column]
    expected = task.rewards(achieved, goals, ours["terminals"])
    np.testing.assert_allclose(ours["rewards"], expected, atol=1e-6)
    Transitions(**{name: ours[name] for name in columns})  # whole episodes


def goal_learner(lanes: GoalLanes, seed: int = 0) -> Learner:
    config = LearnerConfig(algorithm="sac", hidden=(32, 32), batch_size=32, reward_scaling="none")
    scales = Preprocessing(
        np.zeros(lanes.goal_column + 1), np.ones(lanes.goal_column + 1), None, 0.99
    )
    return make_learner(config, lanes.goal_column + 1, scales, seed)


def test_training_towards_goals_resumes_to_the_same_bytes() -> None:
    task = GoalTask("exposure", horizon=8)

    def lanes_of(seed: int) -> GoalLanes:
        return GoalLanes(make_simulator(ENV, 8, seed), task, seed)

    offline, _ = logged(GoalLanes(make_simulator(ENV, 1, 3), task), 70)
    saved: dict[int, bytes] = {}
    rows: list[tuple[int, Any]] = []

    def keep(step: int, state: Any) -> None:
        file = io.BytesIO()
        torch.save(state, file)
        saved[step] = file.getvalue()

    whole = goal_learner(lanes_of(1))
    finetune(whole, lanes_of(1), offline, ONLINE, lambda s, r: rows.append((s, r)), checkpoint=keep)
    halfway = torch.load(io.BytesIO(saved[240]), weights_only=True)
    resumed = goal_learner(lanes_of(1), seed=5)
    finetune(resumed, lanes_of(77), offline, ONLINE, resume=halfway)
    seen = lanes_of(1).reset()
    np.testing.assert_array_equal(whole.act(seen), resumed.act(seen))
    assert not np.array_equal(whole.act(seen), goal_learner(lanes_of(1)).act(seen))
    last = dict(rows)[480]
    assert 0.7 < last["online/relabelled"] < 0.9
    assert -1.0 < last["online/goal_reward"] < 0.0
    assert last["online/intrinsic_share"] == pytest.approx(0.1, rel=0.05)
    assert last["online/shaping"] > 0.0


def test_an_agent_that_does_not_see_the_goal_is_refused() -> None:
    lanes = GoalLanes(make_simulator(ENV, 2), GoalTask("exposure"))
    blind = make_learner(LearnerConfig(algorithm="sac", hidden=(8,)), lanes.goal_column, None)
    with pytest.raises(ConfigError, match="lanes with goals"):
        finetune(blind, lanes, None, ONLINE)
