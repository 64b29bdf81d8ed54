"""The short tables of an evaluation on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from offline_trader.cli.console import Percent, Terminal, number

if TYPE_CHECKING:
    from offline_trader.evaluation.judging import Evaluation, GateRow, ScoreRow

__all__ = ["print_evaluation", "print_gates"]


def print_evaluation(terminal: Terminal, evaluation: Evaluation) -> None:
    """The short table: the policy, buy-and-hold and the experts; verdicts and evidence."""
    from offline_trader.evaluation.report.labels import short_names

    rows = [_row(evaluation.name, evaluation.measures)]
    names = short_names([each.name for each in evaluation.comparators])
    rivals = zip(names, evaluation.comparators, strict=True)
    rows += [_row(name, each.measures) for name, each in rivals]
    terminal.table(
        f"{evaluation.start[:10]} to {evaluation.end[:10]}, {evaluation.n_bars:,} bars",
        ["", "total return", "a year", "Sharpe", "max drawdown", "volatility"],
        rows,
    )
    for name, label in (("sharpe", "Sharpe ratio"), ("cagr", "return a year")):
        value, interval = evaluation.measures.get(name), evaluation.intervals.get(name)
        if value is not None and interval is not None:
            found = (value, *interval)
            texts = [f"{v:.2f}" if name == "sharpe" else f"{100 * v:.1f} %" for v in found]
            terminal.line(f"{label}: {texts[0]}, 95 % interval {texts[1]} to {texts[2]}")
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
    if gates:
        terminal.table(
            "gates",
            ["", "verdict", "value", "95 % interval", "limit", "n", "what it is"],
            [
                [g.name, g.verdict, g.value, _ends(g.interval), g.threshold, g.n, g.explained]
                for g in gates
            ],
        )


def _print_evidence(terminal: Terminal, evaluation: Evaluation) -> None:
    """How much of it may be luck; nothing where no Sharpe ratio is defined."""
    found = evaluation.statistics
    shares = [
        f"{name.upper()} {100 * value:.1f} %"
        for name in ("psr", "dsr")
        if (value := found.get(name)) is not None
    ]
    if not shares:
        return
    if (hurdle := found.get("hurdle")) and found.get("dsr") is not None:
        shares[-1] += f" against a hurdle of {hurdle:.2f}"
    needed, p_value = found.get("min_track_record_years"), evaluation.spa_p_value
    years = "no length would do" if needed is None else f"{needed:,.1f} years"
    shares.append(f"MinTRL {years}")
    if p_value is not None:
        rivals = len(evaluation.comparators)
        against = f"every one of {rivals} rivals" if rivals > 1 else "buy-and-hold"
        shares.append(f"SPA p-value {p_value:.3f} against {against}")
    terminal.line("; ".join(shares))


def _print_robustness(terminal: Terminal, evaluation: Evaluation) -> None:
    """What is left at other costs, with late orders and on noisy prices, where it was run."""
    found, parts = evaluation.robustness, []
    if found is not None and found.costs:
        level = found.break_even_bps
        parts.append(
            "break-even cost "
            + (found.break_even_note if level is None else f"{level:.1f} bp a side")
        )
    if found is not None and found.delay is not None:
        parts.append(f"Sharpe ratio with late orders {number(found.delay.get('sharpe'))}")
    noisy = [] if found is None else [each for each in found.noise if each is not None]
    if noisy:
        ends = [number(each) for each in sorted({min(noisy), max(noisy)})]
        parts.append(f"on noisy prices {' to '.join(ends)}")
    if evaluation.oracle and evaluation.oracle[0].value is not None:
        parts.append(f"{100 * evaluation.oracle[0].value:.1f} % of perfect foresight's log growth")
    if parts:
        terminal.line("; ".join(parts))


def _ends(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else "{:.3g} to {:.3g}".format(*interval)


def _print_behaviour(terminal: Terminal, evaluation: Evaluation) -> None:
    """What the actions and the actor's hidden layers show; nothing for an imported result."""
    found = evaluation.collapse
    if found is None:
        return
    rank, width = found.get("effective_rank"), found.get("feature_units")
    terminal.table(
        "",
        ["effective actions", "MI_norm", "holds", "saturated", "dormant units", "effective rank"],
        [
            [
                found.get("n_effective"),
                found.get("mi_norm"),
                Percent(found.get("hold_share")),
                Percent(found.get("saturation")),
                Percent(found.get("dormant_ratio")),
                None if rank is None or width is None else f"{rank:.0f} of {width:.0f}",
            ]
        ],
    )


def _print_trades(terminal: Terminal, evaluation: Evaluation) -> None:
    """Both views of the closed trades; nothing where no trade is known."""
    found = evaluation.measures
    views = (
        ("position round trips", "trades", "", "mean_duration_bars"),
        ("FIFO lots", "lots", "lot_", "mean_lot_bars"),
    )
    rows = [
        [
            name,
            f"{found[count]:,.0f}",
            Percent(found.get(f"{prefix}win_rate")),
            found.get(f"{prefix}payoff_ratio"),
            found.get(f"{prefix}profit_factor"),
            found.get(bars),
        ]
        for name, count, prefix, bars in views
        if found.get(count) is not None
    ]
    if rows:
        head = ["closed", "n", "won", "pay-off ratio", "profit factor", "mean bars"]
        terminal.table("", head, rows)


def _print_seeds(terminal: Terminal, seeds: Sequence[ScoreRow]) -> None:
    if not seeds:
        return
    rows = []
    for row in seeds:
        low, high = row.interval or (None, None)
        found = row.measures
        rows.append(
            [
                row.name,
                row.value,
                low,
                high,
                Percent(found.get("cagr")),
                Percent(found.get("max_drawdown")),
                row.note,
            ]
        )
    head = ["", "Sharpe", "95 % from", "to", "a year", "max drawdown", ""]
    terminal.table("seeds", head, rows)


def _row(name: str, measures: Mapping[str, float | None]) -> list[object]:
    return [
        name,
        Percent(measures.get("total_return")),
        Percent(measures.get("cagr")),
        measures.get("sharpe"),
        Percent(measures.get("max_drawdown")),
        Percent(measures.get("volatility")),
    ]
