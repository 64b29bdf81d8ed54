"""The critic pass over all sampled actions, in two ways: along the action axis, and densely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.d3rlpy import BoundStack, scalar_head
from offline_trader.learning.engines.fast import dense_kernels, line_kernels, node_kernels
from offline_trader.learning.engines.fast.fan import FanTower
from offline_trader.learning.engines.fast.stacks import NetworkStack

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
    """Two hidden layers, one action component: see ``line_kernels``.

    Attributes:
        flipped: [E, B, K + 2], the last being how many units of the first layer flip.
    """

    def __init__(self, critic: BoundStack, observation_size: int, rows: int, count: int) -> None:
        self._stack, self._gradients = critic.stack, critic.gradients
        self._size = observation_size
        first, second = critic.stack.layers
        nets, units, width = len(first.bias), first.bias.shape[1], second.bias.shape[1]
        self._z = torch.zeros(nets, rows, units)
        self._z_gradient = torch.zeros(nets, rows, units)
        self._unit_gradient = np.zeros((nets, rows, 2, units), np.float32)
        self._slope, self._total_slope = torch.zeros(nets, units), torch.zeros(nets, units)
        self._signs = np.zeros((nets, rows, units), np.float32)
        self._order = np.zeros((nets, rows, units), np.int32)
        self.flipped = np.zeros((nets, rows, count + 2), np.int32)
        self._start, self._start_gradient = (torch.zeros(nets, 2 * rows, units) for _ in range(2))
        self._projected, self._suffix = (torch.zeros(nets, 2 * rows, width) for _ in range(2))
        self._transposed, self._transposed_gradient = (
            torch.zeros(nets, units, width) for _ in range(2)
        )
        self._losses = np.zeros((nets, 2), np.float64)
        self._sorted = [np.zeros((rows, count), np.float32) for _ in range(3)]
        self._data = np.zeros(rows, np.int32)
        self._plan()

    def _plan(self) -> None:
        """Views and argument lists, made once."""
        nets = range(len(self._z))
        (first, second), gradients = self._stack.layers, self._gradients
        observed = first.weight[:, :, : self._size]
        slopes, copies = first.weight[:, :, self._size], second.weight.transpose(1, 2)
        self._copies = [(self._slope, slopes), (self._transposed, copies)]
        self._first_products = [(observed[e].t(), self._z[e]) for e in nets]
        self._project = [(self._start[e], self._transposed[e], self._projected[e]) for e in nets]
        self._back = [(self._suffix[e], second.weight[e], self._start_gradient[e]) for e in nets]
        self._outer = [
            (self._transposed_gradient[e], self._start[e].t(), self._suffix[e]) for e in nets
        ]
        first_gradient, second_gradient = gradients.layers
        observed_gradient = first_gradient.weight[:, :, : self._size]
        self._first_gradients = [(self._z_gradient[e].t(), observed_gradient[e]) for e in nets]
        self._results = [
            (second_gradient.weight, self._transposed_gradient.transpose(1, 2)),
            (first_gradient.weight[:, :, self._size], self._total_slope),
        ]
        self._bind_kernels(gradients)

    def _bind_kernels(self, gradients: NetworkStack) -> None:
        """The kernels' arguments, made once."""
        first, second = self._stack.layers
        first_gradient, second_gradient = gradients.layers
        self._open_arguments = (
            self._z.numpy(),
            first.bias.numpy(),
            self._slope.numpy(),
            self._sorted[0],
            self._signs,
            self.flipped,
            self._order,
            _by_moment(self._start),
        )
        self._pass_arguments = (
            self._z.numpy(),
            self._slope.numpy(),
            self._signs,
            self.flipped,
            self._order,
            _by_moment(self._projected),
            self._transposed.numpy(),
            second.bias.numpy(),
            *scalar_head(self._stack),
            *self._sorted,
            self._data,
        )
        self._pass_results = (
            self._losses,
            _by_moment(self._suffix),
            self._unit_gradient,
            self._transposed_gradient.numpy(),
            second_gradient.bias.numpy(),
            *scalar_head(gradients),
        )
        self._close_arguments = (
            self._signs,
            _by_moment(self._start_gradient),
            self._unit_gradient,
            self._z_gradient.numpy(),
            first_gradient.bias.numpy(),
            self._total_slope.numpy(),
        )

    def __call__(
        self, observations: torch.Tensor, nodes: Nodes, target: Array, scale: Array
    ) -> NDArray[np.float64]:
        """See :class:`ConservativePass`."""
        node_kernels.sort_nodes(
            nodes.actions[:, :, 0], nodes.shifts, nodes.floors, *self._sorted, self._data
        )
        for out, view in self._copies:
            out.copy_(view)
        for matrix, out in self._first_products:
            torch.mm(observations, matrix, out=out)
        line_kernels.line_open(*self._open_arguments)
        for left, right, out in self._project:
            torch.mm(left, right, out=out)
        line_kernels.line_pass(*self._pass_arguments, target, scale, *self._pass_results)
        for left, right, out in self._back:
            torch.mm(left, right, out=out)
        for out, left, right in self._outer:
            out.addmm_(left, right)
        line_kernels.line_close(*self._close_arguments)
        for left, out in self._first_gradients:
            torch.mm(left, observations, out=out)
        for out, view in self._results:
            out.copy_(view)
        return self._losses


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
        self._head = scalar_head(critic.stack)
        self._head_gradient = scalar_head(critic.gradients)
        self._values = np.zeros((nets, rows * count), np.float32)
        self._value_gradient = np.zeros((nets, rows * count), np.float32)
        self._shape = (nets, rows, count)
        self._losses = np.zeros((nets, 2), np.float64)

    def __call__(
        self, observations: torch.Tensor, nodes: Nodes, target: Array, scale: Array
    ) -> NDArray[np.float64]:
        actions = nodes.actions.reshape(-1, nodes.actions.shape[2])
        self._tower.forward((observations,), actions)
        hidden = self._tower.output_array
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
        delta = self._tower.delta_array
        dense_kernels.head_backward(
            hidden, self._head[0], self._value_gradient, delta, *self._head_gradient
        )
        self._tower.backward(observations, actions)
        return self._losses
