"""Scores on markets with a known optimum: 100 is the best policy, 0 the named base policy.

By the performance-difference lemma (Kakade & Langford 2002) the loss of a policy is the mean of
``V*(s) − Q*(s, a)`` over the states that it visits. Measured so, no profit's noise enters, and a
few hundred thousand steps give a score to a fraction of a point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum.interface import (
    KnownMarket,
    KnownPolicy,
    as_actions,
)
from offline_trader.types import FloatArray, Observations

__all__ = ["Score", "optimal_policy", "score_policy"]


@dataclass(frozen=True)
class Score:
    """A policy's score on one market.

    Attributes:
        market: its name.
        value: ``100·(J(π) − J_base)/(J* − J_base)``; on M0 the cost wasted, bp a step.
        interval: 95 % interval from the lanes' means.
        unit: ``score`` or ``bp a step``.
        regret: loss against the optimum a step (an episode where there is a horizon), in rewards.
        optimum, base: J* and J_base.
        n: steps (episodes) that were measured.
    """

    market: str
    value: float
    interval: tuple[float, float]
    unit: str
    regret: float
    optimum: float
    base: float
    n: int


def score_policy(
    market: KnownMarket,
    policy: KnownPolicy,
    *,
    n_lanes: int = 256,
    n_steps: int = 2000,
    burn_in: int = 200,
    seed: int = 0,
) -> Score:
    """Score of ``policy`` on ``market``.

    The market's random stream depends on ``seed`` only: a policy that draws does so from its own
    generator and changes nothing of the market.

    Args:
        policy: maps observations [N, O] to actions [N] or [N, 1].
        n_lanes: independent lanes; at least 2, the interval comes from their spread.
        n_steps: measured steps a lane (ignored where an episode has a horizon).
        burn_in: steps before, which forget the start.
        seed: of the market.

    Raises:
        ConfigError: fewer than 2 lanes or no step.
        DataError: actions of another shape, or NaN.
    """
    if n_lanes < 2 or n_steps < 1 or burn_in < 0:
        raise ConfigError(
            f"{n_lanes} lanes, {n_steps} steps, {burn_in} before them",
            expected="at least 2 lanes and 1 step",
        )
    if market.horizon is not None:
        lanes = _total_regret(market, policy, n_lanes, seed)
        n = n_lanes
    else:
        lanes = _mean_regret(market, policy, n_lanes, (burn_in, n_steps), seed)
        n = n_lanes * n_steps
    span = market.optimum - market.base
    values = lanes * 1e4 if span == 0 else 100.0 * (1.0 - lanes / span)
    centre = float(values.mean())
    spread = float(values.std(ddof=1)) / math.sqrt(n_lanes) * float(stdtrit(n_lanes - 1, 0.975))
    return Score(
        market=market.name,
        value=centre,
        interval=(centre - spread, centre + spread),
        unit="bp a step" if span == 0 else "score",
        regret=float(lanes.mean()),
        optimum=market.optimum,
        base=market.base,
        n=n,
    )


def optimal_policy(market: KnownMarket) -> KnownPolicy:
    """The optimum as a policy of observations, where these hold the whole state."""
    probe = np.eye(len(market.observation_names))
    scale = market.observe(probe).diagonal() if market.name != "M2" else None

    def act(observations: Observations) -> NDArray[Any]:
        seen = np.asarray(observations, dtype=np.float64)
        state = seen.argmax(axis=1)[:, None].astype(np.float64) if scale is None else seen / scale
        return market.optimal_actions(state)[:, None]

    return act


def _mean_regret(
    market: KnownMarket, policy: KnownPolicy, n_lanes: int, steps: tuple[int, int], seed: int
) -> FloatArray:
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x6D6172]))
    state, total = market.reset(n_lanes, rng), np.zeros(n_lanes)
    for step in range(sum(steps)):
        actions = as_actions(policy(market.observe(state)), n_lanes)
        if step >= steps[0]:
            total += market.regret(state, actions)
        state = market.step(state, actions, rng).state
    return total / steps[1]


def _total_regret(market: KnownMarket, policy: KnownPolicy, n_lanes: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x6D6172]))
    state, total = market.reset(n_lanes, rng), np.zeros(n_lanes)
    for _ in range(market.horizon or 0):
        actions = as_actions(policy(market.observe(state)), n_lanes)
        total += market.regret(state, actions)
        state = market.step(state, actions, rng).state
    return total
