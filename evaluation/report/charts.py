"""What a figure of the report shows, apart from how it is drawn.

Each figure is a frozen description with plain numbers; :mod:`~offline_trader.evaluation.report.svg`
draws it for the page and :mod:`~offline_trader.evaluation.report.png` as a file, so the two cannot
differ in content. Colours are roles (``policy``, ``benchmark`` …), not values.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.types import FloatArray

__all__ = [
    "DASH",
    "MANY_DOTS",
    "Band",
    "BarChart",
    "Chart",
    "Dots",
    "HeatMap",
    "IntervalChart",
    "Line",
    "LineChart",
    "NumberFormat",
    "Role",
    "format_number",
    "thin",
    "thin_dots",
]

Role: TypeAlias = Literal[
    "policy",
    "benchmark",
    "expert",
    "muted",
    "good",
    "bad",
    "extra",
    "extra2",
    "extra3",
    "extra4",
    "extra5",
]
NumberFormat: TypeAlias = Literal[
    "percent", "number", "money", "ratio", "bp", "p", "percent_cell", "ratio_cell"
]


DASH = "–"
"""Where there is no number."""
MANY_DOTS = 60
"""Marks of one kind above which they are drawn small."""


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        label: for the legend.
        y: [T] float64; NaN leaves a gap.
        role: colour role.
        fill: shade the area down to zero.
    """

    label: str
    y: FloatArray
    role: Role
    fill: bool = False


@dataclass(frozen=True)
class Band:
    """A shaded area between two curves [T] float64."""

    label: str
    lower: FloatArray
    upper: FloatArray
    role: Role


@dataclass(frozen=True)
class Dots:
    """Marks at (x, y), e.g. fills on a price curve."""

    label: str
    x: FloatArray
    y: FloatArray
    role: Role


@dataclass(frozen=True)
class LineChart:
    """Curves over time or over a number.

    Attributes:
        name: file name of the PNG, without suffix.
        title: what the figure shows.
        x: [T] float64; with ``dates`` seconds since 1970 in UTC.
        dates: x is time.
        lines, bands, dots: what is drawn, bands first; the first line lies on top.
        log_y: logarithmic y axis; every y must be positive.
        unit: how y is written.
        rule: a horizontal reference, or None.
        x_label, y_label: what x and y are, with their unit; x_label is empty for dates.
    """

    name: str
    title: str
    x: FloatArray
    lines: tuple[Line, ...]
    dates: bool = True
    bands: tuple[Band, ...] = ()
    dots: tuple[Dots, ...] = ()
    log_y: bool = False
    unit: NumberFormat = "number"
    rule: float | None = None
    x_label: str = ""
    y_label: str = ""

    @property
    def curves(self) -> list[FloatArray]:
        """[T] each: what :func:`thin` has to keep the extremes of."""
        return [*(x.y for x in self.lines), *(y for b in self.bands for y in (b.lower, b.upper))]


@dataclass(frozen=True)
class BarChart:
    """One bar a category; ``roles`` colours each bar, ``rule`` is a reference level."""

    name: str
    title: str
    categories: tuple[str, ...]
    values: FloatArray
    roles: tuple[Role, ...]
    unit: NumberFormat = "percent"
    rule: float | None = None
    x_label: str = ""
    y_label: str = ""


@dataclass(frozen=True)
class IntervalChart:
    """One row a category: a point and its interval.

    Attributes:
        points: [K] float64.
        lower, upper: [K] float64; NaN where there is no interval.
        rule: vertical reference (zero, an optimum), or None.
        x_label: what the points are, with their unit.
    """

    name: str
    title: str
    categories: tuple[str, ...]
    points: FloatArray
    lower: FloatArray
    upper: FloatArray
    roles: tuple[Role, ...]
    unit: NumberFormat = "number"
    rule: float | None = None
    x_label: str = ""


@dataclass(frozen=True)
class HeatMap:
    """Coloured cells; ``values`` [R, C] in [-limit, limit] from one hue to the other, NaN empty."""

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray
    limit: float
    unit: NumberFormat = "number"


Chart: TypeAlias = LineChart | BarChart | IntervalChart | HeatMap


def format_number(value: float | None, unit: NumberFormat) -> str:
    """Short text of a number; :data:`DASH` where there is none."""
    if value is None or not np.isfinite(value):
        return DASH
    if unit in ("bp", "p", "percent_cell", "ratio_cell"):
        return _special(value, unit)
    if unit == "percent":
        limits = (0.995, 0.00995, 0.000995)
        digits = next((d for d, limit in enumerate(limits) if abs(value) >= limit), 3)
        digits = 1 if value == 0 else digits
        return f"{100 * value:.{digits}f} %".replace("-", "−")
    if unit == "money":
        return f"{value:,.0f}".replace("-", "−")
    if unit == "ratio":
        return f"{value:.2f}".replace("-", "−")
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.095 else 4
    text = f"{value:,.{digits}f}"
    if digits == 4:
        text = text.rstrip("0") if abs(value) >= 5e-5 else f"{value:.1e}"
    return text.replace("-", "−")


def _special(value: float, unit: NumberFormat) -> str:
    """Basis points, p-values, and the short forms of heat maps, whose unit is in the title."""
    if unit == "bp":
        text = f"{1e4 * value:,.2f}"
    elif unit == "p":
        text = "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    elif unit == "percent_cell":
        text = f"{100 * value:.{1 if abs(value) < 0.0995 else 0}f}"
    else:
        text = f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.1f}"
    if not any(digit in text for digit in "123456789"):
        text = "0"
    return text.replace("-", "−")


def thin(x: FloatArray, ys: Sequence[FloatArray], points: int) -> NDArray[np.int64]:
    """Rows to draw so that no extreme is lost: per bucket the first row and each curve's extremes.

    Args:
        x: [T] float64.
        ys: curves [T] that share the rows.
        points: buckets; at most ``(1 + 2·len(ys))·points`` rows come back.
    """
    n = len(x)
    if n <= 2 * points:
        return np.arange(n, dtype=np.int64)
    edges = np.unique(np.linspace(0, n, points + 1).astype(np.int64))
    keep = [edges[:-1], np.array([n - 1])]
    for y in ys:
        filled = np.where(np.isfinite(y), y, np.nan)
        for pick, fill in ((np.argmax, -np.inf), (np.argmin, np.inf)):
            values = np.where(np.isnan(filled), fill, filled)
            keep.append(np.array([a + pick(values[a:b]) for a, b in itertools.pairwise(edges)]))
    return np.unique(np.concatenate(keep)).astype(np.int64)


def thin_dots(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points on whole pixels, each once, in order of x: what can be told apart in a figure.

    Args:
        x, y: [M] float64, pixels; points that are not finite are left out.
    """
    points = np.stack([x, y], axis=1)
    points = np.round(points[np.isfinite(points).all(axis=1)])
    kept = points[np.lexsort((points[:, 1], points[:, 0]))]
    fresh = np.ones(len(kept), dtype=np.bool_)
    fresh[1:] = (kept[1:] != kept[:-1]).any(axis=1)
    return kept[fresh, 0], kept[fresh, 1]
