"""N portfolios as a Gymnasium vector environment, stepped by one kernel call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from offline_trader.envs.config import EnvConfig, make_simulator
from offline_trader.envs.single import observation_space
from offline_trader.errors import ConfigError
from offline_trader.types import BoolArray, FloatArray, Observations

__all__ = ["VectorTradingEnv"]


class VectorTradingEnv(gymnasium.vector.VectorEnv):
    """N lanes: observations [N, F + P] float32, actions [N, 1], rewards [N] float64.

    A lane that ends begins its next episode in the same step; ``infos["final_observation"]`` then
    holds its last observation and ``infos["_final_observation"]`` tells which lanes ended.

    Args:
        num_envs: N.
        max_episode_steps: Gymnasium's name for ``episode_bars``; goes before it when given.
        **settings: the others, as of :class:`~offline_trader.envs.single.TradingEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        market: str | Sequence[str] = "sp500",
        *,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        if max_episode_steps:
            settings["episode_bars"] = max_episode_steps
        self.config = EnvConfig.of(market, **settings)
        self.simulator = make_simulator(self.config, num_envs)
        self.num_envs = num_envs
        self.single_observation_space = observation_space(self.simulator.market.layout)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.is_vector_env = True
        self.closed = False
        self.viewer = None
        self._ready = False

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """First observations of every lane's next episode.

        Raises:
            ConfigError: a list of seeds; one seed serves all lanes, each with its own stream.
        """
        if isinstance(seed, list):
            raise ConfigError("a list of seeds", expected="one seed; lanes have their own streams")
        if seed is None and not self._ready:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._ready = True
        return self.simulator.reset(seed).copy(), {}

    def step(  # type: ignore[override]  # the vector base is typed as a single environment
        self, actions: NDArray[np.float32]
    ) -> tuple[Observations, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """One bar for every lane.

        Raises:
            ConfigError: before a reset, or an action that is no number.
        """
        result = self.simulator.step(actions)
        infos: dict[str, Any] = dict(self.simulator.outcome())
        ended = result.terminated | result.truncated
        if ended.any():
            final = np.full(self.num_envs, None, dtype=object)
            for lane in np.flatnonzero(ended):
                final[lane] = self.simulator.final_observations[lane].copy()
            infos["final_observation"], infos["_final_observation"] = final, ended
        return (
            result.observations.copy(),
            result.rewards.copy(),
            result.terminated.copy(),
            result.truncated.copy(),
            infos,
        )

    def close(self, **kwargs: Any) -> None:
        """Nothing to release."""
        self.closed = True
