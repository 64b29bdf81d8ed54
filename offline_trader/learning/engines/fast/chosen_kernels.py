"""The gradient of min_e Q_e by the actions: every row goes back through its least critic alone.

Rows are gathered by the critic that is least at them, so that E critics together cost the matrix
products of one. Axes as in ``dense_kernels``; ``order`` [E, B] lists each critic's rows, of which
it has ``counts`` [E], and row p of a gathered array belongs to row order[e, p] of the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel

__all__ = ["chosen_action_gradient", "chosen_norm_backward", "chosen_relu_backward", "least_value"]

Array = NDArray[np.float32]
Index = NDArray[np.int32]
ZERO = np.float32(0.0)
ONE = np.float32(1.0)


@kernel
def least_value(values: Array, weight: Array, order: Index, counts: Index, gradient: Array) -> Any:
    """mean_b min_e values[e, b]; the gradient of its negative by the last hidden layer, gathered.

    weight [E, H] of the heads, gradient [E, B, H].
    """
    nets, rows = values.shape
    units = weight.shape[1]
    share = -ONE / np.float32(rows)
    total = 0.0
    for e in range(nets):
        counts[e] = 0
    for b in range(rows):
        best = 0
        for e in range(1, nets):
            if values[e, b] < values[best, b]:
                best = e
        total += np.float64(values[best, b])
        order[best, counts[best]] = b
        counts[best] += 1
    for e in range(nets):
        for p in range(counts[e]):
            for j in range(units):
                gradient[e, p, j] = share * weight[e, j]
    return total / rows


@kernel
def chosen_relu_backward(gradient: Array, hidden: Array, order: Index, counts: Index) -> None:
    """Gathered gradient [E, B, H] masked in place by the ReLU."""
    units = hidden.shape[2]
    for e in range(hidden.shape[0]):
        for p in range(counts[e]):
            b = order[e, p]
            for j in range(units):
                d = gradient[e, p, j]
                gradient[e, p, j] = d if hidden[e, b, j] > ZERO else ZERO


@kernel
def chosen_norm_backward(
    gradient: Array, hidden: Array, gain: Array, scale: Array, order: Index, counts: Index
) -> None:
    """Gathered gradient [E, B, H] through a layer norm of hidden, in place."""
    units = hidden.shape[2]
    count = np.float32(units)
    for e in range(hidden.shape[0]):
        for p in range(counts[e]):
            b = order[e, p]
            total = ZERO
            for j in range(units):
                total += hidden[e, b, j]
            mean = total / count
            inverse = scale[e, b]
            first = ZERO
            second = ZERO
            for j in range(units):
                d = gradient[e, p, j] * gain[e, j]
                first += d
                second += d * (hidden[e, b, j] - mean) * inverse
            first /= count
            second /= count
            for j in range(units):
                normal = (hidden[e, b, j] - mean) * inverse
                d = gradient[e, p, j] * gain[e, j]
                gradient[e, p, j] = inverse * (d - first - normal * second)


@kernel
def chosen_action_gradient(
    gradient: Array, hidden: Array, weight: Array, order: Index, counts: Index, out: Array
) -> None:
    """Gradient [B, A] by the actions from the first layer's gathered one; weight [E, A, H]."""
    nets, width, units = weight.shape
    for e in range(nets):
        for p in range(counts[e]):
            b = order[e, p]
            for k in range(width):
                total = ZERO
                for j in range(units):
                    d = gradient[e, p, j] * weight[e, k, j]
                    total += d if hidden[e, b, j] > ZERO else ZERO
                out[b, k] = total
