"""Sampling, targets and losses of the actor-critic updates, one pass over the batch each.

Axes: B rows, A action components, E critics. A head row [2A] holds the means, then the raw log
standard deviations, before their biases. Losses are returned as float64 sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel

__all__ = [
    "actor_gradient",
    "behaviour_gradient",
    "squashed_mean",
    "squashed_sample",
    "td_gradient",
    "td_target",
]

Array = NDArray[np.float32]
ZERO = np.float32(0.0)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
LOG_2 = np.float32(0.6931471805599453)
HALF = np.float32(0.5)
HALF_LOG_2PI = np.float32(0.9189385332046727)


@kernel
def squashed_sample(
    head: Array, bias: Array, low: Any, high: Any, noise: Array, actions: Array, log_prob: Array
) -> Any:
    """a = tanh(μ + σε) and its log density (Haarnoja et al. 2018, appendix C); its mean.

    head [B, 2A], bias [2A], noise and actions [B, A], log_prob [B]; low and high clip log σ.
    The Jacobian is 2(log 2 − u − softplus(−2u)), which does not cancel at saturation.
    """
    rows, width = noise.shape
    whole = 0.0
    for b in range(rows):
        total = ZERO
        for k in range(width):
            scale = min(max(head[b, width + k] + bias[width + k], low), high)
            e = noise[b, k]
            raw = head[b, k] + bias[k] + np.exp(scale) * e
            actions[b, k] = np.tanh(raw)
            x = -TWO * raw
            soft = max(x, ZERO) + np.log1p(np.exp(-abs(x)))
            total += -HALF * e * e - scale - HALF_LOG_2PI - TWO * (LOG_2 - raw - soft)
        log_prob[b] = total
        whole += np.float64(total)
    return whole / rows


@kernel
def squashed_mean(head: Array, bias: Array, actions: Array) -> None:
    """a = tanh(μ): the deterministic actions [B, A]."""
    rows, width = actions.shape
    for b in range(rows):
        for k in range(width):
            actions[b, k] = np.tanh(head[b, k] + bias[k])


@kernel
def actor_gradient(
    head: Array,
    bias: Array,
    low: Any,
    high: Any,
    noise: Array,
    actions: Array,
    action_gradient: Array,
    temperature: Any,
    out: Array,
    out_bias: Array,
) -> None:
    """Gradient [B, 2A] of mean(temperature·log π(a|s)) + (what action_gradient is of), a = tanh(·).

    With u = μ + σε: ∂log π/∂u = 2 tanh u, ∂log π/∂log σ = −1 + 2 tanh u · σε.
    """
    rows, width = noise.shape
    share = temperature / np.float32(rows)
    for k in range(2 * width):
        out_bias[k] = ZERO
    for b in range(rows):
        for k in range(width):
            a = actions[b, k]
            plain = head[b, width + k] + bias[width + k]
            inside = low <= plain <= high
            spread = np.exp(min(max(plain, low), high)) * noise[b, k]
            d = action_gradient[b, k] * (ONE - a * a) + share * TWO * a
            out[b, k] = d
            out[b, width + k] = d * spread - share if inside else ZERO
            out_bias[k] += d
            out_bias[width + k] += out[b, width + k]


@kernel
def behaviour_gradient(
    head: Array, bias: Array, data: Array, strength: Any, out: Array, out_bias: Array
) -> Any:
    """mean_b ‖tanh μ − a‖² to the data's actions [B, A]; strength times its gradient is added.

    head [B or more, 2A] and bias [2A] as above; out [B, 2A] and out_bias [2A] get the gradient.
    """
    rows, width = data.shape
    share = TWO * strength / np.float32(rows)
    total = 0.0
    for b in range(rows):
        for k in range(width):
            mean = np.tanh(head[b, k] + bias[k])
            gap = mean - data[b, k]
            d = share * gap * (ONE - mean * mean)
            out[b, k] += d
            out_bias[k] += d
            total += np.float64(gap * gap)
    return total / rows


@kernel
def td_target(
    values: Array,
    log_prob: Array,
    temperature: Any,
    rewards: Array,
    terminals: Array,
    intervals: Array,
    gamma: Any,
    out: Array,
) -> None:
    """y = r + γⁿ(1 − terminal)(min_e Q_e − temperature·log π), values [E, B], the rest [B]."""
    nets, rows = values.shape
    for b in range(rows):
        least = values[0, b]
        for e in range(1, nets):
            least = min(least, values[e, b])
        discount = gamma if intervals[b] == ONE else gamma ** intervals[b]
        future = least - temperature * log_prob[b]
        out[b] = rewards[b] + discount * future * (ONE - terminals[b])


@kernel
def td_gradient(values: Array, target: Array, out: Array) -> Any:
    """Σ_e mean_b (Q − y)² and its gradient [E, B]."""
    nets, rows = values.shape
    share = TWO / np.float32(rows)
    total = 0.0
    for e in range(nets):
        for b in range(rows):
            error = values[e, b] - target[b]
            out[e, b] = share * error
            total += np.float64(error) * np.float64(error)
    return total / rows
