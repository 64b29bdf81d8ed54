"""Draws a figure of the report as a PNG file: the page's curves, with its labels as text.

The document is SVG, and resvg turns it into pixels: eleven figures take a tenth of a second, where
a plotting library needs more than one and three times as long to be imported. The font is the one
that matplotlib brings, so a picture is the same where no font is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from offline_trader.evaluation.report.charts import (
    BarChart,
    Chart,
    HeatMap,
    IntervalChart,
    LineChart,
    Role,
    format_number,
)
from offline_trader.evaluation.report.svg import (
    HEIGHT,
    ROW,
    WIDTH,
    bar_plot,
    interval_rows,
    line_plot,
)
from offline_trader.runs import atomic_write

__all__ = ["COLOURS", "picture", "png_bytes", "write_pngs"]

COLOURS: dict[Role, str] = {
    "policy": "#2563eb",
    "benchmark": "#7c8694",
    "expert": "#d97706",
    "muted": "#94a3b8",
    "good": "#0f8a5f",
    "bad": "#c8324a",
    "extra": "#9333ea",
    "extra2": "#0a785a",
    "extra3": "#db2777",
    "extra4": "#1f2937",
    "extra5": "#65a30d",
}
INK, SOFT, GRID = "#16202e", "#566375", "#e8ecf1"
POSITIVE, NEGATIVE = (59, 130, 246), (224, 86, 63)
MARGIN, LINE, LETTER = 20.0, 18.0, 7.4
"""Around the picture, between lines of text, and of a letter at the size of labels; pixels."""


def write_pngs(charts: Sequence[Chart], directory: Path, owner: str = "") -> list[Path]:
    """Writes ``<name>.png`` for every chart into ``directory`` and returns the paths.

    Args:
        charts: figures.
        directory: made if it is missing.
        owner: whose figures they are, beside every title.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in charts:
        paths.append(directory / f"{chart.name}.png")
        atomic_write(paths[-1], png_bytes(chart, owner))
    return paths


def png_bytes(chart: Chart, owner: str = "") -> bytes:
    """The figure as a PNG file's content; ``owner`` as for :func:`write_pngs`."""
    import resvg_py

    pixels: bytes = resvg_py.svg_to_bytes(
        svg_string=picture(chart, owner),
        background="#ffffff",
        style_sheet=_style(),
        skip_system_fonts=True,
        font_files=[_font("DejaVuSans.ttf"), _font("DejaVuSans-Bold.ttf")],
        font_family="DejaVu Sans",
    )
    return pixels


def picture(chart: Chart, owner: str = "") -> str:
    """The figure as one SVG document; its colours are classes that :func:`png_bytes` styles."""
    if isinstance(chart, LineChart | BarChart):
        parts, width, height = _plot(chart)
    elif isinstance(chart, IntervalChart):
        parts, width, height = _intervals(chart)
    else:
        parts, width, height = _cells(chart)
    head = _text(MARGIN, 28.0, chart.title, "title")
    if owner:
        head += _text(MARGIN, 28.0 + LINE, owner, "soft")
    top = 28.0 + LINE * (1.5 if owner else 0.5)
    body = f'<g transform="translate(0 {top:.0f})">{"".join(parts)}</g>'
    size = f'width="{width:.0f}" height="{top + height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{head}{body}</svg>'


def _plot(chart: LineChart | BarChart) -> tuple[list[str], float, float]:
    plot = line_plot(chart) if isinstance(chart, LineChart) else bar_plot(chart)
    names = max((len(text) for _, text in plot.y_axis.ticks), default=0)
    left = MARGIN + LETTER * names + 8.0
    parts, y = _legend(plot.legend, left + WIDTH)
    if chart.y_label:
        parts.append(_text(MARGIN, y + 12.0, chart.y_label, "soft"))
        y += LINE
    y += 14.0
    inside = "".join(plot.parts)
    parts.append(f'<g transform="translate({left:.1f} {y:.1f})">{inside}</g>')
    for value, text in plot.y_axis.ticks:
        at = y + HEIGHT * (1.0 - float(plot.y_axis(value))) + 4.0
        parts.append(_text(left - 8.0, at, text, "soft end"))
    bottom = y + HEIGHT + LINE
    for value, text in plot.x_axis.ticks:
        share = float(plot.x_axis(value))
        if -1e-9 <= share <= 1.0 + 1e-9:
            parts.append(_text(left + WIDTH * share, bottom, text, "soft middle"))
    if chart.x_label:
        bottom += LINE
        parts.append(_text(left + WIDTH / 2, bottom, chart.x_label, "soft middle"))
    return parts, left + WIDTH + 2 * MARGIN, bottom + 14.0


