"""Who keeps track of a goal: the horizons of accounts, and a policy that is told about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from offline_trader.goals.task import GoalTask
from offline_trader.types import BoolArray, FloatArray, IntArray, Observations, Policy

__all__ = [
    "AccountPolicy",
    "Conditioned",
    "GoalPolicy",
    "Horizons",
    "Pursuit",
    "Pursuits",
    "pursued",
]


class Horizons:
    """Where each of N accounts stands in its present horizon.

    Args:
        task: length and what is tracked.
        n: N.

    Attributes:
        left: [N] bars until the horizon's end.
        gained: [N] float64, return since its start.
        fallen: [N] float64, largest drawdown since its start, not negative.
    """

    def __init__(self, task: GoalTask, n: int) -> None:
        self.task = task
        self.left: IntArray = np.full(n, task.horizon, np.int64)
        self.gained: FloatArray = np.zeros(n)
        self.fallen: FloatArray = np.zeros(n)
        self._start: FloatArray = np.ones(n)
        self._peak: FloatArray = np.ones(n)

    @property
    def over(self) -> BoolArray:
        """[N] whose horizon has ended."""
        return np.asarray(self.left <= 0)

    def begin(self, lanes: BoolArray, equity: FloatArray) -> None:
        """A horizon begins in those of the N lanes, at ``equity`` [N]."""
        self.left[lanes] = self.task.horizon
        self.gained[lanes] = self.fallen[lanes] = 0.0
        self._start[lanes] = self._peak[lanes] = equity[lanes]

    def advance(self, equity: FloatArray) -> None:
        """A bar has passed in every lane, with ``equity`` [N] at its close."""
        self.left -= 1
        self.gained = equity / self._start - 1.0
        self._peak = np.maximum(self._peak, equity)
        self.fallen = np.maximum(self.fallen, 1.0 - equity / self._peak)

    def columns(self) -> NDArray[np.float32]:
        """[N, E] what a policy sees of it: the share of the time that is left, and for outcomes
        return and drawdown so far."""
        time = self.left / self.task.horizon
        shown = (time, self.gained, self.fallen) if self.task.is_outcome else (time,)
        return np.stack(shown, axis=1).astype(np.float32)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """All that the next bar depends on."""
        return {name: getattr(self, name).copy() for name in _STATE}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Inverse of :meth:`state_dict`."""
        for name in _STATE:
            setattr(self, name, np.array(state[name]))


_STATE = ("left", "gained", "fallen", "_start", "_peak")


class GoalPolicy(Protocol):
    """A policy that is asked for something, and aims at its default unless it is told otherwise.

    Attributes:
        task: what can be asked for.
        goal: what is asked for now.
    """

    task: GoalTask
    goal: float

    def __call__(
        self,
        observations: Observations,
        /,
        progress: NDArray[np.float32] | None = None,
        goal: float | None = None,
    ) -> NDArray[np.float32]:
        """Actions [N, 1] for raw observations [N, O].

        Args:
            observations: market and portfolio.
            progress: [N, E] of :meth:`Horizons.columns`; None: a horizon's start.
            goal: None: :attr:`goal`.
        """
        ...


@runtime_checkable
class AccountPolicy(Protocol):
    """A policy with a state for every lane that is told the accounts' equity before it decides."""

    def restart(self, lanes: BoolArray, /) -> None:
        """An episode begins in those of the N lanes."""
        ...

    def mark(self, equity: FloatArray, /) -> None:
        """``equity`` [N] at the close on which the next action is decided."""
        ...


