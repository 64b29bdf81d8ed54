"""Whole passes of E dense ReLU networks, one compiled call each.

Axes: E networks, B rows, O observation, A action components, I inputs, H units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel
from offline_trader.learning.engines.fast.products import product, put, transpose

__all__ = ["Layers", "backward_pass", "forward_pass", "gathered_product"]

Array = NDArray[np.float32]
ZERO = np.float32(0.0)
_BLOCK = 64  # rows that go through all layers before the next ones: they stay in the cache


class Layers(NamedTuple):
    """Hidden layers' weights [E, H, I] and biases [E, H], or their gradients.

    The first layer's inputs are the observation, then the action.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]


@kernel
def _bias_relu(hidden: Array, bias: Array, weight: Array, actions: Array) -> None:
    """``max(hidden + bias + actions · weight, 0)`` in place; weight [A, H]. NaN stays NaN."""
    rows, units = hidden.shape
    width = actions.shape[1]
    for b in range(rows):
        for k in range(1, width):
            a = actions[b, k]
            for j in range(units):
                hidden[b, j] += a * weight[k, j]
        if width > 0:
            a = actions[b, 0]
            for j in range(units):
                x = hidden[b, j] + bias[j] + a * weight[0, j]
                hidden[b, j] = ZERO if x < ZERO else x
        else:
            for j in range(units):
                x = hidden[b, j] + bias[j]
                hidden[b, j] = ZERO if x < ZERO else x


@kernel
def forward_pass(
    layers: Any,
    turned: Any,
    hidden: Any,
    observations: Array,
    actions: Array,
    start: int,
    action_weight: Array,
) -> None:
    """Fill the rows of ``hidden`` ([E, rows, H] a layer) from ``start`` on.

    turned: room for the weights' transposes [E, I, H], made anew when start is 0; action_weight
    [E, A, H] gets the first layer's. observations [B, O], actions [B, A], A may be 0.
    """
    nets = layers.biases[0].shape[0]
    rows, size = observations.shape
    if start == 0:
        for layer in range(len(layers.weights)):
            for e in range(nets):
                transpose(layers.weights[layer][e], turned[layer][e])
    for e in range(nets):
        put(turned[0][e, size:], action_weight[e])
        for first in range(0, rows, _BLOCK):
            last = min(first + _BLOCK, rows)
            for layer in range(len(layers.weights)):
                turn, bias = turned[layer][e], layers.biases[layer][e]
                out = hidden[layer][e, start + first : start + last]
                if layer == 0:
                    product(observations[first:last], turn[:size], out)
                    _bias_relu(out, bias, turn[size:], actions[first:last])
                else:
                    below = hidden[layer - 1][e, start + first : start + last]
                    product(below, turn, out)
                    _bias_relu(out, bias, turn[:0], actions[:0, :0])


@kernel
def _mask(gradient: Array, hidden: Array) -> None:
    rows, units = gradient.shape
    for b in range(rows):
        for j in range(units):
            d = gradient[b, j]
            gradient[b, j] = d if hidden[b, j] > ZERO else ZERO


@kernel
def backward_pass(
    layers: Any,
    gradients: Any,
    hidden: Any,
    deltas: Any,
    observations: Array,
    factors: Array,
    sums: Array,
) -> None:
    """Gradients of the layers from the last of ``deltas`` ([E, B, H] a layer), which are used up.

    observations [B, O]; factors [1 + A, B] are ones, then the actions: the rows' weights in the
    sums over the batch; sums [1 + A, largest H] is room for those.
    """
    rows, size = observations.shape
    for layer in range(len(deltas) - 1, -1, -1):
        weights, weight_gradients = layers.weights[layer], gradients.weights[layer]
        biases, masks, tops = gradients.biases[layer], hidden[layer], deltas[layer]
        below, downs = hidden[max(layer - 1, 0)], deltas[max(layer - 1, 0)]
        count = factors.shape[0] if layer == 0 else 1
        for e in range(tops.shape[0]):
            delta, weight = tops[e], weight_gradients[e]
            _mask(delta, masks[e, :rows])
            total = sums[:count, : delta.shape[1]]
            product(factors[:count], delta, total)
            for j in range(delta.shape[1]):
                biases[e, j] = total[0, j]
            if layer == 0:
                product(delta.T, observations, weight[:, :size])
                for k in range(1, count):
                    for j in range(delta.shape[1]):
                        weight[j, size + k - 1] = total[k, j]
            else:
                product(delta.T, below[e, :rows], weight)
                product(delta, weights[e], downs[e])


@kernel
def gathered_product(upper: Array, weights: Array, lower: Array, counts: NDArray[np.int32]) -> None:
    """lower [E, B, I] = upper [E, B, H] · weights [E, H, I] for the first ``counts`` [E] rows."""
    for e in range(weights.shape[0]):
        product(upper[e, : counts[e]], weights[e], lower[e, : counts[e]])
