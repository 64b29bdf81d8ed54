"""Sections about what the policy does: trades, actions, collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from offline_trader.evaluation.judging import Evaluation, TradeRow
from offline_trader.evaluation.report.blocks import Cell, Figure, Section, Table
from offline_trader.evaluation.report.charts import (
    BarChart,
    Dots,
    HeatMap,
    Line,
    LineChart,
    NumberFormat,
    Role,
    format_number,
)

__all__ = ["behaviour_sections", "collapse_rows"]

COLLAPSE_LIMITS: dict[str, tuple[str, NumberFormat, str]] = {
    "n": ("Actions", "money", ""),
    "h_norm": ("Entropy of 21 bins, H_norm", "ratio", "0 one action, 1 all alike"),
    "n_effective": ("Effective number of actions, e^H", "ratio", "collapsed below 1.5"),
    "action_entropy": ("Entropy of sell, hold, buy, nats", "ratio", "at most 1.10"),
    "mi_norm": ("Dependence on the state, MI_norm", "number", "state-blind below 0.02"),
    "mi_null_95": ("What chance gives MI_norm in 95 % of shuffles", "number", ""),
    "std": ("Standard deviation of the action", "ratio", "collapsed below 0.02"),
    "saturation": ("Share of |action| > 0.98", "percent", "warning above 95 %"),
    "largest_share": ("Largest share of one of 21 bins", "percent", ""),
    "largest_side": ("Largest share of sold, held, bought", "percent", ""),
    "hold_share": ("Bars on which nothing was filled", "percent", "collapsed above 98 %"),
    "diversity": ("Bins with at least 1 % of the mass ÷ 21", "percent", ""),
    "trades_per_1000": ("Filled orders per 1,000 bars", "number", "collapsed at 0"),
    "voluntary_trade_rate": ("Orders of the policy itself ÷ bars", "percent", ""),
}
_DATES = slice(0, 10)


def behaviour_sections(evaluation: Evaluation) -> list[Section]:
    """The sections in page order."""
    return [_trades(evaluation), _actions(evaluation), _collapse(evaluation)]


def _trades(evaluation: Evaluation) -> Section:
    title = "Trades"
    lead = "What was bought and sold, on the price; below, the share of equity held."
    blocks: list[Figure | Table] = []
    curve, trades = evaluation.curve, evaluation.trades
    if curve.close is not None:
        blocks.append(Figure(_price_chart(evaluation)))
    if curve.exposure is not None:
        line = Line("position ÷ equity", curve.exposure, "policy", fill=True)
        blocks.append(
            Figure(
                LineChart(
                    "exposure",
                    "Exposure",
                    curve.seconds,
                    (line,),
                    unit="percent",
                    y_label="value of the position ÷ equity; below 0: short",
                )
            )
        )
    if trades:
        blocks.append(
            _extremes(trades, "The three best and the three worst round trips, from flat to flat.")
        )
    if evaluation.lots:
        blocks.append(
            _extremes(
                evaluation.lots,
                "The three best and the three worst FIFO lots: each unit that was sold is one of "
                "the oldest that were held.",
            )
        )
    missing = "No trade was closed and no price is known." if not blocks else ""
    return Section("trades", title, lead, tuple(blocks), missing)


def _price_chart(evaluation: Evaluation) -> LineChart:
    curve = evaluation.curve
    assert curve.close is not None
    dots: list[Dots] = []
    if curve.fill_units is not None and curve.fill_price is not None:
        for label, sign in (("bought", 1.0), ("sold", -1.0)):
            rows = np.flatnonzero(np.sign(curve.fill_units) == sign)
            role: Role = "good" if sign > 0 else "bad"
            if len(rows):
                dots.append(Dots(label, curve.seconds[rows], curve.fill_price[rows], role))
    n_fills = sum(len(each.x) for each in dots)
    known = curve.fill_units is not None
    return LineChart(
        "trades",
        f"{n_fills:,} filled orders on the price" if known else "Price; the orders are not kept",
        curve.seconds,
        (Line("close", curve.close, "muted"),),
        dots=tuple(dots),
        log_y=True,
        unit="number",
        y_label="price, quote currency, logarithmic axis",
    )


def _extremes(trades: tuple[TradeRow, ...], caption: str) -> Table:
    ordered = sorted(trades, key=lambda trade: trade.net_profit)
    chosen = ordered[-3:][::-1] + ordered[: min(3, max(0, len(ordered) - 3))][::-1]
    rows = tuple(
        (
            Cell(trade.instrument, numeric=False),
            Cell("long" if trade.direction > 0 else "short", numeric=False),
            Cell(trade.entry_time[_DATES]),
            Cell(trade.exit_time[_DATES]),
            Cell(f"{trade.bars:,}"),
            Cell(
                format_number(trade.net_profit, "money"),
                "good" if trade.net_profit > 0 else "bad",
            ),
        )
        for trade in chosen
    )
    head = ("Instrument", "Side", "Opened", "Closed", "Bars", "Net profit")
    return Table(head, rows, caption)


def _actions(evaluation: Evaluation) -> Section:
    title = "Actions"
    lead = (
        "What the policy asks for, and what it depends on. The map shows the mean action in each "
        "tenth of one observed column: equal colours along a row mean that the column does not "
        "matter by itself."
    )
    found = evaluation.action_map
    if found is None:
        return Section("actions", title, lead, (), _unknown(evaluation))
    role: Role = "policy"
    centres = np.linspace(-1, 1, 22)[:-1] + 1 / 21
    histogram = BarChart(
        "action_histogram",
        "Share of each action",
        tuple(format_number(round(float(c), 2) + 0.0, "ratio") for c in centres),
        found.histogram,
        (role,) * len(found.histogram),
        x_label="action, in 21 equal bins: −1 to sell all, 0 to hold, 1 to buy"
        if evaluation.simulator.get("action_mode", "order") == "order"
        else "action, in 21 equal bins: the position that is wanted",
        y_label="share of the bars",
    )
    finite = np.abs(found.mean_action[np.isfinite(found.mean_action)])
    tenths = HeatMap(
        "action_map",
        "Mean action by tenth of a column (lowest to highest)",
        tuple(name.replace("_", " ") for name in found.columns),
        tuple(str(i + 1) for i in range(10)),
        found.mean_action,
        limit=max(float(finite.max()) if len(finite) else 0.0, 0.05),
        unit="ratio_cell",
    )
    return Section("actions", title, lead, (Figure(histogram), Figure(tenths)))


def _unknown(evaluation: Evaluation) -> str:
    if evaluation.joins_windows:
        return "Every window has a policy of its own; its actions are in the window's run."
    return "The actions are not known."


def _collapse(evaluation: Evaluation) -> Section:
    title = "Collapse"
    lead = (
        "A policy that always does the same has learned nothing. Few different actions are fine "
        "where the state decides among them; entropy and dependence on the state are read together."
    )
    if evaluation.collapse is None:
        return Section("collapse", title, lead, (), _unknown(evaluation))
    rows = [
        (Cell(text, numeric=False), Cell(value), Cell(limit, numeric=False))
        for text, value, limit in collapse_rows(evaluation.collapse)
    ]
    reasons = evaluation.verdict_reasons.items()
    verdict = "; ".join(f"{name} ({why})" if why else name for name, why in reasons)
    verdict = verdict or "none of COLLAPSED, STATE-BLIND, SATURATED"
    table = Table(("Measure", "Value", "Limit"), tuple(rows), f"Verdict: {verdict}.")
    return Section("collapse", title, lead, (table,))


def collapse_rows(
    collapse: Mapping[str, float | None], names: Sequence[str] = tuple(COLLAPSE_LIMITS)
) -> list[tuple[str, str, str]]:
    """(measure, value, limit) of the measures in ``names``, and of the actor's hidden layers."""
    rows = []
    for name in names:
        if name in collapse:
            text, unit, limit = COLLAPSE_LIMITS[name]
            rows.append((text, format_number(collapse[name], unit), limit))
    return rows + _network_rows(collapse)


def _network_rows(collapse: Mapping[str, float | None]) -> list[tuple[str, str, str]]:
    """Dormant units and effective rank of the actor's hidden layers."""
    if "dormant_ratio" not in collapse:
        return []
    dormant, rank = collapse["dormant_ratio"], collapse.get("effective_rank")
    units, width = collapse.get("hidden_units"), collapse.get("feature_units")
    shown = ("not evaluable", "not evaluable")
    limit = "there is no network to look into"
    if dormant is not None and rank is not None and units is not None and width is not None:
        shown = (
            f"{format_number(dormant, 'percent')} of {units:.0f}",
            f"{rank:.0f} of {width:.0f}",
        )
        limit = ""
    texts = (
        "Dormant hidden units (mean activation ≤ 2.5 % of their layer's)",
        "Effective rank of what the output layer reads (99 % of the singular values' sum)",
    )
    return [(text, value, limit) for text, value in zip(texts, shown, strict=True)]
