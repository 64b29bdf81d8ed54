"""N lanes of the simulator with goals: horizons one after another on accounts that go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.goals import GoalTask, Horizons
from offline_trader.simulator import MarketTensor, Simulator, StepResult
from offline_trader.splitmix import GOLDEN, mix
from offline_trader.types import BoolArray, FloatArray, Observations, PortfolioField

__all__ = ["GoalLanes"]


class GoalLanes:
    """The simulator's lanes, whose observations end with progress and goal.

    An episode of these lanes is a horizon. Where it ends the account goes on, with a new goal,
    until the simulator's own episode ends. A horizon's end and ruin terminate; the end of the data,
    or of the simulator's episode, within a horizon truncates.

    Args:
        simulator: with automatic resets.
        task: what is asked for.
        seed: of the goals; that of lane n in its m-th horizon depends on (seed, n, m) alone.

    Attributes:
        task: what is asked for.
        goals: [N] float64, of the present horizons.
        achieved: [N] float64, after the last step, before any reset: what its reward is of.
        cut: [N] bool, whether the simulator's own episode ended with the last step.
        observations, final_observations: [N, O + E + 1] float32.

    Raises:
        ConfigError: a task without goal.
    """

    def __init__(self, simulator: Simulator, task: GoalTask, seed: int = 0) -> None:
        if not task:
            raise ConfigError("lanes without a goal", expected="goal.kind of exposure or outcome")
        self.task = task
        self._simulator = simulator
        self._seed = seed
        n = simulator.n_lanes
        layout = simulator.market.layout
        self._size = layout.size
        self._achieved_column = task.column(layout.size, layout.column(PortfolioField.EXPOSURE))
        self._horizons = Horizons(task, n)
        self._count = np.zeros(n, np.uint64)
        self.goals: FloatArray = np.zeros(n)
        self.achieved: FloatArray = np.zeros(n)
        self.cut: BoolArray = np.zeros(n, np.bool_)
        width = layout.size + len(task.progress) + 1
        self.observations: Observations = np.zeros((n, width), np.float32)
        self.final_observations: Observations = np.zeros((n, width), np.float32)

    @property
    def n_lanes(self) -> int:
        """N."""
        return self._simulator.n_lanes

    @property
    def simulator(self) -> Simulator:
        """The lanes without goals."""
        return self._simulator

    @property
    def market(self) -> MarketTensor:
        """The simulator's; an observation begins with its columns."""
        return self._simulator.market

    @property
    def achieved_column(self) -> int:
        """Column of the observation that holds what is achieved."""
        return self._achieved_column

    @property
    def goal_column(self) -> int:
        """Column of the observation that holds the goal."""
        return int(self.observations.shape[1]) - 1

    @property
    def endogenous(self) -> tuple[int, ...]:
        """Columns of the observation that the actions move: the portfolio's."""
        return self._simulator.endogenous

    @property
    def traded(self) -> BoolArray:
        """[N] whether the last step filled an order."""
        return self._simulator.traded

    def reset(self, seed: int | None = None) -> Observations:
        """First observations [N, O + E + 1] of every lane's next episode (a view).

        Args:
            seed: begins again at the simulator's episode 0, and with the first goals, of this seed.
        """
        if seed is not None:
            self._seed = seed
            self._count[:] = 0
        seen = self._simulator.reset(seed)
        everyone = np.ones(self.n_lanes, np.bool_)
        self._begin(everyone)
        self.observations[:] = self._widened(seen)
        return self.observations

    def step(self, actions: NDArray[np.floating[Any]]) -> StepResult:
        """One bar for every lane; rewards are the task's.

        Raises:
            ConfigError: as :meth:`offline_trader.simulator.Simulator.step`.
        """
        simulator = self._simulator
        done = simulator.step(actions)
        self.cut = cut = done.terminated | done.truncated
        seen = np.where(cut[:, None], simulator.final_observations, done.observations)
        self._horizons.advance(simulator.equity_after_step)
        over = self._horizons.over
        self.final_observations[:] = self._widened(seen)
        # rewarded from what is stored, so that relabelled rows are rewarded alike
        self.achieved = self.final_observations[:, self._achieved_column].astype(np.float64)
        terminated = done.terminated | over
        rewards = self.task.rewards(self.achieved, _as_stored(self.goals), terminated)
        ended = cut | over
        self._begin(ended)
        self.observations[:] = self._widened(done.observations)
        return StepResult(
            self.observations, np.asarray(rewards, np.float64), terminated, ended & ~terminated
        )

    def _begin(self, lanes: BoolArray) -> None:
        """A horizon with a new goal begins in those lanes."""
        if not lanes.any():
            return
        self._horizons.begin(lanes, self._simulator.equity)
        low, high = self.task.range
        with np.errstate(over="ignore"):
            key = mix(
                np.uint64(self._seed) + np.arange(1, self.n_lanes + 1, dtype=np.uint64) * GOLDEN
            )
            drawn = mix(key + (self._count + np.uint64(1)) * GOLDEN)
        goals = low + (high - low) * ((drawn >> np.uint64(11)) * 2.0**-53)
        self.goals = np.where(lanes, goals, self.goals)
        self._count += lanes.astype(np.uint64)

    def _widened(self, observations: Observations) -> Observations:
        return self.task.widened(observations, self._horizons.columns(), self.goals)

    def state_dict(self) -> dict[str, Any]:
        """Copies of everything that the next step depends on."""
        return {
            "simulator": self._simulator.state_dict(),
            "horizons": self._horizons.state_dict(),
            "count": self._count.astype(np.int64),
            "goals": self.goals.copy(),
            "seed": np.array(self._seed),
            "observations": self.observations.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`, of lanes with the same settings."""
        self._simulator.load_state_dict(state["simulator"])
        self._horizons.load_state_dict(state["horizons"])
        self._count = np.asarray(state["count"]).astype(np.uint64)
        self.goals = np.array(state["goals"])
        self._seed = int(state["seed"])
        self.observations[:] = state["observations"]


def _as_stored(goals: FloatArray) -> FloatArray:
    """Goals as an observation of 32 bits holds them."""
    return goals.astype(np.float32).astype(np.float64)
