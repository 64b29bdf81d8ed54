"""A policy unrolled over windows and differentiated through time, compiled.

What :mod:`offline_trader.learning.stages.direct.unrolling` does by torch: B windows of T
decisions, an actor of hidden layers with ReLU and one output. The networks are float32, the
portfolios float64. Only the portfolio's P numbers of an observation depend on what the policy did
before, so the features' share of the first layer is one product for all decisions; the products of
the weights' gradients are made for several at once as well.

Axes: T decisions, B windows, S state, P portfolio numbers, F features, H units, G gains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.engines.fast.compiled import kernel
from offline_trader.learning.engines.fast.products import product, transpose
from offline_trader.learning.stages.direct.bar_kernels import (
    bar_adjoint,
    bar_observation,
    bar_observation_adjoint,
    bar_step,
)

__all__ = ["BARS", "POSITIONS", "unroll_backward", "unroll_forward"]

Array = NDArray[np.float32]
ZERO, ONE = np.float32(0.0), np.float32(1.0)
POSITIONS, BARS = 0, 1
# terms of positions
SCALE, RISK, QUADRATIC, PROPORTIONAL = range(4)


@kernel
def _observe(kind: Any, s: Any, out: Any) -> None:
    if kind == POSITIONS:
        out[0] = s[0]
    else:
        bar_observation(s, out)


@kernel
def _observe_adjoint(kind: Any, s: Any, by: Any, g: Any) -> None:
    if kind == POSITIONS:
        g[0] += by[0]
    else:
        bar_observation_adjoint(s, by, g)


@kernel
def _hold_positions(
    c: Any, columns: Any, rows: Any, actions: Any, surprises: Any, before: Any, after: Any,
    rewards: Any, climbed: Any,
) -> None:  # fmt: skip
    """One bar of all windows in the dynamics of ``positions``."""
    for b in range(rows.shape[0]):
        row = rows[b]
        position = c[SCALE] * np.float64(actions[b])
        change = position - before[b, 0]
        reward = position * columns[row, 0] - 0.5 * c[RISK] * position * position
        reward -= 0.5 * c[QUADRATIC] * change * change + c[PROPORTIONAL] * abs(change)
        after[b, 0] = position
        rewards[b] = reward
        climbed[b] = reward - position * surprises[row, 0]


@kernel
def _bounded(slope: Any, bound: Any) -> Any:
    return min(max(slope, -bound), bound)


@kernel
def _hold_positions_adjoint(
    c: Any, columns: Any, rows: Any, actions: Any, surprises: Any, before: Any, g: Any,
    by_climbed: Any, by_actions: Any, bounds: Any, heads: Any,
) -> None:  # fmt: skip
    """Slopes ``heads`` [B] by the actions before their tanh; ``g`` goes from the slopes by the
    states after the bar to those by the states before it."""
    for b in range(rows.shape[0]):
        row, action = rows[b], np.float64(actions[b])
        position = c[SCALE] * action
        change = position - before[b, 0]
        sign = 1.0 if change > 0.0 else (-1.0 if change < 0.0 else 0.0)
        cost = by_climbed[b] * (c[QUADRATIC] * change + c[PROPORTIONAL] * sign)
        gain = columns[row, 0] - surprises[row, 0]
        slope = by_climbed[b] * (gain - c[RISK] * position) - cost + g[b, 0]
        g[b, 0] = cost
        slope = _bounded(c[SCALE] * slope, bounds[b]) + np.float64(by_actions[b])
        heads[b] = np.float32(slope * (1.0 - action * action))


@kernel
def _own_columns(weight: Array, features: int, numbers: int) -> Array:
    """[P, H] the portfolio's columns of the first layer's weight, in rows of their own."""
    columns = np.empty((numbers, weight.shape[0]), np.float32)
    for p in range(numbers):
        for j in range(weight.shape[0]):
            columns[p, j] = weight[j, features + p]
    return columns


@kernel
def _first_layer(out: Array, own: Array, columns: Array, bias: Array) -> None:
    """``relu(out + own · columns + bias)`` in place; out [B, H], own [B, P], columns [P, H]."""
    rows, units = out.shape
    last = own.shape[1] - 1
    for b in range(rows):
        for p in range(last):
            x = own[b, p]
            for j in range(units):
                out[b, j] += x * columns[p, j]
        x = own[b, last]
        for j in range(units):
            v = out[b, j] + bias[j] + x * columns[last, j]
            out[b, j] = ZERO if v < ZERO else v


@kernel
def _relu(pre: Array, bias: Array) -> None:
    rows, units = pre.shape
    for b in range(rows):
        for j in range(units):
            v = pre[b, j] + bias[j]
            pre[b, j] = ZERO if v < ZERO else v


@kernel
def _dot(values: Array, weights: Array) -> Any:
    total = ZERO
    for j in range(weights.shape[0]):
        total += values[j] * weights[j]
    return total


@kernel
def _spread(tops: Array, head: Array, hidden: Array, out: Array) -> None:
    """Slopes [B, H] of the last hidden layer from those of the output [B]."""
    rows, units = hidden.shape
    for b in range(rows):
        top = tops[b]
        for j in range(units):
            out[b, j] = top * head[j] if hidden[b, j] > ZERO else ZERO


@kernel
def _mask(slopes: Array, hidden: Array) -> None:
    rows, units = hidden.shape
    for b in range(rows):
        for j in range(units):
            slopes[b, j] = slopes[b, j] if hidden[b, j] > ZERO else ZERO


@kernel
def unroll_forward(
    kind: int,
    terms: NDArray[np.float64],
    columns: NDArray[np.float64],
    rows: NDArray[np.int64],
    inputs: Array,
    weights: Any,
    biases: Any,
    head: Array,
    scales: Array,
    surprises: NDArray[np.float64],
    states: NDArray[np.float64],
    own: Array,
    hidden: Any,
    turned: Any,
    actions: Array,
    rewards: NDArray[np.float64],
    climbed: NDArray[np.float64],
    alive: NDArray[np.bool_],
) -> None:
    """Unroll the policy.

    Args:
        kind, terms, columns: the dynamics, their terms, what they read of a row [R, …].
        rows: [T, B] rows of the log.
        inputs: [T · B, F] scaled features, noise included.
        weights, biases: of the hidden layers, [H, inputs] and [H] each.
        head: [H + 1] weights of the output and its bias.
        scales: [2, P] mean and scale of the portfolio's numbers.
        surprises: [R, G] what is taken off a reward for a unit carried.
        states: [T + 1, B, S]; the first is read, the others are written.
        own: [T, B, P], written: the portfolio's scaled numbers.
        hidden: [K, B, H] each, written: outputs of the hidden layers; with K < T those of the last
            decisions alone, which then stay in the cache.
        turned: transposed weights, written.
        actions: [T, B], written.
        rewards, climbed: [T, B], written: realised, and less the surprises; 0 after a
            portfolio's end.
        alive: [T, B], written: the portfolio trades on after the decision.
    """
    n_steps, n_windows = rows.shape
    width, n_gains, numbers = inputs.shape[1], surprises.shape[1], own.shape[2]
    for i in range(len(hidden)):
        transpose(weights[i], turned[i])
    kept, _, units = hidden[0].shape
    columns_of_own = _own_columns(weights[0], width, numbers)
    seen = np.empty(numbers)
    top = hidden[len(hidden) - 1]
    weight_of_head = head[:-1]
    for t in range(n_steps):
        place = t % kept
        if place == 0:
            first, count = t * n_windows, min(kept, n_steps - t) * n_windows
            out = hidden[0].reshape(kept * n_windows, units)[:count]
            product(inputs[first : first + count], turned[0][:width], out)
        for b in range(n_windows):
            _observe(kind, states[t, b], seen)
            for p in range(numbers):
                own[t, b, p] = (np.float32(seen[p]) - scales[0, p]) / scales[1, p]
        _first_layer(hidden[0][place], own[t], columns_of_own, biases[0])
        for i in range(1, len(hidden)):
            product(hidden[i - 1][place], turned[i], hidden[i][place])
            _relu(hidden[i][place], biases[i])
        for b in range(n_windows):
            actions[t, b] = np.tanh(_dot(top[place, b], weight_of_head) + head[-1])
        if kind == POSITIONS:
            _hold_positions(
                terms, columns, rows[t], actions[t], surprises, states[t], states[t + 1],
                rewards[t], climbed[t],
            )  # fmt: skip
            alive[t] = True
            continue
        for b in range(n_windows):
            row = rows[t, b]
            reward, gap, held, ended = bar_step(
                terms, columns[row], np.float64(actions[t, b]), states[t, b], states[t + 1, b]
            )
            lives = t == 0 or alive[t - 1, b]
            told = held * surprises[row, n_gains - 1]
            if n_gains == 2:
                told += gap * surprises[row, 0]
            rewards[t, b] = reward if lives else 0.0
            climbed[t, b] = reward - told if lives else 0.0
            alive[t, b] = lives and not ended


@kernel
def _add(found: Array, sums: Array) -> None:
    rows, columns = sums.shape
    for i in range(rows):
        for j in range(columns):
            sums[i, j] += found[i, j]


@kernel
def _add_slopes(
    inputs: Array, own: Array, hidden: Any, heads: Array, deltas: Any, start: int, stop: int,
    weight_slopes: Any, bias_slopes: Any, head_slopes: Array,
) -> None:  # fmt: skip
    """Add the parameters' slopes of the decisions start … stop while they are in the cache."""
    count = (stop - start) * heads.shape[1]
    ones = np.ones((1, count), np.float32)
    last, width = len(hidden) - 1, inputs.shape[1]
    for i in range(len(hidden)):
        units = hidden[i].shape[2]
        flat = deltas[i][: stop - start].reshape(count, units)
        if i:
            below = hidden[i - 1][start:stop].reshape(count, hidden[i - 1].shape[2])
            found = np.empty((units, below.shape[1]), np.float32)
            product(flat.T, below, found)
            _add(found, weight_slopes[i])
        else:  # few inputs: rows of a product cost less than columns
            turned = np.empty((width + own.shape[2], units), np.float32)
            product(inputs.T, flat, turned[:width])
            product(own.reshape(count, own.shape[2]).T, flat, turned[width:])
            found = np.empty((units, turned.shape[0]), np.float32)
            transpose(turned, found)
            _add(found, weight_slopes[0])
        line = np.empty((1, units), np.float32)
        product(ones, flat, line)
        _add(line, bias_slopes[i].reshape(1, units))
    units = hidden[last].shape[2]
    line = np.empty((1, units), np.float32)
    tops = heads[start:stop].reshape(1, count)
    product(tops, hidden[last][start:stop].reshape(count, units), line)
    _add(line, head_slopes[:-1].reshape(1, units))
    head_slopes[-1] += tops.sum()


