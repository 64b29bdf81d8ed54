"""Soft actor-critic (Haarnoja et al. 2018) with d3rlpy's order of steps, losses and draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.d3rlpy import bindings
from offline_trader.learning.engines.fast import chosen_kernels, dense_kernels, policy_kernels
from offline_trader.learning.engines.fast.batches import Batch, BatchColumns
from offline_trader.learning.engines.fast.storage import FlatAdam
from offline_trader.learning.engines.fast.tower import Tower

__all__ = ["SACBuffers", "SACUpdate"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SACBuffers:
    """Everything that depends on the batch size."""

    columns: BatchColumns
    actor: Tower
    critic: Tower
    target: Tower
    head: torch.Tensor
    head_gradient: torch.Tensor
    noise: torch.Tensor
    actions: Array
    next_actions: Array
    action_gradient: Array
    log_prob: Array
    next_log_prob: Array
    values: Array
    value_gradient: Array
    order: NDArray[np.int32]
    counts: NDArray[np.int32]
    target_values: Array
    returns: Array


class SACUpdate:
    """One gradient step of SAC a call, on the very parameters of a d3rlpy implementation.

    Args:
        impl: d3rlpy's ``SACImpl``; :func:`bindings.unsupported_impl` must say None of it.
    """

    def __init__(self, impl: Any) -> None:
        modules, policy = impl.modules, impl.modules.policy
        self._gamma, self._tau = np.float32(impl._gamma), float(impl._tau)
        self._size, self._width = int(impl.observation_shape[0]), int(impl.action_size)
        self._low, self._high = np.float32(policy._min_logstd), np.float32(policy._max_logstd)
        self._actor = bindings.bind_stack([bindings.actor_modules(policy)])
        self._critic = bindings.bind_stack(bindings.critic_modules(modules.q_funcs))
        self._target = bindings.bind_stack(bindings.critic_modules(modules.targ_q_funcs))
        self._actor_adam = FlatAdam(modules.actor_optim, [self._actor.flat])
        self._critic_adam = FlatAdam(modules.critic_optim, [self._critic.flat])
        self._temperature = bindings.bind_scalar(modules.log_temp, modules.temp_optim)
        self._impl = impl
        self._buffers: dict[int, SACBuffers] = {}
        self._head = self._actor.stack.head_weight[0]
        self._head_bias = self._actor.stack.head_bias[0].numpy()
        self._critic_head = bindings.scalar_head(self._critic.stack)
        self._critic_head_gradient = bindings.scalar_head(self._critic.gradients)
        self._target_head = bindings.scalar_head(self._target.stack)

    def __call__(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        *,
        train_actor: bool = True,
    ) -> dict[str, float]:
        """One update of critics and targets, temperature and actor; losses by d3rlpy's names.

        Args:
            batch: B transitions.
            generator: of the random numbers; torch's default one draws what stock d3rlpy would.
            train_actor: False leaves actor and temperature as they are.
        """
        with torch.no_grad():
            buffers = self._prepare(batch)
            metrics = self._update_critic(batch, buffers, generator)
            if train_actor:
                metrics.update(self._update_actor(batch, buffers, generator))
        return metrics

    def adams(self) -> list[FlatAdam]:
        """All optimizers of this update."""
        scalars = [self._temperature.adam]
        return [self._actor_adam, self._critic_adam, *(s for s in scalars if s is not None)]

    def _prepare(self, batch: Batch) -> SACBuffers:
        rows = int(batch.observations.shape[0])
        if rows not in self._buffers:
            self._buffers[rows] = self._allocate(rows)
        self._buffers[rows].columns.load(batch)
        return self._buffers[rows]

    def _allocate(self, rows: int) -> SACBuffers:
        size, width = self._size, self._width
        nets = len(self._critic.stack.head_bias)
        actor, critic, target = self._actor, self._critic, self._target
        return SACBuffers(
            columns=BatchColumns(rows, width),
            actor=Tower(actor.stack, actor.gradients, size, 0, (rows, rows), rows),
            critic=Tower(critic.stack, critic.gradients, size, width, (rows,)),
            target=Tower(target.stack, None, size, width, (rows,)),
            head=torch.zeros(2 * rows, 2 * width),
            head_gradient=torch.zeros(rows, 2 * width),
            noise=torch.zeros(rows, width),
            actions=np.zeros((rows, width), np.float32),
            next_actions=np.zeros((rows, width), np.float32),
            action_gradient=np.zeros((rows, width), np.float32),
            log_prob=np.zeros(rows, np.float32),
            next_log_prob=np.zeros(rows, np.float32),
            values=np.zeros((nets, rows), np.float32),
            value_gradient=np.zeros((nets, rows), np.float32),
            order=np.zeros((nets, rows), np.int32),
            counts=np.zeros(nets, np.int32),
            target_values=np.zeros((nets, rows), np.float32),
            returns=np.zeros(rows, np.float32),
        )

    def _update_critic(
        self, batch: Batch, buffers: SACBuffers, generator: torch.Generator | None
    ) -> dict[str, float]:
        self._forward_actor(batch, buffers)
        self._compute_target(batch, buffers, generator)
        actions = buffers.columns.actions
        buffers.critic.forward((batch.observations,), actions)
        hidden = buffers.critic.output_array
        dense_kernels.head_values(hidden, *self._critic_head, buffers.values)
        loss = policy_kernels.td_gradient(buffers.values, buffers.returns, buffers.value_gradient)
        dense_kernels.head_backward(
            hidden,
            self._critic_head[0],
            buffers.value_gradient,
            buffers.critic.delta_array,
            *self._critic_head_gradient,
        )
        buffers.critic.backward(batch.observations, actions)
        # The targets are not read again before the next update, so they follow already here.
        self._critic_adam.step([self._target.flat], self._tau)
        return {"critic_loss": float(loss)}

    def _forward_actor(self, batch: Batch, buffers: SACBuffers) -> None:
        """One pass of the actor over both observations: neither sees a step in between."""
        buffers.actor.forward((batch.observations, batch.next_observations))
        torch.mm(buffers.actor.output[0], self._head.t(), out=buffers.head)

    def _compute_target(
        self, batch: Batch, buffers: SACBuffers, generator: torch.Generator | None
    ) -> None:
        rows = buffers.returns.shape[0]
        buffers.noise.normal_(generator=generator)
        policy_kernels.squashed_sample(
            buffers.head[rows:].numpy(),
            self._head_bias,
            self._low,
            self._high,
            buffers.noise.numpy(),
            buffers.next_actions,
            buffers.next_log_prob,
        )
        self._evaluate_target(batch, buffers, math.exp(self._temperature.value))

    def _evaluate_target(self, batch: Batch, buffers: SACBuffers, temperature: float) -> None:
        """Returns from the target critics at the next actions that the buffers hold."""
        buffers.target.forward((batch.next_observations,), buffers.next_actions)
        output = buffers.target.output_array
        dense_kernels.head_values(output, *self._target_head, buffers.target_values)
        policy_kernels.td_target(
            buffers.target_values,
            buffers.next_log_prob,
            np.float32(temperature),
            buffers.columns.rewards,
            buffers.columns.terminals,
            buffers.columns.intervals,
            self._gamma,
            buffers.returns,
        )

    def _update_actor(
        self, batch: Batch, buffers: SACBuffers, generator: torch.Generator | None
    ) -> dict[str, float]:
        rows = buffers.returns.shape[0]
        head, noise = buffers.head[:rows].numpy(), buffers.noise.normal_(generator=generator)
        limits = (self._head_bias, self._low, self._high, noise.numpy())
        mean_log_prob = float(
            policy_kernels.squashed_sample(head, *limits, buffers.actions, buffers.log_prob)
        )
        temp_loss = 0.0
        if self._temperature.adam is not None:
            temp_loss = -math.exp(self._temperature.value) * (mean_log_prob - self._width)
            self._temperature.step(temp_loss)
        temperature = math.exp(self._temperature.value)
        size = self._value_size(batch, buffers)
        value = self._least_value_gradient(batch, buffers)
        policy_kernels.actor_gradient(
            head,
            *limits,
            buffers.actions,
            buffers.action_gradient,
            np.float32(temperature),
            buffers.head_gradient.numpy(),
            self._actor.gradients.head_bias[0].numpy(),
        )
        pull = self._pull_to_data(buffers, size)
        self._backward_actor(batch, buffers)
        return {
            "actor_loss": temperature * mean_log_prob - value + pull,
            "temp_loss": temp_loss,
            "temp": temperature,
        }

    def _value_size(self, batch: Batch, buffers: SACBuffers) -> float:
        """mean |min_e Q| at the data's actions, which the behaviour term is scaled by."""
        if getattr(self._impl, "behaviour_weight", 0.0) == 0.0:
            return 0.0
        buffers.critic.forward((batch.observations,), buffers.columns.actions)
        hidden = buffers.critic.output_array
        dense_kernels.head_values(hidden, *self._critic_head, buffers.values)
        return float(np.abs(buffers.values.min(axis=0)).mean())

    def _pull_to_data(self, buffers: SACBuffers, size: float) -> float:
        """Add the behaviour term's gradient to the head's; its share of the loss."""
        if size == 0.0:
            return 0.0
        strength = float(self._impl.behaviour_weight) * size
        distance = policy_kernels.behaviour_gradient(
            buffers.head.numpy(),
            self._head_bias,
            buffers.columns.actions,
            np.float32(strength),
            buffers.head_gradient.numpy(),
            self._actor.gradients.head_bias[0].numpy(),
        )
        return strength * float(distance)

    def _least_value_gradient(self, batch: Batch, buffers: SACBuffers) -> float:
        """mean min_e Q(s, a) at the sampled actions, and −∂/∂a of it into the buffers."""
        critic = buffers.critic
        critic.forward((batch.observations,), buffers.actions)
        hidden = critic.output_array
        dense_kernels.head_values(hidden, *self._critic_head, buffers.values)
        value = chosen_kernels.least_value(
            buffers.values, self._critic_head[0], buffers.order, buffers.counts, critic.delta_array
        )
        critic.backward_to_actions(buffers.order, buffers.counts, buffers.action_gradient)
        return float(value)

    def _backward_actor(self, batch: Batch, buffers: SACBuffers) -> None:
        rows = buffers.returns.shape[0]
        gradient, actor = buffers.head_gradient, buffers.actor
        hidden = actor.output[0, :rows]
        torch.mm(gradient.t(), hidden, out=self._actor.gradients.head_weight[0])
        torch.mm(gradient, self._head, out=actor.delta[0])
        actor.backward(batch.observations)
        self._actor_adam.step()
