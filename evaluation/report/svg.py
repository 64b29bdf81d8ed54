"""Draws a figure as HTML: curves as stretched SVG, every label as text of the page.

The SVG stretches to the width of the page while strokes keep their width, and labels stay HTML, so
the same markup is readable on a desk and on a phone. Colours are CSS variables, so the figures
follow the reader's light or dark setting. Nothing is loaded from anywhere.
:mod:`~offline_trader.evaluation.report.png` puts the same curves and ticks into a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from offline_trader.evaluation.report.axes import Axis, date_axis, linear_axis, log_axis
from offline_trader.evaluation.report.charts import (
    MANY_DOTS,
    Band,
    BarChart,
    Chart,
    HeatMap,
    IntervalChart,
    LineChart,
    format_number,
    thin,
    thin_dots,
)
from offline_trader.types import FloatArray

__all__ = ["HEIGHT", "ROW", "WIDTH", "Plot", "bar_plot", "draw", "interval_rows", "line_plot"]

WIDTH, HEIGHT, ROW = 1000.0, 300.0, 30.0
"""Of a plot, and of a row of an interval chart."""
POINTS = 700


@dataclass(frozen=True)
class Plot:
    """Curves or bars on their axes, without any text: SVG elements on ``WIDTH`` × ``HEIGHT``.

    Attributes:
        parts: SVG elements; their classes are roles and kinds of marks.
        y_axis, x_axis: scales with ticks.
        legend: (label, role, kind of key), in order.
    """

    parts: list[str]
    y_axis: Axis
    x_axis: Axis
    legend: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class IntervalRow:
    """One row of an interval chart: SVG elements on ``WIDTH`` × ``ROW``, and its value as text."""

    label: str
    parts: list[str]
    value: str
    ends: str


def draw(chart: Chart) -> str:
    """HTML of one figure; ``role="img"`` with the title as its text for screen readers."""
    if isinstance(chart, LineChart | BarChart):
        plot = line_plot(chart) if isinstance(chart, LineChart) else bar_plot(chart)
        svg = _svg(chart.title, plot.parts)
        body = _legend(plot.legend) + _named(chart.y_label)
        read = _readable(chart, plot) if isinstance(chart, LineChart) else ""
        body += _plot(svg, plot.y_axis, plot.x_axis, chart.x_label, read)
    elif isinstance(chart, IntervalChart):
        body = _interval_chart(chart)
    else:
        body = _heat_map(chart)
    caption = f"<figcaption>{escape(chart.title)}</figcaption>"
    return f'<figure class="chart" id="fig-{escape(chart.name)}">{caption}{body}</figure>'


def _readable(chart: LineChart, plot: Plot) -> str:
    """Attributes by which ``hover.js`` reads values back from coordinates."""
    x, y = plot.x_axis, plot.y_axis
    flags = (' data-dates="1"' if chart.dates else "") + (' data-log="1"' if y.log else "")
    ends = {"x0": x.lower, "x1": x.upper, "y0": y.lower, "y1": y.upper}
    numbers = " ".join(f'data-{name}="{float(value)}"' for name, value in ends.items())
    return f' {numbers} data-unit="{chart.unit}"{flags}'


def line_plot(chart: LineChart) -> Plot:
    """The curves, bands and dots of a chart, first line on top."""
    ys = chart.curves
    extra = [np.array([chart.rule])] if chart.rule is not None else []
    extra += [np.zeros(1)] if any(line.fill for line in chart.lines) else []
    everything = np.concatenate([*ys, *[dots.y for dots in chart.dots], *extra])
    y_axis = (log_axis if chart.log_y else linear_axis)(everything, chart.unit)
    x_axis = date_axis(chart.x) if chart.dates else linear_axis(chart.x, "number", wanted=7)
    if not chart.dates:
        x_axis = Axis(float(chart.x.min()), float(chart.x.max()), False, x_axis.ticks)
    rows = thin(chart.x, ys, POINTS)
    x = x_axis(chart.x[rows]) * WIDTH
    parts = [_grid(y_axis, x_axis)]
    parts += [_band(x, band, rows, y_axis) for band in chart.bands]
    if chart.rule is not None:
        level = HEIGHT * (1 - float(y_axis(chart.rule)))
        parts.append(f'<path class="rule" d="M0 {level:.1f}H{WIDTH:.0f}"/>')
    for line in reversed(chart.lines):
        y = HEIGHT * (1 - y_axis(line.y[rows]))
        if line.fill:
            base = HEIGHT * (1 - float(y_axis(0.0)))
            parts.append(f'<path class="fill {line.role}" d="{_area(x, y, base)}"/>')
        name = escape(line.label)
        parts.append(f'<path class="line {line.role}" data-name="{name}" d="{_path(x, y)}"/>')
    for dots in chart.dots:
        many = " many" if len(dots.x) > MANY_DOTS else ""
        at_x, at_y = x_axis(dots.x) * WIDTH, HEIGHT * (1 - y_axis(dots.y))
        if many:
            at_x, at_y = thin_dots(at_x, at_y)
        marks = "".join(
            f"M{a:.1f} {b:.1f}h0"
            for a, b in zip(at_x, at_y, strict=True)
            if np.isfinite(a) and np.isfinite(b)
        )
        parts.append(f'<path class="dots {dots.role}{many}" d="{marks}"/>')
    entries = [(each.label, each.role, "line") for each in chart.lines]
    entries += [(each.label, each.role, "band") for each in chart.bands]
    entries += [(each.label, each.role, "dot") for each in chart.dots]
    return Plot(parts, y_axis, x_axis, tuple(entry for entry in entries if entry[0]))


def bar_plot(chart: BarChart) -> Plot:
    """The bars of a chart, each with its value as a title."""
    finite = np.nan_to_num(chart.values)
    rule = [chart.rule] if chart.rule is not None else []
    y_axis = linear_axis(np.array([0.0, *finite, *rule]), chart.unit)
    slot = WIDTH / len(chart.categories)
    base = HEIGHT * (1 - float(y_axis(0.0)))
    parts = [_grid(y_axis, None)]
    for index, (value, role) in enumerate(zip(finite, chart.roles, strict=True)):
        top = HEIGHT * (1 - float(y_axis(value)))
        title = escape(f"{chart.categories[index]}: {format_number(value, chart.unit)}")
        parts.append(
            f'<rect class="bar {role}" x="{(index + 0.12) * slot:.1f}" width="{0.76 * slot:.1f}" '
            f'y="{min(top, base):.1f}" height="{abs(base - top):.1f}"><title>{title}</title></rect>'
        )
    if chart.rule is not None:
        level = HEIGHT * (1 - float(y_axis(chart.rule)))
        parts.append(f'<path class="rule" d="M0 {level:.1f}H{WIDTH:.0f}"/>')
    every = max(1, round(len(chart.categories) / 11))
    centre = (len(chart.categories) - 1) // 2 % every
    ticks = tuple(
        ((i + 0.5) / len(chart.categories), text)
        for i, text in enumerate(chart.categories)
        if i % every == centre
    )
    return Plot(parts, y_axis, Axis(0.0, 1.0, False, ticks))


def interval_rows(chart: IntervalChart) -> tuple[Axis, list[IntervalRow]]:
    """The axis that all rows share, and the rows from the top."""
    rule = np.array([chart.rule]) if chart.rule is not None else np.empty(0)
    axis = linear_axis(np.concatenate([chart.points, chart.lower, chart.upper, rule]), chart.unit)
    middle, rows = ROW / 2, []
    for index, category in enumerate(chart.categories):
        role, parts, interval = chart.roles[index], [], ""
        if chart.rule is not None:
            at = WIDTH * float(axis(chart.rule))
            parts.append(f'<path class="rule" d="M{at:.1f} 0V{ROW:.0f}"/>')
        ends = axis(np.array([chart.lower[index], chart.upper[index]])) * WIDTH
        if np.isfinite(ends).all():
            line = f"M{ends[0]:.1f} {middle:.0f}H{ends[1]:.1f}"
            parts.append(f'<path class="whisker {role}" d="{line}"/>')
            low = format_number(float(chart.lower[index]), chart.unit)
            high = format_number(float(chart.upper[index]), chart.unit)
            interval = f"[{low}, {high}]"
        point = float(axis(chart.points[index])) * WIDTH
        if np.isfinite(point):
            parts.append(f'<path class="dots big {role}" d="M{point:.1f} {middle:.0f}h0"/>')
        value = format_number(float(chart.points[index]), chart.unit)
        rows.append(IntervalRow(category, parts, value, interval))
    return axis, rows


def _interval_chart(chart: IntervalChart) -> str:
    axis, found = interval_rows(chart)
    rows = []
    for row in found:
        text = row.value + (f" <small>{row.ends}</small>" if row.ends else "")
        rows.append(
            f'<div class="irow"><span class="ilabel">{escape(row.label)}</span>'
            f'<span class="itrack"><svg viewBox="0 0 {WIDTH:.0f} {ROW:.0f}" '
            f'preserveAspectRatio="none" aria-hidden="true">{"".join(row.parts)}</svg></span>'
            f'<span class="ivalue">{text}</span></div>'
        )
    ticks = "".join(
        f'<span style="left:{100 * float(axis(value)):.2f}%">{text}</span>'
        for value, text in axis.ticks
    )
    foot = f'<div class="irow ifoot"><span></span><span class="xlabels">{ticks}</span></div>'
    if chart.x_label:
        name = escape(chart.x_label)
        foot += f'<div class="irow"><span></span><span class="xname">{name}</span></div>'
    return f'<div class="intervals">{"".join(rows)}{foot}</div>'


def _heat_map(chart: HeatMap) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in chart.columns)
    lines = []
    for name, values in zip(chart.rows, chart.values, strict=True):
        cells = []
        for value in values:
            if not np.isfinite(value):
                cells.append("<td></td>")
                continue
            share = round(100 * min(abs(float(value)) / chart.limit, 1.0)) if chart.limit else 0
            hue = "pos" if value >= 0 else "neg"
            cells.append(
                f'<td style="background:color-mix(in srgb,var(--{hue}) {share * 7 // 10}%,'
                f'transparent)">{format_number(float(value), chart.unit)}</td>'
            )
        lines.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table class="heat"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _svg(title: str, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _grid(y_axis: Axis, x_axis: Axis | None) -> str:
    lines = [f"M0 {HEIGHT * (1 - float(y_axis(v))):.1f}H{WIDTH:.0f}" for v, _ in y_axis.ticks]
    if x_axis is not None:
        lines += [f"M{WIDTH * float(x_axis(v)):.1f} 0V{HEIGHT:.0f}" for v, _ in x_axis.ticks]
    return f'<path class="grid" d="{"".join(lines)}"/>'


def _plot(svg: str, y_axis: Axis, x_axis: Axis, x_label: str, read: str = "") -> str:
    y = "".join(
        f'<span style="top:{100 * (1 - float(y_axis(value))):.2f}%">{text}</span>'
        for value, text in y_axis.ticks
    )
    x = "".join(
        f'<span style="left:{100 * float(x_axis(value)):.2f}%">{escape(text)}</span>'
        for value, text in x_axis.ticks
        if -1e-9 <= float(x_axis(value)) <= 1 + 1e-9
    )
    label = f'<div class="xname">{escape(x_label)}</div>' if x_label else ""
    return (
        f'<div class="plot"><div class="ylabels">{y}</div><div class="area"{read}>{svg}</div>'
        f'<div class="xlabels">{x}</div>{label}</div>'
    )


def _named(y_label: str) -> str:
    """The y axis's name, above the axis."""
    return f'<div class="yname">{escape(y_label)}</div>' if y_label else ""


