"""M3: mean reversion under proportional costs, where the best policy is bang-bang with a band.

With the position's marginal value ``w`` the problem is one-dimensional: because reward and cost
are linear in the position a, ``V(y, a) = u(y) + a·w(y)`` with the optimal-stopping fixed point

    g(y) = −k·y + E[w(y') | y],   w(y) = clip(g(y), −c, c),

the best position is +1 where g > c, −1 where g < −c, else what it was, and
``J* = E[(|g(y)| − c)₊]`` a step. The regret of any action follows from g alone. In continuous
time the band is the root of a Dawson-function equation, a check on the grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from offline_trader.evaluation.known_optimum.interface import Outcome
from offline_trader.types import FloatArray, Observations

__all__ = ["MeanReversion", "band_positions"]

_GRID_SDS = 7.0
_GRID_POINTS = 1401


@dataclass(frozen=True)
class MeanReversion:
    """``y' = (1 − k)y + σε``; ``R = a(y' − y) − c|Δa|``; state [N, 2]: y and the position before.

    Attributes:
        k: speed of reversion a step.
        sigma: σ, standard deviation of a shock (log price).
        cost: c, per unit of position traded.
    """

    k: float = 0.05
    sigma: float = 0.01
    cost: float = 0.004

    name = "M3"
    title = "mean reversion, proportional costs (no-trade band)"
    observation_names = ("deviation", "position")
    base_name = "no position"
    reward_scale = 1e-3
    horizon = None
    base = 0.0

    @property
    def deviation(self) -> float:
        """Stationary standard deviation of y."""
        return self.sigma / math.sqrt(1.0 - (1.0 - self.k) ** 2)

    @cached_property
    def _solution(self) -> tuple[FloatArray, FloatArray, float]:
        """Grid [G] of y, g on it, J*."""
        from scipy.special import ndtr  # slow, and every evaluation imports this module

        y = np.linspace(-_GRID_SDS, _GRID_SDS, _GRID_POINTS) * self.deviation
        edges = np.concatenate(([-np.inf], (y[1:] + y[:-1]) / 2.0, [np.inf]))
        move = np.diff(ndtr((edges - (1.0 - self.k) * y[:, None]) / self.sigma), axis=1)
        value = np.zeros_like(y)
        for _ in range(10_000):
            gain = -self.k * y + move @ value
            following = np.clip(gain, -self.cost, self.cost)
            change = float(np.abs(following - value).max())
            value = following
            if change < 1e-15:
                break
        gain = -self.k * y + move @ value
        weights = np.diff(ndtr(edges / self.deviation))
        return y, gain, float(weights @ np.maximum(np.abs(gain) - self.cost, 0.0))

    @property
    def optimum(self) -> float:
        """J*, log return a step."""
        return self._solution[2]

    @property
    def band(self) -> float:
        """b: short above y = b, long below −b, unchanged between."""
        y, gain, _ = self._solution
        return float(np.interp(self.cost, -gain, y))

    @property
    def band_continuous(self) -> float:
        """The continuous-time band, less 0.5826σ for looking only once a step.

        ``x − D(x) = c√κ/σc`` with Dawson's D, ``κ = −ln(1 − k)``,
        ``σc = σ√(2κ/(1 − (1 − k)²))``, ``b = xσc/√κ``.
        """
        from scipy.optimize import brentq  # slow, as above
        from scipy.special import dawsn

        kappa = -math.log1p(-self.k)
        diffusion = self.sigma * math.sqrt(2.0 * kappa / (1.0 - (1.0 - self.k) ** 2))
        level = self.cost * math.sqrt(kappa) / diffusion
        root = float(brentq(lambda x: x - float(dawsn(x)) - level, 1e-6, 50.0, xtol=1e-14))
        return root * diffusion / math.sqrt(kappa) - 0.5826 * self.sigma

    def gain(self, y: FloatArray) -> FloatArray:
        """[N] g(y): value of one more unit of position, before its cost."""
        grid, gain, _ = self._solution
        return np.asarray(np.interp(y, grid, gain))

    def reset(self, n_lanes: int, rng: np.random.Generator) -> FloatArray:
        """See :class:`KnownMarket`; no position, a stationary y."""
        return np.stack([self.deviation * rng.standard_normal(n_lanes), np.zeros(n_lanes)], axis=1)

    def observe(self, state: FloatArray) -> Observations:
        """[N, 2] float32: y in stationary standard deviations, the position."""
        return (state / [self.deviation, 1.0]).astype(np.float32)

    def step(self, state: FloatArray, actions: FloatArray, rng: np.random.Generator) -> Outcome:
        """See :class:`KnownMarket`."""
        y, before = state.T
        following = (1.0 - self.k) * y + self.sigma * rng.standard_normal(len(state))
        cost = self.cost * np.abs(actions - before)
        return Outcome(
            state=np.stack([following, actions], axis=1),
            rewards=actions * (following - y) - cost,
            expected_rewards=-self.k * actions * y - cost,
            terminals=np.zeros(len(state), dtype=np.bool_),
        )

    def gains(
        self, state: FloatArray, actions: FloatArray, outcome: Outcome
    ) -> tuple[FloatArray, FloatArray]:
        """[N] position and [N] realised gain of a unit, the change of y."""
        return np.asarray(actions), outcome.state[:, 0] - state[:, 0]

    def regret(self, state: FloatArray, actions: FloatArray) -> FloatArray:
        """See :class:`KnownMarket`."""
        y, before = state.T
        gain, best = self.gain(y), self.optimal_actions(state)
        return np.asarray(
            (best - actions) * gain - self.cost * (np.abs(best - before) - np.abs(actions - before))
        )

    def optimal_actions(self, state: FloatArray) -> FloatArray:
        """See :class:`KnownMarket`."""
        y, before = state.T
        gain = self.gain(y)
        return np.where(gain > self.cost, 1.0, np.where(gain < -self.cost, -1.0, before))


def band_positions(deviation: FloatArray, band: float) -> FloatArray:
    """[T] the band policy's positions: −1 above the band, +1 below it, else the last; 0 at first.

    Position t reads ``deviation`` up to t.
    """
    y = np.asarray(deviation, dtype=np.float64)
    told = np.where(y > band, -1.0, np.where(y < -band, 1.0, 0.0))
    last = np.maximum.accumulate(np.where(told != 0, np.arange(y.size), -1))
    return np.where(last >= 0, told[np.maximum(last, 0)], 0.0)
