"""The runs that gates need besides the evaluation: a free market, the oracle, a random policy.

Rates of trading are judged on ``synthetic:ou`` without costs, where acting pays at every bar;
coverage against a policy that draws uniform actions for ten times as long; the hold share against
perfect foresight on the same bars.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from offline_trader.envs import EnvConfig
from offline_trader.errors import DataError
from offline_trader.evaluation.backtest import (
    Backtest,
    EvaluationRange,
    Instrument,
    Scenario,
    Strategy,
)
from offline_trader.evaluation.gates.limits import GateSet, check_gates
from offline_trader.evaluation.judging import EvaluateOptions, Evaluation, GateRow, evaluate
from offline_trader.evaluation.known_optimum.ou_bars import band_actions
from offline_trader.evaluation.measures import (
    regime_labels,
    sharpe_ratio,
    state_cells,
    state_coverage,
)
from offline_trader.experts import get_expert
from offline_trader.export import OnnxPolicy, read_manifest
from offline_trader.markets import parse_source
from offline_trader.markets.synthetic import OuMarket, synthetic_law
from offline_trader.simulator import Simulator, SimulatorConfig, simulate_actions
from offline_trader.types import FloatArray, IntArray, PortfolioField

__all__ = ["GateRuns", "gate_facts", "gate_rows", "without_costs"]

RANDOM_STEPS = 10
"""How many times more steps the random policy has to reach its cells."""


@dataclass(frozen=True)
class GateRuns:
    """What is run for the gates.

    Attributes:
        free_market: source of the market on which trading is free.
        latency_calls: single decisions that are timed; 0: latency is not measured.
        seed: of the random policy.
    """

    free_market: str = "synthetic:ou?bars=5000&seed=7"
    latency_calls: int = 500
    seed: int = 0


def gate_rows(
    strategy: Strategy,
    env: EnvConfig,
    evaluation: Evaluation,
    gates: GateSet | None = None,
    runs: GateRuns | None = None,
    known: Mapping[str, float] | None = None,
) -> tuple[GateRow, ...]:
    """Every gate of ``gates`` for an evaluation of ``strategy`` over ``env``'s bars.

    Args:
        strategy: the policy.
        env: bars and rules of its evaluation.
        evaluation: of it.
        gates: by default the built-in ones.
        runs: what to run.
        known: facts that its making tells, by the names of
            :data:`~offline_trader.evaluation.gates.sources.GATE_FACTS`.
    """
    runs = runs or GateRuns()
    free = evaluate(
        strategy,
        replace(
            env,
            market=(runs.free_market,),
            start=None,
            end=None,
            simulator=without_costs(env.simulator),
        ),
        EvaluateOptions(costs_bps=(), delay_bars=0, noise_draws=0, oracle=False, replicates=100),
    )
    facts = {**gate_facts(strategy, env, runs), **(known or {})}
    # a walk over all bars is as many episodes of the training as fit into it
    facts["episodes"] = max(1.0, free.n_bars / (env.episode_bars or free.n_bars))
    return check_gates(evaluation, gates, facts=facts, zero_cost=free)


def without_costs(rules: SimulatorConfig) -> SimulatorConfig:
    """The same rules where trading is free."""
    return replace(
        rules,
        commission_bps=0.0,
        half_spread_bps=0.0,
        slippage_bps=0.0,
        impact_bps=0.0,
        borrow_bps_per_year=0.0,
    )


def gate_facts(
    strategy: Strategy, env: EnvConfig, runs: GateRuns | None = None
) -> dict[str, float]:
    """What can be found out by running, by the names of ``gate_sources.GATE_FACTS``.

    Args:
        strategy: the policy.
        env: bars and rules of its evaluation.
        runs: what to run.
    """
    runs, span, rules = runs or GateRuns(), EvaluationRange.from_env(env), env.simulator
    (backtests,) = span.backtests(strategy, [Scenario(rules)])
    (best,) = span.backtests(get_expert("oracle"), [Scenario(rules)], observe=False)
    facts = {
        "oracle_hold_share": 1.0 - float(np.concatenate([each.traded for each in best]).mean()),
        "breaker_hits": float(sum(each.ruined for each in backtests)),
    }
    covered = _coverage(span, backtests, rules, runs.seed)
    if covered is not None:
        facts["coverage"] = covered
    optimal = _optimal_sharpe(span, env)
    if optimal is not None:
        facts["optimal_sharpe"] = optimal
    if isinstance(strategy, OnnxPolicy):
        facts |= _model_facts(strategy, backtests[0].observations, runs.latency_calls)
    return facts


def _coverage(
    span: EvaluationRange, backtests: list[Backtest], rules: SimulatorConfig, seed: int
) -> float | None:
    """Cells of exposure × holding time × regime, of those that a random policy reaches."""
    visited, reachable = [], []
    for each, backtest in zip(span.instruments, backtests, strict=True):
        regimes = regime_labels(each.bars.close, each.range.start, each.range.stop)
        n = len(backtest.actions)
        visited.append(_cells(backtest.exposure[:n], backtest.observations, regimes[:n]))
        reachable.append(_random_cells(each, rules, regimes, seed))
    return state_coverage(np.concatenate(visited), np.concatenate(reachable))


def _random_cells(
    each: Instrument, rules: SimulatorConfig, regimes: IntArray, seed: int
) -> IntArray:
    lanes = Simulator(each.market, rules, RANDOM_STEPS, seed=seed)
    rng, cells = np.random.default_rng(seed), []
    seen = lanes.reset()
    for label in regimes:
        cells.append(_cells(lanes.weight, seen, np.full(RANDOM_STEPS, label)))
        seen = lanes.step(rng.uniform(-1.0, 1.0, RANDOM_STEPS)).observations
    return np.concatenate(cells)


def _cells(exposure: FloatArray, observations: np.ndarray, regimes: IntArray) -> IntArray:
    """Cells of N steps whose regime is known."""
    column = PortfolioField.HOLD_TIME - len(PortfolioField)
    held = np.rint(np.expm1(observations[:, column].astype(np.float64) * np.log(253.0)))
    known = regimes >= 0
    return state_cells(exposure[known], held[known], regimes[known])


def _optimal_sharpe(span: EvaluationRange, env: EnvConfig) -> float | None:
    """Sharpe ratio of the optimal band where the one market is ``synthetic:ou``."""
    kind, name, parameters = parse_source(env.market[0])
    if kind != "synthetic" or len(env.market) > 1:
        return None
    law = synthetic_law(name, parameters)
    if (
        not isinstance(law, OuMarket)
        or law.k <= 0
        or env.simulator.action_mode != "target_long_short"
    ):
        return None
    rules, market = env.simulator, span.markets[0]
    cost = rules.commission_bps + rules.half_spread_bps + rules.slippage_bps
    run = simulate_actions(market, rules, band_actions(market, law, cost)[:-1])
    assert run.equity is not None
    equity = run.equity[:, 0]
    return sharpe_ratio(equity[1:] / equity[:-1] - 1.0, span.periods_per_year)


def _model_facts(policy: OnnxPolicy, observations: np.ndarray, calls: int) -> dict[str, float]:
    """Parity from the model's manifest, and the 95th percentile of its latency."""
    facts = {}
    try:
        parity = read_manifest(policy.path).get("parity")
    except DataError:  # a model without a manifest: its parity is not known
        parity = None
    if parity is not None:
        facts["parity"] = float(parity["max_abs_difference"])
    if calls:
        times = []
        for call in range(calls):
            row = observations[call % len(observations)][None]
            begun = time.perf_counter()
            policy(row)
            times.append(time.perf_counter() - begun)
        facts["latency_ms"] = float(np.percentile(times, 95) * 1e3)
        facts["latency_calls"] = float(calls)
    return facts
