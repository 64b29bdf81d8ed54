"""A policy unrolled over windows by torch, for any market and device."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.stages.direct.market import DirectMarket, State

__all__ = ["Batch", "TorchUnroll", "Unrolled", "drawn_starts", "slope_bound"]

_BOUND = 10.0


@dataclass(frozen=True)
class Batch:
    """B windows of T decisions.

    Attributes:
        rows: [T, B] int64 rows of the log.
        state: portfolios at the first decisions.
        noise: [T, B, F] float32 on the scaled features, or None.
    """

    rows: Tensor
    state: State
    noise: Tensor | None


@dataclass(frozen=True)
class Unrolled:
    """What a policy did in the windows of a batch.

    Attributes:
        climbed: [T, B] float64, the rewards less what is taken off them; 0 after a portfolio's
            end.
        rewards: [T, B] float64, realised, without gradient; 0 likewise.
        states: [T, B, S] float64, states after each decision, without gradient.
        alive: [T, B] bool, the portfolio trades on after the decision.
        distance: mean square distance to the first policy's actions; 0 where it is not asked for.
    """

    climbed: Tensor
    rewards: Tensor
    states: Tensor
    alive: Tensor
    distance: Tensor


def drawn_starts(starts: Tensor, windows: int, generator: torch.Generator) -> Tensor:
    """[B] first rows, one from each of B equal parts of all ``starts``: every series has its
    share, and no two windows begin at one row as long as there are as many rows."""
    offset = torch.rand(windows, generator=generator, dtype=torch.float64)
    chosen = ((torch.arange(windows) + offset) * (len(starts) / windows)).long()
    return starts[chosen.clamp(max=len(starts) - 1)]


def slope_bound(market: DirectMarket) -> float:
    """What the slope of a window's rewards by one action is bounded by, for a slope of 1 a reward.

    An action moves a position by ``reach`` at most, and the rewards of all its bars by as many
    gains. A policy that answers to its own position with a larger move than that position's makes
    slopes that grow with every bar they go back, without bound: they tell of nothing that an action
    can do, and one window of them would turn the step of all others (clipped backward
    sensitivities: Metz et al. 2021 show how such chains come about). The bound is ten times what
    an action can do, so that nothing else is touched.
    """
    spread = float(np.sqrt(market.log.gains.var(axis=0).sum()))
    return _BOUND * market.reach * (spread if spread > 0.0 else 1.0)


class TorchUnroll:
    """Unrolls a learner's deterministic actor.

    Args:
        learner: its actor is read at every call.
        market: series and dynamics.
        surprises: [R, G] float64, what is taken off a reward for a unit carried.
        pulled: whether the distance to the policy of now is measured.
        actor: in place of the learner's, from scaled observations to an output with ``mu``.
    """

    def __init__(
        self,
        learner: Learner,
        market: DirectMarket,
        surprises: Tensor,
        *,
        pulled: bool,
        actor: torch.nn.Module | None = None,
    ) -> None:
        scales = learner.preprocessing
        device = learner.config.device
        width = market.log.features.shape[1]
        self._actor = learner.actor if actor is None else actor
        self._market = market
        self._surprises = surprises.to(device)
        mean, scale = (torch.tensor(x, dtype=torch.float32) for x in (scales.mean, scales.scale))
        self.features = ((torch.from_numpy(market.log.features) - mean[:width]) / scale[:width]).to(
            device
        )
        self._mean, self._scale = mean[width:].to(device), scale[width:].to(device)
        self._first = copy.deepcopy(self._actor) if pulled else None
        self._bound = slope_bound(market)

    def __call__(self, batch: Batch) -> Unrolled:
        """Actions, bars, rewards, one after another."""
        state, states = batch.state, []
        climbed, rewards, lives = [], [], []
        alive = torch.ones(batch.rows.shape[1], dtype=torch.bool, device=batch.rows.device)
        distance = torch.zeros((), device=batch.rows.device)
        bounds = _Bounds(self._bound)
        for t, rows in enumerate(batch.rows):
            seen = self._observe(rows, state, None if batch.noise is None else batch.noise[t])
            actions = _d3rlpy.deterministic_actions(self._actor, seen)[:, 0]
            if self._first is not None:
                with torch.no_grad():
                    wanted = _d3rlpy.deterministic_actions(self._first, seen)[:, 0]
                distance = distance + (actions - wanted).square().mean() / len(batch.rows)
            step = self._market.step(state, bounds.held(actions), rows)
            surprise = (step.carried * self._surprises[rows]).sum(dim=1)
            climbed.append(torch.where(alive, step.rewards - surprise, 0.0))
            rewards.append(torch.where(alive, step.rewards.detach(), 0.0))
            if step.ended is not None:
                alive = alive & ~step.ended
            state = step.state
            states.append(torch.stack([x.detach() for x in state], dim=1))
            lives.append(alive)
        return Unrolled(
            bounds.read(torch.stack(climbed)),
            torch.stack(rewards),
            torch.stack(states),
            torch.stack(lives),
            distance,
        )

    def _observe(self, rows: Tensor, state: State, noise: Tensor | None) -> Tensor:
        features = self.features[rows]
        if noise is not None:
            features = features + noise
        own = (self._market.observe(state).to(torch.float32) - self._mean) / self._scale
        return torch.cat([features, own], dim=1)


class _Bounds:
    """Bounds the slopes by actions of a pass, each window's by those of its rewards."""

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._of: Tensor | None = None

    def read(self, climbed: Tensor) -> Tensor:
        """``climbed`` [T, B], whose slopes come before those by any action."""
        if climbed.requires_grad:
            climbed.register_hook(self._note)  # type: ignore[no-untyped-call]
        return climbed

    def held(self, actions: Tensor) -> Tensor:
        """``actions`` [B] with bounded slopes."""
        if not actions.requires_grad:
            return actions
        held = actions.view_as(actions)
        held.register_hook(self._clip)  # type: ignore[no-untyped-call]
        return held

    def _note(self, slopes: Tensor) -> None:
        self._of = self._bound * slopes.abs().sum(dim=0)

    def _clip(self, slopes: Tensor) -> Tensor:
        if self._of is None:  # what is asked for is not what was climbed
            return slopes
        bounds = self._of.to(slopes.dtype)
        return torch.minimum(torch.maximum(slopes, -bounds), bounds)
