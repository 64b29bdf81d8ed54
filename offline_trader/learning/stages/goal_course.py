"""Lanes on the curriculum's markets with goals: horizons on accounts of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from offline_trader.envs import GoalLanes
from offline_trader.goals import GoalTask
from offline_trader.learning.stages.course import Course, CourseLanes
from offline_trader.learning.stages.lanes import LaneStep
from offline_trader.learning.stages.levels import Difficulty, adapted_to_goals
from offline_trader.simulator import Simulator
from offline_trader.types import FloatArray

__all__ = ["GoalCourseLanes"]

_GOALS = 3
"""Purpose of seeds, beside those of the course."""


class GoalCourseLanes(CourseLanes):
    """The lanes of a course, each stage's as :class:`~offline_trader.envs.GoalLanes`.

    Where the markets are drawn anew a horizon is truncated as an episode is: with the observations
    that followed, its own goal and its own progress, and nothing paid for what was not over.
    Goals begin anew with the markets.

    Difficulty adapts to how well the horizons of an account went, on the mean from its first bar to
    its last: the share of bars at which an exposure was reached, or an outcome's reward.

    Args:
        course: the markets; its examiner judges a policy over observations with progress and goal.
        task: what is asked for.
        n_lanes: N.
        seed: of markets, exams, starts and goals.

    Attributes:
        task: what is asked for.
    """

    def __init__(self, course: Course, task: GoalTask, n_lanes: int, seed: int = 0) -> None:
        self.task = task
        super().__init__(course, n_lanes, seed)

    @property
    def achieved_column(self) -> int:
        """Column of the observation that holds what is achieved."""
        return self._present.achieved_column

    @property
    def goal_column(self) -> int:
        """Column of the observation that holds the goal."""
        return self._present.goal_column

    @property
    def _present(self) -> GoalLanes:
        """The lanes of the present stage."""
        part = self._parts[0]
        assert isinstance(part, GoalLanes)
        return part

    def _build(self) -> None:
        super()._build()
        self._sums: FloatArray = np.zeros((2, self._present.n_lanes))

    def _part(self, simulator: Simulator, place: int) -> GoalLanes:
        seeds = self._seeds(_GOALS, self._drawn, place)
        return GoalLanes(simulator, self.task, int(seeds.generate_state(1)[0]))

    def _results_of(self, step: LaneStep) -> list[float]:
        """How much of their goals the accounts reached whose episodes ended, 0 to 1."""
        if self.task.is_outcome:
            self._sums += step.rewards, step.terminated
        else:
            self._sums += 1.0 + step.rewards, np.ones(len(step.rewards))
        ended = self._present.cut
        reached, count = self._sums[:, ended]
        self._sums[:, ended] = 0.0
        found: list[float] = (reached / np.maximum(count, 1.0)).tolist()
        return found

    def _adapted(self, results: FloatArray) -> Difficulty:
        return adapted_to_goals(self.difficulty, results, self.course.difficulty)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on; markets are made again from their seeds."""
        return {**super().state_dict(), "sums": self._sums.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`, for lanes of the same course, task and seed."""
        super().load_state_dict(state)
        self._sums = state["sums"].copy()
