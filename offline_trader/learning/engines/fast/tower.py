"""Forward and backward passes of E equal networks over preallocated buffers.

Matrix products go to the BLAS behind torch, everything between them to the fused kernels. The
observation's and the action's share of the first layer are kept apart,
``W₁·[o; a] = W₁ₒ·o + W₁ₐ·a``, so that neither input is ever copied into the other's buffer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.engines.fast import chosen_kernels
from offline_trader.learning.engines.fast import dense_kernels as kernels
from offline_trader.learning.engines.fast.products import largest_product_layer
from offline_trader.learning.engines.fast.stacks import NetworkStack
from offline_trader.learning.engines.fast.tower_kernels import (
    Layers,
    backward_pass,
    forward_pass,
    gathered_product,
)

__all__ = ["Tower"]

Array = NDArray[np.float32]
Product = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


# Units of a layer up to which a second core is left alone: measured at 64 and 256, chosen between.
_ALONE = 128


class Tower:
    """Hidden layers of E networks for a fixed number of rows.

    Args:
        stack: the parameters.
        gradients: the views that :meth:`backward` writes, or None for a forward-only tower.
        observation_size: O.
        action_size: A, or 0 for networks of the observation alone.
        blocks: rows of each block of observations that :meth:`forward` gets.
        trained: leading rows that :meth:`backward` covers.

    Attributes:
        output_array: :attr:`output` as an array.
        delta_array: :attr:`delta` as an array.
    """

    def __init__(
        self,
        stack: NetworkStack,
        gradients: NetworkStack | None,
        observation_size: int,
        action_size: int,
        blocks: Sequence[int],
        trained: int | None = None,
    ) -> None:
        self._stack, self._gradients = stack, gradients
        self._normed = any(layer.gain is not None for layer in stack.layers)
        self._size, self._width = observation_size, action_size
        rows = sum(blocks)
        self._trained = rows if trained is None else trained
        self._allocate(rows)
        self._plan_forward(blocks)
        self._plan_backward()
        self._plan_passes(blocks)

    def _allocate(self, rows: int) -> None:
        nets = self._stack.layers[0].weight.shape[0]
        units = [layer.weight.shape[1] for layer in self._stack.layers]
        self._hidden = [torch.zeros(nets, rows, width) for width in units]
        self._outputs = [
            hidden if layer.gain is None else torch.zeros_like(hidden)
            for hidden, layer in zip(self._hidden, self._stack.layers, strict=True)
        ]
        self._scales = [np.zeros((nets, rows), np.float32) for _ in units]
        self._deltas = [torch.zeros(nets, self._trained, width) for width in units]
        self._delta_arrays = [delta.numpy() for delta in self._deltas]
        self._action_weight = torch.zeros(nets, max(self._width, 1), units[0])
        self._action_weight_array = self._action_weight.numpy()
        self._action_gradient = torch.zeros_like(self._action_weight)
        self._action_gradient_array = self._action_gradient.numpy()
        self.output_array: Array = self._outputs[-1].numpy()
        self.delta_array: Array = self._delta_arrays[-1]

    def _plan_passes(self, blocks: Sequence[int]) -> None:
        """Arguments of the compiled passes."""
        self._layer_arrays = _arrays(self._stack)
        self._gradient_arrays = None if self._gradients is None else _arrays(self._gradients)
        self._hidden_arrays = tuple(hidden.numpy() for hidden in self._hidden)
        self._turned = tuple(
            torch.zeros(nets, inputs, units).numpy()
            for nets, units, inputs in (layer.weight.shape for layer in self._stack.layers)
        )
        self._starts = [0, *itertools.accumulate(blocks)][:-1]
        self._no_actions = np.zeros((self._hidden[0].shape[1], 0), np.float32)
        self._factors = np.ones((1 + self._width, self._trained), np.float32)
        widest = max(array.shape[2] for array in self._hidden_arrays)
        self._sums = np.zeros((1 + self._width, widest), np.float32)

    def _compiled(self) -> bool:
        """Whether a pass is one compiled call; on several cores large products are shared out."""
        units = self._hidden_arrays[-1].shape[2]
        if self._normed or units > largest_product_layer():
            return False
        return units <= _ALONE or torch.get_num_threads() == 1

    def _plan_forward(self, blocks: Sequence[int]) -> None:
        nets = range(self._hidden[0].shape[0])
        first = self._stack.layers[0].weight
        starts = np.concatenate([[0], np.cumsum(blocks)])
        self._first: list[list[tuple[torch.Tensor, torch.Tensor]]] = [
            [(first[e, :, : self._size].t(), self._hidden[0][e, start:stop]) for e in nets]
            for start, stop in itertools.pairwise(starts)
        ]
        self._middle: list[list[Product]] = [
            [(self._outputs[i][e], layer.weight[e].t(), self._hidden[i + 1][e]) for e in nets]
            for i, layer in enumerate(self._stack.layers[1:])
        ]
        self._action_columns = first[:, :, self._size :].transpose(1, 2)
        self._layers = [
            (
                hidden.numpy(),
                layer.bias.numpy(),
                None if layer.gain is None else layer.gain.numpy(),
                None if layer.shift is None else layer.shift.numpy(),
                np.float32(layer.epsilon),
                output.numpy(),
                scale,
            )
            for hidden, layer, output, scale in zip(
                self._hidden, self._stack.layers, self._outputs, self._scales, strict=True
            )
        ]

    def _plan_backward(self) -> None:
        nets = range(self._hidden[0].shape[0])
        trained = self._trained
        self._down: list[list[Product]] = [
            [(self._deltas[i + 1][e], layer.weight[e], self._deltas[i][e]) for e in nets]
            for i, layer in enumerate(self._stack.layers[1:])
        ]
        assert len(nets) == 1 or trained == self._hidden[0].shape[1]
        self._trained_hidden = [hidden.numpy()[:, :trained] for hidden in self._hidden]
        self._trained_scales = [scale[:, :trained] for scale in self._scales]
        self._weight_products: list[list[Product]] = []
        self._first_products: list[tuple[torch.Tensor, torch.Tensor]] = []
        if self._gradients is None:
            return
        self._bias_gradients = [layer.bias.numpy() for layer in self._gradients.layers]
        for i, layer in enumerate(self._gradients.layers):
            if i == 0:
                self._first_products = [
                    (self._deltas[0][e].t(), layer.weight[e, :, : self._size]) for e in nets
                ]
                self._first_action_columns = layer.weight[:, :, self._size :].transpose(1, 2)
            else:
                self._weight_products.append(
                    [
                        (self._deltas[i][e].t(), self._outputs[i - 1][e, :trained], layer.weight[e])
                        for e in nets
                    ]
                )

    @property
    def output(self) -> torch.Tensor:
        """Last hidden layer's output [E, rows, H] of the latest forward pass."""
        return self._outputs[-1]

    @property
    def delta(self) -> torch.Tensor:
        """Where the caller puts the gradient [E, trained rows, H] of :attr:`output`."""
        return self._deltas[-1]

    def forward(self, observations: Sequence[torch.Tensor], actions: Array | None = None) -> None:
        """Fill :attr:`output` for the blocks of observations [rows of the block, O].

        actions: [rows, A], for networks of observation and action.
        """
        if self._compiled():
            given = self._no_actions if actions is None else actions
            for block, start in zip(observations, self._starts, strict=True):
                forward_pass(
                    self._layer_arrays,
                    self._turned,
                    self._hidden_arrays,
                    block.numpy(),
                    given[start : start + len(block)],
                    start,
                    self._action_weight_array,
                )
            return
        self._first_forward(observations)
        if actions is not None:
            self._action_weight.copy_(self._action_columns)
        for i, (hidden, bias, gain, shift, epsilon, output, scale) in enumerate(self._layers):
            if i:
                for left, right, out in self._middle[i - 1]:
                    torch.mm(left, right, out=out)
            if i or actions is None:
                kernels.relu(hidden, bias)
            else:
                kernels.action_relu(hidden, bias, self._action_weight_array, actions)
            if gain is not None and shift is not None:
                kernels.norm_forward(hidden, gain, shift, epsilon, output, scale)

    def _first_forward(self, observations: Sequence[torch.Tensor]) -> None:
        for block, products in zip(observations, self._first, strict=True):
            for weight, out in products:
                torch.mm(block, weight, out=out)

    def _first_backward(self, observations: torch.Tensor) -> None:
        for left, out in self._first_products:
            torch.mm(left, observations, out=out)

    def backward(self, observations: torch.Tensor, actions: Array | None = None) -> None:
        """Parameter gradients of the hidden layers from :attr:`delta`, which is used up.

        observations: the trained rows' [trained, O]; actions: theirs [trained, A].
        """
        assert self._gradients is not None
        if self._compiled():
            if actions is not None:
                self._factors[1:] = actions.T
            backward_pass(
                self._layer_arrays,
                self._gradient_arrays,
                self._hidden_arrays,
                tuple(self._delta_arrays),
                observations.numpy(),
                self._factors,
                self._sums,
            )
            return
        for i in range(len(self._deltas) - 1, -1, -1):
            bias, delta = self._bias_gradients[i], self._delta_arrays[i]
            self._norm_backward(i)
            hidden = self._trained_hidden[i]
            if i or actions is None:
                kernels.relu_backward(delta, hidden, bias)
            else:
                kernels.action_relu_backward(
                    delta, hidden, actions, bias, self._action_gradient_array
                )
            if i:
                for left, right, out in self._weight_products[i - 1]:
                    torch.mm(left, right, out=out)
                for left, right, out in self._down[i - 1]:
                    torch.mm(left, right, out=out)
        self._first_backward(observations)
        if actions is not None:
            self._first_action_columns.copy_(self._action_gradient)

    def backward_to_actions(
        self, order: NDArray[np.int32], counts: NDArray[np.int32], out: Array
    ) -> None:
        """Gradient [rows, A] of the actions, every row through the network that it is listed for.

        order and counts: see ``chosen_kernels``; :attr:`delta` holds the gathered rows, and is
        used up.
        """
        chosen = (order, counts)
        alone = self._compiled()
        sizes = [int(size) for size in counts]
        for i in range(len(self._deltas) - 1, -1, -1):
            delta, hidden = self._delta_arrays[i], self._trained_hidden[i]
            gain = self._layers[i][2]
            if gain is not None:
                scale = self._trained_scales[i]
                chosen_kernels.chosen_norm_backward(delta, hidden, gain, scale, *chosen)
            if i == 0:
                chosen_kernels.chosen_action_gradient(
                    delta, hidden, self._action_weight_array, *chosen, out
                )
                return
            chosen_kernels.chosen_relu_backward(delta, hidden, *chosen)
            if alone:
                weights, lower = self._layer_arrays.weights[i], self._delta_arrays[i - 1]
                gathered_product(delta, weights, lower, counts)
                continue
            for size, (left, right, product) in zip(sizes, self._down[i - 1], strict=True):
                torch.mm(left[:size], right, out=product[:size])

    def _norm_backward(self, i: int) -> None:
        gain = self._layers[i][2]
        if gain is None:
            return
        assert self._gradients is not None
        layer = self._gradients.layers[i]
        assert layer.gain is not None
        assert layer.shift is not None
        kernels.norm_backward(
            self._delta_arrays[i],
            self._trained_hidden[i],
            gain,
            self._trained_scales[i],
            layer.gain.numpy(),
            layer.shift.numpy(),
        )


def _arrays(stack: NetworkStack) -> Layers:
    return Layers(
        tuple(layer.weight.numpy() for layer in stack.layers),
        tuple(layer.bias.numpy() for layer in stack.layers),
    )
