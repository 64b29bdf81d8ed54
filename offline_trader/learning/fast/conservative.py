"""The critic pass over all sampled actions, in two ways: along the action axis, and densely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.fast import dense_kernels, line_kernels, node_kernels
from offline_trader.learning.fast.bindings import BoundStack
from offline_trader.learning.fast.fan import FanTower

__all__ = ["ConservativePass", "DensePass", "LinePass", "Nodes", "conservative_pass"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Nodes:
    """Actions at which the critics are evaluated: K an observation, the data's own the last.

    Attributes:
        actions: [B, K, A].
        shifts: [B, K], minus the log density that each was drawn with; −∞ for the data's.
        floors: [B, K], least value that counts (Cal-QL's returns), −∞ for none.
    """

    actions: Array
    shifts: Array
    floors: Array

    @staticmethod
    def empty(rows: int, count: int, width: int) -> Nodes:
        """Room for ``count`` actions of every row."""
        return Nodes(
            np.zeros((rows, count, width), np.float32),
            np.zeros((rows, count), np.float32),
            np.zeros((rows, count), np.float32),
        )


class ConservativePass(Protocol):
    """Losses and gradients of the critics at the nodes."""

    def __call__(
        self, observations: torch.Tensor, nodes: Nodes, target: Array, scale: Array
    ) -> NDArray[np.float64]:
        """TD error and mean (log-sum-exp − data value) [E, 2]; writes the critics' gradients.

        scale [E] is the weight of a row's conservative loss, target [B] the returns.
        """
        ...


def conservative_pass(
    critic: BoundStack, observation_size: int, rows: int, count: int, width: int
) -> ConservativePass:
    """The pass along the action axis where it applies, the dense one elsewhere."""
    layers = critic.stack.layers
    if width == 1 and len(layers) == 2 and layers[0].gain is None and layers[1].gain is None:
        return LinePass(critic, observation_size, rows, count)
    return DensePass(critic, observation_size, rows, count, width)


class LinePass:
    """Two hidden layers, one action component: see ``line_kernels``."""

    def __init__(self, critic: BoundStack, observation_size: int, rows: int, count: int) -> None:
        self._stack, self._gradients = critic.stack, critic.gradients
        self._size = observation_size
        first, second = critic.stack.layers
        nets, units, width = len(first.bias), first.bias.shape[1], second.bias.shape[1]
        self._z = torch.zeros(nets, rows, units)
        self._slope = torch.zeros(nets, units)
        self.flips = np.zeros((nets, rows, units), np.int16)
        self._start = torch.zeros(nets, 2 * rows, units)
        self._projected = torch.zeros(nets, 2 * rows, width)
        self._suffix = torch.zeros(nets, 2 * rows, width)
        self._start_gradient = torch.zeros(nets, 2 * rows, units)
        self._z_gradient = torch.zeros(nets, rows, units)
        self._unit_gradient = np.zeros((nets, rows, 2, units), np.float32)
        self._total_slope = torch.zeros(nets, units)
        self._transposed = torch.zeros(nets, units, width)
        self._transposed_gradient = torch.zeros(nets, units, width)
        self._losses = np.zeros((nets, 2), np.float64)
        self._sorted = [np.zeros((rows, count), np.float32) for _ in range(3)]
        self._data = np.zeros(rows, np.int32)

    def __call__(
        self, observations: torch.Tensor, nodes: Nodes, target: Array, scale: Array
    ) -> NDArray[np.float64]:
        node_kernels.sort_nodes(
            nodes.actions[:, :, 0], nodes.shifts, nodes.floors, *self._sorted, self._data
        )
        self._open(observations)
        stack, second = self._stack, self._gradients.layers[1]
        line_kernels.line_pass(
            self._z.numpy(),
            self._slope.numpy(),
            self.flips,
            self._by_moment(self._projected),
            self._transposed.numpy(),
            stack.layers[1].bias.numpy(),
            stack.head_weight[:, 0].numpy(),
            stack.head_bias[:, 0].numpy(),
            *self._sorted,
            self._data,
            target,
            scale,
            self._losses,
            self._by_moment(self._suffix),
            self._unit_gradient,
            self._transposed_gradient.numpy(),
            second.bias.numpy(),
            self._gradients.head_weight[:, 0].numpy(),
            self._gradients.head_bias[:, 0].numpy(),
        )
        self._close(observations)
        return self._losses

    def _open(self, observations: torch.Tensor) -> None:
        first, second = self._stack.layers
        self._slope.copy_(first.weight[:, :, self._size])
        self._transposed.copy_(second.weight.transpose(1, 2))
        for e, weight in enumerate(first.weight):
            torch.mm(observations, weight[:, : self._size].t(), out=self._z[e])
        line_kernels.line_open(
            self._z.numpy(),
            first.bias.numpy(),
            self._slope.numpy(),
            self._sorted[0],
            self.flips,
            self._by_moment(self._start),
        )
        for e, matrix in enumerate(self._transposed):
            torch.mm(self._start[e], matrix, out=self._projected[e])

    def _close(self, observations: torch.Tensor) -> None:
        first, second = self._gradients.layers
        for e, weight in enumerate(self._stack.layers[1].weight):
            torch.mm(self._suffix[e], weight, out=self._start_gradient[e])
            self._transposed_gradient[e].addmm_(self._start[e].t(), self._suffix[e])
        second.weight.copy_(self._transposed_gradient.transpose(1, 2))
        line_kernels.line_close(
            self.flips,
            self._by_moment(self._start_gradient),
            self._unit_gradient,
            self._z_gradient.numpy(),
            first.bias.numpy(),
            self._total_slope.numpy(),
        )
        for e, weight in enumerate(first.weight):
            torch.mm(self._z_gradient[e].t(), observations, out=weight[:, : self._size])
        first.weight[:, :, self._size].copy_(self._total_slope)

    @staticmethod
    def _by_moment(buffer: torch.Tensor) -> Array:
        """[E, 2B, ·] as [E, 2, B, ·]."""
        view: Array = buffer.view(buffer.shape[0], 2, -1, buffer.shape[2]).numpy()
        return view


class DensePass:
    """Any depth, action size and layer norm; the observation's share of the first layer once."""

    def __init__(
        self, critic: BoundStack, observation_size: int, rows: int, count: int, width: int
    ) -> None:
        self._tower = FanTower(
            critic.stack, critic.gradients, observation_size, width, (rows,), fan=count
        )
        nets = len(critic.stack.head_bias)
        self._head = critic.stack.head_weight[:, 0].numpy(), critic.stack.head_bias[:, 0].numpy()
        gradients = critic.gradients
        self._head_gradient = gradients.head_weight[:, 0].numpy(), gradients.head_bias[:, 0].numpy()
        self._values = np.zeros((nets, rows * count), np.float32)
        self._value_gradient = np.zeros((nets, rows * count), np.float32)
        self._shape = (nets, rows, count)
        self._losses = np.zeros((nets, 2), np.float64)

    def __call__(
        self, observations: torch.Tensor, nodes: Nodes, target: Array, scale: Array
    ) -> NDArray[np.float64]:
        actions = nodes.actions.reshape(-1, nodes.actions.shape[2])
        self._tower.forward((observations,), actions)
        hidden = self._tower.output.numpy()
        dense_kernels.head_values(hidden, *self._head, self._values)
        node_kernels.dense_losses(
            self._values.reshape(self._shape),
            nodes.shifts,
            nodes.floors,
            target,
            scale,
            self._losses,
            self._value_gradient.reshape(self._shape),
        )
        delta = self._tower.delta.numpy()
        dense_kernels.head_backward(
            hidden, self._head[0], self._value_gradient, delta, *self._head_gradient
        )
        self._tower.backward(observations, actions)
        return self._losses
