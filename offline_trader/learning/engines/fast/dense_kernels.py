"""Element-wise halves of a dense network's passes, fused; the matrix products are the caller's.

Axes: E networks side by side, B rows, H units, A action components. Arrays are C-contiguous
float32, and a hidden activation after its ReLU is its own mask: ``h > 0``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel

__all__ = [
    "action_relu",
    "action_relu_backward",
    "head_backward",
    "head_rows",
    "head_rows_backward",
    "head_values",
    "norm_backward",
    "norm_forward",
    "relu",
    "relu_backward",
    "repeat_rows",
    "sum_rows",
]

Array = NDArray[np.float32]
ZERO = np.float32(0.0)
ONE = np.float32(1.0)


@kernel
def relu(pre: Array, bias: Array) -> None:
    """``max(pre + bias, 0)`` in place; pre [E, B, H], bias [E, H]. NaN stays NaN."""
    nets, rows, units = pre.shape
    for e in range(nets):
        for b in range(rows):
            for j in range(units):
                x = pre[e, b, j] + bias[e, j]
                pre[e, b, j] = ZERO if x < ZERO else x


@kernel
def action_relu(pre: Array, bias: Array, weight: Array, actions: Array) -> None:
    """``max(pre + bias + actions · weight, 0)`` in place.

    pre [E, B, H] holds the observation's share, weight [E, A, H], actions [B, A].
    """
    nets, rows, units = pre.shape
    width = actions.shape[1]
    for e in range(nets):
        for b in range(rows):
            for k in range(1, width):
                a = actions[b, k]
                for j in range(units):
                    pre[e, b, j] += a * weight[e, k, j]
            a = actions[b, 0]
            for j in range(units):
                x = pre[e, b, j] + bias[e, j] + a * weight[e, 0, j]
                pre[e, b, j] = ZERO if x < ZERO else x


@kernel
def relu_backward(gradient: Array, hidden: Array, bias_gradient: Array) -> None:
    """Gradient [E, B, H] masked in place by the ReLU; its column sums into bias_gradient."""
    nets, rows, units = gradient.shape
    for e in range(nets):
        for j in range(units):
            bias_gradient[e, j] = ZERO
        for b in range(rows):
            for j in range(units):
                d = gradient[e, b, j]
                d = d if hidden[e, b, j] > ZERO else ZERO
                gradient[e, b, j] = d
                bias_gradient[e, j] += d


@kernel
def action_relu_backward(
    gradient: Array, hidden: Array, actions: Array, bias_gradient: Array, weight_gradient: Array
) -> None:
    """:func:`relu_backward`, and the action columns' gradient into weight_gradient [E, A, H]."""
    nets, rows, units = gradient.shape
    width = actions.shape[1]
    for e in range(nets):
        for j in range(units):
            bias_gradient[e, j] = ZERO
        for k in range(width):
            for j in range(units):
                weight_gradient[e, k, j] = ZERO
        for b in range(rows):
            a = actions[b, 0]
            for j in range(units):
                d = gradient[e, b, j]
                d = d if hidden[e, b, j] > ZERO else ZERO
                gradient[e, b, j] = d
                bias_gradient[e, j] += d
                weight_gradient[e, 0, j] += a * d
            for k in range(1, width):
                a = actions[b, k]
                for j in range(units):
                    weight_gradient[e, k, j] += a * gradient[e, b, j]


@kernel
def head_values(hidden: Array, weight: Array, bias: Array, values: Array) -> None:
    """Scalar head: values [E, B] = hidden [E, B, H] · weight [E, H] + bias [E]."""
    nets, rows, units = hidden.shape
    for e in range(nets):
        for b in range(rows):
            total = ZERO
            for j in range(units):
                total += hidden[e, b, j] * weight[e, j]
            values[e, b] = total + bias[e]


@kernel
def head_backward(
    hidden: Array,
    weight: Array,
    value_gradient: Array,
    gradient: Array,
    weight_gradient: Array,
    bias_gradient: Array,
) -> None:
    """Backward of :func:`head_values`: gradient [E, B, H] of the hidden units and of the head."""
    nets, rows, units = hidden.shape
    for e in range(nets):
        bias_gradient[e] = ZERO
        for j in range(units):
            weight_gradient[e, j] = ZERO
        for b in range(rows):
            g = value_gradient[e, b]
            bias_gradient[e] += g
            for j in range(units):
                gradient[e, b, j] = g * weight[e, j]
                weight_gradient[e, j] += g * hidden[e, b, j]


