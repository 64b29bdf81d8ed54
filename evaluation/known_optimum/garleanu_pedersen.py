"""M1: trading on a decaying signal under quadratic costs (Gârleanu & Pedersen, J. Finance 2013).

In dimensionless form: the signal z is AR(1) with unit variance, the position p = 4a earns
``R = p·z − p²/2 − (ℓ/2)·Δp²``. The best policy trades a fixed share r of the way to an aim that
is smaller than the Markowitz position z, because z decays while the position is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from offline_trader.evaluation.known_optimum.interface import Outcome
from offline_trader.types import FloatArray, Observations

__all__ = ["GarleanuPedersen"]

_SMALLEST_POSITION = 1e-5


@dataclass(frozen=True)
class GarleanuPedersen:
    """Signal ``z' = (1 − φ)z + √(1 − (1 − φ)²)·ε``; state [N, 2]: z and the position before.

    Attributes:
        phi: decay of the signal.
        ell: ℓ, cost of trading; 1/(2φ) makes Markowitz worthless.
        kappa: realised rewards carry the noise ``p·u/κ``, u standard normal.
        scale: position at a = 1.
    """

    phi: float = 0.05
    ell: float = 10.0
    kappa: float = 0.1
    scale: float = 4.0

    name = "M1"
    title = "decaying signal, quadratic costs (Gârleanu & Pedersen 2013)"
    observation_names = ("signal", "position")
    base_name = "no position"
    reward_scale = 1.0
    horizon = None
    base = 0.0

    @property
    def rate(self) -> float:
        """r = (−1 + √(1 + 4ℓ)) / (2ℓ), the share of the way to the aim traded in a step."""
        return (-1.0 + math.sqrt(1.0 + 4.0 * self.ell)) / (2.0 * self.ell)

    @property
    def aim(self) -> float:
        """c = 1 / (1 + φℓr), the aim as a share of the Markowitz position z."""
        return 1.0 / (1.0 + self.phi * self.ell * self.rate)

    @property
    def optimum(self) -> float:
        """J* of the best linear policy, a step."""
        return self.linear_value(1.0 - self.rate, self.rate * self.aim)

    def linear_value(self, keep: float, gain: float) -> float:
        """Expected reward a step of ``p = keep·p₋ + gain·z``, from its stationary moments."""
        rho = 1.0 - self.phi
        with_signal = gain / (1.0 - keep * rho)
        square = (gain**2 + 2.0 * keep * gain * rho * with_signal) / (1.0 - keep**2)
        lagged = keep * square + gain * rho * with_signal
        return with_signal - square / 2.0 - self.ell * (square - lagged)

    def reset(self, n_lanes: int, rng: np.random.Generator) -> FloatArray:
        """See :class:`KnownMarket`; no position, a stationary signal."""
        return np.stack([rng.standard_normal(n_lanes), np.zeros(n_lanes)], axis=1)

    def observe(self, state: FloatArray) -> Observations:
        """See :class:`KnownMarket`."""
        return state.astype(np.float32)

    def step(self, state: FloatArray, actions: FloatArray, rng: np.random.Generator) -> Outcome:
        """See :class:`KnownMarket`."""
        noise = rng.standard_normal((2, len(state)))
        signal, before = state.T
        position = self.scale * actions
        expected = position * signal - position**2 / 2.0 - self.ell / 2.0 * (position - before) ** 2
        rho = 1.0 - self.phi
        return Outcome(
            state=np.stack([rho * signal + math.sqrt(1 - rho**2) * noise[0], position], axis=1),
            rewards=expected + position * noise[1] / self.kappa,
            expected_rewards=expected,
            terminals=np.zeros(len(state), dtype=np.bool_),
        )

    def gains(
        self, state: FloatArray, actions: FloatArray, outcome: Outcome
    ) -> tuple[FloatArray, FloatArray]:
        """[N] position and [N] realised gain of a unit, which the reward shows: all but the gain
        is known of it. Without a position it shows none: 0 and 0."""
        position = self.scale * actions
        costs = position**2 / 2.0 + self.ell / 2.0 * (position - state[:, 1]) ** 2
        seen = np.abs(position) > _SMALLEST_POSITION
        position = np.where(seen, position, 0.0)
        return position, (outcome.rewards + costs) * seen / np.where(seen, position, 1.0)

    def regret(self, state: FloatArray, actions: FloatArray) -> FloatArray:
        """[N] ``½(ℓ + 1 + ℓr)(p − p*)²``; see :class:`KnownMarket`."""
        curvature = self.ell + 1.0 + self.ell * self.rate
        return np.asarray(curvature / 2.0 * (self.scale * actions - self._target(state)) ** 2)

    def optimal_actions(self, state: FloatArray) -> FloatArray:
        """See :class:`KnownMarket`; clipped at |a| = 1, which is met once in 10⁵ steps."""
        return np.clip(self._target(state) / self.scale, -1.0, 1.0)

    def _target(self, state: FloatArray) -> FloatArray:
        signal, before = state.T
        return np.asarray((1.0 - self.rate) * before + self.rate * self.aim * signal)
