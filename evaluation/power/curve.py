"""How often a signal of each strength was found, with the interval of that share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from offline_trader.evaluation.statistics import wilson_interval

__all__ = ["PowerPoint", "power_curve", "power_sentence"]


@dataclass(frozen=True)
class PowerPoint:
    """One strength of the signal.

    Attributes:
        coefficient: information coefficient.
        seeds: how many markets.
        found: in how many the policy's Sharpe ratio was significantly above 0.
        share, share_low, share_high: found ÷ seeds with its 95 % Wilson interval.
        sharpe: mean Sharpe ratio of the policies on the test bars; one that never trades has 0.
        sharpe_worst: of the worst seed.
        rule_sharpe: mean of the signal-only rule's, fitted on the same training bars.
        rule_found: in how many the rule's was significant.
        optimum_sharpe: mean of the optimum's, which knows the market's law.
        optimum_found: in how many the optimum's was significant.
        exposure: mean |position value ÷ equity| of the policies.
        idle: policies that filled no order.
        collapsed: policies that trade with a verdict COLLAPSED or STATE-BLIND.
    """

    coefficient: float
    seeds: int
    found: int
    share: float
    share_low: float
    share_high: float
    sharpe: float
    sharpe_worst: float
    rule_sharpe: float
    rule_found: int
    optimum_sharpe: float
    optimum_found: int
    exposure: float
    idle: int
    collapsed: int


def power_curve(results: Sequence[Mapping[str, Any]]) -> list[PowerPoint]:
    """A point for each coefficient, in their order, from one result a seed."""
    points = []
    for coefficient in sorted({float(one["coefficient"]) for one in results}):
        own = [one for one in results if float(one["coefficient"]) == coefficient]
        found = sum(bool(one["found"]) for one in own)
        interval = wilson_interval(found, len(own))
        assert interval is not None  # there is at least one
        low, high = interval
        sharpes = [float(one["sharpe"]) for one in own]
        points.append(
            PowerPoint(
                coefficient=coefficient,
                seeds=len(own),
                found=found,
                share=found / len(own),
                share_low=low,
                share_high=high,
                sharpe=float(np.mean(sharpes)),
                sharpe_worst=min(sharpes),
                rule_sharpe=float(np.mean([one["rule_sharpe"] for one in own])),
                rule_found=sum(bool(one["rule_found"]) for one in own),
                optimum_sharpe=float(np.mean([one["optimum_sharpe"] for one in own])),
                optimum_found=sum(bool(one["optimum_found"]) for one in own),
                exposure=float(np.mean([one["exposure"] for one in own])),
                idle=sum(one["trades"] == 0 for one in own),
                collapsed=sum(one["trades"] > 0 and bool(one["verdicts"]) for one in own),
            )
        )
    return points


def power_sentence(points: Sequence[PowerPoint], years: float, cost_bps: float) -> str:
    """What the curve says to somebody who reads an insignificant result."""
    begin = f"With {years:.3g} years of these bars to train on, at {cost_bps:g} bp a side, the line"
    parts = [
        f"finds an information coefficient of {p.coefficient:g} {_times(p.share)} "
        f"(95 % interval {p.share_low:.0%} to {p.share_high:.0%})"
        for p in points
        if p.coefficient > 0.0
    ]
    if not parts:
        parts = ["was not asked to find anything"]
    said = f"{begin} {', and '.join(parts)}."
    nothing = [p for p in points if p.coefficient == 0.0]
    if nothing:
        said += f" Where there is nothing it claimed to find something in {nothing[0].found} of "
        said += f"{nothing[0].seeds} markets, with a mean Sharpe ratio of {nothing[0].sharpe:.2f}."
    return said


def _times(share: float) -> str:
    tens = round(10 * share)
    words = {0: "hardly ever", 10: "nearly always"}
    return words.get(tens, f"{tens} times in ten")
