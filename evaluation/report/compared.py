"""The page that puts evaluations side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline_trader.evaluation.judging import Evaluation, SideBySide
from offline_trader.evaluation.report.blocks import Block, Cell, Figure, Section, Table, Tone
from offline_trader.evaluation.report.charts import (
    IntervalChart,
    Line,
    LineChart,
    Role,
    format_number,
)
from offline_trader.evaluation.report.evidence import statistic_label
from offline_trader.evaluation.report.labels import label_of, value_text
from offline_trader.evaluation.report.page import render_page
from offline_trader.evaluation.report.verdict import banner
from offline_trader.types import FloatArray

__all__ = ["compared_sections", "render_comparison"]

ROLES: tuple[Role, ...] = (
    "policy",
    "expert",
    "extra",
    "extra2",
    "extra3",
    "extra4",
    "extra5",
    "benchmark",
)


def render_comparison(evaluations: Sequence[Evaluation], comparison: SideBySide) -> str:
    """HTML text of the comparison, self-contained like the report."""
    return render_page(
        " · ".join(comparison.names),
        "Side by side",
        [banner(each) for each in evaluations],
        compared_sections(evaluations, comparison),
        comparison.notes,
    )


def compared_sections(evaluations: Sequence[Evaluation], comparison: SideBySide) -> list[Section]:
    """The sections in page order."""
    return [
        _measures(comparison),
        _curves(evaluations, comparison),
        _differences(comparison),
        _statistics(comparison),
        _settings(comparison),
    ]


def _best(values: tuple[float | None, ...], better: int) -> int | None:
    """Index of the only best value; None where there is none or the measure has no direction."""
    known = [(better * value, i) for i, value in enumerate(values) if value is not None]
    if better == 0 or len(known) < 2:
        return None
    known.sort(reverse=True)
    return known[0][1] if known[0][0] > known[1][0] else None


def _measures(comparison: SideBySide) -> Section:
    rows = []
    for name, values in comparison.measures.items():
        label = label_of(name)
        best = _best(values, label.better)
        tones: list[Tone] = ["good" if i == best else "plain" for i in range(len(values))]
        cells = [Cell(value_text(name, v), tone) for v, tone in zip(values, tones, strict=True)]
        rows.append((Cell(label.text, numeric=False), *cells))
    verdicts = [Cell(", ".join(each) or "none") for each in comparison.verdicts]
    rows.append((Cell("Collapse verdict", numeric=False), *verdicts))
    return Section(
        "measures",
        "Measures",
        "Net of costs. The best of a row is marked where more or less is better; whether the "
        "difference means anything is said below.",
        (Table(("", *comparison.names), tuple(rows)),),
    )


def _curves(evaluations: Sequence[Evaluation], comparison: SideBySide) -> Section:
    x = np.unique(np.concatenate([each.curve.seconds for each in evaluations]))
    equity, drawdown = [], []
    for i, (name, each) in enumerate(zip(comparison.names, evaluations, strict=True)):
        role = ROLES[i % len(ROLES)]
        growth = _on(x, each.curve.seconds, each.curve.equity / each.curve.equity[0])
        own = each.curve.equity / np.maximum.accumulate(each.curve.equity) - 1.0
        equity.append(Line(name, growth, role))
        drawdown.append(Line(name, _on(x, each.curve.seconds, own), role))
    charts: tuple[Block, ...] = (
        Figure(
            LineChart(
                "compared_equity",
                "Growth of 1",
                x,
                tuple(equity),
                log_y=True,
                unit="ratio",
                rule=1.0,
                y_label="equity ÷ equity at the start, logarithmic axis",
            )
        ),
        Figure(
            LineChart(
                "compared_underwater",
                "Loss since the last high",
                x,
                tuple(drawdown),
                unit="percent",
                y_label="equity ÷ its highest value so far − 1",
            )
        ),
    )
    return Section("curves", "Equity and drawdown", "Each from its own first bar.", charts)


def _on(x: FloatArray, own: FloatArray, values: FloatArray) -> FloatArray:
    """[len(x)] the last known value at each x; NaN outside the own range."""
    rows = np.searchsorted(own, x, side="right") - 1
    inside = (rows >= 0) & (x <= own[-1])
    return np.where(inside, values[np.maximum(rows, 0)], np.nan)


def _differences(comparison: SideBySide) -> Section:
    rows = comparison.differences
    role: Role = "policy"
    bounds = np.array([row.interval or (np.nan, np.nan) for row in rows], dtype=np.float64)
    blocks: list[Block] = []
    if any(row.value is not None for row in rows):
        chart = IntervalChart(
            "sharpe_differences",
            f"Sharpe ratio minus that of {comparison.names[0]}",
            tuple(row.name for row in rows),
            np.array([np.nan if row.value is None else row.value for row in rows]),
            bounds[:, 0],
            bounds[:, 1],
            (role,) * len(rows),
            "ratio",
            0.0,
            "difference of the Sharpe ratios a year, with its 95 % interval",
        )
        blocks.append(Figure(chart))
    table = tuple(
        (Cell(row.name, numeric=False), Cell(f"{row.n:,}"), Cell(row.reason, numeric=False))
        for row in rows
        if row.reason
    )
    if table:
        blocks.append(Table(("", "Shared bars", "Not comparable because"), table))
    return Section(
        "differences",
        "Paired differences",
        "Bars that both have, resampled together, so that what they share cancels. An interval "
        "that contains zero is no difference.",
        tuple(blocks),
    )


def _statistics(comparison: SideBySide) -> Section:
    rows = []
    for name, values in comparison.statistics.items():
        text, unit = statistic_label(name)
        cells = (Cell(format_number(value, unit)) for value in values)
        rows.append((Cell(text, numeric=False), *cells))
    return Section(
        "statistics",
        "Against self-deception",
        "How much of each result luck explains, each with the number of trials it was counted in.",
        (Table(("", *comparison.names), tuple(rows)),) if rows else (),
        "The statistics were not computed.",
    )


def _settings(comparison: SideBySide) -> Section:
    rows = tuple(
        (Cell(name, numeric=False), *(Cell(value, numeric=False) for value in values))
        for name, values in comparison.settings.items()
    )
    return Section(
        "settings",
        "What differs",
        "Rules, data and models that are not the same for all.",
        (Table(("", *comparison.names), rows),) if rows else (),
        "Nothing: same data, same rules, same model.",
    )
