"""A market whose rewards are rare: costs are felt at once, gains come at an episode's end alone.

So holding is best early on, and what an early trade was worth shows late. Which cells of the
portfolio's state (exposure, holding time, profit) were met is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SparseLanes", "SparseStep"]


@dataclass(frozen=True)
class SparseStep:
    """As the simulator's, with the rewards of this market."""

    observations: Any
    rewards: Any
    terminated: Any
    truncated: Any


class SparseLanes:
    """Lanes of a simulator with rare rewards; an episode's rewards have the same sum.

    Args:
        simulator: N lanes, fresh.

    Attributes:
        cells: of the portfolio's state that were met.
    """

    def __init__(self, simulator: Any) -> None:
        self._simulator = simulator
        self._sum, self._paid = np.zeros(simulator.n_lanes), np.zeros(simulator.n_lanes)
        self.endogenous = simulator.endogenous
        self.market = simulator.market
        self.cells: set[tuple[int, ...]] = set()

    @property
    def final_observations(self) -> Any:
        """The simulator's."""
        return self._simulator.final_observations

    @property
    def traded(self) -> Any:
        """The simulator's."""
        return self._simulator.traded

    def reset(self) -> Any:
        """The simulator's."""
        return self._simulator.reset()

    def step(self, actions: NDArray[Any]) -> SparseStep:
        """A bar; which cell of the portfolio's state it led to is noted."""
        done = self._simulator.step(actions)
        ended = done.terminated | done.truncated
        outcome = self._simulator.outcome()
        costs = (outcome["costs_paid"] - self._paid) / outcome["equity"]
        self._paid = np.where(ended, 0.0, outcome["costs_paid"])
        self._sum += done.rewards + costs
        rewards = np.where(ended, self._sum, 0.0) - costs
        self._sum[ended] = 0.0
        seen = np.where(ended[:, None], self._simulator.final_observations, done.observations)
        exposure, profit, held = (seen[:, c] for c in self.endogenous[:3])
        cells = np.stack(
            [
                np.floor(exposure * 20),
                np.floor(held * 20),
                np.clip(np.floor(profit * 100), -10, 10),
            ],
            1,
        ).astype(int)
        self.cells |= set(map(tuple, cells.tolist()))
        return SparseStep(done.observations, rewards, done.terminated, done.truncated)
