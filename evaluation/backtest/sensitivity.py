"""What is left of a result at other costs, with late orders, and on prices with noise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from offline_trader.evaluation.backtest.evaluation_range import EvaluationRange, Scenario
from offline_trader.evaluation.backtest.portfolio import Account, combine
from offline_trader.evaluation.backtest.walk import Backtest, Strategy, replayed, with_cost
from offline_trader.evaluation.judging import CostPoint, Robustness
from offline_trader.evaluation.measures import performance
from offline_trader.simulator import SimulatorConfig

__all__ = ["DEFAULT_COSTS_BPS", "Trials", "break_even", "robustness"]

DEFAULT_COSTS_BPS: tuple[float, ...] = (0, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 40, 50)


@dataclass(frozen=True)
class Trials:
    """Which scenarios are run.

    Attributes:
        costs_bps: costs a side; the strategy decides anew at each.
        delay_bars: bars by which every action comes late in one more run; 0: no such run.
        noise_bps: standard deviation of the price noise a bar.
        noise_draws: runs on noisy prices.
        seed: of the noise.
    """

    costs_bps: tuple[float, ...] = DEFAULT_COSTS_BPS
    delay_bars: int = 1
    noise_bps: float = 10.0
    noise_draws: int = 5
    seed: int = 0


def robustness(
    strategy: Strategy,
    span: EvaluationRange,
    rules: SimulatorConfig,
    trials: Trials,
    held: Sequence[Backtest],
) -> Robustness | None:
    """All scenarios, decided together bar by bar; None if none was asked for.

    Args:
        held: the runs of buy-and-hold under ``rules``, whose actions are traded again at each
            cost.
    """
    costs = sorted(float(cost) for cost in trials.costs_bps)
    scenarios = [Scenario(with_cost(rules, cost)) for cost in costs]
    if trials.delay_bars:
        scenarios.append(Scenario(rules, delay_bars=trials.delay_bars))
    scenarios += [
        Scenario(rules, noise_bps=trials.noise_bps, noise_seed=(trials.seed, draw))
        for draw in range(trials.noise_draws)
    ]
    if not scenarios:
        return None
    accounts = span.accounts(strategy, scenarios)
    points = tuple(
        _cost_point(cost, account, _held_growth(held, span, with_cost(rules, cost)), span)
        for cost, account in zip(costs, accounts, strict=False)
    )
    others = [
        performance(account.returns, span.periods_per_year) for account in accounts[len(costs) :]
    ]
    delay = others.pop(0) if trials.delay_bars else None
    cost_bps, note = break_even(points)
    noise = tuple(each["sharpe"] for each in others)
    return Robustness(points, cost_bps, note, delay, trials.noise_bps, noise)


def _cost_point(
    cost_bps: float, account: Account, benchmark_cagr: float | None, span: EvaluationRange
) -> CostPoint:
    found = performance(account.returns, span.periods_per_year)
    return CostPoint(
        cost_bps=cost_bps,
        cagr=found["cagr"],
        sharpe=found["sharpe"],
        benchmark_cagr=benchmark_cagr,
        trades=int(account.trade_measures["trades"] or 0),
    )


def _held_growth(
    held: Sequence[Backtest], span: EvaluationRange, rules: SimulatorConfig
) -> float | None:
    again = [replayed(backtest, m, rules) for backtest, m in zip(held, span.markets, strict=True)]
    returns = combine(again, span.periods_per_year).returns
    return performance(returns, span.periods_per_year)["cagr"]


def break_even(points: Sequence[CostPoint]) -> tuple[float | None, str]:
    """The lowest cost a side at which growth reaches 0, linear between points; else why not."""
    known = [(point.cost_bps, point.cagr) for point in points if point.cagr is not None]
    if not known:
        return None, "not defined"
    if known[0][1] <= 0:
        found = "earns nothing" if known[0][1] == 0 else "loses already"
        return None, f"none: it {found} at {known[0][0]:g} bp"
    for (low, above), (high, below) in itertools.pairwise(known):
        if below <= 0:
            return low + (high - low) * above / (above - below), ""
    return None, f"above {known[-1][0]:g} bp"
