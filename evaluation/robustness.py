"""What is left of a result at other costs, with late orders, and on prices with noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from offline_trader.evaluation.backtest import Subject, with_cost
from offline_trader.evaluation.measures import performance
from offline_trader.evaluation.portfolio import Account
from offline_trader.evaluation.record import CostPoint, Robustness
from offline_trader.markets import Bars
from offline_trader.simulator import SimulatorConfig

__all__ = ["DEFAULT_COSTS_BPS", "Runner", "break_even", "cost_sweep", "delayed", "noisy", "summary"]

DEFAULT_COSTS_BPS: tuple[float, ...] = (0, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 40, 50)

Runner: TypeAlias = Callable[[Subject, SimulatorConfig, int], Account]
"""Runs a subject with rules and a delay in bars over all instruments."""


def cost_sweep(
    run: Runner,
    subject: Subject,
    benchmark_growth: Callable[[SimulatorConfig], float | None],
    config: SimulatorConfig,
    periods_per_year: float,
    costs_bps: Sequence[float] = DEFAULT_COSTS_BPS,
) -> tuple[CostPoint, ...]:
    """The subject run again at each cost a side, deciding anew, beside the benchmark's growth."""
    points = []
    for cost in sorted(costs_bps):
        rules = with_cost(config, float(cost))
        account = run(subject, rules, 0)
        found = performance(account.curve.returns, periods_per_year)
        points.append(
            CostPoint(
                cost_bps=float(cost),
                cagr=found["cagr"],
                sharpe=found["sharpe"],
                benchmark_cagr=benchmark_growth(rules),
                trades=int(account.trade_measures["trades"] or 0),
            )
        )
    return tuple(points)


def break_even(points: Sequence[CostPoint]) -> tuple[float | None, str]:
    """The lowest cost a side at which growth reaches 0, linear between points; else why not."""
    known = [(point.cost_bps, point.cagr) for point in points if point.cagr is not None]
    if not known:
        return None, "not defined"
    if known[0][1] <= 0:
        return None, f"none: it loses already at {known[0][0]:g} bp"
    for (low, above), (high, below) in itertools.pairwise(known):
        if below <= 0:
            return low + (high - low) * above / (above - below), ""
    return None, f"above {known[-1][0]:g} bp"


def delayed(
    run: Runner, subject: Subject, config: SimulatorConfig, periods_per_year: float, bars: int
) -> dict[str, float | None]:
    """Measures with every action executed ``bars`` bars later."""
    return performance(run(subject, config, bars).curve.returns, periods_per_year)


def noisy(bars: Bars, noise_bps: float, rng: np.random.Generator) -> Bars:
    """Bars whose four prices are multiplied by one log-normal draw a bar, sd ``noise_bps``.

    One factor a bar keeps low ≤ open, close ≤ high; what is disturbed is the way from bar to bar,
    which is what features and fills read.
    """
    factor = np.exp(rng.normal(0.0, noise_bps * 1e-4, len(bars)))
    return replace(
        bars,
        open=bars.open * factor,
        high=bars.high * factor,
        low=bars.low * factor,
        close=bars.close * factor,
    )


def summary(
    costs: tuple[CostPoint, ...],
    delay: dict[str, float | None] | None,
    noise_bps: float,
    noise: Sequence[float | None],
) -> Robustness:
    """The three together, with the break-even cost."""
    cost, note = break_even(costs)
    return Robustness(costs, cost, note, delay, noise_bps, tuple(noise))
