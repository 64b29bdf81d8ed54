"""M4: selling a large holding (Almgren & Chriss, J. of Risk 2000), deterministic, five steps.

``R = −[ε|n| + η̃n²/τ + λσ²τx²]`` with x the units left after selling n, ``η̃ = η − γτ/2``. The
permanent impact costs γX²/2 whatever one does, and is part of the total cost only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from offline_trader.evaluation.known_optimum.interface import Outcome
from offline_trader.types import FloatArray, Observations

__all__ = ["AlmgrenChriss"]


@dataclass(frozen=True)
class AlmgrenChriss:
    """Sell ``x(a + 1)/2`` of what is left; the last step sells the rest.

    State: [N, 2] units left and the step's number.

    Attributes:
        holding: X, units to sell.
        steps: N; each lasts τ = ``tau``.
        sigma, epsilon, eta, gamma: volatility, half-spread, temporary and permanent impact.
        risk_aversion: λ.
    """

    holding: float = 1e6
    steps: int = 5
    tau: float = 1.0
    sigma: float = 0.95
    epsilon: float = 0.0625
    eta: float = 2.5e-6
    gamma: float = 2.5e-7
    risk_aversion: float = 1e-6

    name = "M4"
    title = "optimal execution (Almgren & Chriss 2000)"
    observation_names = ("left", "time")
    base_name = "equal slices (TWAP)"
    reward_scale = 1e6

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.steps

    @property
    def _impact(self) -> float:
        """η̃/τ."""
        return (self.eta - self.gamma * self.tau / 2.0) / self.tau

    @property
    def _risk(self) -> float:
        """λσ²τ."""
        return self.risk_aversion * self.sigma**2 * self.tau

    @cached_property
    def _left_curvature(self) -> FloatArray:
        """[N] curvature B of the cost of the units left after each step (∞ at the last).

        With j steps to go the cost is ``εx + A_j·x²``: ``A_1 = η̃/τ``,
        ``B_j = λσ²τ + A_{j−1}``, ``A_j = B_j·(η̃/τ) / (B_j + η̃/τ)``.
        """
        curvature, later = [np.inf], self._impact
        for _ in range(self.steps - 1):
            left = self._risk + later
            curvature.append(left)
            later = left * self._impact / (left + self._impact)
        return np.array(curvature[::-1])

    @property
    def permanent_cost(self) -> float:
        """γX²/2, the same for every policy."""
        return self.gamma * self.holding**2 / 2.0

    @property
    def optimum(self) -> float:
        """J*: reward of an episode under the best policy."""
        first = float(self._left_curvature[0])
        share = first / (first + self._impact) if self.steps > 1 else 1.0
        return -(self.epsilon * self.holding + self._impact * share * self.holding**2)

    @property
    def base(self) -> float:
        """Reward of an episode in equal slices."""
        slices = self.holding / self.steps
        left = slices * np.arange(self.steps - 1, -1, -1)
        spread, impact = self.epsilon * self.holding, self._impact * self.steps * slices**2
        return float(-(spread + impact + self._risk * np.sum(left**2)))

    def reset(self, n_lanes: int, rng: np.random.Generator) -> FloatArray:
        """See :class:`KnownMarket`."""
        return np.tile([self.holding, 0.0], (n_lanes, 1))

    def observe(self, state: FloatArray) -> Observations:
        """[N, 2] float32: share of X left, share of the steps gone."""
        return (state / [self.holding, self.steps]).astype(np.float32)

    def step(self, state: FloatArray, actions: FloatArray, rng: np.random.Generator) -> Outcome:
        """See :class:`KnownMarket`."""
        units, number = state[:, 0], np.rint(state[:, 1])
        last = number >= self.steps - 1
        sold = np.where(last, units, units * (actions + 1.0) / 2.0)
        left = units - sold
        rewards = -(self.epsilon * np.abs(sold) + self._impact * sold**2 + self._risk * left**2)
        return Outcome(np.stack([left, number + 1.0], axis=1), rewards, rewards, last)

    def regret(self, state: FloatArray, actions: FloatArray) -> FloatArray:
        """[N] ``(B + η̃/τ)(n − n*)²``, 0 at the forced step; see :class:`KnownMarket`."""
        units, number = state[:, 0], np.rint(state[:, 1])
        last = number >= self.steps - 1
        curvature = np.where(last, 0.0, self._left_curvature[number.astype(np.int64)])
        wrong = units / 2.0 * (actions - self.optimal_actions(state))
        return np.where(last, 0.0, (curvature + self._impact) * wrong**2)

    def optimal_actions(self, state: FloatArray) -> FloatArray:
        """See :class:`KnownMarket`; 1 at the last step."""
        # a state that comes from an observation holds a step's number with rounding
        curvature = self._left_curvature[np.rint(state[:, 1]).astype(np.int64)]
        return np.asarray(1.0 - 2.0 * self._impact / (curvature + self._impact))
