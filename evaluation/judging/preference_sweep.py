"""Return against drawdown: a policy that takes weights of objectives, under one after another."""

from __future__ import annotations

import numpy as np

from offline_trader.evaluation.backtest import Account, EvaluationRange
from offline_trader.evaluation.judging.record import PreferencePoint, PreferenceSweep
from offline_trader.evaluation.measures import max_drawdown
from offline_trader.goals import Preference, PreferencePolicy
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import BoolArray, FloatArray

__all__ = ["SWEPT", "not_dominated", "sweep_preferences"]

SWEPT = 16
"""Weights that are drawn, beside the default and each objective alone."""


def sweep_preferences(
    policy: PreferencePolicy, span: EvaluationRange, rules: SimulatorConfig, drawn: int = SWEPT
) -> PreferenceSweep:
    """Every preference over the whole range, in the one deterministic pass that evaluation has.

    Args:
        policy: takes the preference.
        span: the bars.
        rules: of trading.
        drawn: weights that are drawn uniformly, the same ones for every policy.
    """
    preference = policy.preference
    assert preference is not None
    found = [
        (name, weights, _judged(span.account(policy.preferring(weights), rules)))
        for name, weights in _swept(preference, drawn)
    ]
    growth, drawdown = np.array([figures for _, _, figures in found]).T
    best = not_dominated(growth, drawdown)
    points = tuple(
        PreferencePoint(name, weights, growth=g, drawdown=d, on_front=bool(front))
        for (name, weights, (g, d)), front in zip(found, best, strict=True)
    )
    return PreferenceSweep(preference.names, points, preference.chosen)


def not_dominated(growth: FloatArray, drawdown: FloatArray) -> BoolArray:
    """[M] whether no other of M points has at least the growth and at most the drawdown, and one
    of them better (Pareto)."""
    more = growth[None, :] >= growth[:, None]
    less = drawdown[None, :] <= drawdown[:, None]
    better = (growth[None, :] > growth[:, None]) | (drawdown[None, :] < drawdown[:, None])
    return np.asarray(~(more & less & better).any(axis=1))


def _swept(preference: Preference, drawn: int) -> list[tuple[str, tuple[float, ...]]]:
    """The default, each objective alone, and weights that are drawn."""
    alone = np.eye(len(preference.names))
    rows = preference.drawn(drawn, np.random.default_rng(0))
    named = [("default", preference.weights)]
    named += [
        (f"{n} alone", tuple(r)) for n, r in zip(preference.names, alone.tolist(), strict=True)
    ]
    return named + [("", tuple(row)) for row in rows.tolist()]


def _judged(account: Account) -> tuple[float, float]:
    """Net log growth a year and the largest drawdown, positive."""
    equity, deepest = account.equity, max_drawdown(account.returns)
    growth = np.log(equity[-1] / equity[0]) / (len(equity) - 1) * account.periods_per_year
    return float(growth), -(deepest or 0.0)
