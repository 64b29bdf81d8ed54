"""What a market whose best policy is known offers: dynamics, and the price of any wrong action.

All markets are simulated for N lanes at once. Randomness comes from the generator that is passed
in and is drawn in the same order whatever the actions are, so two policies with one seed meet
the same market.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import DataError
from offline_trader.types import BoolArray, FloatArray, Observations

__all__ = ["KnownMarket", "KnownPolicy", "Outcome", "as_actions"]

KnownPolicy = Callable[[Observations], NDArray[Any]]
"""Actions [N] or [N, 1] in [−1, 1] for observations [N, O]; its own randomness is its own."""


@dataclass(frozen=True)
class Outcome:
    """One step of N lanes.

    Attributes:
        state: [N, S] float64 after the step.
        rewards: [N] float64, realised reward.
        expected_rewards: [N] float64, its expectation given state and action.
        terminals: [N] bool.
    """

    state: FloatArray
    rewards: FloatArray
    expected_rewards: FloatArray
    terminals: BoolArray


class KnownMarket(Protocol):
    """A market with a closed-form optimum.

    Attributes:
        name: ``M0`` … ``M4``.
        title: what it is, with its source.
        observation_names: O names.
        base_name: the policy that scores 0.
        reward_scale: size of a typical reward, by which a learner's rewards may be divided.
        horizon: steps of an episode; None for a continuing market.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def observation_names(self) -> tuple[str, ...]: ...
    @property
    def base_name(self) -> str: ...
    @property
    def reward_scale(self) -> float: ...
    @property
    def horizon(self) -> int | None: ...
    @property
    def optimum(self) -> float:
        """J*: expected reward of the best policy, a step (an episode where there is a horizon)."""
        ...

    @property
    def base(self) -> float:
        """J_base in the same unit."""
        ...

    def reset(self, n_lanes: int, rng: np.random.Generator) -> FloatArray:
        """[N, S] states at the start of an episode."""
        ...

    def observe(self, state: FloatArray) -> Observations:
        """[N, O] float32 what a policy sees."""
        ...

    def step(self, state: FloatArray, actions: FloatArray, rng: np.random.Generator) -> Outcome:
        """The step from ``state`` under ``actions`` [N]."""
        ...

    def regret(self, state: FloatArray, actions: FloatArray) -> FloatArray:
        """[N] V*(s) − Q*(s, a) ≥ 0: what the action loses against the best one, for good."""
        ...

    def optimal_actions(self, state: FloatArray) -> FloatArray:
        """[N] the best actions."""
        ...


def as_actions(actions: NDArray[Any], n_lanes: int) -> FloatArray:
    """[N] float64 actions, clipped to [−1, 1].

    Raises:
        DataError: another shape, or an action that is no number.
    """
    try:
        a = np.asarray(actions, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"actions are no numbers: {error}", expected=f"[{n_lanes}] numbers in [-1, 1]"
        ) from error
    if a.shape not in ((n_lanes,), (n_lanes, 1)):
        raise DataError(f"actions of shape {a.shape}", expected=f"[{n_lanes}] or [{n_lanes}, 1]")
    a = a.reshape(n_lanes)
    if np.isnan(a).any():
        raise DataError(
            f"action of lane {np.flatnonzero(np.isnan(a))[0]} is NaN",
            expected="a number in [-1, 1]",
        )
    return np.clip(a, -1.0, 1.0)
