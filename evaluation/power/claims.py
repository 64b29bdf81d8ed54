"""Whether returns claim a signal: a Sharpe ratio above 0 at 5 %, one-sided."""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_trader.evaluation.measures import sharpe_ratio
from offline_trader.evaluation.power.optimum import optimal_rule, signal_span
from offline_trader.evaluation.power.planted import Planted
from offline_trader.evaluation.statistics import bootstrap_interval
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray

__all__ = ["claim", "judged_optimum"]

_ONE_SIDED = 0.90
"""Confidence of the two-sided interval whose lower end is the one-sided test at 5 %."""


def claim(prefix: str, returns: FloatArray, periods: float, seed: int) -> dict[str, Any]:
    """Sharpe ratio, lower end, and whether that is above 0; of no trades 0, None and no.

    Args:
        prefix: of the three keys ``sharpe``, ``low`` and ``found``.
        returns: [T] of the account.
        periods: bars a year.
        seed: of the studentised bootstrap.
    """
    found = sharpe_ratio(returns, periods)
    interval = bootstrap_interval(
        returns, "sharpe", periods, rng=np.random.default_rng(seed), confidence=_ONE_SIDED
    )
    return {
        f"{prefix}sharpe": 0.0 if found is None else float(found),
        f"{prefix}low": None if interval is None else interval.low,
        f"{prefix}found": interval is not None and interval.low > 0.0,
    }


def judged_optimum(planted: Planted, rules: SimulatorConfig, seed: int) -> dict[str, Any]:
    """What the best policy of somebody who knows the law claims on the test bars; no training.

    Args:
        planted: the market.
        rules: of the simulator.
        seed: of the studentised bootstrap.
    """
    account = signal_span(planted).account(optimal_rule(planted, rules), rules)
    return claim("optimum_", account.returns, planted.bars.periods_per_year, seed)
