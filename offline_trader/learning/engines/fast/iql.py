"""Implicit Q-learning (Kostrikov et al. 2022) with d3rlpy's order of steps and losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.d3rlpy import bindings
from offline_trader.learning.engines.fast import dense_kernels, iql_kernels, policy_kernels
from offline_trader.learning.engines.fast.batches import Batch, BatchColumns
from offline_trader.learning.engines.fast.storage import FlatAdam
from offline_trader.learning.engines.fast.tower import Tower

__all__ = ["IQLUpdate"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Buffers:
    """Everything that depends on the batch size."""

    columns: BatchColumns
    actor: Tower
    critic: Tower
    target: Tower
    value: Tower
    new_value: Tower
    head: torch.Tensor
    head_gradient: torch.Tensor
    values: Array
    value_gradient: Array
    target_values: Array
    state_values: Array
    state_gradient: Array
    no_entropy: Array
    returns: Array


class IQLUpdate:
    """One gradient step of IQL a call, on the very parameters of a d3rlpy ``IQLImpl``."""

    def __init__(self, impl: Any) -> None:
        modules, policy = impl.modules, impl.modules.policy
        self._gamma, self._tau = np.float32(impl._gamma), float(impl._tau)
        self._size, self._width = int(impl.observation_shape[0]), int(impl.action_size)
        self._low, self._high = np.float32(policy._min_logstd), np.float32(policy._max_logstd)
        self._expectile = np.float32(impl._expectile)
        self._weighting = np.float32(impl._weight_temp), np.float32(impl._max_weight)
        self._actor = bindings.bind_stack([bindings.actor_modules(policy)])
        self._critic = bindings.bind_stack(bindings.critic_modules(modules.q_funcs))
        self._target = bindings.bind_stack(bindings.critic_modules(modules.targ_q_funcs))
        self._value = bindings.bind_stack([bindings.value_modules(modules.value_func)])
        self._actor_adam = FlatAdam(modules.actor_optim, [self._actor.flat])
        self._critic_adam = FlatAdam(modules.critic_optim, [self._critic.flat, self._value.flat])
        self._buffers: dict[int, _Buffers] = {}

    def __call__(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        *,
        train_actor: bool = True,
    ) -> dict[str, float]:
        """One update of values, critics and targets, and actor; the losses by d3rlpy's names.

        Args:
            batch: B transitions.
            generator: has nothing to draw here.
            train_actor: False leaves the actor as it is.
        """
        rows = int(batch.observations.shape[0])
        if rows not in self._buffers:
            self._buffers[rows] = self._allocate(rows)
        buffers = self._buffers[rows]
        buffers.columns.load(batch)
        with torch.no_grad():
            metrics = self._update_critic(batch, buffers)
            if train_actor:
                metrics["actor_loss"] = self._update_actor(batch, buffers)
        return metrics

    def adams(self) -> list[FlatAdam]:
        """All optimizers of this update."""
        return [self._actor_adam, self._critic_adam]

    def _allocate(self, rows: int) -> _Buffers:
        size, width, nets = self._size, self._width, len(self._critic.stack.head_bias)
        actor, critic, value = self._actor, self._critic, self._value
        return _Buffers(
            columns=BatchColumns(rows, width),
            actor=Tower(actor.stack, actor.gradients, size, 0, (rows,)),
            critic=Tower(critic.stack, critic.gradients, size, width, (rows,)),
            target=Tower(self._target.stack, None, size, width, (rows,)),
            value=Tower(value.stack, value.gradients, size, 0, (rows, rows), rows),
            new_value=Tower(value.stack, None, size, 0, (rows,)),
            head=torch.zeros(rows, width),
            head_gradient=torch.zeros(rows, width),
            values=np.zeros((nets, rows), np.float32),
            value_gradient=np.zeros((nets, rows), np.float32),
            target_values=np.zeros((nets, rows), np.float32),
            state_values=np.zeros((1, 2 * rows), np.float32),
            state_gradient=np.zeros((1, rows), np.float32),
            no_entropy=np.zeros(rows, np.float32),
            returns=np.zeros(rows, np.float32),
        )

    def _update_critic(self, batch: Batch, buffers: _Buffers) -> dict[str, float]:
        rows, actions = buffers.returns.shape[0], buffers.columns.actions
        value_head = bindings.scalar_head(self._value.stack)
        buffers.value.forward((batch.observations, batch.next_observations))
        dense_kernels.head_values(buffers.value.output_array, *value_head, buffers.state_values)
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
        q_loss = self._critic_gradients(batch, buffers, actions)
        buffers.target.forward((batch.observations,), actions)
        dense_kernels.head_values(
            buffers.target.output_array,
            *bindings.scalar_head(self._target.stack),
            buffers.target_values,
        )
        v_loss = iql_kernels.expectile_gradient(
            buffers.target_values,
            buffers.state_values[0, :rows],
            self._expectile,
            buffers.state_gradient[0],
        )
        dense_kernels.head_backward(
            buffers.value.output[:, :rows].numpy(),
            value_head[0],
            buffers.state_gradient,
            buffers.value.delta_array,
            *bindings.scalar_head(self._value.gradients),
        )
        buffers.value.backward(batch.observations)
        # The actor below weighs by the targets' values from above, so the targets may move here.
        self._critic_adam.step([self._target.flat, None], self._tau)
        return {"critic_loss": q_loss + float(v_loss), "q_loss": q_loss, "v_loss": float(v_loss)}

    def _critic_gradients(self, batch: Batch, buffers: _Buffers, actions: Array) -> float:
        head = bindings.scalar_head(self._critic.stack)
        buffers.critic.forward((batch.observations,), actions)
        hidden = buffers.critic.output_array
        dense_kernels.head_values(hidden, *head, buffers.values)
        loss = policy_kernels.td_gradient(buffers.values, buffers.returns, buffers.value_gradient)
        dense_kernels.head_backward(
            hidden,
            head[0],
            buffers.value_gradient,
            buffers.critic.delta_array,
            *bindings.scalar_head(self._critic.gradients),
        )
        buffers.critic.backward(batch.observations, actions)
        return float(loss)

    def _update_actor(self, batch: Batch, buffers: _Buffers) -> float:
        rows = buffers.returns.shape[0]
        buffers.new_value.forward((batch.observations,))
        state_values = buffers.state_values[:, :rows]
        dense_kernels.head_values(
            buffers.new_value.output_array, *bindings.scalar_head(self._value.stack), state_values
        )
        stack, gradients, actor = self._actor.stack, self._actor.gradients, buffers.actor
        actor.forward((batch.observations,))
        torch.mm(actor.output[0], stack.head_weight[0].t(), out=buffers.head)
        loss = iql_kernels.weighted_log_prob(
            buffers.head.numpy(),
            stack.head_bias[0].numpy(),
            stack.extra[0].numpy().reshape(-1),
            self._low,
            self._high,
            buffers.columns.actions,
            buffers.target_values,
            state_values[0],
            *self._weighting,
            buffers.head_gradient.numpy(),
            gradients.head_bias[0].numpy(),
            gradients.extra[0].numpy().reshape(-1),
        )
        torch.mm(buffers.head_gradient.t(), actor.output[0], out=gradients.head_weight[0])
        torch.mm(buffers.head_gradient, stack.head_weight[0], out=actor.delta[0])
        actor.backward(batch.observations)
        self._actor_adam.step()
        return float(loss)
