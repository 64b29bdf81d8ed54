"""What the updates of SAC, CQL and IQL share: bound networks, buffers, passes of heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.d3rlpy import bindings
from offline_trader.learning.engines.fast import dense_kernels, policy_kernels
from offline_trader.learning.engines.fast.batches import Batch, BatchColumns
from offline_trader.learning.engines.fast.storage import FlatAdam
from offline_trader.learning.engines.fast.tower import Tower

__all__ = ["ActorCriticUpdate", "Buffers"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Buffers:
    """Everything that depends on the batch size B; N rows go through the actor, E critics.

    Attributes:
        head: [N, D] outputs of the actor before their biases.
        head_gradient: [B, D].
        values, value_gradient, target_values: [E, B].
        returns: [B], what the critics are fitted to.
    """

    columns: BatchColumns
    actor: Tower
    critic: Tower
    target: Tower
    head: Array
    head_gradient: Array
    values: Array
    value_gradient: Array
    target_values: Array
    returns: Array


B = TypeVar("B", bound=Buffers)


class ActorCriticUpdate(ABC, Generic[B]):
    """One gradient step a call, on the very parameters of a d3rlpy implementation.

    Args:
        impl: d3rlpy's implementation; :func:`bindings.unsupported_impl` must say None of it.
        valued: further networks that the critics' optimizer trains.
    """

    def __init__(self, impl: Any, *valued: bindings.BoundStack) -> None:
        modules, policy = impl.modules, impl.modules.policy
        self._impl = impl
        self._gamma, self._tau = np.float32(impl._gamma), float(impl._tau)
        self._size, self._width = int(impl.observation_shape[0]), int(impl.action_size)
        self._low, self._high = np.float32(policy._min_logstd), np.float32(policy._max_logstd)
        self._actor = bindings.bind_stack([bindings.actor_modules(policy)])
        self._critic = bindings.bind_stack(bindings.critic_modules(modules.q_funcs))
        self._target = bindings.bind_stack(bindings.critic_modules(modules.targ_q_funcs))
        self._actor_adam = FlatAdam(modules.actor_optim, [self._actor.flat])
        trained = [self._critic.flat, *(stack.flat for stack in valued)]
        self._critic_adam = FlatAdam(modules.critic_optim, trained)
        self._head, self._head_bias = bindings.rows_head(self._actor.stack)
        self._head_gradient, self._head_bias_gradient = bindings.rows_head(self._actor.gradients)
        self._critic_head = bindings.scalar_head(self._critic.stack)
        self._critic_head_gradient = bindings.scalar_head(self._critic.gradients)
        self._target_head = bindings.scalar_head(self._target.stack)
        self._buffers: dict[int, B] = {}

    def __call__(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        *,
        train_actor: bool = True,
    ) -> dict[str, float]:
        """One update of critics, targets and actor; losses by d3rlpy's names.

        Args:
            batch: of B transitions.
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
        return [self._actor_adam, self._critic_adam]

    @abstractmethod
    def _allocate(self, rows: int) -> B:
        """Buffers for batches of so many rows."""

    @abstractmethod
    def _update_critic(
        self, batch: Batch, buffers: B, generator: torch.Generator | None
    ) -> dict[str, float]:
        """The critics' step and their targets'; their losses."""

    @abstractmethod
    def _update_actor(
        self, batch: Batch, buffers: B, generator: torch.Generator | None
    ) -> dict[str, float]:
        """The actor's step, and the temperature's; their losses."""

    def _prepare(self, batch: Batch) -> B:
        rows = int(batch.observations.shape[0])
        if rows not in self._buffers:
            self._buffers[rows] = self._allocate(rows)
        self._buffers[rows].columns.load(batch)
        return self._buffers[rows]

    def _allocate_shared(self, rows: int, actor_blocks: tuple[int, ...]) -> dict[str, Any]:
        """The fields of :class:`Buffers`; the actor is trained on the first block."""
        size, width, heads = self._size, self._width, len(self._head_bias)
        actor, critic, nets = self._actor, self._critic, len(self._critic_head[1])
        return {
            "columns": BatchColumns(rows, width),
            "actor": Tower(actor.stack, actor.gradients, size, 0, actor_blocks, rows),
            "critic": Tower(critic.stack, critic.gradients, size, width, (rows,)),
            "target": Tower(self._target.stack, None, size, width, (rows,)),
            "head": np.zeros((sum(actor_blocks), heads), np.float32),
            "head_gradient": np.zeros((rows, heads), np.float32),
            "values": np.zeros((nets, rows), np.float32),
            "value_gradient": np.zeros((nets, rows), np.float32),
            "target_values": np.zeros((nets, rows), np.float32),
            "returns": np.zeros(rows, np.float32),
        }

    def _evaluate_critics(self, batch: Batch, buffers: B, actions: Array) -> None:
        """The critics' values at the batch's observations and ``actions``."""
        buffers.critic.forward((batch.observations,), actions)
        hidden = buffers.critic.output_array
        dense_kernels.head_values(hidden, *self._critic_head, buffers.values)

    def _fit_critics(self, batch: Batch, buffers: B) -> float:
        """The critics' gradients towards the returns; Σ_e mean (Q − y)²."""
        actions, critic = buffers.columns.actions, buffers.critic
        self._evaluate_critics(batch, buffers, actions)
        loss = policy_kernels.td_gradient(buffers.values, buffers.returns, buffers.value_gradient)
        dense_kernels.head_backward(
            critic.output_array,
            self._critic_head[0],
            buffers.value_gradient,
            critic.delta_array,
            *self._critic_head_gradient,
        )
        critic.backward(batch.observations, actions)
        return float(loss)

    def _forward_actor(self, buffers: B, *observations: torch.Tensor) -> None:
        """The actor's outputs at blocks of observations."""
        buffers.actor.forward(observations)
        dense_kernels.head_rows(buffers.actor.output_array[0], self._head, buffers.head)

    def _backward_actor(self, batch: Batch, buffers: B) -> None:
        """The actor's step from the gradient of its outputs; that of their biases is made."""
        actor = buffers.actor
        dense_kernels.head_rows_backward(
            actor.output_array[0],
            self._head,
            buffers.head_gradient,
            actor.delta_array[0],
            self._head_gradient,
        )
        actor.backward(batch.observations)
        self._actor_adam.step()
