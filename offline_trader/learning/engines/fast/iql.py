"""Implicit Q-learning (Kostrikov et al. 2022) with d3rlpy's order of steps and losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.d3rlpy import bindings
from offline_trader.learning.engines.fast import dense_kernels, iql_kernels, policy_kernels
from offline_trader.learning.engines.fast.actor_critic import ActorCriticUpdate, Buffers
from offline_trader.learning.engines.fast.batches import Batch
from offline_trader.learning.engines.fast.tower import Tower

__all__ = ["IQLUpdate"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Buffers(Buffers):
    """What the state values need besides; M = 2B rows go through their network."""

    value: Tower
    new_value: Tower
    state_values: Array
    state_gradient: Array
    no_entropy: Array


class IQLUpdate(ActorCriticUpdate[_Buffers]):
    """One gradient step of IQL a call, which has nothing to draw."""

    def __init__(self, impl: Any) -> None:
        self._value = bindings.bind_stack([bindings.value_modules(impl.modules.value_func)])
        super().__init__(impl, self._value)
        self._value_head = bindings.scalar_head(self._value.stack)
        self._value_head_gradient = bindings.scalar_head(self._value.gradients)
        self._spread = self._actor.stack.extra[0].numpy().reshape(-1)
        self._spread_gradient = self._actor.gradients.extra[0].numpy().reshape(-1)
        self._expectile = np.float32(impl._expectile)
        self._weighting = np.float32(impl._weight_temp), np.float32(impl._max_weight)

    def _allocate(self, rows: int) -> _Buffers:
        size, value = self._size, self._value
        return _Buffers(
            **self._allocate_shared(rows, (rows,)),
            value=Tower(value.stack, value.gradients, size, 0, (rows, rows), rows),
            new_value=Tower(value.stack, None, size, 0, (rows,)),
            state_values=np.zeros((1, 2 * rows), np.float32),
            state_gradient=np.zeros((1, rows), np.float32),
            no_entropy=np.zeros(rows, np.float32),
        )

    def _update_critic(
        self, batch: Batch, buffers: _Buffers, generator: torch.Generator | None
    ) -> dict[str, float]:
        rows = buffers.returns.shape[0]
        buffers.value.forward((batch.observations, batch.next_observations))
        dense_kernels.head_values(
            buffers.value.output_array, *self._value_head, buffers.state_values
        )
        policy_kernels.td_target(
            buffers.state_values[:, rows:],
            buffers.no_entropy,
            np.float32(0.0),
            buffers.columns.rewards,
            buffers.columns.terminals,
            buffers.columns.intervals,
            self._gamma,
            buffers.returns,
        )
        q_loss = self._fit_critics(batch, buffers)
        buffers.target.forward((batch.observations,), buffers.columns.actions)
        output = buffers.target.output_array
        dense_kernels.head_values(output, *self._target_head, buffers.target_values)
        v_loss = iql_kernels.expectile_gradient(
            buffers.target_values,
            buffers.state_values[0, :rows],
            self._expectile,
            buffers.state_gradient[0],
        )
        dense_kernels.head_backward(
            buffers.value.output_array[:, :rows],
            self._value_head[0],
            buffers.state_gradient,
            buffers.value.delta_array,
            *self._value_head_gradient,
        )
        buffers.value.backward(batch.observations)
        # The actor below weighs by the targets' values from above, so the targets may move here.
        self._critic_adam.step([self._target.flat, None], self._tau)
        return {"critic_loss": q_loss + float(v_loss), "q_loss": q_loss, "v_loss": float(v_loss)}

    def _update_actor(
        self, batch: Batch, buffers: _Buffers, generator: torch.Generator | None
    ) -> dict[str, float]:
        buffers.new_value.forward((batch.observations,))
        state_values = buffers.state_values[:, : buffers.returns.shape[0]]
        output = buffers.new_value.output_array
        dense_kernels.head_values(output, *self._value_head, state_values)
        self._forward_actor(buffers, batch.observations)
        loss = iql_kernels.weighted_log_prob(
            buffers.head,
            self._head_bias,
            self._spread,
            self._low,
            self._high,
            buffers.columns.actions,
            buffers.target_values,
            state_values[0],
            *self._weighting,
            buffers.head_gradient,
            self._head_bias_gradient,
            self._spread_gradient,
        )
        self._backward_actor(batch, buffers)
        return {"actor_loss": float(loss)}
