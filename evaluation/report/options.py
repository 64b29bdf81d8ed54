"""The section about options: which ran when, how long, and in which regime."""

from __future__ import annotations

import numpy as np

from offline_trader.evaluation.judging import OptionUse
from offline_trader.evaluation.report.blocks import Cell, Figure, Section, Table
from offline_trader.evaluation.report.charts import (
    HeatMap,
    Line,
    LineChart,
    Role,
    format_number,
)

__all__ = ["options_section"]

_LEAD = (
    "The policy chooses among options: stretches of behaviour that run for some bars. An option "
    "that is never chosen where it may begin is a collapse of its own kind; one that hardly lasts "
    "is an action with another name."
)
_ROLES: tuple[Role, ...] = (
    *("good", "bad", "policy", "expert", "muted"),
    *("extra", "extra2", "extra3", "extra4", "extra5"),
)


def options_section(use: OptionUse) -> Section:
    """Use of every option, and of each in every regime."""
    rows = tuple(
        (
            Cell(row.name, numeric=False),
            Cell(f"{row.starts:,}"),
            Cell(format_number(row.duration, "number")),
            Cell(format_number(row.share, "percent")),
            Cell(format_number(row.chosen, "percent")),
        )
        for row in use.rows
    )
    head = ("Option", "Times begun", "Mean duration, bars", "Of all bars", "Of the choices it had")
    caption = "Its choices are those in which it might have begun."
    blocks: list[Figure | Table] = [Table(head, rows, caption), Figure(_timeline(use))]
    values = [row.regimes for row in use.rows] + [use.switches]
    laid = np.array([[np.nan if x is None else x for x in row] for row in values])
    if np.isfinite(laid).any():
        names = (*(row.name for row in use.rows), "a choice")
        title = "Share of the bars of each regime on which an option ran, and on which one began"
        blocks.append(
            Figure(
                HeatMap(
                    *("option_regimes", title, names, use.regimes, laid, 1.0),
                    unit="percent_cell",
                )
            )
        )
    return Section("options", "Options", _LEAD, tuple(blocks))


def _timeline(use: OptionUse) -> LineChart:
    """A level an option, drawn where it ran."""
    lines = tuple(
        Line(row.name, np.where(use.timeline == k, float(k), np.nan), _ROLES[k % len(_ROLES)])
        for k, row in enumerate(use.rows)
    )
    return LineChart(
        "options",
        f"Which option ran when, on {use.instrument}",
        np.arange(len(use.timeline), dtype=np.float64),
        lines,
        dates=False,
        x_label="bar",
        y_label="number of the option, in the table's order",
    )
