"""The best that a simple rule makes of the signal alone: what a trained policy is held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.experts import Columns, Expert
from offline_trader.experts.interface import ExpertParams
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray

__all__ = ["SIGNAL", "band_rules", "signal_rule"]

SIGNAL = "signal"
"""The feature's name."""
_ENTRIES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_EXITS = (-1.0, -0.5, 0.0, 0.5)


@dataclass(frozen=True)
class _Band(ExpertParams):
    """Invest beyond ``enter``, leave below ``exit`` (in standard deviations of the signal)."""

    enter: float = 1.0
    leave: float = 0.0
    short: bool = False


def _decide(features: Columns, portfolio: Columns, params: _Band) -> FloatArray:
    s, held = features[SIGNAL], np.asarray(portfolio["exposure"], dtype=np.float64)
    long = np.where(s > params.enter, True, (held > 0.05) & (s > params.leave))
    short = np.where(s < -params.enter, True, (held < -0.05) & (s < -params.leave))
    return np.where(long, 1.0, np.where(short & params.short, -1.0, 0.0))


def band_rules(rules: SimulatorConfig) -> list[Expert]:
    """The 22 bands; short ones, too, where ``rules`` have them."""
    short = rules.action_mode == "target_long_short"
    return [
        Expert("signal_rule", "a band on the signal", _decide, _Band(enter, leave, short), "target")
        for enter in _ENTRIES
        for leave in _EXITS
        if leave < enter
    ]


def signal_rule(span: EvaluationRange, rules: SimulatorConfig) -> Expert:
    """The band on the signal with the highest net log growth over ``span``, among 22.

    Like the policy it is held against, it may stay out: a band that is worse than nothing is
    never entered.
    """
    candidates = band_rules(rules)
    growth = [float(np.log(span.account(each, rules).equity[-1])) for each in candidates]
    best = int(np.argmax(growth))
    if growth[best] <= np.log(rules.initial_cash):
        never = _Band(enter=1e9)
        return Expert("signal_rule", "stays out", _decide, never, "target")
    return candidates[best]