@kernel
def unroll_backward(
    kind: int,
    terms: NDArray[np.float64],
    columns: NDArray[np.float64],
    rows: NDArray[np.int64],
    inputs: Array,
    weights: Any,
    head: Array,
    scales: Array,
    surprises: NDArray[np.float64],
    states: NDArray[np.float64],
    own: Array,
    hidden: Any,
    actions: Array,
    alive: NDArray[np.bool_],
    by_climbed: NDArray[np.float64],
    by_actions: Array,
    bounds: NDArray[np.float64],
    deltas: Any,
    heads: Array,
    weight_slopes: Any,
    bias_slopes: Any,
    head_slopes: Array,
) -> None:
    """Slopes of the parameters from those of what :func:`unroll_forward` wrote.

    Args (beyond those of :func:`unroll_forward`):
        by_climbed, by_actions: [T, B] slopes.
        bounds: [B] of the slope of what is climbed by one action.
        deltas: [any number of decisions, B, H] each, room for the slopes of the layers before
            their ReLU; heads [T, B], written: those of the output before its tanh.
        weight_slopes, bias_slopes, head_slopes: written; as weights, biases, head.
    """
    n_steps, n_windows = rows.shape
    width, n_gains, numbers = inputs.shape[1], surprises.shape[1], own.shape[2]
    last, chunk = len(hidden) - 1, deltas[0].shape[0]
    g = np.zeros((n_windows, states.shape[2]))
    by_own = np.empty(numbers)
    columns_of_own = _own_columns(weights[0], width, numbers)
    for i in range(len(hidden)):
        weight_slopes[i][:] = ZERO
        bias_slopes[i][:] = ZERO
    head_slopes[:] = ZERO
    for t in range(n_steps - 1, -1, -1):
        if kind == POSITIONS:
            _hold_positions_adjoint(
                terms, columns, rows[t], actions[t], surprises, states[t], g, by_climbed[t],
                by_actions[t], bounds, heads[t],
            )  # fmt: skip
        else:
            for b in range(n_windows):
                row = rows[t, b]
                reward = by_climbed[t, b] if t == 0 or alive[t - 1, b] else 0.0
                held = -reward * surprises[row, n_gains - 1]
                gap = -reward * surprises[row, 0] if n_gains == 2 else 0.0
                action = np.float64(actions[t, b])
                slope = bar_adjoint(
                    terms, columns[row], action, states[t, b], g[b], reward, gap, held
                )
                slope = _bounded(slope, bounds[b]) + np.float64(by_actions[t, b])
                heads[t, b] = np.float32(slope * (1.0 - action * action))
        place = t % chunk
        _spread(heads[t], head, hidden[last][t], deltas[last][place])
        for i in range(last, 0, -1):
            product(deltas[i][place], weights[i], deltas[i - 1][place])
            _mask(deltas[i - 1][place], hidden[i - 1][t])
        first = deltas[0][place]
        for b in range(n_windows):
            for p in range(numbers):
                by_own[p] = np.float64(_dot(first[b], columns_of_own[p]) / scales[1, p])
            _observe_adjoint(kind, states[t, b], by_own, g[b])
        if place == 0:
            stop = min(t + chunk, n_steps)
            _add_slopes(
                inputs[t * n_windows : stop * n_windows], own[t:stop], hidden, heads, deltas,
                t, stop, weight_slopes, bias_slopes, head_slopes,
            )  # fmt: skip
