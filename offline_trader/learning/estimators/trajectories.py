"""V-trace: values and advantages of a policy from trajectories of an older one, as pure maths.

Espeholt et al. 2018, "IMPALA", section 4.1. With ``ρ_t = min(ρ̄, π(a_t|s_t)/μ(a_t|s_t))``,
``c_t = min(c̄, π/μ)`` and ``δ_t = ρ_t (r_t + γ_t V(s_{t+1}) − V(s_t))``

    v_t = V(s_t) + δ_t + γ_t c_t (v_{t+1} − V(s_{t+1}))          (remark 1, a recursion)
    A_t = ρ_t (r_t + γ_t v_{t+1} − V(s_t))

Axes: T time, N lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.errors import DataError
from offline_trader.types import BoolArray, FloatArray

__all__ = ["VTrace", "vtrace"]


@dataclass(frozen=True, eq=False)
class VTrace:
    """What :func:`vtrace` finds.

    Attributes:
        values: [T, N] v_t, what a critic is fitted to.
        advantages: [T, N] A_t, weights of the policy's gradient ``∇ log π(a_t|s_t)``.
    """

    values: FloatArray
    advantages: FloatArray


def vtrace(
    rewards: FloatArray,
    values: FloatArray,
    next_values: FloatArray,
    ratios: FloatArray,
    gamma: float,
    *,
    terminated: BoolArray | None = None,
    truncated: BoolArray | None = None,
    largest_rho: float = 1.0,
    largest_c: float = 1.0,
) -> VTrace:
    """Values and advantages of trajectories.

    Args:
        rewards: [T, N] (or [T], of one lane).
        values: [T, N] V(s_t).
        next_values: [T, N] V(s_{t+1}); where an episode ended, of its final observation, not of the
            first one of the next episode.
        ratios: [T, N] π(a_t|s_t)/μ(a_t|s_t), of continuous actions the exponential of the
            difference of summed log-probabilities before the squash, whose Jacobian cancels.
        gamma: γ.
        terminated: [T, N] the step was the last and nothing follows: γ_t = 0.
        truncated: [T, N] the step was the last of its episode, which goes on unseen: V of its
            final observation stands for what follows, and no trace goes over it.
        largest_rho, largest_c: ρ̄ ≥ c̄.

    Raises:
        DataError: arrays of several shapes.
    """
    none = np.zeros(rewards.shape, np.bool_)
    stops, cuts = (none if each is None else each for each in (terminated, truncated))
    shapes = {each.shape for each in (rewards, values, next_values, ratios, stops, cuts)}
    if len(shapes) != 1:
        raise DataError(f"arrays of shapes {sorted(shapes)}", expected="one shape, [T, N]")
    discounts = gamma * (1.0 - stops)
    rho, c = np.minimum(ratios, largest_rho), np.minimum(ratios, largest_c)
    deltas = rho * (rewards + discounts * next_values - values)
    carried = np.where(stops | cuts, 0.0, gamma * c)
    excess = np.zeros_like(deltas)  # v_t − V(s_t)
    following = np.zeros(rewards.shape[1:])
    for t in range(len(rewards) - 1, -1, -1):
        following = deltas[t] + carried[t] * following
        excess[t] = following
    targets = values + excess
    goes_on = np.append(~(stops | cuts)[:-1], np.zeros((1, *rewards.shape[1:]), bool), axis=0)
    after = np.append(targets[1:], next_values[-1:], axis=0)
    after = np.where(goes_on, after, next_values)
    return VTrace(targets, rho * (rewards + discounts * after - values))
