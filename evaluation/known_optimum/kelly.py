"""M2: the fraction of wealth to hold in an asset whose drift regime is seen (Kelly 1956)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.evaluation.known_optimum.interface import Outcome
from offline_trader.types import FloatArray, Observations

__all__ = ["Kelly"]


@dataclass(frozen=True)
class Kelly:
    """Geometric Brownian motion with ``f* = (μ − r)/σ²`` by regime; f = a, reward = log growth.

    Growth over cash a step is ``f·(μ − r) − σ²f²/2 + fσε``, so the regret is ``σ²(f − f*)²/2``.
    Regimes are equally likely in the long run. State: [N, 1] the regime's number; the policy
    sees it one-hot.

    Attributes:
        sigma: volatility a step.
        fractions: f* of the regimes.
        stay: probability that a regime lasts another step.
    """

    sigma: float = 0.02
    fractions: tuple[float, ...] = (0.8, 0.0, -0.6)
    stay: float = 0.98

    name = "M2"
    title = "Kelly fractions under observed regimes"
    base_name = "all in cash"
    reward_scale = 1e-4
    horizon = None
    base = 0.0

    @property
    def observation_names(self) -> tuple[str, ...]:
        """One per regime."""
        return tuple(f"regime_{number}" for number in range(len(self.fractions)))

    @property
    def optimum(self) -> float:
        """J*: log growth over cash a step."""
        return float(self.sigma**2 / 2.0 * np.mean(np.square(self.fractions)))

    def reset(self, n_lanes: int, rng: np.random.Generator) -> FloatArray:
        """See :class:`KnownMarket`."""
        return rng.integers(len(self.fractions), size=(n_lanes, 1)).astype(np.float64)

    def observe(self, state: FloatArray) -> Observations:
        """See :class:`KnownMarket`."""
        return np.eye(len(self.fractions), dtype=np.float32)[state[:, 0].astype(np.int64)]

    def step(self, state: FloatArray, actions: FloatArray, rng: np.random.Generator) -> Outcome:
        """See :class:`KnownMarket`."""
        regimes, n = len(self.fractions), len(state)
        shock, leave = rng.standard_normal(n), rng.random(n) >= self.stay
        moved = (state[:, 0] + rng.integers(1, regimes, size=n)) % regimes
        best = self.optimal_actions(state)
        expected = self.sigma**2 * (actions * best - actions**2 / 2.0)
        return Outcome(
            state=np.where(leave, moved, state[:, 0])[:, None],
            rewards=expected + actions * self.sigma * shock,
            expected_rewards=expected,
            terminals=np.zeros(n, dtype=np.bool_),
        )

    def regret(self, state: FloatArray, actions: FloatArray) -> FloatArray:
        """See :class:`KnownMarket`."""
        return np.asarray(self.sigma**2 / 2.0 * (actions - self.optimal_actions(state)) ** 2)

    def optimal_actions(self, state: FloatArray) -> FloatArray:
        """See :class:`KnownMarket`."""
        return np.asarray(self.fractions)[state[:, 0].astype(np.int64)]
