"""A vector that climbs a score by asking for members around it and being told how they did."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.engines import PlainAdam, without_dynamo
from offline_trader.learning.estimators import antithetic_slope, centred_ranks, pair_noise
from offline_trader.learning.settings import EvolutionConfig
from offline_trader.types import FloatArray

__all__ = ["Question", "Strategy"]


@dataclass(frozen=True, eq=False)
class Question:
    """A generation by numbers: whoever tries a member makes its vector.

    Attributes:
        centre: [D] float64 θ.
        sigma, population: σ, and how many members there are.
        seed, generation: of their noise.
    """

    centre: FloatArray
    sigma: float
    population: int
    seed: int
    generation: int

    def members(self, numbers: range) -> NDArray[np.float32]:
        """[M, D] those rows of what :meth:`Strategy.ask` returns, to the bit."""
        pairs = self.population // 2
        added, taken = ([n - k for n in numbers if k <= n < k + pairs] for k in (0, pairs))
        drawn = (
            pair_noise(self.seed, self.generation, x, self.centre.size) for x in (added, taken)
        )
        return _around(self.centre, self.sigma, *drawn)


def _around(
    centre: FloatArray, sigma: float, added: NDArray[np.float32], taken: NDArray[np.float32]
) -> NDArray[np.float32]:
    """θ + σ times each row of ``added``, then θ − σ times each of ``taken``."""
    return np.concatenate([centre + sigma * added, centre - sigma * taken]).astype(np.float32)


class Strategy:
    """The evolution strategy of Salimans et al. 2017 with Adam; see ``estimators.evolution``.

    Args:
        start: [D] where it begins.
        config: population, σ, learning rate, weight decay, generations.
        seed: of the members.

    Attributes:
        generation: updates done.
    """

    def __init__(self, start: FloatArray, config: EvolutionConfig, seed: int = 0) -> None:
        self.generation = 0
        self._config, self._seed = config, seed
        self._centre = torch.tensor(np.asarray(start, np.float64))
        with without_dynamo():
            self._optimizer = PlainAdam([self._centre], lr=config.learning_rate)
        self._noise: NDArray[np.float32] | None = None

    @property
    def centre(self) -> FloatArray:
        """[D] float64, the vector of now."""
        return np.asarray(self._centre.numpy())

    def ask(self) -> NDArray[np.float32]:
        """[P, D] members θ + σε_1 …, θ − σε_1 … of this generation."""
        pairs = self._config.population // 2
        self._noise = pair_noise(self._seed, self.generation, pairs, len(self.centre))
        return _around(self.centre, self._config.sigma, self._noise, self._noise)

    def question(self) -> Question:
        """What :meth:`ask` returns, without the vectors."""
        config = self._config
        return Question(
            self.centre.copy(), config.sigma, config.population, self._seed, self.generation
        )

    def tell(self, scores: FloatArray) -> float:
        """Climb by the members' scores [P], higher is better; the slope's norm."""
        config = self._config
        assert self._noise is not None, "tell comes after ask"
        slope = antithetic_slope(
            centred_ranks(scores), self._noise, self.centre, config.sigma, config.weight_decay
        )
        done = self.generation / max(1, config.generations)
        rate = config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._centre.grad = torch.from_numpy(-slope)
        self._optimizer.step()
        self.generation += 1
        self._noise = None
        return float(np.linalg.norm(slope))

    @without_dynamo()
    def state_dict(self) -> dict[str, Any]:
        """Vector, moments, generation."""
        return {
            "centre": self._centre.clone(),
            "optimizer": self._optimizer.state_dict(),
            "generation": self.generation,
        }

    @without_dynamo()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._centre.copy_(state["centre"])
        _d3rlpy.load_moments(self._optimizer, state["optimizer"])
        self.generation = int(state["generation"])
