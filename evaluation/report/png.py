"""Draws a figure of the report as a PNG file with matplotlib (imported when first used)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.evaluation.report.axes import log_axis
from offline_trader.evaluation.report.charts import (
    MANY_DOTS,
    BarChart,
    Chart,
    HeatMap,
    IntervalChart,
    LineChart,
    NumberFormat,
    Role,
    format_number,
    thin,
)

__all__ = ["COLOURS", "write_pngs"]

WIDTH = 9.0
"""Of a figure, in inches."""
INCHES_A_LETTER = 0.09
"""Of the names beside rows: a wide letter of 10 points."""
FAST = 1
"""Of zlib: the others take three times as long for a tenth fewer bytes."""
POINTS = 1200
"""Buckets of a curve: more than the figure is pixels wide."""
COLOURS: dict[Role, str] = {
    "policy": "#2563eb",
    "benchmark": "#64748b",
    "expert": "#d97706",
    "muted": "#94a3b8",
    "good": "#0f8a5f",
    "bad": "#c8324a",
    "extra": "#7c3aed",
    "extra2": "#0d9488",
    "extra3": "#db2777",
    "extra4": "#8a6d1b",
    "extra5": "#4d7c0f",
}


def write_pngs(charts: Sequence[Chart], directory: Path) -> list[Path]:
    """Writes ``<name>.png`` for every chart into ``directory`` and returns the paths.

    matplotlib's object interface is used, so no global figure or style is touched.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in charts:
        height = 0.34 * len(_rows(chart)) + 1.4 if _rows(chart) else 3.8
        figure = Figure(figsize=(WIDTH, height), dpi=120)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes(_place(chart, height))
        # with a height of its own it is not moved above all that is drawn, which is slow to find
        axes.set_title(chart.title, loc="left", fontsize=11, y=1.0)
        _draw(chart, axes)
        paths.append(directory / f"{chart.name}.png")
        # matplotlib would write its version and the date of nothing else; keep equal bytes equal
        canvas.print_png(
            paths[-1], metadata={"Software": None}, pil_kwargs={"compress_level": FAST}
        )
    return paths


def _place(chart: Chart, height: float) -> tuple[float, float, float, float]:
    """(left, bottom, width, height) of the axes, shares of the figure: margins in inches.

    matplotlib's own layouts draw every figure two or three times to find them.
    """
    names = max((len(name) for name in _rows(chart)), default=0)
    left = 0.3 + INCHES_A_LETTER * names if names else 1.0
    left = min(left, WIDTH / 2)
    below, above, right = 0.55, 0.35, 0.15
    return (
        left / WIDTH,
        below / height,
        (WIDTH - left - right) / WIDTH,
        (height - below - above) / height,
    )


def _rows(chart: Chart) -> tuple[str, ...]:
    if isinstance(chart, HeatMap):
        return chart.rows
    return chart.categories if isinstance(chart, IntervalChart) else ()


def _draw(chart: Chart, axes: Any) -> None:
    if isinstance(chart, LineChart):
        _line_chart(chart, axes)
    elif isinstance(chart, BarChart):
        axes.bar(
            np.arange(len(chart.categories)),
            chart.values,
            color=[COLOURS[role] for role in chart.roles],
        )
        every = max(1, round(len(chart.categories) / 11))
        axes.set_xticks(
            range(0, len(chart.categories), every), chart.categories[::every], fontsize=8
        )
        if chart.rule is not None:
            axes.axhline(chart.rule, color="#475569", lw=1, ls="--")
        axes.set_xlabel(chart.x_label, fontsize=8)
        axes.set_ylabel(chart.y_label, fontsize=8)
        _decorate(axes.yaxis, axes, chart.unit)
    elif isinstance(chart, IntervalChart):
        _interval_chart(chart, axes)
    else:
        _heat_map(chart, axes)


def _line_chart(chart: LineChart, axes: Any) -> None:
    rows = thin(chart.x, chart.curves, POINTS)
    x: Any = chart.x[rows]
    if chart.dates:
        x = np.asarray(x * 1e6, dtype="int64").astype("datetime64[us]")
    for band in chart.bands:
        low, high = band.lower[rows], band.upper[rows]
        axes.fill_between(
            x, low, high, color=COLOURS[band.role], alpha=0.18, lw=0, label=band.label
        )
    for depth, line in enumerate(chart.lines):
        width, order = 1.6 if line.role == "policy" else 1.1, 3 - depth / len(chart.lines)
        colour = COLOURS[line.role]
        axes.plot(x, line.y[rows], color=colour, lw=width, label=line.label, zorder=order)
        if line.fill:
            axes.fill_between(x, line.y[rows], 0.0, color=COLOURS[line.role], alpha=0.2, lw=0)
    for dots in chart.dots:
        at: Any = dots.x
        if chart.dates:
            at = np.asarray(dots.x * 1e6, dtype="int64").astype("datetime64[us]")
        size = 14 if len(dots.x) <= MANY_DOTS else 5
        axes.scatter(at, dots.y, s=size, color=COLOURS[dots.role], label=dots.label, zorder=4)
    if chart.log_y:
        axes.set_yscale("log")
        seen = np.concatenate([*[line.y for line in chart.lines], *[d.y for d in chart.dots]])
        axes.set_yticks([value for value, _ in log_axis(seen, chart.unit).ticks])
        axes.minorticks_off()
    if chart.rule is not None:
        axes.axhline(chart.rule, color="#475569", lw=1, ls="--")
    if len(chart.lines) + len(chart.bands) + len(chart.dots) > 1:
        axes.legend(fontsize=8, frameon=False)
    axes.set_xlabel(chart.x_label, fontsize=8)
    axes.set_ylabel(chart.y_label, fontsize=8)
    _decorate(axes.yaxis, axes, chart.unit)


def _interval_chart(chart: IntervalChart, axes: Any) -> None:
    for row, role in enumerate(chart.roles):
        y = len(chart.categories) - 1 - row
        axes.plot([chart.lower[row], chart.upper[row]], [y, y], color=COLOURS[role], lw=2)
        axes.plot([chart.points[row]], [y], "o", color=COLOURS[role])
    axes.set_yticks(range(len(chart.categories)), chart.categories[::-1])
    axes.set_ylim(-0.5, len(chart.categories) - 0.5)  # a row without a point has its place, too
    if chart.rule is not None:
        axes.axvline(chart.rule, color="#475569", lw=1, ls="--")
    axes.set_xlabel(chart.x_label, fontsize=8)
    _decorate(axes.xaxis, axes, chart.unit)


def _heat_map(chart: HeatMap, axes: Any) -> None:
    limit = chart.limit or 1.0
    axes.imshow(chart.values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(chart.columns)), chart.columns, fontsize=8)
    axes.set_yticks(range(len(chart.rows)), chart.rows, fontsize=8)
    for (row, column), value in np.ndenumerate(chart.values):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 * limit else "black"
            text = format_number(float(value), chart.unit)
            axes.text(
                column, row, text, ha="center", va="center", fontsize=7, color=colour, clip_on=False
            )


def _decorate(axis: Any, axes: Any, unit: NumberFormat) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value, unit)))
    if unit == "percent":
        axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.grid(color="#e2e8f0", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
