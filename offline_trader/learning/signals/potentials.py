"""Potentials Φ(s) for shaping: formulas of the observation, and one that is fitted to returns.

All read the observation alone, which is causal, so they are. Hand-made ones, with exposure e in
[−1, 1] and the names of the built-in features:

- ``trend_alignment``: ``e · tanh(sma_distance_50 / (7 · volatility_20))``, 7 ≈ √50: being on the
  side of the trend, in standard deviations of a 50-bar move;
- ``support_resistance``: ``e · (½ − donchian_position_55)``: long near the support, short near
  the resistance of 55 bars;
- ``unrealised_profit``: ``e/|e|·…``, the portfolio's unrealised log return times |e|, over
  ``volatility_20``;
- ``holding_time``: ``log(1 + bars held)/log 253`` while there is a position.

They say where it tends to be good to be. A wrong one costs time, not the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.data import Columns, Preprocessing, Transitions
from offline_trader.learning.engines import PlainAdam, without_dynamo
from offline_trader.types import PortfolioField

__all__ = ["ROOT_OF_50", "SMALLEST", "HandMade", "LearnedPotential", "Potential", "places_of"]

SMALLEST = 1e-6
ROOT_OF_50 = math.sqrt(50.0)
_FORGOTTEN = 0.2
"""What γ to the steps that are left may be at most where an episode was cut off: below that the
return so far is nearly all of it."""
_FEWEST = 200
_BATCH = 256
_HELD_OUT = 0.2


class Potential(Protocol):
    """Φ of scaled observations."""

    @property
    def in_returns(self) -> bool:
        """Whether Φ is in units of the raw return; else in standard deviations of rewards."""
        ...

    def __call__(self, scaled: Tensor) -> Tensor:
        """[B] Φ for observations [B, O] scaled as the agent has them."""
        ...


def _trend(of: Callable[[str], Tensor]) -> Tensor:
    spread = ROOT_OF_50 * of("volatility_20").clamp(min=SMALLEST)
    return of("exposure") * torch.tanh(of("sma_distance_50") / spread)


def _levels(of: Callable[[str], Tensor]) -> Tensor:
    return of("exposure") * (0.5 - of("donchian_position_55"))


def _profit(of: Callable[[str], Tensor]) -> Tensor:
    spread = of("volatility_20").clamp(min=SMALLEST)
    return of("exposure").abs() * torch.tanh(of("unrealised_return") / spread)


def _holding(of: Callable[[str], Tensor]) -> Tensor:
    return of("hold_time")


_FORMULAS: Mapping[str, tuple[Callable[[Callable[[str], Tensor]], Tensor], tuple[str, ...]]] = {
    "trend_alignment": (_trend, ("exposure", "sma_distance_50", "volatility_20")),
    "support_resistance": (_levels, ("exposure", "donchian_position_55")),
    "unrealised_profit": (_profit, ("exposure", "unrealised_return", "volatility_20")),
    "holding_time": (_holding, ("hold_time",)),
}
assert {each.name.lower() for each in PortfolioField} >= {"exposure", "hold_time"}


def places_of(name: str, read: Sequence[str], columns: Sequence[str]) -> dict[str, int]:
    """Where in an observation are the columns that the potential ``name`` reads.

    Raises:
        ConfigError: the observation lacks one.
    """
    lacking = [each for each in read if each not in columns]
    if lacking:
        raise ConfigError(
            f"the potential {name} on observations without {', '.join(lacking)}",
            expected="the built-in features, and lanes that say what they show",
        )
    return {each: list(columns).index(each) for each in read}


class HandMade:
    """One of the formulas above.

    Args:
        name: which.
        columns: names of the observation's columns.
        scales: with which observations are scaled.

    Raises:
        ConfigError: the observation lacks a column that the formula reads.
    """

    in_returns = False

    def __init__(self, name: str, columns: Sequence[str], scales: Preprocessing) -> None:
        self._formula, read = _FORMULAS[name]
        self._places = places_of(name, read, columns)
        self._mean, self._scale = (
            torch.tensor(x, dtype=torch.float32) for x in (scales.mean, scales.scale)
        )

    def __call__(self, scaled: Tensor) -> Tensor:
        """See :class:`Potential`."""

        def of(name: str) -> Tensor:
            place = self._places[name]
            return scaled[:, place] * float(self._scale[place]) + float(self._mean[place])

        return self._formula(of)


class LearnedPotential:
    """A network fitted to the unshaped discounted returns of offline data, then never changed.

    The value of the behaviour: Φ = V is what shaping is best with where V is the optimum's (Ng,
    Harada & Russell 1999, section 5). Of an episode that was cut off only steps count after which
    the discount has forgotten the cut. What it explains on episodes that were held out scales it,
    so that a fit of noise shapes nothing.

    Args:
        observation_size: O.
        updates: gradient steps of the fit.
        seed: of weights and batches.
        device: of the observations.
    """

    in_returns = True

    def __init__(
        self, observation_size: int, updates: int, seed: int = 0, device: str = "cpu"
    ) -> None:
        self._updates, self._seed, self._device = updates, seed, device
        self.fitted = False
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = nn.Sequential(
                nn.Linear(observation_size, 64), nn.Tanh(), nn.Linear(64, 1)
            ).to(device)
        self._mean = self._scale = 0.0

    def fit(self, columns: Columns, scales: Preprocessing) -> None:
        """Fit it to offline data, whose rewards are those that are learned from, unshaped.

        Raises:
            DataError: too few steps whose return is known.
        """
        data = Transitions(
            observations=columns["observations"],
            actions=columns["actions"],
            rewards=columns["rewards"],
            next_observations=columns["next_observations"],
            terminals=columns["terminals"],
            timeouts=columns["timeouts"],
            episode_ids=columns["episode_ids"],
        )
        seen, returns, episodes = _known_returns(data, scales.gamma)
        if len(seen) < _FEWEST:
            raise DataError(
                f"{len(seen)} of {len(data):,} steps have a return that is known within the "
                f"discount {scales.gamma}",
                expected=f"{_FEWEST} or more: longer episodes",
                hint="lower learner.gamma, or use a hand-made potential",
            )
        inputs = torch.from_numpy(scales.observations(seen)).to(self._device)
        held = np.random.default_rng(self._seed).random(int(episodes.max()) + 1) < _HELD_OUT
        apart = torch.from_numpy(held[episodes])
        spread = float(returns.std())
        centre, unit = float(returns.mean()), spread if spread > 0.0 else 1.0
        targets = torch.from_numpy((returns - centre) / unit).float().to(self._device)
        self._climb(inputs[~apart], targets[~apart])
        with torch.no_grad():
            told = self.network(inputs[apart])[:, 0].double()
        share = _explained(told, targets[apart].double())
        self._mean, self._scale = centre, unit * share
        self.fitted = True

    def _climb(self, inputs: Tensor, targets: Tensor) -> None:
        generator = torch.Generator().manual_seed(self._seed)
        with without_dynamo():
            optimizer = PlainAdam(self.network.parameters(), lr=3e-3)
        for _ in range(self._updates if len(inputs) else 0):
            rows = torch.randint(len(inputs), (_BATCH,), generator=generator).to(self._device)
            with without_dynamo():
                optimizer.zero_grad(set_to_none=True)
            loss = (self.network(inputs[rows])[:, 0] - targets[rows]).square().mean()
            loss.backward()
            optimizer.step()

    def __call__(self, scaled: Tensor) -> Tensor:
        """See :class:`Potential`."""
        with torch.no_grad():
            values: Tensor = self.network(scaled)[:, 0]
        return self._mean + self._scale * values

    def state_dict(self) -> dict[str, Any]:
        """Its weights."""
        return {
            "network": dict(self.network.state_dict()),
            "numbers": [self._mean, self._scale, float(self.fitted)],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.network.load_state_dict(state["network"])
        self._mean, self._scale, fitted = state["numbers"]
        self.fitted = bool(fitted)


def _known_returns(
    data: Transitions, gamma: float
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    """Observations, returns to go, and number of the episode of the steps whose return is known."""
    stops = np.flatnonzero(data.ends)
    place = np.searchsorted(stops, np.arange(len(data)))
    left = stops[place] - np.arange(len(data)) + 1
    known = data.terminals[stops[place]] | (gamma ** left.astype(np.float64) <= _FORGOTTEN)
    returns = data.returns_to_go(gamma).astype(np.float64)
    return data.observations[known], returns[known], place[known]


def _explained(told: Tensor, wanted: Tensor) -> float:
    """Slope of the best line through 0 from ``told`` to ``wanted``, within [0, 1]."""
    square = float(told.square().sum())
    return min(1.0, max(0.0, float((told * wanted).sum()) / square)) if square > 0.0 else 0.0
