"""Positions in one asset with linear gains: the dynamics of the markets with a known optimum.

With the position ``p = scale · a`` and the position before it q::

    reward = p·g − ½·risk·p² − ½·quadratic_cost·(p − q)² − proportional_cost·|p − q|

where g is the row's realised gain of a unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.learning.data import Replayed, Transitions
from offline_trader.learning.stages.direct.market import DirectStep, Log, State
from offline_trader.types import FloatArray, IntArray

__all__ = ["PositionMarket", "PositionReplay"]


@dataclass(frozen=True, eq=False)
class PositionMarket:
    """See the module. The portfolio's part of the observation is the position alone.

    Attributes:
        log: features and gains [R, 1].
        scale: position at a = 1.
        risk, quadratic_cost, proportional_cost: as in the formula.
        reward_mean, reward_sd: what the log's dataset took off its rewards and divided them by;
            replays alone read it.
        device: where the series lie.
    """

    log: Log
    scale: float = 1.0
    risk: float = 0.0
    quadratic_cost: float = 0.0
    proportional_cost: float = 0.0
    reward_mean: float = 0.0
    reward_sd: float = 1.0
    device: str = "cpu"

    portfolio_size = 1

    @property
    def reach(self) -> float:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        return self.scale

    @cached_property
    def _gains(self) -> Tensor:
        return torch.from_numpy(self.log.gains[:, 0].copy()).to(self.device)

    def to(self, device: str) -> PositionMarket:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        return self if device == self.device else replace(self, device=device)

    def with_features(self, features: NDArray[np.float32]) -> PositionMarket:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        return replace(self, log=replace(self.log, features=features, own=None))

    def replayed(self) -> PositionReplay:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        return PositionReplay(self.to("cpu"))

    def random_state(self, rows: Tensor, generator: torch.Generator) -> State:
        """Positions uniform in ±scale."""
        drawn = torch.rand(len(rows), generator=generator, dtype=torch.float64)
        return ((self.scale * (2.0 * drawn - 1.0)).to(self.device),)

    def smaller(self, actions: Tensor, own: Tensor, share: float) -> Tensor:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        return share * actions

    def observe(self, state: State) -> Tensor:
        """[B, 1] the position."""
        return state[0][:, None]

    def step(self, state: State, actions: Tensor, rows: Tensor) -> DirectStep:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        position = self.scale * actions.to(torch.float64)
        change = position - state[0]
        rewards = position * self._gains[rows]
        if self.risk:
            rewards = rewards - 0.5 * self.risk * position.square()
        if self.quadratic_cost:
            rewards = rewards - 0.5 * self.quadratic_cost * change.square()
        if self.proportional_cost:
            rewards = rewards - self.proportional_cost * change.abs()
        return DirectStep((position,), rewards, position[:, None], None)


class PositionReplay:
    """See :class:`~offline_trader.learning.data.replay.ReplayMarket`."""

    def __init__(self, market: PositionMarket) -> None:
        self._market = market
        self.features = market.log.features
        self.positions = (-market.scale, market.scale)

    def equity(self, data: Transitions) -> FloatArray:
        """[M] ones: nothing depends on it."""
        return np.ones(len(data))

    def keeping(self, position: FloatArray, actions: FloatArray) -> FloatArray:
        """[n] the position as an action."""
        return position / self._market.scale

    def moved(
        self, rows: IntArray, seen: FloatArray, position: FloatArray, drawn: FloatArray
    ) -> FloatArray:
        """[n, 1] the position."""
        return position[:, None]

    def replay(
        self, rows: IntArray, seen: FloatArray, equity: FloatArray, actions: FloatArray
    ) -> Replayed:
        """The next row from each position."""
        market = self._market
        state = (torch.from_numpy(seen[:, 0].copy()),)
        step = market.step(state, torch.from_numpy(actions), torch.from_numpy(rows))
        return Replayed(
            (step.rewards.numpy() - market.reward_mean) / market.reward_sd,
            step.carried.numpy() / market.reward_sd,
            step.state[0].numpy()[:, None],
            np.zeros(len(rows), np.bool_),
        )
