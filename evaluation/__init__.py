"""Evaluation: definitions in the open, a known optimum to compare with, the trials counted.

The names below are loaded when they are first used: measures and verdicts need neither torch
nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offline_trader.evaluation.collapse import CollapseMeasures, collapse_measures
    from offline_trader.evaluation.measures import performance
    from offline_trader.evaluation.statistics import SharpeEvidence, sharpe_evidence
    from offline_trader.evaluation.trades import Fills, round_trips, trade_measures

__all__ = [
    "CollapseMeasures",
    "Fills",
    "SharpeEvidence",
    "collapse_measures",
    "performance",
    "round_trips",
    "sharpe_evidence",
    "trade_measures",
]

_MODULES = {
    "CollapseMeasures": "collapse",
    "Fills": "trades",
    "SharpeEvidence": "statistics",
    "collapse_measures": "collapse",
    "performance": "measures",
    "round_trips": "trades",
    "sharpe_evidence": "statistics",
    "trade_measures": "trades",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
