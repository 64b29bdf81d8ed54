"""Gates: limits set before the result is seen."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.gates.limits import (
        GateSet,
        check_gates,
        gate_summary,
        load_gates,
        require_gates,
    )
    from offline_trader.evaluation.gates.runs import GateRuns, gate_facts, gate_rows, without_costs
    from offline_trader.evaluation.gates.sources import GATE_FACTS, SOURCES

__all__ = [
    "GATE_FACTS",
    "GateRuns",
    "GateSet",
    "SOURCES",
    "check_gates",
    "gate_facts",
    "gate_rows",
    "gate_summary",
    "load_gates",
    "require_gates",
    "without_costs",
]

__getattr__ = lazy_names(__name__)
