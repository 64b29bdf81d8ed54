"""Curiosity's models on a CPU: errors, and the gradient, each in one compiled call.

Networks of this size take longer to call than to compute. Axes: B rows, S numbers that are seen of
a state, A action components, H hidden units, Z features. Each network is ``Linear → ReLU →
Linear``, given as its weight [H, in], bias [H], weight [out, H] and bias [out].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel
from offline_trader.learning.engines.fast.products import product, put, transpose

__all__ = ["Network", "prediction_errors", "slopes"]

Array = NDArray[np.float32]
Network = tuple[Array, Array, Array, Array]
ZERO = np.float32(0.0)
HALF = np.float32(0.5)


@kernel
def _layers(x: Array, network: Network, hidden: Array, out: Array) -> None:
    """Hidden layer [B, H] and output [B, out] of a network for x [B, in]."""
    first, bias, second, last = network
    turned = np.empty((first.shape[1], first.shape[0]), np.float32)
    transpose(first, turned)
    product(x, turned, hidden)
    for b in range(hidden.shape[0]):
        for j in range(hidden.shape[1]):
            value = hidden[b, j] + bias[j]
            hidden[b, j] = ZERO if value < ZERO else value
    turned = np.empty((second.shape[1], second.shape[0]), np.float32)
    transpose(second, turned)
    product(hidden, turned, out)
    for b in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[b, j] += last[j]


@kernel
def _back(
    x: Array, hidden: Array, delta: Array, weight: Array, slope: Network, below: Array
) -> None:
    """Slopes of a network with the second ``weight`` from that of its output, delta [B, out]; that
    of its hidden layer into below [B, H]."""
    to_w, to_b, to_v, to_c = slope
    product(delta.T, hidden, to_v)
    product(delta, weight, below)
    to_c[:] = ZERO
    for b in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            to_c[j] += delta[b, j]
    to_b[:] = ZERO
    for b in range(below.shape[0]):
        for j in range(below.shape[1]):
            value = below[b, j] if hidden[b, j] > ZERO else ZERO
            below[b, j] = value
            to_b[j] += value
    product(below.T, x, to_w)


@kernel
def _beside(left: Array, right: Array, out: Array) -> None:
    """left [B, m] and right [B, n] side by side in out [B, m + n]."""
    width = left.shape[1]
    for b in range(left.shape[0]):
        for j in range(width):
            out[b, j] = left[b, j]
        for j in range(right.shape[1]):
            out[b, width + j] = right[b, j]


@kernel
def prediction_errors(
    state: Array, after: Array, actions: Array, encoder: Network, dynamics: Network, errors: Array
) -> tuple[float, float]:
    """``½‖φ̂(s') − φ(s')‖²`` into errors [B]; their mean, and the sum of squares around it."""
    rows, units, size = len(errors), encoder[0].shape[0], encoder[2].shape[0]
    hidden = np.empty((rows, units), np.float32)
    code, following = np.empty((rows, size), np.float32), np.empty((rows, size), np.float32)
    given = np.empty((rows, size + actions.shape[1]), np.float32)
    _layers(after, encoder, hidden, following)
    _layers(state, encoder, hidden, code)
    _beside(code, actions, given)
    _layers(given, dynamics, hidden, code)
    total = 0.0
    for b in range(rows):
        error = ZERO
        for j in range(size):
            gap = code[b, j] - following[b, j]
            error += gap * gap
        errors[b] = HALF * error
        total += float(errors[b])
    mean, squares = total / rows, 0.0
    for b in range(rows):
        squares += (float(errors[b]) - mean) ** 2
    return mean, squares


@kernel
def slopes(
    state: Array, after: Array, actions: Array, networks: tuple[Network, Network, Network],
    into: tuple[Network, Network, Network], beta: float,
) -> tuple[float, float]:  # fmt: skip
    """The gradient of ``(1 − β) · L_inv + β · L_fwd`` into ``into``; the two losses.

    φ is held constant in L_fwd, so the encoder learns by the inverse model alone.

    Args:
        state: [B, S].
        after: [B, S].
        actions: [B, A].
        networks: encoder, inverse and forward model.
        into: the like-shaped parts of the gradient.
        beta: β.
    """
    encoder, inverse, dynamics = networks
    rows, width = actions.shape
    units, size = encoder[0].shape[0], encoder[2].shape[0]
    pair = np.empty((2 * rows, state.shape[1]), np.float32)
    put(state, pair[:rows])
    put(after, pair[rows:])
    seen, code = np.empty((2 * rows, units), np.float32), np.empty((2 * rows, size), np.float32)
    _layers(pair, encoder, seen, code)
    hidden, below = np.empty((rows, units), np.float32), np.empty((rows, units), np.float32)
    given, told = np.empty((rows, size + width), np.float32), np.empty((rows, size), np.float32)
    _beside(code[:rows], actions, given)
    _layers(given, dynamics, hidden, told)
    forward, scale = 0.0, np.float32(beta / rows)
    for b in range(rows):
        for j in range(size):
            gap = told[b, j] - code[rows + b, j]
            forward += float(gap * gap)
            told[b, j] = gap * scale
    _back(given, hidden, told, dynamics[2], into[2], below)
    both, guess = np.empty((rows, 2 * size), np.float32), np.empty((rows, width), np.float32)
    _beside(code[:rows], code[rows:], both)
    _layers(both, inverse, hidden, guess)
    missed, scale = 0.0, np.float32(2.0 * (1.0 - beta) / rows)
    for b in range(rows):
        for j in range(width):
            gap = guess[b, j] - actions[b, j]
            missed += float(gap * gap)
            guess[b, j] = gap * scale
    _back(both, hidden, guess, inverse[2], into[1], below)
    product(below, inverse[0], both)
    put(both[:, :size], code[:rows])
    put(both[:, size:], code[rows:])
    further = np.empty((2 * rows, units), np.float32)
    _back(pair, seen, code, encoder[2], into[0], further)
    return missed / rows, 0.5 * forward / rows
