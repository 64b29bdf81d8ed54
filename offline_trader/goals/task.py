"""What a goal-conditioned policy is asked for, and what it is paid for reaching it.

Two formulations. A **controllable** goal is an exposure: reached at every bar at which the
position's share of the equity is within a tolerance of it. An **outcome** goal is a return or a
drawdown over a fixed horizon: whether it is reached shows at the horizon's end, and chance has its
part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.types import FloatArray, Observations

__all__ = ["OUTCOME_WIDTH", "SUCCESS_MARGIN", "GoalTask"]

OUTCOME_WIDTH = 0.05
"""An outcome this far from its goal earns nothing of the dense reward."""
SUCCESS_MARGIN = 0.001
"""By so much an outcome may miss its goal and still count as a success."""

GoalKind = Literal["none", "exposure", "return", "drawdown"]
_KINDS = ("none", "exposure", "return", "drawdown")
_RANGES = {"none": (0.0, 1.0), "exposure": (0.0, 1.0), "return": (-0.02, 0.06),
           "drawdown": (0.005, 0.08)}  # fmt: skip
_DEFAULTS = {"none": 0.0, "exposure": 0.5, "return": 0.02, "drawdown": 0.03}
_OUTCOMES = ("return_so_far", "drawdown_so_far")


@dataclass(frozen=True)
class GoalTask:
    """A kind of goal with its horizon, its reward and the goals that training draws.

    An account's bars are cut into horizons, one after another; the account goes on from one to the
    next. A horizon's end is a termination, for the policy sees how much time is left (Pardo et al.
    2018, time limits in reinforcement learning).

    Attributes:
        kind: ``exposure`` (signed position value ÷ equity after the step), ``return`` (equity at
            the horizon's end ÷ equity at its start − 1), ``drawdown`` (largest fall below the
            horizon's own peak, as a positive fraction); ``none``: the policy takes no goal.
        horizon: bars.
        reward: of an outcome at the horizon's end; ``sparse``: 1 where the return is at least, or
            the drawdown at most, the goal; ``dense``: ``max(0, 1 − |outcome − goal| / 0.05)``.
            Of an exposure it is ``−1[|exposure − goal| > tolerance]`` at every bar.
        tolerance: of an exposure.
        low, high: goals are drawn uniformly between them; None: the kind's own range.
        goal: what a policy aims at unless it is told otherwise; None: found on the validation
            range where the goal is an outcome, or else the kind's own default.
    """

    kind: GoalKind = "none"
    horizon: int = 20
    reward: Literal["sparse", "dense"] = "dense"
    tolerance: float = 0.05
    low: float | None = None
    high: float | None = None
    goal: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigError(f"goal.kind={self.kind!r}", expected=f"one of {', '.join(_KINDS)}")
        if self.reward not in ("sparse", "dense"):
            raise ConfigError(f"goal.reward={self.reward!r}", expected="sparse or dense")
        if not 1 <= self.horizon <= 1_000_000:
            raise ConfigError(f"goal.horizon={self.horizon}", expected="1 to 1,000,000 bars")
        if not 0.0 < self.tolerance <= 1.0:
            raise ConfigError(f"goal.tolerance={self.tolerance}", expected="above 0, at most 1")
        low, high = self.range
        if not low < high or (self.kind == "drawdown" and low < 0.0):
            raise ConfigError(
                f"goals of {self.kind} from {low:g} to {high:g}",
                expected="goal.low below goal.high" + (", from 0" if low < 0.0 else ""),
            )
        if self.goal is None:
            return
        if not self:
            raise ConfigError(
                f"goal.goal={self.goal:g} of a policy that takes no goal",
                expected="goal.kind of exposure, return or drawdown (--her)",
            )
        self.require(self.goal)

    def __bool__(self) -> bool:
        """Whether there is a goal."""
        return self.kind != "none"

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest goal that training draws."""
        low, high = _RANGES[self.kind]
        return low if self.low is None else self.low, high if self.high is None else self.high

    @property
    def default(self) -> float:
        """The goal that a policy aims at unless it is told otherwise."""
        if self.goal is not None:
            return self.goal
        low, high = self.range
        return min(max(_DEFAULTS[self.kind], low), high)

    @property
    def is_outcome(self) -> bool:
        """Whether the goal is reached at a horizon's end, and not bar by bar."""
        return self.kind in ("return", "drawdown")

    @property
    def progress(self) -> tuple[str, ...]:
        """E names of what the policy sees besides market, portfolio and goal, in order."""
        return ("time_left", *(_OUTCOMES if self.is_outcome else ()))

    @property
    def scales(self) -> FloatArray:
        """[E + 1] sizes of progress and goal: what they are divided by before a network."""
        sizes = [1.0, *(OUTCOME_WIDTH for _ in self.progress[1:])]
        return np.array([*sizes, OUTCOME_WIDTH if self.is_outcome else 1.0])

    def within(self, *, short: bool, most: float = 1.0) -> GoalTask:
        """The task with the exposures that the trading rules allow as its range, if it has none.

        Args:
            short: whether positions may be short.
            most: largest |exposure|.

        Raises:
            ConfigError: the policy would aim at an exposure beyond that range.
        """
        if self.kind != "exposure":
            return self
        low = (-most if short else 0.0) if self.low is None else self.low
        task = replace(self, low=low, high=most if self.high is None else self.high)
        if self.goal is not None and not low <= self.goal <= task.range[1]:
            raise ConfigError(
                f"goal.goal={self.goal:g}, an exposure that training never asks for",
                expected=f"{low:g} to {task.range[1]:g}: what the rules allow, or goal.low to "
                "goal.high",
            )
        return task

    def require(self, goal: float) -> float:
        """``goal``, if it is one of this kind.

        Raises:
            ConfigError: not a number, or none that can be.
        """
        limits = {"exposure": (-1.0, 1.0), "drawdown": (0.0, 1.0)}
        low, high = limits.get(self.kind, (-1.0, 1e6))
        if not (math.isfinite(goal) and low <= goal <= high):
            raise ConfigError(f"a goal of {goal} ({self.kind})", expected=f"{low:g} to {high:g}")
        return goal

    def column(self, observation_size: int, exposure: int) -> int:
        """Column of a widened observation that holds what is achieved so far.

        Args:
            observation_size: O, of the observation without progress and goal.
            exposure: its column of the exposure.
        """
        place = {"return": observation_size + 1, "drawdown": observation_size + 2}
        return place.get(self.kind, exposure)

    def rewards(self, achieved: Any, goals: Any, over: Any) -> Any:
        """Rewards of transitions, float; of those that were made and of relabelled ones alike.

        Args:
            achieved: what is achieved **after** the transition, an array or tensor of any shape.
            goals: what was aimed at, of that shape.
            over: 1 or True where the horizon ended with the transition.
        """
        apart = abs(achieved - goals)
        if not self.is_outcome:
            return -1.0 * (apart > self.tolerance)
        if self.reward == "sparse":
            reached = achieved >= goals if self.kind == "return" else achieved <= goals
            return 1.0 * reached * over
        near = 1.0 - apart / OUTCOME_WIDTH
        return near * (near > 0.0) * over

    def succeeded(self, achieved: Any, goals: Any) -> Any:
        """Whether goals are reached, up to the tolerance of the kind."""
        if not self.is_outcome:
            return abs(achieved - goals) <= self.tolerance
        if self.kind == "return":
            return achieved >= goals - SUCCESS_MARGIN
        return achieved <= goals + SUCCESS_MARGIN

    def widened(
        self, observations: Observations, progress: NDArray[np.floating[Any]], goals: Any
    ) -> Observations:
        """[N, O + E + 1] float32: observations [N, O] with progress [N, E] and goals [N]."""
        n, size = observations.shape
        wide = np.empty((n, size + progress.shape[1] + 1), np.float32)
        wide[:, :size] = observations
        wide[:, size:-1] = progress
        wide[:, -1] = goals
        return wide

    def sweep(self, count: int = 9) -> FloatArray:
        """[count] goals from the lowest to the highest, evenly."""
        return np.linspace(*self.range, count)

    def names(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Names of a widened observation's columns."""
        return (*columns, *self.progress, "goal")
