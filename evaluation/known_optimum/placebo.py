"""M0: returns that nothing predicts, with a cost. The best policy never trades; J* = 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.evaluation.known_optimum.interface import Outcome
from offline_trader.types import FloatArray, Observations

__all__ = ["Placebo"]


@dataclass(frozen=True)
class Placebo:
    """Independent returns ``σε``; reward ``a·σε' − c|Δa|``, a = position.

    State: [N, 2] the last return in standard deviations (worthless) and the position. There is
    nothing to be won, so the score is the cost wasted, in basis points a step.

    Attributes:
        sigma: standard deviation of a return.
        cost: c, per unit of position traded.
    """

    sigma: float = 0.01
    cost: float = 0.001

    name = "M0"
    title = "placebo: independent returns with a cost"
    observation_names = ("last_return", "position")
    base_name = "never trading"
    reward_scale = 1e-3
    horizon = None
    optimum = 0.0
    base = 0.0

    def reset(self, n_lanes: int, rng: np.random.Generator) -> FloatArray:
        """See :class:`KnownMarket`."""
        return np.stack([rng.standard_normal(n_lanes), np.zeros(n_lanes)], axis=1)

    def observe(self, state: FloatArray) -> Observations:
        """See :class:`KnownMarket`."""
        return state.astype(np.float32)

    def step(self, state: FloatArray, actions: FloatArray, rng: np.random.Generator) -> Outcome:
        """See :class:`KnownMarket`."""
        shock = rng.standard_normal(len(state))
        expected = -self.regret(state, actions)
        return Outcome(
            state=np.stack([shock, actions], axis=1),
            rewards=actions * self.sigma * shock + expected,
            expected_rewards=expected,
            terminals=np.zeros(len(state), dtype=np.bool_),
        )

    def regret(self, state: FloatArray, actions: FloatArray) -> FloatArray:
        """See :class:`KnownMarket`."""
        return self.cost * np.abs(actions - state[:, 1])

    def optimal_actions(self, state: FloatArray) -> FloatArray:
        """See :class:`KnownMarket`."""
        return state[:, 1].copy()
