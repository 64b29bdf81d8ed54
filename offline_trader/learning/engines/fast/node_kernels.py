"""The actions at which a conservative critic is evaluated, with their weights, sorted or not.

Axes: B rows, K actions of an observation (the data's own is the last before sorting), A action
components, n samples of each kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel

__all__ = ["collect_nodes", "dense_losses", "policy_samples", "sort_nodes"]

Array = NDArray[np.float32]
ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
LOG_2 = np.float32(0.6931471805599453)
HALF_LOG_2PI = np.float32(0.9189385332046727)


@kernel
def policy_samples(
    head: Array, bias: Array, low: Any, high: Any, noise: Array, raw: Array, log_prob: Array
) -> None:
    """u = μ + σε before the squash, and log π without its softplus term.

    head [2B, 2A]: the policy's outputs at the observations, then at the next ones; noise and raw
    [2, n, B, A]; log_prob [2, n, B] still lacks Σ 2·softplus(−2u).
    """
    moments, samples, rows, width = noise.shape
    mean, spread = np.empty(width, np.float32), np.empty(width, np.float32)
    for t in range(moments):
        for b in range(rows):
            constant = ZERO
            for k in range(width):
                mean[k] = head[t * rows + b, k] + bias[k]
                scale = min(max(head[t * rows + b, width + k] + bias[width + k], low), high)
                spread[k] = np.exp(scale)
                constant -= scale + HALF_LOG_2PI + TWO * LOG_2
            for i in range(samples):
                total = constant
                for k in range(width):
                    x = noise[t, i, b, k]
                    u = mean[k] + spread[k] * x
                    raw[t, i, b, k] = u
                    total += TWO * u - HALF * x * x
                log_prob[t, i, b] = total


@kernel
def collect_nodes(
    squashed: Array,
    log_prob: Array,
    soft: Array,
    uniform: Array,
    data: Array,
    returns: Array,
    actions: Array,
    shifts: Array,
    floors: Array,
) -> None:
    """The 3n + 1 actions of stock CQL: the policy's at both observations, uniform ones, the data's.

    squashed and soft [2, n, B, A] (tanh u and softplus(−2u)), log_prob [2, n, B] from
    :func:`policy_samples`, uniform [B, n, A], data [B, A], returns [B] the floors of the policy's
    actions. Into actions [B, K, A], shifts and floors [B, K].
    """
    moments, samples, rows, width = squashed.shape
    uniform_shift = LOG_2 * np.float32(width)
    last = 3 * samples
    for b in range(rows):
        for t in range(moments):
            for i in range(samples):
                node = t * samples + i
                total = log_prob[t, i, b]
                for k in range(width):
                    actions[b, node, k] = squashed[t, i, b, k]
                    total += TWO * soft[t, i, b, k]
                shifts[b, node] = -total
                floors[b, node] = returns[b]
        for i in range(samples):
            node = moments * samples + i
            for k in range(width):
                actions[b, node, k] = uniform[b, i, k]
            shifts[b, node] = uniform_shift
            floors[b, node] = -np.float32(np.inf)
        for k in range(width):
            actions[b, last, k] = data[b, k]
        shifts[b, last] = -np.float32(np.inf)
        floors[b, last] = -np.float32(np.inf)


@kernel
def sort_nodes(
    actions: Array,
    shifts: Array,
    floors: Array,
    sorted_actions: Array,
    sorted_shifts: Array,
    sorted_floors: Array,
    data: NDArray[np.int32],
) -> None:
    """Nodes [B, K] by ascending action; data [B]: where the last went.

    An action's rank is the number of smaller ones; equal ones take the places that follow.
    """
    rows, count = actions.shape
    rank, row = np.empty(count, np.int32), np.empty(count, np.float32)
    taken = np.empty(count, np.int32)
    for b in range(rows):
        for k in range(count):
            rank[k] = taken[k] = 0
            row[k] = actions[b, k]
        for m in range(count):
            a = row[m]
            for k in range(count):
                rank[k] += np.int32(a < row[k])
        for k in range(count):
            r = rank[k]
            while taken[r] != 0:
                r += 1
            taken[r] = 1
            rank[k] = r
            sorted_actions[b, r] = row[k]
            sorted_shifts[b, r] = shifts[b, k]
            sorted_floors[b, r] = floors[b, k]
        data[b] = rank[count - 1]


@kernel
def dense_losses(
    values: Array,
    shifts: Array,
    floors: Array,
    target: Array,
    scale: Array,
    losses: NDArray[np.float64],
    gradient: Array,
) -> None:
    """TD error and conservative loss at values [E, B, K], the data's last, and their gradient.

    The formulas and ``losses`` are those of ``line_kernels.line_pass``.
    """
    nets, rows, count = values.shape
    last = count - 1
    for e in range(nets):
        losses[e, 0] = losses[e, 1] = 0.0
        for b in range(rows):
            top = -np.float32(np.inf)
            for k in range(last):
                top = max(top, max(values[e, b, k], floors[b, k]) + shifts[b, k])
            total = ZERO
            for k in range(last):
                x = np.exp(max(values[e, b, k], floors[b, k]) + shifts[b, k] - top)
                gradient[e, b, k] = x
                total += x
            for k in range(last):
                over = values[e, b, k] - floors[b, k]
                share = ONE if over > ZERO else (HALF if over == ZERO else ZERO)
                gradient[e, b, k] *= share * scale[e] / total
            error = values[e, b, last] - target[b]
            gradient[e, b, last] = TWO * error / np.float32(rows) - scale[e]
            losses[e, 0] += np.float64(error) * np.float64(error)
            losses[e, 1] += np.float64(top + np.log(total) - values[e, b, last])
        losses[e, 0] /= rows
        losses[e, 1] /= rows
