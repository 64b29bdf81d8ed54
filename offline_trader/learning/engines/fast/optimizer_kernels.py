"""One pass of Adam over all parameters of a group, the target network's average included."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel

__all__ = ["adam", "adam_with_target"]

Array = NDArray[np.float32]


@kernel
def adam(
    weights: Array, gradient: Array, first: Array, second: Array, constants: NDArray[np.float32]
) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1) in place over flat arrays [P].

    constants: step size lr/(1 − β₁ᵗ), 1 − β₁, β₂, 1 − β₂, 1/√(1 − β₂ᵗ), ε, L2 weight decay,
    factor 1 − lr·decoupled weight decay.
    """
    step, beta1, beta2, rest2, correction, epsilon, decay, keep = (
        constants[0], constants[1], constants[2], constants[3],
        constants[4], constants[5], constants[6], constants[7],
    )  # fmt: skip
    for i in range(weights.shape[0]):
        w = weights[i]
        g = gradient[i] + decay * w
        m = first[i] + beta1 * (g - first[i])
        v = beta2 * second[i] + rest2 * g * g
        first[i] = m
        second[i] = v
        weights[i] = keep * w - step * m / (np.sqrt(v) * correction + epsilon)


@kernel
def adam_with_target(
    weights: Array,
    gradient: Array,
    first: Array,
    second: Array,
    constants: NDArray[np.float32],
    target: Array,
    tau: Any,
) -> None:
    """:func:`adam`, then ``target ← (1 − tau)·target + tau·weights``."""
    step, beta1, beta2, rest2, correction, epsilon, decay, keep = (
        constants[0], constants[1], constants[2], constants[3],
        constants[4], constants[5], constants[6], constants[7],
    )  # fmt: skip
    for i in range(weights.shape[0]):
        w = weights[i]
        g = gradient[i] + decay * w
        m = first[i] + beta1 * (g - first[i])
        v = beta2 * second[i] + rest2 * g * g
        first[i] = m
        second[i] = v
        w = keep * w - step * m / (np.sqrt(v) * correction + epsilon)
        weights[i] = w
        target[i] += tau * (w - target[i])
