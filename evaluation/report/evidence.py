"""Sections about how far to believe it: statistics, regimes, costs, windows, seeds, gates."""

from __future__ import annotations

import numpy as np

from offline_trader.evaluation.record import Evaluation, Robustness, ScoreRow
from offline_trader.evaluation.report.blocks import Cell, Figure, Section, Table, Tone
from offline_trader.evaluation.report.charts import (
    BarChart,
    IntervalChart,
    Line,
    LineChart,
    NumberFormat,
    Role,
    format_number,
)
from offline_trader.types import FloatArray

__all__ = ["evidence_sections"]

STATISTICS: dict[str, tuple[str, NumberFormat]] = {
    "sharpe": ("Sharpe ratio a bar, not annualised", "number"),
    "psr": ("Probability that the true Sharpe ratio is above 0 (PSR)", "percent"),
    "dsr": ("The same after counting the trials (DSR)", "percent"),
    "n_trials": ("Trials counted", "money"),
    "hurdle": ("Annual Sharpe ratio that luck alone gives the best trial", "ratio"),
    "years": ("Length of the range, years", "number"),
    "min_track_record_years": ("Years needed to tell this Sharpe ratio from 0 (MinTRL)", "number"),
    "min_backtest_years": ("Years needed for this many trials (MinBTL)", "number"),
}
GATE_TONES: dict[str, Tone] = {"pass": "good", "fail": "bad", "not evaluable": "warn"}


def evidence_sections(evaluation: Evaluation) -> list[Section]:
    """The sections in page order."""
    return [
        _statistics(evaluation),
        _regimes(evaluation),
        _costs(evaluation.robustness),
        _windows(evaluation),
        _scores(
            "seeds",
            "Seeds",
            "The same training with other random seeds. The interquartile mean drops the best and "
            "the worst quarter; a single lucky seed cannot carry it.",
            evaluation.seeds,
            "Only one seed was evaluated. Train with several seeds to fill this.",
            rule=0.0,
        ),
        _scores(
            "oracle",
            "Oracle capture",
            "The share of what perfect foresight would have earned on the same bars with the same "
            "costs. A few per cent is a lot.",
            evaluation.oracle,
            "The perfect-foresight path was not computed.",
            unit="percent",
            rule=0.0,
        ),
        _scores(
            "known-optimum",
            "Markets whose optimum is known",
            "The method that made this policy, trained where the best policy can be computed: 100 "
            "is the optimum, 0 the named base policy.",
            evaluation.known_optimum,
            "No known-optimum market was run with this method.",
            rule=100.0,
        ),
        _gates(evaluation),
    ]


def _statistics(evaluation: Evaluation) -> Section:
    title = "Against self-deception"
    lead = (
        "Whoever tries many configurations finds a good one by luck. The trial ledger counts "
        f"{evaluation.trials:,} so far in this project; the deflated Sharpe ratio asks whether "
        "the result beats what the best of that many worthless ones would show."
    )
    rows = []
    for name, value in evaluation.statistics.items():
        text, unit = STATISTICS.get(name, (name.replace("_", " ").capitalize(), "number"))
        rows.append((Cell(text, numeric=False), Cell(format_number(value, unit))))
    if not rows:
        return Section("statistics", title, lead, (), "The statistics were not computed.")
    return Section("statistics", title, lead, (Table(("Statistic", "Value"), tuple(rows)),))


def _regimes(evaluation: Evaluation) -> Section:
    title = "Regimes"
    lead = (
        "Bars sorted by a detector that reads the past only. Mean return a bar, net, on the bars "
        "of each regime as they came: nothing is cut out and glued together."
    )
    if not evaluation.regimes:
        return Section("regimes", title, lead, (), "No regime was detected for this result.")
    known = [row for row in evaluation.regimes if row.mean_return is not None]
    blocks: list[Figure | Table] = []
    if known:
        values = np.array([row.mean_return for row in known], dtype=np.float64)
        roles: tuple[Role, ...] = tuple("good" if value > 0 else "bad" for value in values)
        names = tuple(row.name for row in known)
        blocks.append(
            Figure(BarChart("regimes", "Mean return a bar by regime", names, values, roles))
        )
    rows = tuple(
        (
            Cell(row.name, numeric=False),
            Cell(f"{row.n:,}"),
            Cell(format_number(row.share, "percent")),
            Cell(format_number(row.sharpe, "ratio") if not row.note else row.note),
            Cell(_basis_points(row.mean_return)),
            Cell(_basis_points(row.benchmark_mean_return)),
        )
        for row in evaluation.regimes
    )
    head = ("Regime", "Bars", "Share", "Sharpe ratio", "Mean, bp a bar", "Buy-and-hold, bp a bar")
    return Section("regimes", title, lead, (*blocks, Table(head, rows)))


def _basis_points(value: float | None) -> str:
    return format_number(None if value is None else 1e4 * value, "ratio")


