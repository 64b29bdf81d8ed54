"""The curve as two pictures: how often the signal was found, and what was earned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline_trader.evaluation.power.curve import PowerPoint
from offline_trader.evaluation.report.charts import Band, Line, LineChart

__all__ = ["power_charts"]

_RULE, _OPTIMUM = "a rule on the signal alone", "the optimum under costs"


def power_charts(points: Sequence[PowerPoint]) -> list[LineChart]:
    """``power`` and ``sharpe``, the line beside the rule and the optimum."""
    x = np.array([each.coefficient for each in points])
    seeds = np.array([float(each.seeds) for each in points])
    column = {
        name: np.array([float(getattr(each, name)) for each in points])
        for name in (
            *("share", "share_low", "share_high", "rule_found", "optimum_found"),
            *("sharpe", "rule_sharpe", "optimum_sharpe"),
        )
    }
    about = "information coefficient: correlation of the signal with the next bar's return"
    return [
        LineChart(
            "power",
            "How often the signal is found",
            x,
            (
                Line("the line", column["share"], "policy"),
                Line(_RULE, column["rule_found"] / seeds, "expert"),
                Line(_OPTIMUM, column["optimum_found"] / seeds, "benchmark"),
            ),
            dates=False,
            bands=(Band("95 % interval", column["share_low"], column["share_high"], "policy"),),
            unit="percent",
            rule=0.05,
            x_label=about,
            y_label="found at 5 %, one-sided",
        ),
        LineChart(
            "sharpe",
            "What is earned on the test bars",
            x,
            (
                Line("the line", column["sharpe"], "policy"),
                Line(_RULE, column["rule_sharpe"], "expert"),
                Line(_OPTIMUM, column["optimum_sharpe"], "benchmark"),
            ),
            dates=False,
            unit="ratio",
            rule=0.0,
            x_label=about,
            y_label="mean Sharpe ratio a year",
        ),
    ]