@kernel
def head_rows(hidden: Array, weight: Array, out: Array) -> None:
    """Heads of one network: out [B, D] = hidden [B, H] · weightᵀ [D, H], without their biases."""
    rows, units = hidden.shape
    for b in range(rows):
        for k in range(weight.shape[0]):
            total = ZERO
            for j in range(units):
                total += hidden[b, j] * weight[k, j]
            out[b, k] = total


@kernel
def head_rows_backward(
    hidden: Array, weight: Array, out_gradient: Array, gradient: Array, weight_gradient: Array
) -> None:
    """Backward of :func:`head_rows`, for the first rows: as many as out_gradient [B, D] has."""
    rows, heads = out_gradient.shape
    units = hidden.shape[1]
    for k in range(heads):
        for j in range(units):
            weight_gradient[k, j] = ZERO
    for b in range(rows):
        for j in range(units):
            gradient[b, j] = ZERO
        for k in range(heads):
            g = out_gradient[b, k]
            for j in range(units):
                gradient[b, j] += g * weight[k, j]
                weight_gradient[k, j] += g * hidden[b, j]


@kernel
def repeat_rows(share: Array, fan: int, out: Array) -> None:
    """Every row of share [E, B, H] ``fan`` times into out [E, B·fan, H]."""
    nets, rows, units = share.shape
    for e in range(nets):
        for b in range(rows):
            for k in range(fan):
                for j in range(units):
                    out[e, b * fan + k, j] = share[e, b, j]


@kernel
def sum_rows(gradient: Array, fan: int, out: Array) -> None:
    """Backward of :func:`repeat_rows`: sums over every ``fan`` rows, into out [E, B, H]."""
    nets, rows, units = out.shape
    for e in range(nets):
        for b in range(rows):
            for j in range(units):
                out[e, b, j] = gradient[e, b * fan, j]
            for k in range(1, fan):
                for j in range(units):
                    out[e, b, j] += gradient[e, b * fan + k, j]


@kernel
def norm_forward(
    hidden: Array, gain: Array, shift: Array, epsilon: Any, out: Array, scale: Array
) -> None:
    """Layer norm over H: out = (hidden − mean)/√(var + ε)·gain + shift; scale [E, B] = 1/√(·)."""
    nets, rows, units = hidden.shape
    count = np.float32(units)
    for e in range(nets):
        for b in range(rows):
            total = ZERO
            for j in range(units):
                total += hidden[e, b, j]
            mean = total / count
            square = ZERO
            for j in range(units):
                d = hidden[e, b, j] - mean
                square += d * d
            inverse = ONE / np.sqrt(square / count + epsilon)
            scale[e, b] = inverse
            for j in range(units):
                out[e, b, j] = (hidden[e, b, j] - mean) * inverse * gain[e, j] + shift[e, j]


@kernel
def norm_backward(
    gradient: Array,
    hidden: Array,
    gain: Array,
    scale: Array,
    gain_gradient: Array,
    shift_gradient: Array,
) -> None:
    """Backward of :func:`norm_forward`: gradient [E, B, H] in place, and the parameters'."""
    nets, rows, units = gradient.shape
    count = np.float32(units)
    for e in range(nets):
        for j in range(units):
            gain_gradient[e, j] = ZERO
            shift_gradient[e, j] = ZERO
        for b in range(rows):
            total = ZERO
            for j in range(units):
                total += hidden[e, b, j]
            mean = total / count
            inverse = scale[e, b]
            first = ZERO
            second = ZERO
            for j in range(units):
                d = gradient[e, b, j]
                normal = (hidden[e, b, j] - mean) * inverse
                gain_gradient[e, j] += d * normal
                shift_gradient[e, j] += d
                first += d * gain[e, j]
                second += d * gain[e, j] * normal
            first /= count
            second /= count
            for j in range(units):
                normal = (hidden[e, b, j] - mean) * inverse
                d = gradient[e, b, j] * gain[e, j]
                gradient[e, b, j] = inverse * (d - first - normal * second)