def _legend(entries: Sequence[tuple[str, str, str]]) -> str:
    if len(entries) < 2:
        return ""
    items = "".join(
        f'<li><i class="key {kind} {role}"></i>{escape(label)}</li>'
        for label, role, kind in entries
    )
    return f'<ul class="legend">{items}</ul>'


def _path(x: FloatArray, y: FloatArray) -> str:
    """SVG path through the finite points; a NaN lifts the pen."""
    pieces, pen_up = [], True
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if a != a or b != b or abs(b) == np.inf:
            pen_up = True
            continue
        pieces.append(f"{'M' if pen_up else 'L'}{a:.1f} {b:.1f}")
        pen_up = False
    return "".join(pieces)


def _area(x: FloatArray, y: FloatArray, base: float) -> str:
    keep = np.isfinite(y)
    if not keep.any():
        return ""
    xs = x[keep]
    return f"M{xs[0]:.1f} {base:.1f}L{_path(xs, y[keep])[1:]}L{xs[-1]:.1f} {base:.1f}Z"


def _band(x: FloatArray, band: Band, rows: np.ndarray, axis: Axis) -> str:
    low, high = HEIGHT * (1 - axis(band.lower[rows])), HEIGHT * (1 - axis(band.upper[rows]))
    keep = np.isfinite(low) & np.isfinite(high)
    if not keep.any():
        return ""
    there = _path(x[keep], high[keep])
    back = _path(x[keep][::-1], low[keep][::-1])[1:]
    return f'<path class="band {band.role}" d="{there}L{back}Z"/>'
