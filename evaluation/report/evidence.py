"""Sections about how far to believe it: statistics, regimes, costs, windows, seeds, gates."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace

import numpy as np

from offline_trader.evaluation.judging import Evaluation, GateRow, RegimeRow, ScoreRow
from offline_trader.evaluation.report.blocks import Cell, Figure, Section, Table, Tone
from offline_trader.evaluation.report.charts import (
    DASH,
    Line,
    LineChart,
    NumberFormat,
    format_number,
)
from offline_trader.evaluation.report.repeated import (
    intervals_chart,
    known_optimum_section,
    seeds_section,
    stages_section,
)
from offline_trader.types import FloatArray

__all__ = ["GATE_HEAD", "evidence_sections", "gate_cells", "statistic_label"]

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
GATE_HEAD = ("Gate", "Verdict", "Value", "95 % interval", "n", "Limit", "What it is (unit)")
GATE_TONES: dict[str, Tone] = {"pass": "good", "fail": "bad", "not evaluable": "warn"}


def statistic_label(name: str) -> tuple[str, NumberFormat]:
    """Name and number format of a statistic; an unknown one is shown by its own name."""
    return STATISTICS.get(name, (name.replace("_", " ").capitalize(), "number"))


def evidence_sections(evaluation: Evaluation) -> list[Section]:
    """The sections in page order."""
    sections = [
        _statistics(evaluation),
        _regimes(evaluation),
        _costs(evaluation),
        _windows(evaluation),
        stages_section(evaluation.stages),
        seeds_section(evaluation.seeds),
        _oracle(evaluation.oracle),
        known_optimum_section(evaluation.known_optimum),
        _gates(evaluation),
    ]
    if not evaluation.joins_windows:
        return sections
    # A walk has many policies: the commands that fill a section take one.
    return [replace(section, command="") for section in sections]


def _statistics(evaluation: Evaluation) -> Section:
    title = "Against self-deception"
    lead = (
        "Whoever tries many configurations finds a good one by luck. The trial ledger counts "
        f"{evaluation.trials:,} so far"
        + (f" ({evaluation.trials_counted})" if evaluation.trials_counted else "")
        + "; the deflated Sharpe ratio asks whether "
        "the result beats what the best of that many worthless ones would show."
    )
    rows = []
    for name, value in evaluation.statistics.items():
        text, unit = statistic_label(name)
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
        points = tuple(
            ScoreRow(
                f"{row.name}, n = {row.n:,}",
                row.mean_return,
                _mean_interval(row, evaluation.periods_per_year),
            )
            for row in known
        )
        chart = intervals_chart(
            "regimes",
            "Mean return a bar by regime",
            points,
            "bp",
            0.0,
            x_label="basis points a bar, with the 95 % interval of a mean of independent returns",
            roles=tuple("good" if (row.mean_return or 0.0) > 0 else "bad" for row in known),
        )
        blocks.append(Figure(chart))
    rows = tuple(
        (
            Cell(row.name, numeric=False),
            Cell(f"{row.n:,}"),
            Cell(format_number(row.share, "percent")),
            Cell(format_number(row.sharpe, "ratio") if not row.note else row.note),
            Cell(format_number(row.mean_return, "bp")),
            Cell(format_number(row.benchmark_mean_return, "bp")),
        )
        for row in evaluation.regimes
    )
    head = ("Regime", "Bars", "Share", "Sharpe ratio", "Mean, bp a bar", "Buy-and-hold, bp a bar")
    return Section("regimes", title, lead, (*blocks, Table(head, rows)))


def _mean_interval(row: RegimeRow, periods_per_year: float) -> tuple[float, float] | None:
    """Mean ± 1.96·sd/√n; the standard deviation is the mean ÷ the Sharpe ratio a bar."""
    if not row.sharpe or row.mean_return is None or row.n < 2:
        return None
    deviation = row.mean_return / row.sharpe * math.sqrt(periods_per_year)
    half = 1.96 * abs(deviation) / math.sqrt(row.n)
    return row.mean_return - half, row.mean_return + half


def _costs(evaluation: Evaluation) -> Section:
    robustness = evaluation.robustness
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
        tuple(lines),
        dates=False,
        unit="percent",
        rule=0.0,
        x_label="commission + half-spread + slippage, basis points a side",
        y_label="growth a year",
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
            undelayed = evaluation.measures.get(name)
            if undelayed is not None:
                value += f" (without delay {format_number(undelayed, unit)})"
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
        missing = "None is shown. Run one over the same market, then evaluate with --walk-forward."
        options = [f"--market {shlex.quote(source)}" for source in evaluation.market[:1]]
        command = " ".join(["offline-trader walk-forward", *(options or ["--market …"])])
        return Section("walk-forward", title, lead, (), missing, command)
    chart = intervals_chart(
        "walk_forward",
        "Sharpe ratio by window",
        tuple(
            ScoreRow(f"{w.name}: {w.start[:7]} to {w.end[:7]}", w.sharpe, w.sharpe_interval)
            for w in windows
        ),
        "ratio",
        0.0,
        x_label="Sharpe ratio, a year, with its 95 % interval",
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
            Cell("–" if w.trades is None else f"{w.trades:,}"),
        )
        for w in windows
    )
    above = [one for w in windows if (one := w.above_zero) is not None]
    known = [w.sharpe for w in windows if w.sharpe is not None]
    caption = ""
    if above:
        share = sum(above) / len(above)
        caption = f"Sharpe ratio above 0 in {100 * share:.0f} % of {len(above)} windows"
        if len(known) > 1:
            caption += f"; standard deviation between windows {np.std(known, ddof=1):.2f}"
        caption += "."
    pairs = [(w.total_return, w.benchmark_return) for w in windows]
    both = [(own, held) for own, held in pairs if own is not None and held is not None]
    if both:
        ahead = sum(own > held for own, held in both) / len(both)
        caption += f" Ahead of buy-and-hold in {100 * ahead:.0f} %."
    head = (
        *("Window", "From", "To", "Bars", "Sharpe", "Return", "Buy-and-hold", "Drawdown"),
        "Orders",
    )
    return Section("walk-forward", title, lead, (Figure(chart), Table(head, rows, caption)))


def _oracle(rows: tuple[ScoreRow, ...]) -> Section:
    title = "Oracle capture"
    lead = (
        "The share of what perfect foresight would have earned on the same bars with the same "
        "costs. A few per cent is a lot."
    )
    if not rows:
        return Section("oracle", title, lead, (), "The perfect-foresight path was not computed.")
    chart = intervals_chart(
        "oracle", "Growth captured", rows, "percent", 0.0, x_label="share of the oracle's growth"
    )
    notes = tuple(
        (Cell(row.name, numeric=False), Cell(row.note, numeric=False)) for row in rows if row.note
    )
    table = (Table(("", "Remark"), notes),) if notes else ()
    return Section("oracle", title, lead, (Figure(chart), *table))


def _gates(evaluation: Evaluation) -> Section:
    title = "Gates"
    lead = (
        "Limits that were set before the result was seen. “Not evaluable” is an honest answer: the "
        "last column says what is missing."
    )
    if not evaluation.gates:
        missing, command = "No gate was asked for.", "offline-trader evaluate … --gates default"
        return Section("gates", title, lead, (), missing, command)
    rows = []
    for gate in evaluation.gates:
        name, verdict, *numbers, meaning = gate_cells(gate)
        rows.append(
            (
                Cell(name, numeric=False),
                Cell(verdict, GATE_TONES.get(verdict, "plain"), numeric=False),
                *map(Cell, numbers),
                Cell(meaning, numeric=False),
            )
        )
    return Section("gates", title, lead, (Table(GATE_HEAD, tuple(rows)),))


def gate_cells(gate: GateRow) -> tuple[str, ...]:
    """Texts of a gate's row under :data:`GATE_HEAD`."""
    interval = DASH
    if gate.interval is not None:
        interval = " to ".join(format_number(end, "number") for end in gate.interval)
    return (
        gate.name.replace("_", " "),
        gate.verdict,
        format_number(gate.value, "number"),
        interval,
        DASH if gate.n is None else f"{gate.n:,}",
        gate.threshold.replace(">=", "≥").replace("<=", "≤"),
        gate.explained,
    )
