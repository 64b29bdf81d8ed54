"""The short tables of an evaluation on the terminal, in the report's words and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from offline_trader.cli.console import Figure, Terminal

if TYPE_CHECKING:
    from offline_trader.evaluation.judging import Evaluation, GateRow, ScoreRow

__all__ = ["measure_heads", "measured", "print_evaluation", "print_gates"]

_SHOWN = ("total_return", "cagr", "sharpe", "max_drawdown", "volatility")
_EVIDENCE = ("psr", "dsr", "hurdle", "min_track_record_years")
_BEHAVIOUR = ("n_effective", "mi_norm", "hold_share", "saturation", "trades_per_1000")


def measure_heads(names: Sequence[str]) -> list[str]:
    """What the report calls these measures."""
    from offline_trader.evaluation.report.labels import label_of

    return [label_of(name).text for name in names]


def measured(names: Sequence[str], found: Mapping[str, float | None]) -> list[object]:
    """Cells of these measures, in the report's units."""
    from offline_trader.evaluation.report.labels import value_text

    return [Figure(value_text(name, found.get(name))) for name in names]


def print_evaluation(terminal: Terminal, evaluation: Evaluation) -> None:
    """The short table: the policy, buy-and-hold and the experts; verdicts and evidence."""
    from offline_trader.evaluation.report.labels import label_of, named, short_names, value_text

    rows: list[list[object]] = [[named(evaluation.name), *measured(_SHOWN, evaluation.measures)]]
    names = short_names([each.name for each in evaluation.comparators])
    comparators = zip(names, evaluation.comparators, strict=True)
    rows += [[named(name), *measured(_SHOWN, each.measures)] for name, each in comparators]
    terminal.table(
        f"{', '.join(evaluation.market) or evaluation.name}, {evaluation.start[:10]} to "
        f"{evaluation.end[:10]}, {evaluation.n_bars:,} bars, net of costs",
        ["", *measure_heads(_SHOWN)],
        rows,
    )
    for name in ("sharpe", "cagr"):
        value, interval = evaluation.measures.get(name), evaluation.intervals.get(name)
        if value is not None and interval is not None:
            shown, low, high = (value_text(name, each) for each in (value, *interval))
            terminal.line(f"{label_of(name).text}: {shown}, 95 % interval {low} to {high}")
    _print_evidence(terminal, evaluation)
    _print_robustness(terminal, evaluation)
    _print_trades(terminal, evaluation)
    _print_behaviour(terminal, evaluation)
    _print_seeds(terminal, evaluation.seeds)
    if evaluation.known_optimum:
        terminal.table(
            "markets whose optimum is known: 100 is the best policy",
            ["", "score", ""],
            [[row.name, row.value, row.unit or row.note] for row in evaluation.known_optimum],
        )
    collapse = evaluation.collapse or {}
    trades = collapse.get("trades_per_1000")
    reasons = evaluation.verdict_reasons.items()
    verdict = ", ".join(f"{name} ({why})" if why else name for name, why in reasons)
    verdict = verdict or "no collapse"
    terminal.line(
        f"verdict: {verdict if collapse else 'none, the actions are not known'}"
        + (f"; {trades:.0f} trades per 1,000 steps" if trades is not None else "")
        + f"; {evaluation.trials:,} trial{'s' if evaluation.trials > 1 else ''} counted"
        + (f" ({evaluation.trials_counted})" if evaluation.trials_counted else "")
    )
    print_gates(terminal, evaluation.gates)
    for note in evaluation.notes:
        terminal.line(f"note: {note}")


def print_gates(terminal: Terminal, gates: Sequence[GateRow]) -> None:
    """A row for each gate that was checked; nothing where none was."""
    from offline_trader.evaluation.report.evidence import GATE_HEAD, gate_cells

    if gates:
        terminal.table(
            "gates",
            GATE_HEAD,
            [
                [name, verdict, *map(Figure, numbers), meaning]
                for name, verdict, *numbers, meaning in map(gate_cells, gates)
            ],
            dash="there is none; the last column says why",
        )


