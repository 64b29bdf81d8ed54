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
from offline_trader.learning.engines.fast.actor_critic import ActorCriticUpdate, Buffers
from offline_trader.learning.engines.fast.batches import Batch
from offline_trader.learning.engines.fast.storage import FlatAdam

__all__ = ["SACBuffers", "SACUpdate"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SACBuffers(Buffers):
    """What sampling actions needs besides; ``noise`` and ``drawn`` are the same numbers."""

    noise: torch.Tensor
    drawn: Array
    actions: Array
    next_actions: Array
    action_gradient: Array
    log_prob: Array
    next_log_prob: Array
    order: NDArray[np.int32]
    counts: NDArray[np.int32]


class SACUpdate(ActorCriticUpdate[SACBuffers]):
    """One gradient step of SAC a call."""

    def __init__(self, impl: Any) -> None:
        super().__init__(impl)
        modules = impl.modules
        self._temperature = bindings.bind_scalar(modules.log_temp, modules.temp_optim)
        self._limits = (self._head_bias, self._low, self._high)

    def adams(self) -> list[FlatAdam]:
        """All optimizers of this update."""
        temperature = self._temperature.adam
        return super().adams() + ([] if temperature is None else [temperature])

    def _allocate(self, rows: int) -> SACBuffers:
        width, nets = self._width, len(self._critic_head[1])
        noise = torch.zeros(rows, width)
        return SACBuffers(
            **self._allocate_shared(rows, (rows, rows)),
            noise=noise,
            drawn=noise.numpy(),
            actions=np.zeros((rows, width), np.float32),
            next_actions=np.zeros((rows, width), np.float32),
            action_gradient=np.zeros((rows, width), np.float32),
            log_prob=np.zeros(rows, np.float32),
            next_log_prob=np.zeros(rows, np.float32),
            order=np.zeros((nets, rows), np.int32),
            counts=np.zeros(nets, np.int32),
        )

    def _update_critic(
        self, batch: Batch, buffers: SACBuffers, generator: torch.Generator | None
    ) -> dict[str, float]:
        # One pass of the actor over both observations: neither sees a step in between.
        self._forward_actor(buffers, batch.observations, batch.next_observations)
        self._compute_target(batch, buffers, generator)
        loss = self._fit_critics(batch, buffers)
        # The targets are not read again before the next update, so they follow already here.
        self._critic_adam.step([self._target.flat], self._tau)
        return {"critic_loss": loss}

    def _compute_target(
        self, batch: Batch, buffers: SACBuffers, generator: torch.Generator | None
    ) -> None:
        rows = buffers.returns.shape[0]
        buffers.noise.normal_(generator=generator)
        policy_kernels.squashed_sample(
            buffers.head[rows:],
            *self._limits,
            buffers.drawn,
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
        buffers.noise.normal_(generator=generator)
        head, limits = buffers.head[:rows], (*self._limits, buffers.drawn)
        mean_log_prob = float(
            policy_kernels.squashed_sample(head, *limits, buffers.actions, buffers.log_prob)
        )
        temp_loss = 0.0
        if self._temperature.adam is not None:
            target = float(getattr(self._impl, "target_entropy", -self._width))
            temp_loss = -math.exp(self._temperature.value) * (mean_log_prob + target)
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
            buffers.head_gradient,
            self._head_bias_gradient,
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
        self._evaluate_critics(batch, buffers, buffers.columns.actions)
        return float(np.abs(buffers.values.min(axis=0)).mean())

    def _pull_to_data(self, buffers: SACBuffers, size: float) -> float:
        """Add the behaviour term's gradient to the head's; its share of the loss."""
        if size == 0.0:
            return 0.0
        strength = float(self._impl.behaviour_weight) * size
        distance = policy_kernels.behaviour_gradient(
            buffers.head,
            self._head_bias,
            buffers.columns.actions,
            np.float32(strength),
            buffers.head_gradient,
            self._head_bias_gradient,
        )
        return strength * float(distance)

    def _least_value_gradient(self, batch: Batch, buffers: SACBuffers) -> float:
        """mean min_e Q(s, a) at the sampled actions, and −∂/∂a of it into the buffers."""
        critic = buffers.critic
        self._evaluate_critics(batch, buffers, buffers.actions)
        value = chosen_kernels.least_value(
            buffers.values, self._critic_head[0], buffers.order, buffers.counts, critic.delta_array
        )
        critic.backward_to_actions(buffers.order, buffers.counts, buffers.action_gradient)
        return float(value)
