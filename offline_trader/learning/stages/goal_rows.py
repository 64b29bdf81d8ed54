"""Training towards goals: the hindsight of lanes with goals, and logged data as rows with goals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.goals import GoalTask
from offline_trader.learning.agents import Agent
from offline_trader.learning.data import Columns, GoalColumns, Hindsight
from offline_trader.learning.settings import OnlineConfig
from offline_trader.learning.stages.lanes import AimedLanes
from offline_trader.types import FloatArray, IntArray, Observations

__all__ = ["hindsight_of", "rows_with_goals"]


def hindsight_of(agent: Agent, lanes: AimedLanes, config: OnlineConfig, seed: int) -> Hindsight:
    """The relabelling of what is sampled from those lanes, and from logged data beside them.

    Raises:
        ConfigError: an agent that does not observe the goal.
    """
    task, achieved, goal = lanes.task, lanes.achieved_column, lanes.goal_column
    if len(agent.preprocessing.mean) != goal + 1:
        raise ConfigError(
            f"an agent of {len(agent.preprocessing.mean)} columns in lanes with goals",
            expected=f"{goal + 1}: market, portfolio, progress and goal",
        )
    return Hindsight(
        GoalColumns(
            slice(goal, goal + 1),
            slice(achieved, achieved + 1),
            task.rewards,
            task.range if task.is_outcome else None,
        ),
        config.buffer_size,
        lambda: agent.preprocessing,
        k=config.hindsight,
        widen=lambda columns: rows_with_goals(columns, task, achieved, seed),
        seed=seed,
        device=agent.config.device,
    )


def rows_with_goals(columns: Columns, task: GoalTask, achieved: int, seed: int) -> Columns:
    """Logged transitions cut into horizons, each with a goal drawn uniformly.

    Equity is the sum of the rewards, which are log changes of it. The last horizon of an episode
    may be cut short; it is truncated then.

    Args:
        columns: of whole episodes one after another: ``observations`` [M, O], ``rewards`` and the
            others of :class:`~offline_trader.learning.data.Transitions`.
        task: horizon and reward.
        achieved: column of the widened observation that holds what is achieved.
        seed: of the goals.
    """
    growth = np.asarray(columns["rewards"], np.float64)
    horizon, step = _cut(np.asarray(columns["episode_ids"]), task.horizon)
    low, high = task.range
    goals = np.random.default_rng(seed).uniform(low, high, int(horizon[-1]) + 1)[horizon]
    before, after = _progress(task, growth, horizon, step)
    observations = task.widened(_observed(columns, "observations"), before, goals)
    following = task.widened(_observed(columns, "next_observations"), after, goals)
    over = step == task.horizon - 1
    terminals = np.asarray(columns["terminals"], bool) | over
    rewards = task.rewards(following[:, achieved], following[:, -1], terminals)
    return {
        **columns,
        "observations": observations,
        "next_observations": following,
        "rewards": rewards.astype(np.float32),
        "raw_rewards": rewards.astype(np.float32),
        "terminals": terminals,
        "timeouts": np.asarray(columns["timeouts"], bool) & ~terminals,
        "episode_ids": horizon,
    }


def _observed(columns: Columns, name: str) -> Observations:
    return np.asarray(columns[name], np.float32)


def _cut(episode_ids: IntArray, length: int) -> tuple[IntArray, IntArray]:
    """[M] number of each row's horizon, from 0, and the row's step in it."""
    rows = np.arange(len(episode_ids))
    starts = np.append(True, np.diff(episode_ids) != 0)
    step = (rows - np.maximum.accumulate(np.where(starts, rows, 0))) % length
    horizon = np.cumsum(starts | (step == 0)) - 1
    return np.asarray(horizon, np.int64), np.asarray(step, np.int64)


def _progress(
    task: GoalTask, growth: FloatArray, horizon: IntArray, step: IntArray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[M, E] progress before and after each row."""
    length = task.horizon
    laid: FloatArray = np.zeros((int(horizon[-1]) + 1, length + 1))
    laid[horizon, step + 1] = growth
    equity = np.exp(np.cumsum(laid, axis=1))
    peak = np.maximum.accumulate(equity, axis=1)
    fallen = np.maximum.accumulate(1.0 - equity / peak, axis=1)

    def at(column: IntArray) -> Any:
        shown = [(length - column) / length]
        if task.is_outcome:
            shown += [equity[horizon, column] - 1.0, fallen[horizon, column]]
        return np.stack(shown, axis=1).astype(np.float32)

    return at(step), at(step + 1)
