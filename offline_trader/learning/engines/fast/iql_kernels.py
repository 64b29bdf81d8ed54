"""Expectile and advantage-weighted losses of implicit Q-learning (Kostrikov et al. 2022)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel

__all__ = ["expectile_gradient", "weighted_log_prob"]

Array = NDArray[np.float32]
ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
HALF_LOG_2PI = np.float32(0.9189385332046727)


@kernel
def expectile_gradient(values: Array, state_values: Array, expectile: Any, out: Array) -> Any:
    """mean_b |τ − 1[u < 0]|·u², u = min_e Q − V (eq. 5), and its gradient [B] by V.

    values [E, B] of the target critics, state_values [B].
    """
    nets, rows = values.shape
    total = 0.0
    for b in range(rows):
        least = values[0, b]
        for e in range(1, nets):
            least = min(least, values[e, b])
        u = least - state_values[b]
        weight = abs(expectile - ONE) if u < ZERO else expectile
        out[b] = -TWO * weight * u / np.float32(rows)
        total += np.float64(weight * u * u)
    return total / rows


@kernel
def weighted_log_prob(
    head: Array,
    bias: Array,
    spread: Array,
    low: Any,
    high: Any,
    actions: Array,
    values: Array,
    state_values: Array,
    inverse_temperature: Any,
    largest: Any,
    out: Array,
    out_bias: Array,
    out_spread: Array,
) -> Any:
    """−mean_b min(exp(β(min_e Q − V)), largest)·log π(a|s) (eq. 7), and its gradients.

    head [B, A] the means before tanh and their bias [A]; log σ = low + (high − low)·sigmoid(spread
    [A]); the density is the normal one around tanh(mean). out [B, A], out_bias and out_spread [A].
    """
    rows, width = actions.shape
    nets = values.shape[0]
    log_scale, slope = np.empty(width, np.float32), np.empty(width, np.float32)
    for k in range(width):
        s = ONE / (ONE + np.exp(-spread[k]))
        log_scale[k] = low + s * (high - low)
        slope[k] = s * (ONE - s) * (high - low)
        out_bias[k] = out_spread[k] = ZERO
    total = 0.0
    for b in range(rows):
        least = values[0, b]
        for e in range(1, nets):
            least = min(least, values[e, b])
        advantage = inverse_temperature * (least - state_values[b])
        weight = min(np.exp(advantage), largest)
        log_prob = ZERO
        for k in range(width):
            mean = np.tanh(head[b, k] + bias[k])
            precision = np.exp(-log_scale[k])
            z = (actions[b, k] - mean) * precision
            log_prob -= HALF * z * z + log_scale[k] + HALF_LOG_2PI
            share = weight / np.float32(rows)
            d = -share * z * precision * (ONE - mean * mean)
            out[b, k] = d
            out_bias[k] += d
            out_spread[k] -= share * (z * z - ONE) * slope[k]
        total -= np.float64(weight * log_prob)
    return total / rows
