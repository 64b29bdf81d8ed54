"""The compiled unroll of a policy, as one differentiable function of torch.

Where it is used: on the CPU, for positions and for bars under rules without volume and lots, with
an actor of linear layers and ReLUs. Otherwise torch unrolls (:func:`compiled_unroll` gives the
reason); both give the same numbers up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.engines import EngineFacts
from offline_trader.learning.stages.direct.bars import BarMarket
from offline_trader.learning.stages.direct.market import DirectMarket
from offline_trader.learning.stages.direct.positions import PositionMarket
from offline_trader.learning.stages.direct.unroll_kernels import (
    BARS,
    POSITIONS,
    unroll_backward,
    unroll_forward,
)
from offline_trader.learning.stages.direct.unrolling import (
    Batch,
    TorchUnroll,
    Unrolled,
    slope_bound,
)

__all__ = ["CompiledUnroll", "engine_for", "make_unroll", "reason_against"]

_ROWS = 512
"""Decisions whose slopes are gathered into those of the weights at once: they fit the cache."""


def reason_against(learner: Learner, market: DirectMarket) -> str | None:
    """Why this learner cannot be unrolled by the compiled kernels, or None."""
    if learner.config.device != "cpu":
        return f"device {learner.config.device}"
    if isinstance(market, BarMarket):
        if market.rules.needs_volume:
            return "rules that read volume"
        if market.rules.lot_size > 0.0:
            return "rules with lots"
    elif not isinstance(market, PositionMarket):
        return f"{type(market).__name__}, which has no compiled dynamics"
    if _transfer.actor_layers(learner.algo) is None:
        return "an actor of other layers than linear ones with ReLU"
    return None


def make_unroll(
    learner: Learner,
    market: DirectMarket,
    surprises: Tensor,
    engine: EngineFacts,
    *,
    pulled: bool = False,
) -> CompiledUnroll | TorchUnroll:
    """What unrolls by ``engine``, of :func:`engine_for`."""
    unroll = TorchUnroll if engine.name == "torch" else CompiledUnroll
    return unroll(learner, market, surprises, pulled=pulled)


def engine_for(learner: Learner, market: DirectMarket, wanted: str) -> EngineFacts:
    """``fast`` where it is wanted and can be, otherwise ``torch``, with the reason."""
    if wanted == "torch":
        return EngineFacts("torch")
    reason = reason_against(learner, market)
    return EngineFacts("fast" if reason is None else "torch", reason)


class CompiledUnroll:
    """As :class:`~offline_trader.learning.stages.direct.unrolling.TorchUnroll`, compiled.

    Args: see there; :func:`reason_against` gives None for them.
    """

    def __init__(
        self, learner: Learner, market: DirectMarket, surprises: Tensor, *, pulled: bool
    ) -> None:
        layers = _transfer.actor_layers(learner.algo)
        assert layers is not None
        hidden, head = layers
        self._parameters = [p for layer in (*hidden, head) for p in (layer.weight, layer.bias)]
        scales = learner.preprocessing
        width = market.log.features.shape[1]
        mean, scale = (x.astype(np.float32) for x in (scales.mean, scales.scale))
        self._features = (market.log.features - mean[:width]) / scale[:width]
        self._scales = np.stack([mean[width:], scale[width:]])
        self._surprises = np.ascontiguousarray(surprises.numpy())
        self._dynamics = _dynamics(market)
        self._bound = slope_bound(market)
        self._first = copy.deepcopy(learner.actor) if pulled else None
        self._room: _Room | None = None

    def __call__(self, batch: Batch) -> Unrolled:
        """Actions, bars, rewards of a batch."""
        room = self._prepare(batch)
        climbed, actions = _Unroll.apply(room, *self._parameters)  # type: ignore[no-untyped-call]
        distance = torch.zeros(())
        if self._first is not None:
            seen = torch.from_numpy(np.concatenate([room.inputs, room.flat_own], axis=1))
            with torch.no_grad():
                wanted = _d3rlpy.deterministic_actions(self._first, seen)
            distance = (actions.reshape(-1) - wanted[:, 0]).square().mean()
        kept = (torch.from_numpy(x.copy()) for x in (room.rewards, room.states[1:], room.alive))
        rewards, states, alive = kept
        return Unrolled(climbed, rewards, states, alive, distance)

    def scores(
        self,
        batch: Batch,
        members: Iterator[list[np.ndarray[Any, Any]]],
        score: Callable[[Tensor, Tensor], Any],
    ) -> list[Any]:
        """``score`` of what is climbed and of the realised rewards [T, B] of policies with the
        parameters of ``members``."""
        room = self._prepare(batch, kept=1)
        found = []
        for arrays in members:
            _forward(room, arrays)
            found.append(score(torch.from_numpy(room.climbed), torch.from_numpy(room.rewards)))
        return found

    def _prepare(self, batch: Batch, kept: int = 0) -> _Room:
        """Room for a batch, and the batch in it; 0 keeps all hidden layers, for the slopes."""
        shape = tuple(batch.rows.shape)
        kept = kept or shape[0]
        if self._room is None or (self._room.rows.shape, self._room.kept) != (shape, kept):
            sizes = [len(p) for p in self._parameters[1:-2:2]]
            self._room = _Room(shape, sizes, self, kept)
        room = self._room
        room.rows = batch.rows.numpy()
        np.stack([x.numpy() for x in batch.state], axis=1, out=room.states[0])
        np.take(self._features, room.rows.reshape(-1), axis=0, out=room.inputs)
        if batch.noise is not None:
            room.inputs += batch.noise.numpy().reshape(room.inputs.shape)
        return room


class _Room:
    """Everything that a pass writes, for one shape of batches."""

    def __init__(
        self, shape: tuple[int, ...], sizes: list[int], owner: CompiledUnroll, kept: int
    ) -> None:
        bars, windows = shape
        self.kept = kept
        self.kind, self.terms, self.columns, state_size = owner._dynamics
        self.scales, self.surprises, self.bound = owner._scales, owner._surprises, owner._bound
        numbers = self.scales.shape[1]
        parameters = owner._parameters
        self.rows = np.zeros(shape, np.int64)
        self.inputs = np.zeros((bars * windows, owner._features.shape[1]), np.float32)
        self.states = np.zeros((bars + 1, windows, state_size))
        self.own = np.zeros((bars, windows, numbers), np.float32)
        self.flat_own = self.own.reshape(-1, numbers)
        self.hidden = tuple(np.zeros((kept, windows, size), np.float32) for size in sizes)
        chunk = min(kept, max(1, _ROWS // windows))
        self.deltas = tuple(np.zeros((chunk, windows, size), np.float32) for size in sizes)
        self.turned = tuple(np.zeros(p.shape[::-1], np.float32) for p in parameters[:-2:2])
        self.actions, self.heads = (np.zeros(shape, np.float32) for _ in range(2))
        self.rewards, self.climbed = np.zeros(shape), np.zeros(shape)
        self.alive = np.zeros(shape, np.bool_)
        self.weight_slopes = tuple(np.zeros(p.shape, np.float32) for p in parameters[:-2:2])
        self.bias_slopes = tuple(np.zeros(p.shape, np.float32) for p in parameters[1:-2:2])
        self.head_slopes = np.zeros(sizes[-1] + 1, np.float32)


def _forward(room: _Room, arrays: list[np.ndarray[Any, Any]]) -> tuple[Any, Any]:
    """Unroll the policy with these weights and biases, layer by layer; weights and head."""
    weights, biases = tuple(arrays[:-2:2]), tuple(arrays[1:-2:2])
    head = np.concatenate([arrays[-2][0], arrays[-1]])
    unroll_forward(
        room.kind, room.terms, room.columns, room.rows, room.inputs, weights, biases, head,
        room.scales, room.surprises, room.states, room.own, room.hidden, room.turned,
        room.actions, room.rewards, room.climbed, room.alive,
    )  # fmt: skip
    return weights, head


class _Unroll(torch.autograd.Function):
    """What is climbed and actions [T, B] of a room's batch, as a function of the parameters."""

    @staticmethod
    def forward(ctx: Any, room: _Room, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        ctx.room = room
        ctx.weights, ctx.head = _forward(room, [p.detach().numpy() for p in parameters])
        return torch.from_numpy(room.climbed.copy()), torch.from_numpy(room.actions.copy())

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        room = ctx.room
        by_climbed, by_actions = (np.ascontiguousarray(s.numpy()) for s in slopes)
        unroll_backward(
            room.kind, room.terms, room.columns, room.rows, room.inputs, ctx.weights, ctx.head,
            room.scales, room.surprises, room.states, room.own, room.hidden, room.actions,
            room.alive, by_climbed, by_actions, room.bound * np.abs(by_climbed).sum(axis=0),
            room.deltas, room.heads,
            room.weight_slopes, room.bias_slopes, room.head_slopes,
        )  # fmt: skip
        pairs = zip(room.weight_slopes, room.bias_slopes, strict=True)
        found = [torch.from_numpy(x.copy()) for pair in pairs for x in pair]
        head = torch.from_numpy(room.head_slopes.copy())
        return (None, *found, head[None, :-1], head[-1:])


def _dynamics(market: DirectMarket) -> tuple[int, Any, Any, int]:
    """Kind, terms, columns [R, …] and state size, as the kernels read them."""
    if isinstance(market, PositionMarket):
        terms = [market.scale, market.risk, market.quadratic_cost, market.proportional_cost]
        return POSITIONS, np.array(terms, np.float64), market.log.gains.copy(), 1
    assert isinstance(market, BarMarket)
    return (BARS, *market.compiled())