def _legend(entries: Sequence[tuple[str, str, str]], right: float) -> tuple[list[str], float]:
    """The keys from the left, in as many lines as they need, and where they end."""
    parts: list[str] = []
    if len(entries) < 2:
        return parts, 0.0
    x, y = MARGIN, 12.0
    for label, role, kind in entries:
        width = 24.0 + LETTER * len(label) + 18.0
        if x > MARGIN and x + width > right:
            x, y = MARGIN, y + LINE
        shape = {
            "line": f'<path class="line {role}" d="M{x:.0f} {y - 4:.0f}h18"/>',
            "band": f'<path class="band {role}" d="M{x:.0f} {y - 9:.0f}h18v10h-18Z"/>',
            "dot": f'<path class="dots big {role}" d="M{x + 9:.0f} {y - 4:.0f}h0"/>',
        }[kind]
        parts += [shape, _text(x + 24.0, y, label, "soft")]
        x += width
    return parts, y + 6.0


def _intervals(chart: IntervalChart) -> tuple[list[str], float, float]:
    axis, rows = interval_rows(chart)
    left = MARGIN + LETTER * max((len(row.label) for row in rows), default=0) + 16.0
    values = [f"{row.value}  {row.ends}".strip() for row in rows]
    right = left + WIDTH + 16.0
    parts = []
    for number, (row, value) in enumerate(zip(rows, values, strict=True)):
        top = number * ROW
        middle = f'<path class="grid" d="M0 {ROW / 2:.0f}H{WIDTH:.0f}"/>'
        inside = middle + "".join(row.parts)
        parts.append(f'<g transform="translate({left:.1f} {top:.1f})">{inside}</g>')
        parts.append(_text(left - 16.0, top + ROW / 2 + 4.0, row.label, "end"))
        parts.append(_text(right, top + ROW / 2 + 4.0, value, ""))
    bottom = len(rows) * ROW + LINE - 4.0
    for tick, text in axis.ticks:
        parts.append(_text(left + WIDTH * float(axis(tick)), bottom, text, "soft middle"))
    if chart.x_label:
        bottom += LINE
        parts.append(_text(left + WIDTH / 2, bottom, chart.x_label, "soft middle"))
    longest = max((len(value) for value in values), default=0)
    return parts, right + LETTER * longest + MARGIN, bottom + 14.0


def _cells(chart: HeatMap) -> tuple[list[str], float, float]:
    texts = [[format_number(float(value), chart.unit) for value in row] for row in chart.values]
    longest = max((len(text) for row in texts for text in row), default=0)
    width = max(longest, max(map(len, chart.columns), default=0)) * LETTER + 14.0
    left = MARGIN + LETTER * max(map(len, chart.rows), default=0) + 10.0
    parts = [
        _text(left + (i + 0.5) * width, 14.0, name, "soft middle")
        for i, name in enumerate(chart.columns)
    ]
    top, height = 22.0, 26.0
    for number, name in enumerate(chart.rows):
        y = top + number * height
        parts.append(_text(left - 10.0, y + 17.0, name, "soft end"))
        for i, value in enumerate(chart.values[number]):
            if np.isfinite(value):
                x, colour = left + i * width, _shade(float(value), chart.limit)
                parts.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" '
                    f'height="{height - 1:.1f}" fill="{colour}"/>'
                )
                parts.append(_text(x + width / 2, y + 17.0, texts[number][i], "middle"))
    return parts, left + len(chart.columns) * width + MARGIN, top + len(chart.rows) * height + 14.0


def _shade(value: float, limit: float) -> str:
    """White at 0, and seven tenths of a hue from ``limit`` on, as on the page."""
    share = 0.7 * min(abs(value) / limit, 1.0) if limit else 0.0
    hue = POSITIVE if value >= 0 else NEGATIVE
    return "#" + "".join(f"{round(255 + share * (each - 255)):02x}" for each in hue)


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


@cache
def _style() -> str:
    lines = [
        f"text{{font-family:'DejaVu Sans';font-size:12px;fill:{INK}}}",
        f".title{{font-size:15px;font-weight:bold}}.soft{{fill:{SOFT}}}",
        ".middle{text-anchor:middle}.end{text-anchor:end}",
        f".grid{{stroke:{GRID};stroke-width:1;fill:none}}",
        f".rule{{stroke:{SOFT};stroke-width:1;stroke-dasharray:4 4;fill:none}}",
        ".line{fill:none;stroke-width:1.2;stroke-linejoin:round}.line.policy{stroke-width:2}",
        ".fill,.band{opacity:.18;stroke:none}",
        ".dots{fill:none;stroke-width:6;stroke-linecap:round}.dots.many{stroke-width:3.6}",
        ".dots.big{stroke-width:11}.whisker{stroke-width:3;opacity:.5;stroke-linecap:round}",
    ]
    for role, colour in COLOURS.items():
        lines.append(
            f".line.{role},.dots.{role},.whisker.{role}{{stroke:{colour}}}"
            f".fill.{role},.band.{role},.bar.{role}{{fill:{colour}}}"
        )
    return "".join(lines)


@cache
def _font(name: str) -> str:
    """The font's file in matplotlib's package, which need not be imported for that."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return str(Path(spec.submodule_search_locations[0], "mpl-data", "fonts", "ttf", name))