def _print_evidence(terminal: Terminal, evaluation: Evaluation) -> None:
    """How much of it may be luck; nothing where no Sharpe ratio is defined."""
    from offline_trader.evaluation.report.charts import format_number
    from offline_trader.evaluation.report.evidence import statistic_label

    found, p_value = evaluation.statistics, evaluation.spa_p_value
    rows: list[list[object]] = []
    for name in _EVIDENCE:
        text, unit = statistic_label(name)
        if (value := found.get(name)) is not None:
            rows.append([text, Figure(format_number(value, unit))])
    if rows and found.get("min_track_record_years") is None:
        rows.append([statistic_label("min_track_record_years")[0], "no length would do"])
    if rows and p_value is not None:
        comparators = len(evaluation.comparators)
        against = f"every one of {comparators} comparators" if comparators > 1 else "buy-and-hold"
        text = f"p-value of Hansen's test (SPA) against {against}"
        rows.append([text, Figure(format_number(p_value, "p"))])
    if rows:
        terminal.table("against self-deception", ["Statistic", "Value"], rows)


def _print_robustness(terminal: Terminal, evaluation: Evaluation) -> None:
    """What is left at other costs, with late orders and on noisy prices, where it was run."""
    from offline_trader.evaluation.report.charts import format_number

    found, parts = evaluation.robustness, []
    if found is not None and found.costs:
        level = found.break_even_bps
        parts.append(
            "break-even cost "
            + (found.break_even_note if level is None else f"{level:.1f} bp a side")
        )
    if found is not None and found.delay is not None:
        parts.append(f"Sharpe ratio, one bar later {_ratio(found.delay.get('sharpe'))}")
    noisy = [] if found is None else [each for each in found.noise if each is not None]
    if found is not None and noisy:
        ends = [_ratio(each) for each in sorted({min(noisy), max(noisy)})]
        parts.append(f"with {found.noise_bps:g} bp of price noise {' to '.join(ends)}")
    if evaluation.oracle and evaluation.oracle[0].value is not None:
        captured = format_number(evaluation.oracle[0].value, "percent")
        parts.append(f"{captured} of perfect foresight's log growth")
    if parts:
        terminal.line("; ".join(parts))


def _ratio(value: float | None) -> str:
    from offline_trader.evaluation.report.labels import value_text

    return value_text("sharpe", value)


def _print_behaviour(terminal: Terminal, evaluation: Evaluation) -> None:
    """What the actions and the actor's hidden layers show; nothing for an imported result."""
    from offline_trader.evaluation.report.behaviour import collapse_rows

    if evaluation.collapse is not None:
        shown = collapse_rows(evaluation.collapse, _BEHAVIOUR)
        rows = [[text, Figure(value), limit] for text, value, limit in shown]
        terminal.table("collapse", ["Measure", "Value", "Limit"], rows)


def _print_trades(terminal: Terminal, evaluation: Evaluation) -> None:
    """Both views of the closed trades; nothing where no trade is known."""
    found = evaluation.measures
    views = (
        ("round trips", "trades", "", "mean_duration_bars"),
        ("FIFO lots", "lots", "lot_", "mean_lot_bars"),
    )
    rows: list[list[object]] = []
    for name, count, prefix, bars in views:
        if found.get(count) is not None:
            parts = ("win_rate", "payoff_ratio", "profit_factor")
            rows.append([name, *measured([count, *(prefix + p for p in parts), bars], found)])
    if rows:
        head = [
            "closed",
            "n",
            "winning",
            "average win ÷ average loss",
            "profit factor",
            "bars each",
        ]
        terminal.table("", head, rows)


def _print_seeds(terminal: Terminal, seeds: Sequence[ScoreRow]) -> None:
    if not seeds:
        return
    shown = ("cagr", "max_drawdown")
    rows: list[list[object]] = []
    for row in seeds:
        low, high = row.interval or (None, None)
        ends = {"sharpe": row.value}, {"sharpe": low}, {"sharpe": high}
        sharpe = [cell for each in ends for cell in measured(["sharpe"], each)]
        rows.append([row.name, *sharpe, *measured(shown, row.measures), row.note])
    head = ["", *measure_heads(["sharpe"]), "95 % from", "to", *measure_heads(shown), ""]
    terminal.table("seeds", head, rows)
