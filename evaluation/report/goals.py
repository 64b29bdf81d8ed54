"""The section about a policy's goal: desired beside achieved."""

from __future__ import annotations

import numpy as np

from offline_trader.evaluation.judging import GoalSweep
from offline_trader.evaluation.report.blocks import Cell, Figure, Section, Table
from offline_trader.evaluation.report.charts import (
    Band,
    Line,
    LineChart,
    NumberFormat,
    format_number,
)

__all__ = ["goals_section"]

_WORDS = {
    "exposure": ("exposure", "bar", "signed position value ÷ equity"),
    "return": ("return over the horizon", "horizon", "equity at its end ÷ at its start − 1"),
    "drawdown": ("drawdown in the horizon", "horizon", "largest fall below its own peak"),
}


def goals_section(sweep: GoalSweep) -> Section:
    """What came out of every goal that was asked for, each over the whole range."""
    what, each, meaning = _WORDS.get(sweep.kind, (sweep.kind, "horizon", ""))
    lead = (
        f"The policy takes a goal: the {what} ({meaning}), over horizons of {sweep.horizon:,} "
        "bars. Here it was asked for one goal after another over the same bars. On the dotted line "
        "it achieves what it is asked for. All other sections show it with a goal of "
        f"{format_number(sweep.default, 'percent')}."
    )
    points = sweep.points
    desired = np.array([point.goal for point in points])
    chart = LineChart(
        "goals",
        f"Desired and achieved {what}",
        desired,
        (
            Line("achieved, mean", np.array([point.achieved for point in points]), "policy"),
            Line("as desired", desired, "muted"),
        ),
        dates=False,
        bands=(
            Band(
                "10th to 90th percentile",
                np.array([point.low for point in points]),
                np.array([point.high for point in points]),
                "policy",
            ),
        ),
        unit="percent",
        x_label="desired",
        y_label="achieved",
    )
    percent: NumberFormat = "percent"
    rows = tuple(
        (
            *(Cell(format_number(v, percent)) for v in (p.goal, p.achieved, p.low, p.high)),
            Cell(format_number(p.success, percent)),
            Cell(format_number(p.reward, "ratio")),
            Cell(format_number(p.growth, percent)),
            Cell(f"{p.n:,}"),
        )
        for p in points
    )
    head = (
        *("Desired", "Achieved, mean", "10 %", "90 %", f"Reached, of the {each}s"),
        *(f"Reward a {each}", "Log growth a year", f"{each.capitalize()}s"),
    )
    caption = f"The default goal: {sweep.chosen}." if sweep.chosen else ""
    return Section("goals", "Goals", lead, (Figure(chart), Table(head, rows, caption)))
