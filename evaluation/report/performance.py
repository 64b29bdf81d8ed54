"""Sections about money: summary, equity, drawdown, rolling Sharpe ratio, months, comparisons."""

from __future__ import annotations

import numpy as np

from offline_trader.evaluation.judging import Comparator, Evaluation
from offline_trader.evaluation.report.blocks import (
    Cell,
    Figure,
    Pairs,
    Section,
    Table,
    Tile,
    Tiles,
    Tone,
)
from offline_trader.evaluation.report.charts import (
    Band,
    HeatMap,
    Line,
    LineChart,
    Role,
    format_number,
)
from offline_trader.evaluation.report.labels import label_of, named, short_names, value_text
from offline_trader.types import FloatArray

__all__ = ["performance_sections", "rolling_sharpe"]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SUMMARY = (
    "total_return",
    "cagr",
    "sharpe",
    "sortino",
    "max_drawdown",
    "volatility",
    "win_rate",
    "lot_win_rate",
    "exposure",
    "turnover",
    "trades",
    "lots",
)
EXPERT_ROLES: tuple[Role, ...] = ("expert", "extra", "extra2", "extra3", "extra4", "extra5")
COMPARED = ("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown")


def performance_sections(evaluation: Evaluation) -> list[Section]:
    """The sections in page order."""
    return [
        _summary(evaluation),
        _equity(evaluation),
        _underwater(evaluation),
        _rolling(evaluation),
        _monthly(evaluation),
        _comparison(evaluation),
    ]


def _summary(evaluation: Evaluation) -> Section:
    tiles = []
    for name in SUMMARY:
        if name not in evaluation.measures:
            continue
        interval = evaluation.intervals.get(name)
        note = ""
        if interval is not None:
            low, high = (value_text(name, each) for each in interval)
            note = f"95 %: {low} to {high}".replace(" %", "\u00a0%")
        value = evaluation.measures[name]
        tiles.append(Tile(label_of(name).text, value_text(name, value), note, _tone(name, value)))
    pairs = tuple(
        (label_of(name).text, value_text(name, value))
        for name, value in evaluation.measures.items()
        if name not in SUMMARY
    )
    blocks = (Tiles(tuple(tiles)), *((Pairs("Further measures", pairs),) if pairs else ()))
    return Section(
        "summary",
        "Summary",
        "Net of all costs. The intervals come from a bootstrap that keeps runs of bars together, "
        "so they are honest about how little a few years say.",
        blocks,
    )


def _tone(name: str, value: float | None) -> Tone:
    if value is None or name not in {"total_return", "cagr", "sharpe", "sortino"}:
        return "plain"
    return "good" if value > 0 else "bad"


def _role(comparator: Comparator, index: int) -> Role:
    if comparator.role == "benchmark":
        return "benchmark"
    return EXPERT_ROLES[index % len(EXPERT_ROLES)]


def _equity(evaluation: Evaluation) -> Section:
    curve = evaluation.curve
    start = curve.equity[0]
    lines = [Line(named(evaluation.name), curve.equity / start, "policy")]
    experts = 0
    names = short_names([each.name for each in evaluation.comparators])
    for name, comparator in zip(names, evaluation.comparators, strict=True):
        lines.append(
            Line(
                named(name),
                comparator.equity / comparator.equity[0],
                _role(comparator, experts),
            )
        )
        experts += comparator.role == "expert"
    positive = min(float(np.nanmin(line.y)) for line in lines) > 0
    chart = LineChart(
        "equity",
        "Growth of 1",
        curve.seconds,
        tuple(lines),
        log_y=positive,
        unit="ratio",
        rule=1.0,
        y_label=f"equity ÷ equity at the start{', logarithmic axis' if positive else ''}",
    )
    return Section(
        "equity",
        "Equity",
        "What one unit of money became, beside what it would have become without the policy. "
        "On a logarithmic axis equal slopes are equal growth rates.",
        (Figure(chart),),
    )


def _drawdown(equity: FloatArray) -> FloatArray:
    return np.asarray(equity / np.maximum.accumulate(equity) - 1.0)


def _underwater(evaluation: Evaluation) -> Section:
    lines = [Line(named(evaluation.name), _drawdown(evaluation.curve.equity), "policy", fill=True)]
    lines += [
        Line(named(each.name), _drawdown(each.equity), "benchmark")
        for each in evaluation.comparators
        if each.role == "benchmark"
    ]
    chart = LineChart(
        "underwater",
        "Loss since the last high",
        evaluation.curve.seconds,
        tuple(lines),
        unit="percent",
        y_label="equity ÷ its highest value so far − 1",
    )
    return Section(
        "underwater",
        "Underwater",
        "How far below its own last high the equity stood, and for how long.",
        (Figure(chart),),
    )


