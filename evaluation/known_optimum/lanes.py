"""The markets as N lanes to learn on: reset and step with arrays, episodes of a fixed length.

The calls are those of the trading simulator, so a training loop drives either. A lane whose
episode ends starts the next one within the same step; ``final_observations`` keeps what the
ended one saw last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum.interface import (
    KnownMarket,
    KnownPolicy,
    Outcome,
    as_actions,
)
from offline_trader.types import BoolArray, FloatArray, Observations

if TYPE_CHECKING:
    from offline_trader.learning.stages.direct import Log, PositionMarket

__all__ = ["AskedMarket", "KnownOptimumLanes", "LaneStep"]


@dataclass(frozen=True)
class LaneStep:
    """One step of N lanes.

    Attributes:
        observations: [N, O] float32 after the step, of the next episode where one ended.
        rewards: [N] float64, divided by the lanes' ``reward_scale``.
        terminated, truncated: [N] bool.
    """

    observations: Observations
    rewards: FloatArray
    terminated: BoolArray
    truncated: BoolArray


class KnownOptimumLanes:
    """N lanes of one market.

    Args:
        market: from :func:`~offline_trader.evaluation.known_optimum.get_market`.
        n_lanes: N.
        seed: of the market's random stream.
        episode_steps: after as many steps an episode of a continuing market is truncated.
        realised: rewards as realised (noisy) instead of expected given state and action.
        reward_scale: rewards are divided by it; by default the market's own.

    Raises:
        ConfigError: not a positive number of lanes or steps, or of reward scale.
    """

    def __init__(
        self,
        market: KnownMarket,
        n_lanes: int,
        *,
        seed: int = 0,
        episode_steps: int = 500,
        realised: bool = False,
        reward_scale: float | None = None,
    ) -> None:
        scale = market.reward_scale if reward_scale is None else reward_scale
        if n_lanes < 1 or episode_steps < 1 or not scale > 0:
            raise ConfigError(
                f"n_lanes {n_lanes}, episode_steps {episode_steps}, reward_scale {scale}",
                expected="positive numbers",
            )
        self.market = market
        self.n_lanes = n_lanes
        self.seed = seed
        self.episode_steps = market.horizon or episode_steps
        self.realised = realised
        self.reward_scale = scale
        self._rng = np.random.default_rng(np.random.SeedSequence([seed, 0x6C616E]))
        self.state: FloatArray = market.reset(n_lanes, self._rng)
        self._last: tuple[FloatArray, FloatArray, Outcome] | None = None
        self.age = np.zeros(n_lanes, dtype=np.int64)
        self.final_observations: Observations = market.observe(self.state)

    @property
    def observation_size(self) -> int:
        """O."""
        return len(self.market.observation_names)

    @property
    def action_size(self) -> int:
        """1."""
        return 1

    @property
    def endogenous(self) -> tuple[int, ...]:
        """Columns of the observation that the actions move."""
        names = self.market.observation_names
        return tuple(i for i, name in enumerate(names) if name == "position")

    def gains(self) -> tuple[FloatArray, FloatArray]:
        """[N] how much of the last step's gain is in its reward, [N] the gain of a unit, as far as
        reward and observations tell it to who knows what trading costs.

        Raises:
            ConfigError: a market that does not tell it, expected rewards, or before a step.
        """
        find = getattr(self.market, "gains", None)
        if find is None or not self.realised or self._last is None:
            raise ConfigError(
                f"gains of {self.market.name}",
                expected="realised rewards of M1 or M3, after a step",
            )
        carried, gains = find(*self._last)
        return carried / self.reward_scale, gains

    def ruled(self, log: Log) -> PositionMarket:
        """``log`` under the market's trading rules, in the unit of the lanes' rewards.

        Raises:
            ConfigError: another market than M1 or M3.
        """
        from offline_trader.evaluation.known_optimum import direct_market  # torch: slow to import

        return replace(direct_market.ruled(self.market, log), reward_sd=self.reward_scale)

    def reset(self) -> Observations:
        """[N, O] observations of N new episodes."""
        self.state = self.market.reset(self.n_lanes, self._rng)
        self.age[:] = 0
        self.final_observations = self.market.observe(self.state)
        return self.final_observations

    def step(self, actions: NDArray[Any]) -> LaneStep:
        """One step under actions [N] or [N, 1]."""
        before, asked = self.state, as_actions(actions, self.n_lanes)
        outcome = self.market.step(before, asked, self._rng)
        self._last = (before, asked, outcome)
        self.age += 1
        truncated = (self.age >= self.episode_steps) & ~outcome.terminals
        ended = truncated | outcome.terminals
        self.state = outcome.state
        self.final_observations = self.market.observe(self.state)
        if ended.any():
            fresh = self.market.reset(self.n_lanes, self._rng)
            self.state = np.where(ended[:, None], fresh, self.state)
            self.age[ended] = 0
        rewards = outcome.rewards if self.realised else outcome.expected_rewards
        return LaneStep(
            observations=self.market.observe(self.state),
            rewards=rewards / self.reward_scale,
            terminated=outcome.terminals,
            truncated=truncated,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        stream = self._rng.bit_generator.state["state"]
        return {
            "stream": [str(stream["state"]), str(stream["inc"])],
            "state": self.state.copy(),
            "age": self.age.copy(),
            "final": self.final_observations.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        whole: dict[str, Any] = dict(self._rng.bit_generator.state)
        words = (int(word) for word in state["stream"])
        whole["state"] = dict(zip(("state", "inc"), words, strict=True))
        self._rng.bit_generator.state = whole
        self.state, self.age = state["state"].copy(), state["age"].copy()
        self.final_observations = state["final"].copy()


class AskedMarket(KnownOptimumLanes):
    """Lanes of a market, and a policy of its observations that is asked in them.

    Args:
        market, n_lanes, seed: as of :class:`KnownOptimumLanes`.
        expert: who is asked.
    """

    def __init__(
        self, market: KnownMarket, n_lanes: int, expert: KnownPolicy, *, seed: int = 0
    ) -> None:
        super().__init__(market, n_lanes, seed=seed)
        self._expert = expert

    def expert_actions(self) -> NDArray[np.float32]:
        """[N, 1] what the expert would do now."""
        told = as_actions(self._expert(self.market.observe(self.state)), self.n_lanes)
        return told.astype(np.float32)[:, None]
