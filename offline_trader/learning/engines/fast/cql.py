"""Conservative Q-learning (Kumar et al. 2020) and Cal-QL (Nakamoto et al. 2023) on top of SAC."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.d3rlpy import bindings
from offline_trader.learning.engines.fast import node_kernels, policy_kernels
from offline_trader.learning.engines.fast.batches import Batch
from offline_trader.learning.engines.fast.conservative import (
    ConservativePass,
    Nodes,
    conservative_pass,
)
from offline_trader.learning.engines.fast.sac import SACBuffers, SACUpdate
from offline_trader.learning.engines.fast.storage import FlatAdam

__all__ = ["CQLUpdate"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _NodeBuffers:
    """What drawing the actions needs, for one batch size."""

    noise: torch.Tensor
    raw: torch.Tensor
    log_prob: Array
    uniform: torch.Tensor
    no_floor: Array
    nodes: Nodes
    critics: ConservativePass


class CQLUpdate(SACUpdate):
    """One gradient step of CQL or Cal-QL a call.

    Where stock d3rlpy 2.6 autotunes alpha, its critics receive half of the conservative gradient
    (``update_alpha`` back-propagates its negative into them); here they receive all of it.

    Args:
        impl: d3rlpy's ``CQLImpl`` or ``CalQLImpl``.
        calibrated: bound the policy's values by the batch's returns-to-go, which is Cal-QL.
    """

    def __init__(self, impl: Any, calibrated: bool) -> None:
        super().__init__(impl)
        self._calibrated = calibrated
        self._samples = int(impl._n_action_samples)
        self._weight = float(impl._conservative_weight)
        self._threshold = float(impl._alpha_threshold)
        self._soft_backup = bool(impl._soft_q_backup)
        self._alpha = bindings.bind_scalar(impl.modules.log_alpha, impl.modules.alpha_optim)
        self._scale = np.zeros(len(self._critic_head[1]), np.float32)
        self._node_buffers: dict[int, _NodeBuffers] = {}

    def adams(self) -> list[FlatAdam]:
        """All optimizers of this update."""
        return super().adams() + ([] if self._alpha.adam is None else [self._alpha.adam])

    def _update_critic(
        self, batch: Batch, buffers: SACBuffers, generator: torch.Generator | None
    ) -> dict[str, float]:
        self._forward_actor(buffers, batch.observations, batch.next_observations)
        if self._soft_backup:
            self._compute_target(batch, buffers, generator)
        else:
            self._deterministic_target(batch, buffers)
        rows = buffers.returns.shape[0]
        room = self._node_room(rows)
        self._draw_nodes(buffers, room, generator)
        factor = min(math.exp(self._alpha.value), 1e6) * self._weight
        self._scale[:] = factor / rows
        losses = room.critics(batch.observations, room.nodes, buffers.returns, self._scale)
        conservative = factor * (losses[:, 1] - self._threshold)
        self._update_alpha(conservative)
        self._critic_adam.step([self._target.flat], self._tau)
        return {
            "critic_loss": float(losses[:, 0].sum() + conservative.sum()),
            "conservative_loss": float(conservative.sum()),
            "alpha": math.exp(self._alpha.value),
        }

    def _update_alpha(self, conservative: NDArray[np.float64]) -> None:
        """Raise log alpha along the mean conservative loss: d/d(log α) of it is itself."""
        if self._alpha.adam is not None:
            inside = math.exp(self._alpha.value) <= 1e6
            self._alpha.step(-float(conservative.mean()) if inside else 0.0)

    def _deterministic_target(self, batch: Batch, buffers: SACBuffers) -> None:
        rows = buffers.returns.shape[0]
        policy_kernels.squashed_mean(buffers.head[rows:], self._head_bias, buffers.next_actions)
        buffers.next_log_prob.fill(0.0)
        self._evaluate_target(batch, buffers, 0.0)

    def _draw_nodes(
        self, buffers: SACBuffers, room: _NodeBuffers, generator: torch.Generator | None
    ) -> None:
        """Samples of the policy at both observations and of the uniform density, stock's draws."""
        for noise in room.noise:
            noise.normal_(generator=generator)
        room.uniform.uniform_(-1.0, 1.0, generator=generator)
        node_kernels.policy_samples(
            buffers.head,
            *self._limits,
            room.noise.numpy(),
            room.raw.numpy(),
            room.log_prob,
        )
        returns = buffers.columns.returns_to_go if self._calibrated else room.no_floor
        soft = torch.nn.functional.softplus(room.raw * -2.0)
        node_kernels.collect_nodes(
            torch.tanh_(room.raw).numpy(),
            room.log_prob,
            soft.numpy(),
            room.uniform.numpy(),
            buffers.columns.actions,
            returns,
            room.nodes.actions,
            room.nodes.shifts,
            room.nodes.floors,
        )

    def _node_room(self, rows: int) -> _NodeBuffers:
        if rows not in self._node_buffers:
            samples, width, count = self._samples, self._width, 3 * self._samples + 1
            self._node_buffers[rows] = _NodeBuffers(
                noise=torch.zeros(2, samples, rows, width),
                raw=torch.zeros(2, samples, rows, width),
                log_prob=np.zeros((2, samples, rows), np.float32),
                uniform=torch.zeros(rows, samples, width),
                no_floor=np.full(rows, -np.inf, np.float32),
                nodes=Nodes.empty(rows, count, width),
                critics=conservative_pass(self._critic, self._size, rows, count, width),
            )
        return self._node_buffers[rows]