def rolling_sharpe(
    returns: FloatArray, window: int, periods_per_year: float
) -> tuple[FloatArray, FloatArray]:
    """Annualised Sharpe ratio of the last ``window`` bars and its standard error.

    The error is that of independent returns, ``sqrt((1 + SR²/2) / window)`` per bar (Lo, 2002,
    eq. 9), annualised; with serial correlation the truth is wider.

    Args:
        returns: [T] float64 simple returns.

    Returns:
        Two [T] float64; NaN before the first full window and where returns do not vary.
    """
    centred = returns - returns.mean()
    first = np.concatenate([[0.0], np.cumsum(centred)])
    second = np.concatenate([[0.0], np.cumsum(centred**2)])
    total = first[window:] - first[:-window]
    squares = second[window:] - second[:-window]
    variance = (squares - total**2 / window) / (window - 1)
    mean = total / window + returns.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        # running sums leave a rounding that grows with the whole series' variance
        least = max(1e-18, 1e-9 * float(np.mean(centred**2)))
        ratio = np.where(variance > least, mean / np.sqrt(variance), np.nan)
    annual = np.sqrt(periods_per_year)
    padding = np.full(window - 1, np.nan)
    error = np.sqrt((1.0 + ratio**2 / 2.0) / window)
    return np.concatenate([padding, ratio * annual]), np.concatenate([padding, error * annual])


def _rolling(evaluation: Evaluation) -> Section:
    returns = evaluation.curve.returns
    window = min(round(evaluation.periods_per_year), len(returns) // 3)
    title, lead = (
        "Rolling Sharpe ratio",
        (
            f"Annualised over the last {window:,} bars, with its 95 % interval for independent "
            "returns. Swings that stay within the band need no explanation, and where the band "
            "contains zero nothing is proven."
        ),
    )
    if window < 20:
        return Section(
            "rolling", title, lead, (), f"Not enough bars: {len(returns)}, at least 60 are needed."
        )
    ratio, error = rolling_sharpe(returns, window, evaluation.periods_per_year)
    chart = LineChart(
        "rolling_sharpe",
        f"Sharpe ratio of the last {window:,} bars",
        evaluation.curve.seconds[1:],
        (Line("policy", ratio, "policy"),),
        bands=(Band("95 % interval", ratio - 1.96 * error, ratio + 1.96 * error, "policy"),),
        unit="number",
        rule=0.0,
        y_label="Sharpe ratio, a year",
    )
    return Section("rolling", title, lead, (Figure(chart),))


def _monthly(evaluation: Evaluation) -> Section:
    stamps = evaluation.curve.seconds.astype("int64").astype("datetime64[s]")
    months = stamps.astype("datetime64[M]").astype(int)
    title, lead = "Months", "Return of every month and year. Partial months at the ends included."
    last = np.flatnonzero(np.append(months[1:] != months[:-1], True))
    last = last[last > 0]  # the start alone has no return
    if len(last) < 2:
        return Section("months", title, lead, (), "The range lies within one month.")
    ends = evaluation.curve.equity[last]
    starts = np.concatenate([evaluation.curve.equity[:1], ends[:-1]])
    returns = ends / starts - 1.0
    years = months[last] // 12 + 1970
    table = np.full((years[-1] - years[0] + 1, 13), np.nan)
    table[years - years[0], months[last] % 12] = returns
    for row in range(len(table)):
        inside = table[row, :12][np.isfinite(table[row, :12])]
        table[row, 12] = np.prod(1.0 + inside) - 1.0 if len(inside) else np.nan
    chart = HeatMap(
        "months",
        "Return by month, %",
        tuple(str(year) for year in range(years[0], years[-1] + 1)),
        (*MONTHS, "Year"),
        table,
        limit=float(np.nanquantile(np.abs(returns), 0.95)) or 0.01,
        unit="percent_cell",
    )
    return Section("months", title, lead, (Figure(chart),))


def _comparison(evaluation: Evaluation) -> Section:
    title = "Against buy-and-hold and the experts"
    lead = (
        "Same bars, same costs. The difference of Sharpe ratios carries a bootstrap interval; the "
        "p-value is Hansen's test that the policy is no better (small: it is better)."
    )
    if not evaluation.comparators:
        return Section("comparison", title, lead, (), "Nothing to compare with was evaluated.")
    shown = [n for n in COMPARED if n in evaluation.measures]
    head = ("", *(label_of(n).short or label_of(n).text for n in shown), "Δ Sharpe", "p")
    policy = tuple(Cell(value_text(n, evaluation.measures[n])) for n in shown)
    rows = [(Cell(named(evaluation.name), numeric=False), *policy, Cell(""), Cell(""))]
    names = short_names([each.name for each in evaluation.comparators])
    for name, each in zip(names, evaluation.comparators, strict=True):
        text = format_number(each.sharpe_difference, "ratio")
        if each.sharpe_difference_interval is not None:
            low, high = (format_number(v, "ratio") for v in each.sharpe_difference_interval)
            text += f" [{low}, {high}]"
        p_value = format_number(each.spa_p_value, "p")
        values = tuple(Cell(value_text(n, each.measures.get(n))) for n in shown)
        rows.append((Cell(named(name), numeric=False), *values, Cell(text), Cell(p_value)))
    caption = ""
    if evaluation.spa_p_value is not None:
        caption = (
            "That the policy beats every one of them: p = "
            f"{format_number(evaluation.spa_p_value, 'p')}.".replace("= <", "<")
        )
    return Section("comparison", title, lead, (Table(head, tuple(rows), caption),))
