"""Walks one policy through one instrument's bars in the simulator that training uses.

One lane, the whole range, no random start, deterministic actions: the loop is closed, so the
policy sees the portfolio that its own orders made. A late order (``delay_bars``) is a decision
executed that many bars after it was taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.evaluation.trades import Fills
from offline_trader.experts import Behaviour, Expert, ExpertPolicy
from offline_trader.simulator import (
    MarketTensor,
    Simulator,
    SimulatorConfig,
    simulate_actions,
)
from offline_trader.simulator.kernel import BORROW
from offline_trader.types import FloatArray, IntArray, Observations, Policy

__all__ = ["Backtest", "Subject", "backtest", "backtests", "replayed", "with_cost"]

Subject: TypeAlias = Policy | Expert | Behaviour
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
        traded: [D] bool, an order was filled.
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
    traded: NDArray[np.bool_]
    fills: Fills
    costs_paid: float
    ruined: bool


def backtest(
    subject: Subject, market: MarketTensor, config: SimulatorConfig, *, delay_bars: int = 0
) -> Backtest:
    """The run of ``subject`` over all bars of a market with one instrument.

    Args:
        subject: a policy over raw observations, or an expert.
        market: one instrument.
        config: the trading rules.
        delay_bars: bars by which every action comes late; until then nothing is done.
    """
    return backtests(subject, [(market, config, delay_bars)])[0]


def backtests(
    subject: Subject, runs: Sequence[tuple[MarketTensor, SimulatorConfig, int]]
) -> list[Backtest]:
    """Several runs of ``subject``, each with its own market, rules and delay, bar by bar together.

    The subject decides for all of them in one call a bar. The markets have equally many bars, and
    the rules the same action mode. Experts that look rows of their market up run one after
    another, because each market has its own.
    """
    if len(runs) > 1 and _looks_up(subject):
        return [backtests(subject, [run])[0] for run in runs]
    markets = [market for market, _, _ in runs]
    assert all(len(market.symbols) == 1 for market in markets), "one instrument at a time"
    assert len({len(market) for market in markets}) == 1, "equally many bars"
    decide = _decider(subject, markets[0], runs[0][1])
    lanes = [_Lane(*run) for run in runs]
    observations = np.concatenate([lane.observation for lane in lanes])
    rows = np.zeros(len(lanes), dtype=np.int64)
    for t in range(len(markets[0]) - 1):
        rows[:] = t
        actions = np.asarray(decide(observations, rows), dtype=np.float64).reshape(-1)
        for i, lane in enumerate(lanes):
            if not lane.ruined:
                lane.step(t, float(actions[i]))
                observations[i] = lane.observation[0]
        if all(lane.ruined for lane in lanes):
            break
    return [lane.finish() for lane in lanes]


def replayed(run: Backtest, market: MarketTensor, config: SimulatorConfig) -> Backtest:
    """The recorded actions of ``run`` traded again under other rules, in one compiled pass.

    It is what the subject would have done only if its decisions do not depend on the rules, as
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
        traded=units != 0.0,
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


def _decider(subject: Subject, market: MarketTensor, config: SimulatorConfig) -> Decider:
    """The subject as a function of observations [N, O] and market rows [N]."""
    if isinstance(subject, Expert | Behaviour):
        policy = ExpertPolicy(subject, market.layout, config, market=market)
        return lambda observations, rows: policy(observations, rows)
    plain: Policy = subject
    return lambda observations, rows: plain(observations)


def _looks_up(subject: Subject) -> bool:
    expert = subject.expert if isinstance(subject, Behaviour) else subject
    return isinstance(expert, Expert) and expert.row_table is not None


class _Lane:
    """One simulator with one portfolio, and the arrays that fill up while it goes on."""

    def __init__(self, market: MarketTensor, config: SimulatorConfig, delay_bars: int) -> None:
        n_steps = len(market) - 1
        self.market, self.config = market, config
        self.simulator = Simulator(market, config, 1, auto_reset=False)
        self.observation = self.simulator.reset()
        self.waiting = deque([0.0] * delay_bars)
        self.n, self.held, self.ruined = 0, 0.0, False
        self.actions = np.zeros(n_steps)
        self.observations = np.zeros((n_steps, self.simulator.observation_size), dtype=np.float32)
        self.equity = np.full(n_steps + 1, config.initial_cash)
        self.exposure = np.zeros(n_steps + 1)
        self.units = np.zeros(n_steps)
        self.prices = np.zeros(n_steps)

    def step(self, t: int, action: float) -> None:
        self.actions[t] = action
        self.observations[t] = self.observation[0]
        self.waiting.append(action)
        simulator = self.simulator
        result = simulator.step(np.array([self.waiting.popleft()]))
        self.observation = result.observations
        self.equity[t + 1] = simulator.equity[0]
        self.exposure[t + 1] = simulator.weight[0]
        self.n, self.ruined = t + 1, bool(result.terminated[0])
        held, self.held = self.held, float(simulator.units[0])
        if self.held != held:
            found = simulator.outcome()
            self.units[t] = found["fill_units"][0]
            self.prices[t] = found["fill_price"][0]

    def finish(self) -> Backtest:
        n = self.n
        self.equity[n + 1 :] = self.equity[n]
        return Backtest(
            symbol=self.market.symbols[0],
            timestamps=self.market.timestamps,
            close=self.market.prices[:, 3],
            equity=np.maximum(self.equity, _GONE * self.config.initial_cash),
            exposure=self.exposure,
            actions=self.actions[:n],
            observations=self.observations[:n],
            traded=self.units[:n] != 0.0,
            fills=_fills(self.units[:n], self.prices[:n], self.market, self.config),
            costs_paid=float(self.simulator.outcome()["costs_paid"][0]),
            ruined=self.ruined,
        )
