"""An evaluation in short: a few lines for a terminal, a table and the equity for a notebook."""

from __future__ import annotations

import base64
from html import escape

from offline_trader.evaluation.judging import Evaluation
from offline_trader.evaluation.report.blocks import Tone
from offline_trader.evaluation.report.charts import Chart
from offline_trader.evaluation.report.labels import label_of, named, short_names, value_text
from offline_trader.evaluation.report.performance import performance_sections
from offline_trader.evaluation.report.png import png_bytes
from offline_trader.evaluation.report.verdict import banner

__all__ = ["brief_html", "brief_text"]

_ROWS = (
    "total_return", "cagr", "sharpe", "sortino", "max_drawdown", "volatility", "exposure",
    "turnover", "trades", "win_rate",
)  # fmt: skip
_LINES = ("sharpe", "cagr", "max_drawdown")
_COLOURS: dict[Tone, str] = {
    "good": "#0f8a5f",
    "warn": "#b7791f",
    "bad": "#c8324a",
    "plain": "#64748b",
}


def brief_text(evaluation: Evaluation) -> str:
    """The verdict and the most important measures with their intervals, a line each."""
    found = banner(evaluation)
    lines = [
        f"{evaluation.name}, {evaluation.start[:10]} to {evaluation.end[:10]}, "
        f"{evaluation.n_bars:,} bars",
        f"{found.headline}: {found.detail}",
    ]
    lines += [
        f"{label_of(name).text}: {value_text(name, evaluation.measures[name])}"
        + _between(evaluation, name, ", 95 % interval ")
        for name in _LINES
        if name in evaluation.measures
    ]
    return "\n".join(lines)


def brief_html(evaluation: Evaluation, place: str = "") -> str:
    """The verdict, measures with intervals beside the comparators', and the equity as a picture.

    Plain tables and an image inside the text, so that it shows wherever a notebook is shown.

    Args:
        evaluation: what was found.
        place: where the whole report is; empty: not said.
    """
    found = banner(evaluation)
    badges = " ".join(
        f'<span style="color:{_COLOURS[tone]}">{escape(text)}</span>' for text, tone in found.badges
    )
    parts = [
        f'<div style="border-left:4px solid {_COLOURS[found.tone]};padding-left:10px">',
        f"<strong>{escape(found.headline)}</strong> {badges}<br>{escape(found.detail)}<br>",
        f"<small>{escape(evaluation.name)}, {evaluation.start[:10]} to {evaluation.end[:10]}, "
        f"{evaluation.n_bars:,} bars; {evaluation.trials:,} trial"
        f"{'' if evaluation.trials == 1 else 's'} counted</small></div>",
        _table(evaluation),
        _windows(evaluation),
        *map(_picture, _equity(evaluation)),
        *(f"<div><small>{escape(note)}</small></div>" for note in evaluation.notes),
    ]
    if place:
        parts.append(f"<div>report: <code>{escape(place)}</code></div>")
    return "".join(parts)


def _table(evaluation: Evaluation) -> str:
    comparators = evaluation.comparators
    names = [evaluation.name, "95 % interval", *short_names([each.name for each in comparators])]
    head = "".join(f"<th>{escape(named(name))}</th>" for name in names)
    rows = []
    for name in _ROWS:
        if name not in evaluation.measures:
            continue
        cells = [
            value_text(name, evaluation.measures[name]),
            _between(evaluation, name) or "–",
            *(value_text(name, each.measures.get(name)) for each in comparators),
        ]
        row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        label = escape(label_of(name).text)
        rows.append(f'<tr><td style="text-align:left">{label}</td>{row}</tr>')
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _windows(evaluation: Evaluation) -> str:
    """A row a window of a walk-forward; nothing where there is none."""
    if not evaluation.windows:
        return ""
    head = ("window", "from", "to", "Sharpe ratio", "return", "buy-and-hold", "trades")
    rows = [
        [
            each.name,
            each.start[:10],
            each.end[:10],
            value_text("sharpe", each.sharpe),
            value_text("total_return", each.total_return),
            value_text("total_return", each.benchmark_return),
            value_text("trades", each.trades),
        ]
        for each in evaluation.windows
    ]
    columns = "".join(f"<th>{name}</th>" for name in head)
    cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"


def _between(evaluation: Evaluation, name: str, before: str = "") -> str:
    """The ends of a measure's interval; empty where there is none."""
    ends = evaluation.intervals.get(name)
    return "" if ends is None else f"{before}{' to '.join(value_text(name, each) for each in ends)}"


def _equity(evaluation: Evaluation) -> list[Chart]:
    charts = [chart for section in performance_sections(evaluation) for chart in section.charts]
    return [chart for chart in charts if chart.name == "equity"]


def _picture(chart: Chart) -> str:
    data = base64.b64encode(png_bytes(chart)).decode()
    title = escape(chart.title)
    return f'<img alt="{title}" style="max-width:100%" src="data:image/png;base64,{data}">'
