"""Rewards as far as a transition's state and action foretell them, each by a fit without it.

A realised reward is nearly all noise, and critics fit it. What can be learned of it is what a
regression that has not seen it says. A trader's reward has a known shape: positions times what
the market's features tell of the gain, squares of both, and costs of the trade by its size. So the
regression is linear in

    u, u², a ⊗ s, and for each number of the state that the action decides: d ⊗ s, |Δ|, Δ²

with the state s, the action a, u = (s, a), d the position that follows (the part of the next
state that a linear regression on u foretells, where the action matters for it) and Δ what is
traded, d less the position before. On one signal this finds the worth of an action ten
times nearer than as many random features do, which have to express a cost by many kinks.

The noise grows with the position that is carried. Its variance is fitted to the squared residuals
of a first regression, as a sum of non-negative multiples of 1, u², Δ²; the second one is weighted
by its inverse (feasible generalised least squares; Aitken 1935), so that rows that are nearly
without noise tell the costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.data import Transitions
from offline_trader.learning.stages.direct.forecast import fit_forecast
from offline_trader.learning.stages.direct.market import Log
from offline_trader.types import FloatArray

__all__ = ["foretold_rewards"]

_DECIDED = 0.5
"""A number of the next state is the action's where it leaves less than this share of what a
regression on the state alone leaves."""
_MOST_DECIDED = 3
"""So many of them, those that it decides most: their products with the state take memory."""
_CERTAIN = 1e-6
"""A number of which a regression on the state alone leaves less is not the action's."""
_LEAST_VARIANCE = 0.01
"""Of a row, as a share of the mean one's: what a row may weigh is bounded."""
_ROUNDS = 3
_TINY = 1e-300


def foretold_rewards(data: Transitions) -> NDArray[np.float32]:
    """[M] the rewards as state and action foretell them, out of fold.

    Penalty and shrinkage are those of the direct stage's forecast: where nothing can be foretold
    all rewards are the same number, and a policy has no reason to move.
    """
    features, of_noise = _design(data)
    rewards = data.rewards.astype(np.float64)
    first = _weighted(features, rewards, np.ones(len(data)))
    weights = 1.0 / _variance(np.square(rewards - first), of_noise)
    return _weighted(features, rewards, weights).astype(np.float32)


def _design(data: Transitions) -> tuple[FloatArray, FloatArray]:
    """[M, K] what rewards are linear in, and [M, V] what their variance is."""
    state, action = (_scaled(each) for each in (data.observations, data.actions))
    before = np.concatenate([state, action], axis=1)
    after, traded = _decided(data)
    products = [
        (each[:, :, None] * state[:, None, :]).reshape(len(data), -1) for each in (action, after)
    ]
    features = [before, np.square(before), *products, np.abs(traded), np.square(traded)]
    squares = [np.ones((len(data), 1)), np.square(before), np.square(traded)]
    return np.concatenate(features, axis=1), np.concatenate(squares, axis=1)


def _scaled(values: NDArray[np.float32]) -> FloatArray:
    """Not centred: a position of zero means something."""
    size = np.sqrt(np.square(values, dtype=np.float64).mean(axis=0))
    return np.asarray(values / np.where(size > 0.0, size, 1.0))


def _decided(data: Transitions) -> tuple[FloatArray, FloatArray]:
    """[M, D] the numbers of the next state that the action decides, and [M, D] their changes."""
    arrays = (data.observations, data.actions, data.next_observations)
    state, action, following = (each.astype(np.float64) for each in arrays)
    alone = np.column_stack([state, np.ones(len(state))])
    both = np.column_stack([alone, action])
    without, fitted = (x @ np.linalg.lstsq(x, following, rcond=None)[0] for x in (alone, both))
    left, least = (np.square(following - each).mean(axis=0) for each in (without, fitted))
    share = least / np.maximum(left, _TINY)
    share[left <= _CERTAIN * following.var(axis=0)] = 1.0
    most = min(_MOST_DECIDED, int((share < _DECIDED).sum()))
    columns = np.sort(np.argsort(share, kind="stable")[:most])
    after, changes = fitted[:, columns], (fitted - state)[:, columns]
    return tuple(each / np.maximum(each.std(axis=0), _TINY) for each in (after, changes))


def _weighted(features: FloatArray, rewards: FloatArray, weights: FloatArray) -> FloatArray:
    """[M] forecasts by a ridge regression whose rows have ``weights``.

    Rows are multiplied by the weights' roots, around means that leave the mean of every column 0:
    the mean forecast stays one number for all rows.
    """
    root = np.sqrt(weights / weights.mean())
    centre = root @ features / root.sum()
    mean = float(root @ rewards / root.sum())
    scaled = (root[:, None] * (features - centre)).astype(np.float32)
    log = Log(scaled, (root * (rewards - mean))[:, None], np.array([[0, len(rewards)]]))
    return np.asarray(mean + fit_forecast(log, powers=(0.0,)).values[:, 0] / root)


def _variance(squared: FloatArray, features: FloatArray) -> FloatArray:
    """[M] a non-negative combination of ``features`` [M, V] near the ``squared`` residuals."""
    from scipy.optimize import nnls  # slow to import

    weights = np.ones(len(squared))
    for _ in range(_ROUNDS):
        x = features * weights[:, None]
        found, _ = nnls(x, squared * weights)
        variance = features @ found
        variance = np.maximum(variance, max(_LEAST_VARIANCE * float(variance.mean()), _TINY))
        weights = 1.0 / variance
        weights /= weights.mean()
    return np.asarray(variance)
