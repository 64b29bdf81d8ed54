"""Evaluation: definitions in the open, a known optimum to compare with, the trials counted.

The names below are loaded when they are first used: measures and verdicts need neither torch
nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offline_trader.evaluation.bootstrap import Interval, bootstrap_interval, sharpe_difference
    from offline_trader.evaluation.collapse import CollapseMeasures, collapse_measures
    from offline_trader.evaluation.comparison import (
        SeedSummary,
        seed_summary,
        superior_to_benchmark,
    )
    from offline_trader.evaluation.gates import check_gates, load_gates, require_gates
    from offline_trader.evaluation.ledger import TrialLedger
    from offline_trader.evaluation.measures import performance
    from offline_trader.evaluation.record import Evaluation
    from offline_trader.evaluation.regimes import regime_rows
    from offline_trader.evaluation.statistics import SharpeEvidence, sharpe_evidence
    from offline_trader.evaluation.trades import Fills, round_trips, trade_measures

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

_MODULES = {
    "CollapseMeasures": "collapse",
    "Evaluation": "record",
    "Fills": "trades",
    "Interval": "bootstrap",
    "SeedSummary": "comparison",
    "SharpeEvidence": "statistics",
    "TrialLedger": "ledger",
    "bootstrap_interval": "bootstrap",
    "check_gates": "gates",
    "collapse_measures": "collapse",
    "load_gates": "gates",
    "performance": "measures",
    "regime_rows": "regimes",
    "require_gates": "gates",
    "round_trips": "trades",
    "seed_summary": "comparison",
    "sharpe_difference": "bootstrap",
    "sharpe_evidence": "statistics",
    "superior_to_benchmark": "comparison",
    "trade_measures": "trades",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
