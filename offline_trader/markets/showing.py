"""Bars as a notebook shows them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from offline_trader.markets.bars import Bars

__all__ = ["bars_html", "plot_closes"]

_WIDTH, _HEIGHT, _POINTS = 480.0, 70.0, 240


def plot_closes(bars: Bars, ax: Axes | None = None) -> Axes:
    """The closes over time; see :meth:`Bars.plot`."""
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(figsize=(9.0, 3.2), layout="constrained")[1]
    ax.plot(bars.timestamps, bars.close, lw=1.0, color="#2563eb")
    ax.set_yscale("log")
    ax.set_title(f"{bars.symbol}: {len(bars):,} closes", loc="left", fontsize=11)
    ax.set_ylabel("close, logarithmic axis")
    return ax


def bars_html(bars: Bars) -> str:
    """What there is, a line of the closes, and what is to know of it."""
    first, last = (str(bars.timestamps[k].astype("datetime64[m]")) for k in (0, -1))
    facts = [
        ("bars", f"{len(bars):,}, {bars.gaps:,} gaps, {bars.periods_per_year:g} a year"),
        ("from", f"{first.replace('T00:00', '')} to {last.replace('T00:00', '')} (UTC)"),
        ("close", f"{bars.close[0]:,.6g} to {bars.close[-1]:,.6g}"),
        ("SHA-256", f"{bars.sha256[:16]}…"),
        *(("note", note) for note in bars.notes),
    ]
    rows = "".join(
        f'<tr><th style="text-align:left">{name}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in facts
    )
    return f"<strong>{escape(bars.symbol)}</strong>{_line(bars)}<table>{rows}</table>"


def _line(bars: Bars) -> str:
    """The log of the closes as a small curve."""
    rows = np.unique(np.linspace(0, len(bars) - 1, _POINTS).astype(np.int64))
    y = np.log(bars.close[rows])
    spread = float(np.ptp(y)) or 1.0
    x = rows / max(len(bars) - 1, 1) * _WIDTH
    y = _HEIGHT * (1.0 - (y - y.min()) / spread)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        f'<svg viewBox="-2 -2 {_WIDTH + 4:.0f} {_HEIGHT + 4:.0f}" width="{_WIDTH:.0f}" '
        f'style="display:block;max-width:100%" role="img" aria-label="closes">'
        f'<polyline points="{points}" fill="none" stroke="#2563eb" stroke-width="1.2"/></svg>'
    )
