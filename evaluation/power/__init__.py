"""Whether a line of training finds a signal that is there: planted markets, how often it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.power.band import SIGNAL, signal_rule
    from offline_trader.evaluation.power.claims import claim, judged_optimum
    from offline_trader.evaluation.power.curve import PowerPoint, power_curve, power_sentence
    from offline_trader.evaluation.power.optimum import optimal_rule, signal_span
    from offline_trader.evaluation.power.pictures import power_charts
    from offline_trader.evaluation.power.planted import Planted, Split, plant

__all__ = [
    "SIGNAL",
    "Planted",
    "PowerPoint",
    "Split",
    "claim",
    "judged_optimum",
    "optimal_rule",
    "plant",
    "power_charts",
    "power_curve",
    "power_sentence",
    "signal_rule",
    "signal_span",
]

__getattr__ = lazy_names(__name__)
