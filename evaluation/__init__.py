"""Evaluation: definitions in the open, a known optimum to compare with, the trials counted.

The names below are loaded when they are first used: measures and verdicts need neither torch
nor pandas.
"""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.gates import check_gates, load_gates, require_gates
    from offline_trader.evaluation.judging import Evaluation, TrialLedger, evaluate
    from offline_trader.evaluation.measures import (
        CollapseMeasures,
        Fills,
        collapse_measures,
        performance,
        regime_rows,
        round_trips,
        trade_measures,
    )
    from offline_trader.evaluation.statistics import (
        Interval,
        SeedSummary,
        SharpeEvidence,
        bootstrap_interval,
        seed_summary,
        sharpe_difference,
        sharpe_evidence,
        superior_to_benchmark,
    )

__all__ = [
    "CollapseMeasures",
    "Evaluation",
    "Fills",
    "Interval",
    "SeedSummary",
    "SharpeEvidence",
    "TrialLedger",
    "bootstrap_interval",
    "check_gates",
    "collapse_measures",
    "evaluate",
    "load_gates",
    "performance",
    "regime_rows",
    "require_gates",
    "round_trips",
    "seed_summary",
    "sharpe_difference",
    "sharpe_evidence",
    "superior_to_benchmark",
    "trade_measures",
]

__getattr__ = lazy_names(__name__)
