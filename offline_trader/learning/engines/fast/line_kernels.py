"""A critic along the action axis: all sampled actions of an observation for the price of two.

For one observation the first layer is ``h₁(a) = relu(z + w·a)`` with one scalar a, so every unit
is on over one side of its kink ``−z/w``. Sort the K actions; then ``W₂·h₁(a_k) = C + S·a_k`` with
``C = W₂·(on ∘ z)`` and ``S = W₂·(on ∘ w)``, and from one action to the next C and S change only by
the units whose kink lies between: each unit once at most, over all K actions. What the dense way
computes by K matrix rows an observation takes two here, and a column of W₂ for every unit that
flips. The gradient goes the same way backward, on suffix sums over the actions. Nothing is
approximated; only the order of the sums differs.

Axes: E critics, B rows, K actions (sorted, ascending), I units of the first layer, H of the second.
``signs`` [E, B, I] is −1 for a unit that is on at the least action (and is taken away where it
flips), +1 for one that is off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel

__all__ = ["line_close", "line_open", "line_pass"]

Array = NDArray[np.float32]
ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)


@kernel
def line_open(
    pre: Array,
    bias: Array,
    slope: Array,
    actions: Array,
    signs: Array,
    first: NDArray[np.int32],
    order: NDArray[np.int32],
    start: Array,
) -> None:
    """Which units flip where, and the first layer split as (on ∘ z, on ∘ w) at the least action.

    pre [E, B, I] holds the observation's share and becomes z, the bias [E, I] added; slope [E, I]
    is w; the rest are results: signs [E, B, I] (see above), the flipping units order [E, B, I] by
    the action from which they are flipped, those of action k from first[k] to first[k + 1]
    (first [E, B, K + 2]), and start [E, 2, B, I]. A NaN counts as on, so it goes into the loss.
    """
    nets, rows, units = pre.shape
    count = actions.shape[1]
    found = np.empty(units + 1, np.int32)
    on, kink = np.empty(units, np.float32), np.empty(units, np.float32)
    side, place = np.empty(units, np.float32), np.empty(units, np.int32)
    for e in range(nets):
        for b in range(rows):
            low, high = actions[b, 0], actions[b, count - 1]
            for j in range(units):
                z, w = pre[e, b, j] + bias[e, j], slope[e, j]
                starts = not z + w * low <= ZERO
                pre[e, b, j] = z
                start[e, 0, b, j] = z if starts else ZERO
                start[e, 1, b, j] = w if starts else ZERO
                signs[e, b, j] = -ONE if starts else ONE
            # Only a unit that is on at one end and off at the other flips at all.
            size = 0
            for j in range(units):
                found[size] = j
                ends = not pre[e, b, j] + slope[e, j] * high <= ZERO
                size += int(ends != (signs[e, b, j] < ZERO))
            for p in range(size):
                kink[p], side[p] = pre[e, b, found[p]], slope[e, found[p]]
                on[p] = ZERO
            for k in range(count):
                a = actions[b, k]
                for p in range(size):
                    on[p] += ONE if kink[p] + side[p] * a > ZERO else ZERO
            for k in range(count + 2):
                first[e, b, k] = 0
            for p in range(size):
                k = int(on[p]) if signs[e, b, found[p]] < ZERO else count - int(on[p])
                place[p] = k + 1
                first[e, b, k + 2] += 1
            for k in range(1, count + 1):
                first[e, b, k + 1] += first[e, b, k]
            for p in range(size):
                order[e, b, first[e, b, place[p]]] = found[p]
                first[e, b, place[p]] += 1


@kernel
def _exponentials(x: Array, bits: NDArray[np.int32], powers: Array) -> None:
    """exp(x) in place for x ≤ 0, to float32 accuracy; bits and powers are one memory.

    x = n·log 2 + r with |r| ≤ ½ log 2; the Taylor polynomial of degree 6 in r, and 2ⁿ set as
    the exponent's bits. Values under −87 become exp(−87).
    """
    for k in range(x.shape[0]):
        v = np.float32(-87.0) if x[k] < np.float32(-87.0) else x[k]
        n = np.floor(v * np.float32(1.4426950408889634) + HALF)
        r = v - n * np.float32(0.693359375) + n * np.float32(2.1219444e-4)
        p = ONE + r * np.float32(1.0 / 6.0)
        p = ONE + r * np.float32(0.2) * p
        p = ONE + r * np.float32(0.25) * p
        p = ONE + r * np.float32(1.0 / 3.0) * p
        p = ONE + r * HALF * p
        x[k] = ONE + r * p
        bits[k] = (np.int32(n) + np.int32(127)) << np.int32(23)
    for k in range(x.shape[0]):
        x[k] *= powers[k]


@kernel
def _row_values(
    z: Array,
    slope: Array,
    signs: Array,
    first: NDArray[np.int32],
    order: NDArray[np.int32],
    transposed: Array,
    constant: Array,
    linear: Array,
    head: Array,
    actions: Array,
    pre: Array,
    values: Array,
) -> None:
    """One row forward, actions ascending: pre [K, H] of the second layer, values [K] unbiased."""
    width = head.shape[0]
    for k in range(actions.shape[0]):
        for p in range(first[k], first[k + 1]):
            j = order[p]
            zj, wj = signs[j] * z[j], signs[j] * slope[j]
            for i in range(width):
                x = transposed[j, i]
                constant[i] += zj * x
                linear[i] += wj * x
        a = actions[k]
        total = ZERO
        for i in range(width):
            x = constant[i] + linear[i] * a
            pre[k, i] = x
            total += head[i] * (ZERO if x < ZERO else x)
        values[k] = total


@kernel
def _row_losses(
    values: Array,
    shifts: Array,
    floors: Array,
    d: int,
    target: Any,
    scale: Any,
    rows: int,
    weights: Array,
    bits: NDArray[np.int32],
    powers: Array,
) -> Any:
    """Squared error and log-sum-exp minus data value of one row; their gradient into weights."""
    count, padded = values.shape[0], weights.shape[0]
    for k in range(count, padded):  # whole vectors: the compiled loops have no remainder
        weights[k] = -np.float32(np.inf)
    top = -np.float32(np.inf)
    for k in range(count):
        weights[k] = max(values[k], floors[k]) + shifts[k]
    for k in range(padded):
        top = max(top, weights[k])
    for k in range(padded):
        weights[k] -= top
    _exponentials(weights, bits, powers)
    weights[d] = ZERO
    for k in range(count, padded):
        weights[k] = ZERO
    total = ZERO
    for k in range(padded):
        total += weights[k]
    factor = scale / total
    for k in range(count):
        over = values[k] - floors[k]
        share = ONE if over > ZERO else (HALF if over == ZERO else ZERO)
        weights[k] *= share * factor
    error = values[d] - target
    weights[d] = TWO * error / np.float32(rows) - scale
    return error * error, top + np.log(total) - values[d]


@kernel
def _row_gradients(
    z: Array,
    slope: Array,
    signs: Array,
    first: NDArray[np.int32],
    order: NDArray[np.int32],
    transposed: Array,
    head: Array,
    actions: Array,
    pre: Array,
    weights: Array,
    level: Array,
    moment: Array,
    unit_gradient: Array,
    transposed_gradient: Array,
    head_gradient: Array,
    down: NDArray[np.int32],
) -> None:
    """One row backward, actions descending, on suffix sums: level [H] of the gradients of the
    second layer and moment [H] of their products with the action; unit_gradient [2, I].

    down is K − 1, ..., 0: with a plain descending range the compiler's check that arrays do not
    overlap, made for rising addresses, fails and leaves the loops scalar.
    """
    width = head.shape[0]
    level[:] = ZERO
    moment[:] = ZERO
    for step in range(actions.shape[0]):
        k = down[step]
        g, a = weights[k], actions[k]
        for i in range(width):
            x, y = pre[k, i], g * head[i]
            y = y if x > ZERO else ZERO
            level[i] += y
            moment[i] += y * a
        for i in range(width):
            x = pre[k, i]
            head_gradient[i] += g * (ZERO if x < ZERO else x)
        for p in range(first[k], first[k + 1]):
            j = order[p]
            zj, wj = signs[j] * z[j], signs[j] * slope[j]
            dz = ZERO
            dw = ZERO
            for i in range(width):
                x, u, v = transposed[j, i], level[i], moment[i]
                transposed_gradient[j, i] += zj * u + wj * v
                dz += x * u
                dw += x * v
            unit_gradient[0, j] = signs[j] * dz
            unit_gradient[1, j] = signs[j] * dw


@kernel
def line_pass(
    z: Array,
    slope: Array,
    signs: Array,
    first: NDArray[np.int32],
    order: NDArray[np.int32],
    start: Array,
    transposed: Array,
    bias: Array,
    head: Array,
    head_bias: Array,
    actions: Array,
    shifts: Array,
    floors: Array,
    data: NDArray[np.int32],
    target: Array,
    scale: Array,
    losses: NDArray[np.float64],
    suffix: Array,
    unit_gradient: Array,
    transposed_gradient: Array,
    bias_gradient: Array,
    head_gradient: Array,
    head_bias_gradient: Array,
) -> None:
    """Losses and gradients of critics that are conservative at the sampled actions.

    The loss, a critic: mean_b (Q(a_d) − y)² + scale·Σ_b (logΣ_k exp(max(Q_k, floor_k) + shift_k)
    − Q(a_d)), a_d the data's action, at position data[b] with shift −∞ (Kumar et al. 2020, eq. 4;
    the floors are Cal-QL's returns, Nakamoto et al. 2023, −∞ elsewhere).

    start [E, 2, B, H] is W₂ times :func:`line_open`'s start; transposed [E, I, H] is W₂ᵀ;
    losses [E, 2] the TD error and mean log-sum-exp minus data value; suffix [E, 2, B, H] the
    gradients of start; unit_gradient [E, B, 2, I] of z and w, the flips' share only, and so
    transposed_gradient [E, I, H].
    """
    nets, rows = z.shape[0], z.shape[1]
    width, count = bias.shape[1], actions.shape[1]
    padded = (count + 15) // 16 * 16
    # Rows of one scratch array, apart by other than a power of two: the caches tell them apart.
    scratch = np.empty((5, width + 48), np.float32)
    constant, linear = scratch[0, :width], scratch[1, :width]
    level, moment, head_sum = scratch[2, :width], scratch[3, :width], scratch[4, :width]
    pre, values = np.empty((count, width), np.float32), np.empty(count, np.float32)
    weights, bits = np.empty(padded, np.float32), np.empty(padded, np.int32)
    powers = bits.view(np.float32)
    unit_gradient[:] = ZERO
    down = np.arange(count - 1, -1, -1).astype(np.int32)
    transposed_gradient[:] = ZERO
    bias_gradient[:] = ZERO
    for e in range(nets):
        head_sum[:] = ZERO
        errors = gaps = gradients = 0.0
        for b in range(rows):
            for i in range(width):
                constant[i] = start[e, 0, b, i] + bias[e, i]
            for i in range(width):
                linear[i] = start[e, 1, b, i]
            _row_values(
                z[e, b], slope[e], signs[e, b], first[e, b], order[e, b], transposed[e], constant,
                linear, head[e], actions[b], pre, values,
            )  # fmt: skip
            for k in range(count):
                values[k] += head_bias[e]
            error, gap = _row_losses(
                values, shifts[b], floors[b], data[b], target[b], scale[e], rows,
                weights, bits, powers,
            )  # fmt: skip
            errors += np.float64(error)
            gaps += np.float64(gap)
            for k in range(count):
                gradients += np.float64(weights[k])
            _row_gradients(
                z[e, b], slope[e], signs[e, b], first[e, b], order[e, b], transposed[e], head[e],
                actions[b], pre, weights, level, moment, unit_gradient[e, b],
                transposed_gradient[e], head_sum, down,
            )  # fmt: skip
            suffix[e, 0, b] = level
            suffix[e, 1, b] = moment
            for i in range(width):
                bias_gradient[e, i] += level[i]
        losses[e, 0], losses[e, 1] = errors / rows, gaps / rows
        head_gradient[e] = head_sum
        head_bias_gradient[e] = gradients


@kernel
def line_close(
    signs: Array,
    start_gradient: Array,
    unit_gradient: Array,
    z_gradient: Array,
    bias_gradient: Array,
    total_slope: Array,
) -> None:
    """z_gradient [E, B, I] whole: the flips' share and that of the units that start on.

    start_gradient [E, 2, B, I]; unit_gradient [E, B, 2, I]; bias_gradient and total_slope [E, I]
    are the sums of the gradients of z and w.
    """
    nets, rows, units = z_gradient.shape
    for e in range(nets):
        for j in range(units):
            bias_gradient[e, j] = total_slope[e, j] = ZERO
        for b in range(rows):
            for j in range(units):
                on = signs[e, b, j] < ZERO
                x = start_gradient[e, 0, b, j]
                dz = unit_gradient[e, b, 0, j] + (x if on else ZERO)
                z_gradient[e, b, j] = dz
                bias_gradient[e, j] += dz
            for j in range(units):
                on = signs[e, b, j] < ZERO
                x = start_gradient[e, 1, b, j]
                total_slope[e, j] += unit_gradient[e, b, 1, j] + (x if on else ZERO)
