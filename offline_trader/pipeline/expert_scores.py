"""What an expert earns by its own decisions, without noise."""

from __future__ import annotations

from dataclasses import dataclass, field

from offline_trader.envs import EnvConfig
from offline_trader.evaluation.backtest import EvaluationRange, Scenario
from offline_trader.evaluation.measures import performance
from offline_trader.experts import Expert

__all__ = ["ScoreConfig", "score_expert"]


@dataclass(frozen=True)
class ScoreConfig:
    """What experts are scored on.

    Attributes:
        env: market, dates and trading rules.
    """

    env: EnvConfig = field(default_factory=EnvConfig)


def score_expert(expert: Expert, env: EnvConfig) -> dict[str, float | None]:
    """What ``expert`` earns over ``env``'s bars; several instruments in equal shares."""
    span = EvaluationRange.from_env(env)
    account = span.accounts(expert, [Scenario(env.simulator)])[0]
    backtests = account.backtests
    found = performance(account.returns, span.periods_per_year)
    steps = sum(len(backtest.actions) for backtest in backtests)
    trades = sum(int(backtest.traded.sum()) for backtest in backtests)
    kept = {name: found[name] for name in ("total_return", "cagr", "sharpe", "max_drawdown")}
    return {**kept, "trades_per_1000": 1000.0 * trades / steps}