def _costs(robustness: Robustness | None) -> Section:
    title = "Costs, delay and noise"
    lead = (
        "The policy run again with other costs a side, with every order one bar late, and on "
        "prices with noise. A result that dies at one more basis point was never there."
    )
    if robustness is None or not robustness.costs:
        return Section("costs", title, lead, (), "No other cost was run.")
    x = np.array([point.cost_bps for point in robustness.costs])
    lines = [Line("policy", _column([p.cagr for p in robustness.costs]), "policy")]
    benchmark = _column([p.benchmark_cagr for p in robustness.costs])
    if np.isfinite(benchmark).any():
        lines.append(Line("buy-and-hold", benchmark, "benchmark"))
    chart = LineChart(
        "costs",
        "Annual growth by cost a side",
        x,
        tuple(reversed(lines)),
        dates=False,
        unit="percent",
        rule=0.0,
        x_label="commission + half-spread + slippage, basis points",
    )
    rows = [
        (
            Cell("Break-even cost a side", numeric=False),
            Cell(
                robustness.break_even_note
                if robustness.break_even_bps is None
                else f"{robustness.break_even_bps:.1f} bp"
            ),
        )
    ]
    if robustness.delay is not None:
        for name, text in (("sharpe", "Sharpe ratio"), ("cagr", "Annual growth")):
            unit: NumberFormat = "ratio" if name == "sharpe" else "percent"
            value = format_number(robustness.delay.get(name), unit)
            rows.append((Cell(f"{text}, one bar later", numeric=False), Cell(value)))
    noise = _column(list(robustness.noise))
    noise = noise[np.isfinite(noise)]
    if len(noise):
        text = (
            f"{noise.mean():.2f} (from {noise.min():.2f} to {noise.max():.2f}, {len(noise)} draws)"
        )
        label = f"Sharpe ratio with {robustness.noise_bps:g} bp of price noise"
        rows.append((Cell(label, numeric=False), Cell(text.replace("-", "−"))))
    return Section("costs", title, lead, (Figure(chart), Table(("Robustness", ""), tuple(rows))))


def _column(values: list[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _windows(evaluation: Evaluation) -> Section:
    title = "Walk-forward windows"
    lead = (
        "Trained on the past of each window, judged on its future, window after window. One good "
        "window is luck; most of them is a method."
    )
    windows = evaluation.windows
    if not windows:
        missing = "No walk-forward was run. `offline-trader walk-forward` fills this."
        return Section("walk-forward", title, lead, (), missing)
    chart = _intervals(
        "walk_forward",
        "Sharpe ratio by window",
        tuple(ScoreRow(w.name, w.sharpe, w.sharpe_interval) for w in windows),
        "ratio",
        0.0,
    )
    rows = tuple(
        (
            Cell(w.name, numeric=False),
            Cell(w.start[:10]),
            Cell(w.end[:10]),
            Cell(f"{w.n:,}"),
            Cell(format_number(w.sharpe, "ratio")),
            Cell(format_number(w.total_return, "percent")),
            Cell(format_number(w.benchmark_return, "percent")),
            Cell(format_number(w.max_drawdown, "percent")),
        )
        for w in windows
    )
    known = [w.sharpe for w in windows if w.sharpe is not None]
    caption = ""
    if known:
        share = sum(value > 0 for value in known) / len(known)
        caption = (
            f"Sharpe ratio above 0 in {100 * share:.0f} % of {len(known)} windows; standard "
            f"deviation between windows {np.std(known, ddof=min(1, len(known) - 1)):.2f}."
        )
    head = ("Window", "From", "To", "Bars", "Sharpe", "Return", "Buy-and-hold", "Drawdown")
    return Section("walk-forward", title, lead, (Figure(chart), Table(head, rows, caption)))


def _scores(
    key: str,
    title: str,
    lead: str,
    scores: tuple[ScoreRow, ...],
    missing: str,
    *,
    unit: NumberFormat = "ratio",
    rule: float | None = None,
) -> Section:
    if not scores:
        return Section(key, title, lead, (), missing)
    chart = _intervals(key.replace("-", "_"), title, scores, unit, rule)
    blocks: list[Figure | Table] = [Figure(chart)]
    notes = tuple(
        (Cell(row.name, numeric=False), Cell(row.note, numeric=False)) for row in scores if row.note
    )
    if notes:
        blocks.append(Table(("", "Remark"), notes))
    return Section(key, title, lead, tuple(blocks))


def _intervals(
    name: str,
    title: str,
    scores: tuple[ScoreRow, ...],
    unit: NumberFormat,
    rule: float | None,
) -> IntervalChart:
    points = _column([row.value for row in scores])
    role: Role = "policy"
    bounds = np.array([row.interval or (np.nan, np.nan) for row in scores], dtype=np.float64)
    return IntervalChart(
        name,
        title,
        tuple(row.name for row in scores),
        points,
        bounds[:, 0],
        bounds[:, 1],
        (role,) * len(scores),
        unit,
        rule,
    )


def _gates(evaluation: Evaluation) -> Section:
    title = "Gates"
    lead = (
        "Limits that were set before the result was seen. “Not evaluable” is an honest answer: the "
        "reason says what is missing."
    )
    if not evaluation.gates:
        missing = "No gate was asked for. `offline-trader evaluate --gates` fills this."
        return Section("gates", title, lead, (), missing)
    rows = []
    for gate in evaluation.gates:
        interval = "–"
        if gate.interval is not None:
            low, high = (format_number(value, "number") for value in gate.interval)
            interval = f"{low} to {high}"
        rows.append(
            (
                Cell(gate.name.replace("_", " "), numeric=False),
                Cell(gate.verdict, GATE_TONES.get(gate.verdict, "plain"), numeric=False),
                Cell(format_number(gate.value, "number")),
                Cell(interval),
                Cell("–" if gate.n is None else f"{gate.n:,}"),
                Cell(gate.threshold),
                Cell(gate.reason, numeric=False),
            )
        )
    head = ("Gate", "Verdict", "Value", "95 %", "n", "Threshold", "Reason")
    return Section("gates", title, lead, (Table(head, tuple(rows)),))
