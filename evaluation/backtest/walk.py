"""The one deterministic pass of a policy over a market, in the simulator that training uses.

A lane an instrument, the whole range, no random start: validation, export, evaluation and
walk-forward all judge what this pass did. The loop is closed, so the policy sees the portfolio
that its own orders made. A late order (``delay_bars``) is a decision executed that many bars after
it was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.evaluation.measures import Fills
from offline_trader.experts import Behaviour, Expert, ExpertPolicy
from offline_trader.goals import AccountPolicy, Pursuits, pursued
from offline_trader.simulator import (
    MarketTensor,
    SimulatorConfig,
    simulate_actions,
)
from offline_trader.simulator.kernel import BORROW
from offline_trader.simulator.side_by_side import LONGEST_WINDOW, SideBySide, SideRun
from offline_trader.types import BoolArray, FloatArray, IntArray, LanePolicy, Observations, Policy

__all__ = ["Backtest", "Strategy", "backtest", "backtests", "replayed", "with_cost"]

Strategy: TypeAlias = Policy | Expert | Behaviour
Decider: TypeAlias = Callable[[Observations, IntArray], NDArray[np.floating]]
_GONE = 1e-6
"""Share of the initial cash that stands for an equity that is gone, so that returns exist."""


@dataclass(frozen=True, eq=False)
class Backtest:
    """One policy on one instrument: T decisions, T + 1 marks.

    Attributes:
        symbol: the instrument.
        timestamps: [T + 1] datetime64[ns], closes of the first bar and of every bar after it.
        close: [T + 1] float64.
        equity: [T + 1] float64; after ruin it stays where it fell to.
        exposure: [T + 1] float64 signed position value / equity.
        actions: [D] float64, D ≤ T decisions until the end or ruin.
        observations: [D, F + P] float32 that they were taken on.
        units: [D] float64 signed units that each decision's order filled; 0 where nothing was.
        fills: the filled orders; bars count marks, prices hold spread, slippage and impact, costs
            are commissions, and what a short unit pays is beside them.
        costs_paid: commissions, spread, slippage and borrow cost, quote currency.
        ruined: the run ended before the bars did.
    """

    symbol: str
    timestamps: NDArray[np.datetime64]
    close: FloatArray
    equity: FloatArray
    exposure: FloatArray
    actions: FloatArray
    observations: Observations
    units: FloatArray
    fills: Fills
    costs_paid: float
    ruined: bool

    @property
    def traded(self) -> BoolArray:
        """[D] where an order was filled."""
        return np.asarray(self.units != 0.0)

    @property
    def returns(self) -> FloatArray:
        """[T] simple returns between the marks."""
        return np.asarray(self.equity[1:] / self.equity[:-1] - 1.0)


def backtest(
    strategy: Strategy, market: MarketTensor, config: SimulatorConfig, *, delay_bars: int = 0
) -> Backtest:
    """The run of ``strategy`` over all bars of a market with one instrument.

    Args:
        strategy: a policy over raw observations, or an expert.
        market: one instrument.
        config: the trading rules.
        delay_bars: bars by which every action comes late; until then nothing is done.
    """
    return backtests(strategy, [SideRun(market, config, delay_bars)])[0]


def backtests(
    strategy: Strategy,
    runs: Sequence[SideRun],
    *,
    observe: bool = True,
    longest_window: int = LONGEST_WINDOW,
) -> list[Backtest]:
    """Several runs of ``strategy``, each with its own market, rules and delay.

    A policy decides for all of them in one call a bar, a lane a run, until the last has ended; the
    runs may have different lengths. An expert without noise, whose action for a row depends on
    that row alone, decides for many bars in one call, which changes nothing of what it does.

    Args:
        strategy: a policy over raw observations, or an expert. A policy with states of lanes runs
            alone and is told where each run begins; so does one that takes a goal, horizon after
            horizon.
        runs: the rules have the same action mode.
        observe: keep the observations in the results; otherwise they have none.
        longest_window: bars that an expert decides for in one call.
    """
    strategy = pursued(strategy)
    groups = _groups(strategy, runs)
    if len(groups) > 1:
        found: dict[int, Backtest] = {}
        for group in groups:
            own = backtests(
                strategy,
                [runs[i] for i in group],
                observe=observe,
                longest_window=longest_window,
            )
            found |= dict(zip(group, own, strict=True))
        return [found[i] for i in range(len(runs))]
    if isinstance(strategy, LanePolicy):
        strategy.restart(np.ones(1, np.bool_))
    decide, pure = _decider(strategy, runs[0])
    abreast = SideBySide(runs, longest_window=longest_window if pure else 1, observe=observe)
    if isinstance(strategy, Pursuits):
        strategy.start(_equity(abreast))
    while abreast.running:
        if isinstance(strategy, AccountPolicy):
            strategy.mark(_equity(abreast))
        abreast.advance(decide(abreast.observations, abreast.bars))
        if isinstance(strategy, Pursuits):
            strategy.mark(_equity(abreast), abreast.waiting)
    return [_finished(abreast, s) for s in range(len(runs))]


def _equity(abreast: SideBySide) -> FloatArray:
    """[S] of the runs, at the bars that are decided on, or where they ended."""
    steps, runs = abreast.steps, np.arange(len(abreast.runs))
    first = [run.config.initial_cash for run in abreast.runs]
    return np.where(steps > 0, abreast.equity[runs, steps - 1], first)


def _groups(strategy: Strategy, runs: Sequence[SideRun]) -> list[list[int]]:
    """Runs that can be decided together.

    All of them for a policy, unless it has a state for every lane: lanes leave as their runs end.
    An agent has the calls of such a policy, too; ``pure`` says that it keeps no state.
    An expert knows the market it trades (bars a year); one that looks bars up has a table of its
    own for each market and its rules, and noise is drawn by lane, so these run alone.
    """
    if isinstance(strategy, LanePolicy) and not getattr(strategy, "pure", False):
        return [[i] for i in range(len(runs))]
    if not isinstance(strategy, Expert | Behaviour):
        return [list(range(len(runs)))]
    if _looks_up(strategy) or not _is_pure(strategy):
        return [[i] for i in range(len(runs))]
    by_market: dict[float, list[int]] = {}
    for i, run in enumerate(runs):
        by_market.setdefault(float(run.market.periods_per_year[0]), []).append(i)
    return list(by_market.values())


def _finished(abreast: SideBySide, s: int) -> Backtest:
    """Run ``s`` as a backtest."""
    run, n = abreast.runs[s], int(abreast.steps[s])
    market, config = run.market, run.config
    marks = len(market)
    equity = np.full(marks, config.initial_cash)
    equity[1 : n + 1] = abreast.equity[s, :n]
    equity[n + 1 :] = equity[n]
    exposure = np.zeros(marks)
    exposure[1 : n + 1] = abreast.exposure[s, :n]
    units, prices = abreast.fill_units[s, :n].copy(), abreast.fill_prices[s, :n]
    return Backtest(
        symbol=market.symbols[0],
        timestamps=market.timestamps,
        close=market.prices[:, 3],
        equity=np.maximum(equity, _GONE * config.initial_cash),
        exposure=exposure,
        actions=abreast.actions[s, :n].copy(),
        observations=abreast.seen[s, :n] if len(abreast.seen) else _none_seen(market),
        units=units,
        fills=_fills(units, prices, market, config),
        costs_paid=abreast.costs_paid(s),
        ruined=abreast.ruined(s),
    )


def _none_seen(market: MarketTensor) -> Observations:
    return np.zeros((0, market.layout.size), dtype=np.float32)


def replayed(run: Backtest, market: MarketTensor, config: SimulatorConfig) -> Backtest:
    """The recorded actions of ``run`` traded again under other rules, in one compiled pass.

    It is what the strategy would have done only if its decisions do not depend on the rules, as
    those of buy-and-hold do not.
    """
    done = simulate_actions(market, config, run.actions)
    assert done.equity is not None
    assert done.fills is not None
    assert done.fill_prices is not None
    marks = len(done.equity)
    equity = np.full(len(run.equity), done.equity[-1, 0])
    equity[:marks] = done.equity[:, 0]
    equity = np.maximum(equity, _GONE * config.initial_cash)
    units, prices = done.fills[:, 0], done.fill_prices[:, 0]
    held = np.zeros(len(equity))
    held[1:marks] = np.cumsum(units) * run.close[1:marks]
    return replace(
        run,
        equity=equity,
        exposure=held / equity,
        units=units,
        fills=_fills(units, prices, market, config),
        costs_paid=float(done.costs[0]),
        ruined=bool(done.ruined_at[0] >= 0),
    )


def _fills(
    units: FloatArray, prices: FloatArray, market: MarketTensor, config: SimulatorConfig
) -> Fills:
    """Fills from [D] signed units and prices of each decision's order.

    A short unit pays at the close of every bar that ends after its fill, as in the kernel (which
    takes no more than the cash there is: that is ruin, which closes nothing).
    """
    rows = np.flatnonzero(units)
    notional = np.abs(units[rows] * prices[rows])
    lag = 1 if config.fill == "next_open" else 0
    a_bar = float(market.instruments(config.borrow_bps_per_year)[0, BORROW])
    borrow = np.concatenate(([0.0], np.cumsum(a_bar * market.prices[1:, 3])))
    cost = notional * config.commission_bps * 1e-4
    return Fills(rows + lag, units[rows], prices[rows], cost, borrow[rows])


def with_cost(config: SimulatorConfig, cost_bps: float) -> SimulatorConfig:
    """The same rules at a total cost a side of ``cost_bps``, its parts in the same proportion."""
    total = config.commission_bps + config.half_spread_bps + config.slippage_bps
    if total == 0:
        return replace(config, commission_bps=cost_bps)
    factor = cost_bps / total
    return replace(
        config,
        commission_bps=config.commission_bps * factor,
        half_spread_bps=config.half_spread_bps * factor,
        slippage_bps=config.slippage_bps * factor,
    )


def _decider(strategy: Strategy, run: SideRun) -> tuple[Decider, bool]:
    """The strategy as a function of observations [N, O] and market rows [N], and whether a row of
    its result depends on that row alone."""
    if isinstance(strategy, Expert | Behaviour):
        policy = ExpertPolicy(strategy, run.market.layout, run.config, market=run.market)
        return lambda observations, rows: policy(observations, rows), _is_pure(strategy)
    plain: Policy = strategy
    return lambda observations, rows: plain(observations), False


def _is_pure(strategy: Expert | Behaviour) -> bool:
    """Whether the action for a row depends on that row alone."""
    behaviour = strategy if isinstance(strategy, Behaviour) else Behaviour(strategy)
    return not behaviour.disturbances


def _looks_up(strategy: Strategy) -> bool:
    expert = strategy.expert if isinstance(strategy, Behaviour) else strategy
    return isinstance(expert, Expert) and expert.row_table is not None