class Conditioned:
    """A policy over widened observations as a :class:`GoalPolicy`.

    Args:
        policy: actions [N, 1] for observations with progress and goal [N, O + E + 1].
        task: what can be asked for.
        goal: what is asked for; None: the task's default.
    """

    def __init__(self, policy: Policy, task: GoalTask, goal: float | None = None) -> None:
        self.task = task
        self.goal = task.default if goal is None else task.require(goal)
        self._policy = policy
        layers: Callable[[Observations], Any] | None = getattr(policy, "hidden_layers", None)
        self._layers = layers

    def __call__(
        self,
        observations: Observations,
        /,
        progress: NDArray[np.float32] | None = None,
        goal: float | None = None,
    ) -> NDArray[np.float32]:
        """Actions [N, 1] for raw observations [N, O]."""
        return self._policy(self._wide(observations, progress, goal))

    def hidden_layers(self, observations: Observations) -> Any:
        """Those of the policy, at a horizon's start; see
        :meth:`offline_trader.learning.agents.Learner.hidden_layers`."""
        return None if self._layers is None else self._layers(self._wide(observations))

    def _wide(
        self,
        observations: Observations,
        progress: NDArray[np.float32] | None = None,
        goal: float | None = None,
    ) -> Observations:
        if progress is None:
            progress = Horizons(self.task, len(observations)).columns()
        return self.task.widened(observations, progress, self.goal if goal is None else goal)


class Pursuit:
    """A goal policy on its way through accounts, horizon after horizon.

    It is a :class:`~offline_trader.types.LanePolicy` and an :class:`AccountPolicy`: before every
    call it is told the equity.

    Args:
        policy: takes the goal.
        goal: what it is asked for; None: what it aims at by itself.

    Attributes:
        goal: what it is asked for.
        horizons: where the accounts stand; None before the first mark.
    """

    def __init__(self, policy: GoalPolicy, goal: float | None = None) -> None:
        self.policy = policy
        self.goal = policy.goal if goal is None else goal
        self.horizons: Horizons | None = None
        self._fresh: BoolArray = np.ones(0, np.bool_)

    def restart(self, lanes: BoolArray, /) -> None:
        """An episode, and with it a horizon, begins in those of the N lanes."""
        if self.horizons is None or len(lanes) != len(self._fresh):
            self.horizons = Horizons(self.policy.task, len(lanes))
            self._fresh = np.ones(len(lanes), np.bool_)
        self._fresh = self._fresh | lanes

    def mark(self, equity: FloatArray, /) -> None:
        """A bar has passed; a horizon that ended with it is followed by the next."""
        if self.horizons is None:
            self.restart(np.ones(len(equity), np.bool_))
        assert self.horizons is not None
        self.horizons.advance(equity)
        self.horizons.begin(self._fresh | self.horizons.over, equity)
        self._fresh = np.zeros(len(equity), np.bool_)

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1] for raw observations [N, O]."""
        progress = None if self.horizons is None else self.horizons.columns()
        return self.policy(observations, progress, self.goal)


class Pursuits:
    """A policy over widened observations on its way through N accounts at once, each with a goal of
    its own, horizon after horizon.

    Accounts may end before the others do: actions are asked for those that go on alone.

    Args:
        policy: actions [R, 1] for observations with progress and goal [R, O + E + 1]; they depend
            on the present observation alone.
        task: horizon, and what is tracked.
        goals: [N].
    """

    def __init__(self, policy: Policy, task: GoalTask, goals: FloatArray) -> None:
        self._policy, self._task, self.goals = policy, task, goals
        self._horizons = Horizons(task, len(goals))
        self._there: BoolArray = np.ones(len(goals), np.bool_)

    def start(self, equity: FloatArray) -> None:
        """An episode begins in all N accounts, at ``equity`` [N]."""
        self._there = np.ones(len(self.goals), np.bool_)
        self._horizons.begin(self._there, equity)

    def mark(self, equity: FloatArray, there: BoolArray) -> None:
        """A bar has passed, with ``equity`` [N] at its close; ``there`` [N]: who goes on."""
        self._horizons.advance(equity)
        self._horizons.begin(self._horizons.over & there, equity)
        self._there = there

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [R, 1] for the raw observations [R, O] of those that go on."""
        there = self._there
        progress = self._horizons.columns()[there]
        return self._policy(self._task.widened(observations, progress, self.goals[there]))


def pursued(strategy: Any) -> Any:
    """``strategy``, which keeps track of its goal from now on if it takes one."""
    task = getattr(strategy, "task", None)
    return Pursuit(strategy) if isinstance(task, GoalTask) and task else strategy
