"""Sections about the training: its stages, its seeds, and markets whose optimum is known."""

from __future__ import annotations

import numpy as np

from offline_trader.evaluation.judging import ScoreRow
from offline_trader.evaluation.report.blocks import Cell, Figure, Section, Table
from offline_trader.evaluation.report.charts import (
    IntervalChart,
    NumberFormat,
    Role,
    format_number,
)
from offline_trader.evaluation.report.labels import label_of

__all__ = ["intervals_chart", "known_optimum_section", "seeds_section", "stages_section"]

SEED_COLUMNS: dict[str, tuple[str, NumberFormat]] = {
    "n_effective": ("e^H", "ratio"),
    "mi_norm": ("MI_norm", "ratio"),
    "trades_per_1000": ("Orders per 1,000", "money"),
}


def intervals_chart(
    name: str,
    title: str,
    rows: tuple[ScoreRow, ...],
    unit: NumberFormat,
    rule: float | None,
    *,
    x_label: str = "",
    roles: tuple[Role, ...] | None = None,
) -> IntervalChart:
    """A point and an interval a row; a summary has another colour than what it summarises."""
    bounds = np.array([row.interval or (np.nan, np.nan) for row in rows], dtype=np.float64)
    points = [np.nan if row.value is None else row.value for row in rows]
    return IntervalChart(
        name,
        title,
        tuple(row.name for row in rows),
        np.array(points, dtype=np.float64),
        bounds[:, 0],
        bounds[:, 1],
        roles or tuple("expert" if row.summary else "policy" for row in rows),
        unit,
        rule,
        x_label,
    )


def stages_section(rows: tuple[ScoreRow, ...]) -> Section:
    """What each stage of the training added to the policy of those before it."""
    title = "Stages of the training"
    lead = (
        "Each stage begins with the policy of the one before. Its best policy is held against that "
        "one on the validation bars: the difference of the net log growth a year, with its 95 % "
        "interval. A stage whose policies are not kept added nothing."
    )
    if not rows:
        missing = "Nothing is known of the training's stages."
        return Section("stages", title, lead, (), missing)
    compared = tuple(row for row in rows if row.value is not None)
    blocks: list[Figure | Table] = []
    if compared:
        label = "net log growth a year beside the policy before, with its 95 % interval"
        chart = intervals_chart("stages", "Added", compared, "percent", 0.0, x_label=label)
        blocks.append(Figure(chart))
    body = []
    for row in rows:
        ends = " to ".join(format_number(end, "percent") for end in row.interval or ())
        body.append(
            (
                Cell(row.name, numeric=False),
                Cell(format_number(row.measures.get("validation_sharpe"), "ratio")),
                Cell(format_number(row.value, "percent")),
                Cell(ends or "–"),
                Cell(row.note, numeric=False),
            )
        )
    head = ("Stage", "Validation Sharpe after it", "Added a year", "95 % interval", "Kept")
    return Section("stages", title, lead, (*blocks, Table(head, tuple(body))))


def seeds_section(rows: tuple[ScoreRow, ...]) -> Section:
    """Every seed's Sharpe ratio and measures, and their interquartile mean."""
    title = "Seeds"
    lead = (
        "The same training with other random seeds. The interquartile mean drops the best and "
        "the worst quarter; a single lucky seed cannot carry it. Its interval is a stratified "
        "bootstrap over the seeds: it says how far the mean of as many other seeds may lie."
    )
    if not rows:
        missing = "Only one seed was evaluated."
        command = "offline-trader evaluate RUN RUN RUN --as-seeds"
        return Section("seeds", title, lead, (), missing, command)
    chart = intervals_chart(
        "seeds",
        "Sharpe ratio by seed",
        rows,
        "ratio",
        0.0,
        x_label="Sharpe ratio, a year, with its 95 % interval",
    )
    names = [name for name in rows[0].measures if name != "total_return"]
    if not names:
        return Section("seeds", title, lead, (Figure(chart),))
    body = [_seed_cells(row, names) for row in rows]
    for row in rows:
        if row.intervals:
            body.append(_end_cells(row, names, 0, "95 % from"))
            body.append(_end_cells(row, names, 1, "95 % to"))
    head = ("", *(_seed_label(name)[0] for name in names), "Remark")
    return Section("seeds", title, lead, (Figure(chart), Table(head, tuple(body))))


def _seed_label(name: str) -> tuple[str, NumberFormat]:
    label = label_of(name)
    return SEED_COLUMNS.get(name, (label.short or label.text, label.unit))


def _seed_cells(row: ScoreRow, names: list[str]) -> tuple[Cell, ...]:
    values = (Cell(format_number(row.measures.get(n), _seed_label(n)[1])) for n in names)
    return Cell(row.name, numeric=False), *values, Cell(row.note, numeric=False)


def _end_cells(row: ScoreRow, names: list[str], end: int, text: str) -> tuple[Cell, ...]:
    """The lower (0) or upper (1) ends of a summary's intervals."""
    cells = []
    for name in names:
        ends = row.intervals.get(name)
        cells.append(Cell(format_number(None if ends is None else ends[end], _seed_label(name)[1])))
    return Cell(text, numeric=False), *cells, Cell("", numeric=False)


def known_optimum_section(rows: tuple[ScoreRow, ...]) -> Section:
    """Scores of methods and policies; those in another unit than the score stand in the table."""
    title = "Markets whose optimum is known"
    lead = (
        "The method named in the row, trained where the best policy can be computed: 100 is the "
        "optimum, 0 the named base policy, below 0 is worse than that."
    )
    if not rows:
        missing = "No known-optimum market was run with this method."
        command = "offline-trader known-optimum M3-narrow --seeds 3 --run RUN"
        return Section("known-optimum", title, lead, (), missing, command)
    scored = tuple(row for row in rows if not row.unit)
    blocks: list[Figure | Table] = []
    if scored:
        chart = intervals_chart(
            "known_optimum", "Scores", scored, "number", 100.0, x_label="score; 100 is the optimum"
        )
        blocks.append(Figure(chart))
    body = []
    for row in rows:
        ends = " to ".join(format_number(end, "number") for end in row.interval or ())
        seeds = ", ".join(format_number(value, "number") for value in row.measures.values())
        value = format_number(row.value, "number") + (f" {row.unit}" if row.unit else "")
        body.append(
            (
                Cell(row.name, numeric=False),
                Cell(value),
                Cell(ends or "–"),
                Cell(seeds if len(row.measures) > 1 else "–", numeric=False),
                Cell(row.note, numeric=False),
            )
        )
    head = ("Method and market", "Score", "95 %", "Each seed", "Remark")
    blocks.append(Table(head, tuple(body)))
    return Section("known-optimum", title, lead, tuple(blocks))
