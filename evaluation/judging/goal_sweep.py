"""Desired beside achieved: a policy that takes a goal, asked for one goal after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline_trader.errors import DataError
from offline_trader.evaluation.backtest import Backtest, EvaluationRange, Scenario
from offline_trader.evaluation.judging.record import GoalPoint, GoalSweep
from offline_trader.goals import GoalPolicy, GoalTask, Pursuit
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray

__all__ = ["achieved_of", "require_horizon", "sweep_goals"]


def sweep_goals(
    policy: GoalPolicy,
    span: EvaluationRange,
    rules: SimulatorConfig,
    goals: Sequence[float] | FloatArray | None = None,
    *,
    chosen: str = "",
) -> GoalSweep:
    """Every goal over the whole range, in the one deterministic pass that evaluation has.

    Args:
        policy: takes the goal.
        span: the bars.
        rules: of trading.
        goals: None: nine of the task's range.
        chosen: how the policy's default was chosen.

    Raises:
        DataError: the goal is an outcome, and the range is shorter than its horizon.
    """
    task = policy.task
    require_horizon(task, span)
    asked = task.sweep() if goals is None else np.asarray(goals, np.float64)
    points, pooled = [], []
    for goal in asked.tolist():
        (runs,) = span.backtests(Pursuit(policy, goal), [Scenario(rules)], observe=False)
        outcomes = np.concatenate([achieved_of(run, task) for run in runs])
        pooled.append(outcomes)
        growth = np.mean(
            [np.log(run.equity[-1] / run.equity[0]) / len(run.returns) for run in runs]
        )
        points.append(_point(task, goal, outcomes, float(growth) * span.periods_per_year))
    return GoalSweep(
        kind=task.kind,
        horizon=task.horizon,
        default=policy.goal,
        points=tuple(points),
        ninetieth=_quantile(np.concatenate(pooled), 0.9),
        chosen=chosen,
    )


def require_horizon(task: GoalTask, span: EvaluationRange) -> None:
    """Nothing if what a goal comes to shows within the range.

    Raises:
        DataError: the goal is an outcome, and the range is shorter than its horizon.
    """
    decisions = max(each.range.stop - each.range.start - 1 for each in span.instruments)
    if task.is_outcome and decisions < task.horizon:
        raise DataError(
            f"a horizon of {task.horizon} bars (goal.horizon) in a range of {decisions} decisions",
            expected="a range that holds a whole horizon",
            hint="a shorter goal.horizon, or a longer range",
        )


def achieved_of(run: Backtest, task: GoalTask) -> FloatArray:
    """What was achieved: [T] exposures, or [T // H] outcomes of the whole horizons of H bars."""
    if not task.is_outcome:
        return run.exposure[1:]
    count = (len(run.equity) - 1) // task.horizon
    starts = np.arange(count) * task.horizon
    laid = run.equity[starts[:, None] + np.arange(task.horizon + 1)]
    if task.kind == "return":
        return np.asarray(laid[:, -1] / laid[:, 0] - 1.0)
    peak = np.maximum.accumulate(laid, axis=1)
    return np.asarray((1.0 - laid / peak).max(axis=1))


def _point(task: GoalTask, goal: float, outcomes: FloatArray, growth: float) -> GoalPoint:
    aimed = np.full(len(outcomes), goal)
    some = len(outcomes) > 0
    return GoalPoint(
        goal=goal,
        achieved=float(outcomes.mean()) if some else 0.0,
        low=_quantile(outcomes, 0.1),
        high=_quantile(outcomes, 0.9),
        success=float(task.succeeded(outcomes, aimed).mean()) if some else 0.0,
        reward=float(task.rewards(outcomes, aimed, 1.0).mean()) if some else 0.0,
        growth=growth,
        n=len(outcomes),
    )


def _quantile(values: FloatArray, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else 0.0
