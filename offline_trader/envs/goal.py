"""One portfolio with a goal as a Gymnasium environment, by the goal API of Gymnasium-Robotics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray

from offline_trader.config import from_dict
from offline_trader.envs.config import EnvConfig, make_simulator
from offline_trader.envs.goal_lanes import GoalLanes
from offline_trader.envs.single import observation_space
from offline_trader.errors import ConfigError
from offline_trader.goals import GoalTask

__all__ = ["GoalTradingEnv"]

GoalObservation: TypeAlias = dict[str, NDArray[np.float32]]


class GoalTradingEnv(gymnasium.Env[GoalObservation, NDArray[np.float32]]):
    """``{"observation": [F + P + E], "achieved_goal": [1], "desired_goal": [1]}``, all float32.

    An episode is a horizon; the next one goes on with the account, until the bars or
    ``episode_bars`` end. :meth:`compute_reward` gives the reward of any goal, so that replay
    buffers that relabel, as stable-baselines3's ``HerReplayBuffer``, work with it.

    Args:
        market: built-in name, file, or a list of them.
        goal: settings of :class:`~offline_trader.goals.GoalTask`; by default an exposure.
        settings: as of :class:`~offline_trader.envs.single.TradingEnv`.

    Raises:
        ConfigError, DataError: wrong settings, unreadable or wrong bars.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(
        self,
        market: str | Sequence[str] = "sp500",
        *,
        goal: Mapping[str, Any] | GoalTask | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        if render_mode is not None:
            raise ConfigError(f"render_mode = {render_mode!r}", expected="None; use evaluate")
        self.config = EnvConfig.of(market, **settings)
        self.render_mode = None
        given = GoalTask("exposure") if goal is None else goal
        task = given if isinstance(given, GoalTask) else from_dict(GoalTask, dict(given))
        rules = self.config.simulator
        self.task = task.within(
            short=rules.action_mode == "target_long_short", most=rules.max_position_pct
        )
        self.lanes = GoalLanes(make_simulator(self.config, 1), self.task)
        box = observation_space(self.lanes.simulator.market.layout)
        largest = np.finfo(np.float32).max
        further = len(self.task.progress)
        any_goal = gymnasium.spaces.Box(-largest, largest, (1,), np.float32)
        self.observation_space: gymnasium.spaces.Dict = gymnasium.spaces.Dict(
            {
                "observation": gymnasium.spaces.Box(
                    np.concatenate([box.low, np.full(further, -largest, np.float32)]),
                    np.concatenate([box.high, np.full(further, largest, np.float32)]),
                    dtype=np.float32,
                ),
                "achieved_goal": any_goal,
                "desired_goal": gymnasium.spaces.Box(-largest, largest, (1,), np.float32),
            }
        )
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._seeded = self._running = self._goes_on = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[GoalObservation, dict[str, Any]]:
        """First observation of the next horizon; ``seed`` starts again at the first of all."""
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self.lanes.reset(int(self.np_random.integers(0, 2**63 - 1)))
        elif not self._goes_on:
            self.lanes.reset()
        self._seeded = self._running = True
        self._goes_on = False
        return self._shown(self.lanes.observations[0]), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[GoalObservation, float, bool, bool, dict[str, Any]]:
        """One bar towards the goal.

        Raises:
            ConfigError: before a reset, after the horizon's end, or an action that is no number.
        """
        if not self._running:
            raise ConfigError("step() before reset(), or after the end of an episode")
        result = self.lanes.step(np.asarray(action, np.float32).reshape(1, 1))
        terminated, truncated = bool(result.terminated[0]), bool(result.truncated[0])
        ended = terminated or truncated
        self._running, self._goes_on = not ended, ended
        seen = self.lanes.final_observations[0] if ended else result.observations[0]
        return (
            self._shown(seen),
            float(result.rewards[0]),
            terminated,
            truncated,
            {**self._info(), "horizon_over": terminated},
        )

    def compute_reward(
        self, achieved_goal: NDArray[Any], desired_goal: NDArray[Any], info: Any
    ) -> NDArray[np.float64]:
        """[n] rewards for goals [n, 1], or one for goals [1].

        Args:
            achieved_goal: after the transitions.
            desired_goal: any goals.
            info: of :meth:`step`, one a transition.
        """
        achieved, desired = np.asarray(achieved_goal, float), np.asarray(desired_goal, float)
        if isinstance(info, Mapping):
            over: Any = bool(info.get("horizon_over", False))
        else:
            over = np.array([bool(each.get("horizon_over", False)) for each in info])
        return np.asarray(self.task.rewards(achieved[..., 0], desired[..., 0], over), np.float64)

    def _shown(self, wide: NDArray[np.float32]) -> GoalObservation:
        column = self.lanes.achieved_column
        return {
            "observation": wide[:-1].copy(),
            "achieved_goal": wide[column : column + 1].copy(),
            "desired_goal": wide[-1:].copy(),
        }

    def _info(self) -> dict[str, Any]:
        return {name: float(values[0]) for name, values in self.lanes.simulator.outcome().items()}
