"""The runs behind the gates: free market, oracle, random policy, latency."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offline_trader.envs import EnvConfig
from offline_trader.evaluation.gates import GateRuns, gate_facts, gate_rows, without_costs
from offline_trader.evaluation.judging import EvaluateOptions, Evaluation, evaluate
from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES
from offline_trader.experts import get_expert
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import Observations

ENV = EnvConfig(market=("sp500",), start="2016-01-01", end="2017-12-31")
RUNS = GateRuns(free_market="synthetic:ou?bars=1500&seed=7", latency_calls=0)
BRIEF = EvaluateOptions(costs_bps=(), delay_bars=0, noise_draws=0, oracle=False, replicates=100)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(get_expert("technical"), ENV, BRIEF)


def test_rates_are_judged_on_the_free_market(evaluation: Evaluation) -> None:
    rows = {
        row.name: row for row in gate_rows(get_expert("technical"), ENV, evaluation, None, RUNS)
    }
    for name in ("action_entropy", "trades_per_1000", "voluntary_trade_rate", "largest_side"):
        assert rows[name].verdict in ("pass", "fail"), rows[name]
        assert 0 < (rows[name].n or 0) < 1500
    for name in ("hold_share", "state_dependence", "coverage", "sharpe", "drawdown"):
        assert rows[name].verdict in ("pass", "fail"), rows[name]
    for name in ("walk_forward", "parity", "latency", "sharpe_of_oracle"):
        assert rows[name].verdict == "not evaluable"


def test_trades_are_counted_an_episode_of_the_training(evaluation: Evaluation) -> None:
    short = replace(ENV, episode_bars=200)
    expert = get_expert("technical")
    rows, whole = (
        {row.name: row for row in gate_rows(expert, env, evaluation, None, RUNS)}
        for env in (short, replace(ENV, episode_bars=None))
    )
    one, other = rows["trades_per_episode"], whole["trades_per_episode"]
    assert one.value is not None
    assert other.value is not None
    assert other.value / one.value == pytest.approx((other.n or 0) / 200)
    assert rows["trades_per_1000"].value == pytest.approx(one.value * 5)
    assert rows["drawdown"].reason == "0 breaker hits"


def test_inaction_fails_where_acting_is_free(evaluation: Evaluation) -> None:
    def nothing(observations: Observations) -> Observations:
        return np.zeros((len(observations), 1), dtype=np.float32)

    still = evaluate(nothing, ENV, BRIEF)
    rows = {row.name: row for row in gate_rows(nothing, ENV, still, None, RUNS)}
    for name in ("action_entropy", "largest_bin", "largest_side", "trades_per_1000", "coverage"):
        assert rows[name].verdict == "fail", rows[name]


def test_a_random_policy_covers_what_random_policies_reach() -> None:
    rng = np.random.default_rng(0)

    def random(observations: Observations) -> Observations:
        return rng.uniform(-1, 1, (len(observations), 1)).astype(np.float32)

    facts = gate_facts(random, ENV, RUNS)
    hold = gate_facts(get_expert("buy_and_hold"), ENV, RUNS)
    assert facts["coverage"] > 0.4
    assert hold["coverage"] < 0.5 * facts["coverage"]
    assert 0 < facts["oracle_hold_share"] < 1


def test_optimal_sharpe_is_known_on_the_synthetic_market_only() -> None:
    env = EnvConfig(market=("synthetic:ou?bars=3000&seed=3",), simulator=OU_RULES)
    facts = gate_facts(get_expert("reversion"), env, RUNS)
    # 9 bp a bar on a standard deviation of 1 %, hourly bars: about 0.09·√8760
    assert facts["optimal_sharpe"] == pytest.approx(0.09 * np.sqrt(8760), rel=0.35)
    assert "optimal_sharpe" not in gate_facts(get_expert("reversion"), ENV, RUNS)


def test_without_costs_changes_costs_only() -> None:
    rules = SimulatorConfig(action_mode="target_long", commission_bps=7.0, impact_bps=2.0)
    free = without_costs(rules)
    assert (free.commission_bps, free.half_spread_bps, free.slippage_bps) == (0, 0, 0)
    assert (free.impact_bps, free.borrow_bps_per_year) == (0, 0)
    assert free.action_mode == "target_long"
    assert free.initial_cash == rules.initial_cash
