"""Fine-tuning towards goals: task, learner, validation, and the default goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.evaluation.judging import GoalSweep, require_horizon, sweep_goals
from offline_trader.goals import Conditioned, GoalTask
from offline_trader.pipeline.run_facts import GoalFacts
from offline_trader.pipeline.settings import FinetuneConfig
from offline_trader.types import Policy

if TYPE_CHECKING:
    from offline_trader.learning.agents import Learner
    from offline_trader.learning.settings import LearnerConfig

__all__ = ["GoalValidator", "chosen_goal", "learner_for", "task_of"]


def task_of(config: FinetuneConfig, parent: GoalFacts | None) -> GoalTask:
    """The task under the rules of the environment.

    Raises:
        ConfigError: the parent's policy takes another goal, or what learns, or where, takes none.
    """
    online = config.online
    if config.agent != "sac":
        raise ConfigError(
            f"goal.kind={config.goal.kind} with agent={config.agent}",
            expected="agent=sac: what the others learn from is what is earned",
        )
    of_gains = {
        "online.transforms=replay": "replay" in online.transforms,
        "online.forecast_weight": online.forecast_weight > 0,
    }
    idle = [name for name, asked in of_gains.items() if asked]
    if idle:
        raise ConfigError(
            f"goal.kind={config.goal.kind} with {', '.join(idle)}",
            expected="one of them: the reward of a goal is no gain, which could be foretold or "
            "met again in another position",
        )
    rules = config.env.simulator
    task = config.goal.within(
        short=rules.action_mode == "target_long_short", most=rules.max_position_pct
    )
    lengths = {"env.episode_bars": config.env.episode_bars}
    if online.staged:
        lengths["online.curriculum.bars"] = online.curriculum.bars
    if online.curriculum.enabled:
        lengths["online.curriculum.exam_bars"] = online.curriculum.exam_bars
    for name, most in lengths.items():
        if task.is_outcome and most is not None and most < task.horizon:
            raise ConfigError(
                f"goal.horizon={task.horizon} in episodes of {most} bars ({name})",
                expected=f"{most} or less: no horizon would come to its end, and none be paid",
            )
    known = None if parent is None else parent.task
    if known is not None and (known.kind, known.horizon) != (task.kind, task.horizon):
        raise ConfigError(
            f"goal.kind={task.kind} over {task.horizon} bars",
            expected=f"the parent's, {known.kind} over {known.horizon}",
            hint="start from a run whose policy takes no goal",
        )
    return task


def learner_for(
    source: Learner, config: LearnerConfig, task: GoalTask, seed: int, *, widen: bool
) -> Learner:
    """A learner that goes on from ``source``'s policy and observes progress and goal.

    Args:
        source: the parent's policy.
        config: settings.
        task: of the goals.
        seed: of the critics and every draw.
        widen: whether the parent's policy takes no goal yet.
    """
    from offline_trader.learning.agents import goal_learner

    return goal_learner(source, config, task.scales if widen else np.zeros(0), seed)


class GoalValidator:
    """Judges a policy that takes a goal on the validation range: nine goals, each over all of it.

    The score is the mean reward of a bar (exposure) or of a horizon (outcomes) over the goals.

    Raises:
        DataError: no bars in the range, too few before it for the features, or fewer than the
            horizon of an outcome.
    """

    def __init__(self, env: EnvConfig, task: GoalTask) -> None:
        self._env, self._task = env, task
        self._course = EvaluationRange.from_env(env)
        require_horizon(task, self._course)

    def __call__(self, policy: Policy) -> Mapping[str, float]:
        """``score``, ``goal_success`` (share reached) and ``goal_error`` (mean distance)."""
        points = self.sweep(policy).points
        return {
            "score": float(np.mean([point.reward for point in points])),
            "goal_success": float(np.mean([point.success for point in points])),
            "goal_error": float(np.mean([abs(point.achieved - point.goal) for point in points])),
        }

    def sweep(self, policy: Policy) -> GoalSweep:
        """Desired beside achieved of a policy over observations with progress and goal."""
        return sweep_goals(Conditioned(policy, self._task), self._course, self._env.simulator)


def chosen_goal(task: GoalTask, policy: Policy, validator: GoalValidator | None) -> GoalFacts:
    """The task with the goal that the policy aims at unless it is told otherwise.

    One that was set stays. That of an outcome is the goal of the sweep whose account grew most on
    the validation range, but not beyond the 90th percentile of what was achieved there.
    """
    if task.goal is not None:
        return GoalFacts(task, "set by the user")
    if not task.is_outcome or validator is None:
        why = "" if not task.is_outcome else ", for there was no validation"
        return GoalFacts(replace(task, goal=task.default), f"the default of the kind{why}")
    found = validator.sweep(policy)
    best = max(found.points, key=lambda point: point.growth)
    goal = min(best.goal, found.ninetieth)
    why = (
        f"of {len(found.points)} goals on the validation range the one with the highest net log "
        f"growth, {best.growth:+.4f} a year"
    )
    if goal < best.goal:
        why += f"; lowered from {best.goal:.4g} to the 90th percentile of what was achieved"
    return GoalFacts(replace(task, goal=goal), why)
