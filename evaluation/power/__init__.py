"""Whether a line of training finds a signal that is there: planted markets, how often it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.power.band import SIGNAL, signal_rule
    from offline_trader.evaluation.power.curve import PowerPoint, power_curve, power_sentence
    from offline_trader.evaluation.power.planted import Planted, Split, plant

__all__ = [
    "SIGNAL",
    "Planted",
    "PowerPoint",
    "Split",
    "plant",
    "power_curve",
    "power_sentence",
    "signal_rule",
]

__getattr__ = lazy_names(__name__)
