"""The four offline datasets on M1 and M3: wide and narrow noise around one mediocre policy.

Narrow data is where a learner without conservatism falls off the cliff; wide data is where a
conservative one is held back. A method must be shown on both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum.garleanu_pedersen import GarleanuPedersen
from offline_trader.evaluation.known_optimum.interface import KnownMarket
from offline_trader.evaluation.known_optimum.mean_reversion import MeanReversion
from offline_trader.types import FloatArray, Observations

if TYPE_CHECKING:
    from offline_trader.learning.data import Transitions

__all__ = ["OFFLINE_DATASETS", "OfflineDataset", "OfflineSpec", "behaviour_policy", "make_dataset"]


@dataclass(frozen=True)
class OfflineSpec:
    """A dataset's recipe.

    Attributes:
        market: ``M1`` or ``M3``.
        noise: noise levels in units of the action; each lane draws one of them.
    """

    market: str
    noise: tuple[float, ...]


OFFLINE_DATASETS: dict[str, OfflineSpec] = {
    "M1-wide": OfflineSpec("M1", (0.0, 0.02, 0.05, 0.15)),
    "M1-narrow": OfflineSpec("M1", (0.02,)),
    "M3-wide": OfflineSpec("M3", (0.0, 0.05, 0.2, 0.5)),
    "M3-narrow": OfflineSpec("M3", (0.05,)),
}


@dataclass(frozen=True)
class OfflineDataset:
    """M = lanes × steps transitions, one lane after the other, steps in time order.

    Attributes:
        name: key of :data:`OFFLINE_DATASETS`.
        observations: [M, O] float32.
        actions: [M, 1] float32.
        rewards: [M] float32, centred and divided by their standard deviation.
        next_observations: [M, O] float32.
        terminals: [M] bool, all False: these markets go on for ever.
        timeouts: [M] bool, True at the last step of a lane.
        episode_ids: [M] int64, the lane.
        noise: [lanes] noise level of each lane.
        reward_mean, reward_sd: what was taken off and divided by.
    """

    name: str
    observations: Observations
    actions: Observations
    rewards: Observations
    next_observations: Observations
    terminals: np.ndarray[tuple[int], np.dtype[np.bool_]]
    timeouts: np.ndarray[tuple[int], np.dtype[np.bool_]]
    episode_ids: np.ndarray[tuple[int], np.dtype[np.int64]]
    noise: FloatArray
    reward_mean: float
    reward_sd: float

    def transitions(self) -> Transitions:
        """The same arrays as the learners' :class:`Transitions`."""
        from offline_trader.learning.data import Transitions

        return Transitions(
            observations=self.observations,
            actions=self.actions,
            rewards=self.rewards,
            next_observations=self.next_observations,
            terminals=self.terminals,
            timeouts=self.timeouts,
            episode_ids=self.episode_ids,
        )


def behaviour_policy(market: KnownMarket) -> Callable[[Observations], FloatArray]:
    """The policy that the noise is added to.

    M1: ``p ← .4p + .15z`` (scores 51). M3: ``a ← .9a + .1·clip(−.6·y/sd(y))`` (50).

    Raises:
        ConfigError: another market.
    """
    if isinstance(market, GarleanuPedersen):
        scale = market.scale
        return lambda seen: np.asarray(
            (0.4 * seen[:, 1].astype(np.float64) + 0.15 * seen[:, 0]) / scale
        )
    if isinstance(market, MeanReversion):
        return lambda seen: np.asarray(
            0.9 * seen[:, 1].astype(np.float64) + 0.1 * np.clip(-0.6 * seen[:, 0], -1.0, 1.0)
        )
    raise ConfigError(f"no behaviour policy on {market.name}", expected="M1 or M3")


def make_dataset(
    name: str, *, seed: int = 0, n_lanes: int = 200, n_steps: int = 500, realised: bool = False
) -> OfflineDataset:
    """The dataset ``name``: by default 200 lanes × 500 steps, seeded.

    Args:
        seed: of market and noise, in separate streams.
        realised: rewards as realised instead of their expectation given state and action.

    Raises:
        ConfigError: an unknown name, or sizes that are not positive.
    """
    if name not in OFFLINE_DATASETS:
        raise ConfigError(
            f"unknown dataset {name!r}", expected="one of " + ", ".join(OFFLINE_DATASETS)
        )
    if n_lanes < 1 or n_steps < 1:
        raise ConfigError(f"{n_lanes} lanes × {n_steps} steps", expected="positive numbers")
    spec = OFFLINE_DATASETS[name]
    market: KnownMarket = GarleanuPedersen() if spec.market == "M1" else MeanReversion()
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]
    levels = streams[2].choice(np.array(spec.noise), n_lanes)
    columns = _roll_out(market, levels, n_steps, realised, streams[0], streams[1])
    seen, actions, rewards, after = columns
    mean, deviation = float(rewards.mean()), float(rewards.std())
    ends = np.zeros((n_lanes, n_steps), dtype=np.bool_)
    ends[:, -1] = True
    return OfflineDataset(
        name=name,
        observations=seen.reshape(-1, seen.shape[2]),
        actions=actions.reshape(-1, 1),
        rewards=((rewards - mean) / deviation).astype(np.float32).reshape(-1),
        next_observations=after.reshape(-1, after.shape[2]),
        terminals=np.zeros(n_lanes * n_steps, dtype=np.bool_),
        timeouts=ends.reshape(-1),
        episode_ids=np.repeat(np.arange(n_lanes), n_steps),
        noise=levels,
        reward_mean=mean,
        reward_sd=deviation,
    )


def _roll_out(
    market: KnownMarket,
    levels: FloatArray,
    n_steps: int,
    realised: bool,
    market_rng: np.random.Generator,
    noise_rng: np.random.Generator,
) -> tuple[Observations, Observations, FloatArray, Observations]:
    """[lanes, steps, …] observations, actions, rewards and next observations."""
    n_lanes, width = len(levels), len(market.observation_names)
    behave = behaviour_policy(market)
    seen = np.empty((n_lanes, n_steps + 1, width), dtype=np.float32)
    actions = np.empty((n_lanes, n_steps), dtype=np.float32)
    rewards = np.empty((n_lanes, n_steps))
    state = market.reset(n_lanes, market_rng)
    for step in range(n_steps):
        seen[:, step] = market.observe(state)
        wanted = behave(seen[:, step]) + levels * noise_rng.standard_normal(n_lanes)
        actions[:, step] = np.clip(wanted, -1.0, 1.0)
        outcome = market.step(state, actions[:, step].astype(np.float64), market_rng)
        rewards[:, step] = outcome.rewards if realised else outcome.expected_rewards
        state = outcome.state
    seen[:, n_steps] = market.observe(state)
    return seen[:, :-1].copy(), actions, rewards, seen[:, 1:].copy()
