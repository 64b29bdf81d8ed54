"""``offline-trader evaluate``: a policy or an expert over a market range, with a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline_trader.cli.console import Percent, Terminal
from offline_trader.cli.options import (
    Config,
    DryRun,
    Json,
    Quiet,
    Seed,
    Settings,
    examples,
    listed,
    resolve,
    show_settings,
)
from offline_trader.cli.subjects import Candidate, open_candidate
from offline_trader.envs import EnvConfig
from offline_trader.evaluation.evaluate import EvaluateOptions, evaluate
from offline_trader.evaluation.ledger import TrialLedger

if TYPE_CHECKING:
    from offline_trader.evaluation.gates import GateSet
    from offline_trader.evaluation.record import Evaluation

__all__ = ["EXAMPLES", "EvaluateConfig", "command", "evaluate_candidate", "print_evaluation"]

EXAMPLES = examples(
    "offline-trader evaluate runs/finetune/export/policy.onnx --start 2015-01-01",
    "offline-trader evaluate runs/finetune --market nasdaq --json",
    "offline-trader evaluate expert:technical --market sp500 --start 2015-01-01",
    "offline-trader evaluate policy.onnx --gates default",
)
LEDGER_FOLDER = Path("runs")


@dataclass(frozen=True)
class EvaluateConfig:
    """One evaluation.

    Attributes:
        env: market, dates and trading rules; those of the training unless set.
        options: comparisons, robustness runs, bootstrap, seed.
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    options: EvaluateOptions = field(default_factory=EvaluateOptions)


def command(
    policy: Annotated[str, typer.Argument(help="An ONNX file, a run directory, or expert:NAME.")],
    market: Annotated[
        list[str] | None,
        typer.Option("--market", help="Built-in market, CSV or Parquet file; repeatable."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="First date; by default the first that training did not see."),
    ] = None,
    end: Annotated[str | None, typer.Option("--end", help="Last date, included.")] = None,
    expert: Annotated[
        list[str] | None,
        typer.Option("--expert", help="Compare with this expert; the source experts by default."),
    ] = None,
    gates: Annotated[
        str | None,
        typer.Option("--gates", help="Check the gates: default, or a YAML file with your limits."),
    ] = None,
    stage: Annotated[
        int | None, typer.Option("--stage", help="Stage whose limits the gates use.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the report; runs/evaluation-NAME."),
    ] = None,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a policy or an expert: measures with intervals, collapse verdict, rivals, report.

    The policy runs deterministically with the trading rules of its training. The report is one
    HTML page (report.html); its figures lie beside it as PNG, the numbers in evaluation.json.
    Every evaluated configuration is counted in runs/trials.jsonl. With --gates the exit code is 4
    if a gate failed, and the result goes into the model's manifest.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    candidate = open_candidate(policy)
    base = {"env": {**candidate.env, "start": _first_unseen(candidate.seen_until), "end": None}}
    base["options"] = {"experts": list(candidate.experts), "seed": candidate.seed}
    plan = resolve(
        EvaluateConfig,
        config,
        settings,
        base,
        env__market=listed(market),
        env__start=start,
        env__end=end,
        options__experts=listed(expert),
        options__seed=seed,
    )
    if plan.env.start is None or plan.env.start <= candidate.seen_until:
        seen = f"the policy's training saw bars until {candidate.seen_until}"
        if candidate.seen_until:
            terminal.note(f"note: {seen}; what it earns before then proves nothing")
    if dry_run:
        show_settings(terminal, plan)
        return
    limits = None if gates is None and stage is None else _limits(gates, stage)
    folder = output or Path("runs") / f"evaluation-{candidate.name}"
    evaluation = evaluate_candidate(candidate, plan, folder, terminal, limits)
    print_evaluation(terminal, evaluation)
    terminal.line(f"report: {folder / 'report.html'}")
    terminal.result({"report": str(folder / "report.html"), **_without_curves(evaluation)})
    if limits is not None:
        from offline_trader.evaluation.gates import require_gates

        require_gates(evaluation.gates)


def _limits(gates: str | None, stage: int | None) -> GateSet:
    from offline_trader.evaluation.gates import load_gates

    return load_gates(None if gates in (None, "default") else gates, stage)


def evaluate_candidate(
    candidate: Candidate,
    config: EvaluateConfig,
    folder: Path,
    terminal: Terminal,
    gates: GateSet | None = None,
) -> Evaluation:
    """Evaluate, count the trial, write ``evaluation.json``, ``report.html`` and PNG files.

    With ``gates`` they are checked too, and noted in the manifest of a model that has one.
    """
    from offline_trader.evaluation.report import write_report

    options = replace(config.options, name=config.options.name or candidate.name)
    with terminal.progress("evaluating") as advance:
        evaluation = evaluate(
            candidate.subject,
            config.env,
            options,
            ledger=TrialLedger(LEDGER_FOLDER),
            trial=candidate.trial,
        )
        if gates is not None:
            evaluation = _gated(candidate, config, evaluation, gates)
        advance(1, 1)
    evaluation.save(folder / "evaluation.json")
    write_report(evaluation, folder / "report.html", png_directory=folder / "plots")
    return evaluation


def _gated(
    candidate: Candidate, config: EvaluateConfig, evaluation: Evaluation, gates: GateSet
) -> Evaluation:
    from offline_trader.evaluation.gate_runs import gate_rows
    from offline_trader.export import OnnxPolicy, record_gates

    rows = gate_rows(candidate.subject, config.env, evaluation, gates)
    judged = replace(evaluation, gates=rows)
    model = candidate.subject.path if isinstance(candidate.subject, OnnxPolicy) else None
    if model is not None and (model.parent / "manifest.json").exists():
        record_gates(model, judged.to_dict()["gates"])
    return judged


def print_evaluation(terminal: Terminal, evaluation: Evaluation) -> None:
    """The short table: the policy, buy-and-hold and the experts; verdicts and evidence."""
    rows = [_row(evaluation.name, evaluation.measures)]
    rows += [_row(each.name, each.measures) for each in evaluation.comparators]
    terminal.table(
        f"{evaluation.start[:10]} to {evaluation.end[:10]}, {evaluation.n_bars:,} bars",
        ["", "total return", "a year", "Sharpe", "max drawdown", "volatility"],
        rows,
    )
    for name, label in (("sharpe", "Sharpe ratio"), ("cagr", "return a year")):
        value, interval = evaluation.measures.get(name), evaluation.intervals.get(name)
        if value is not None and interval is not None:
            low, high = interval
            terminal.line(f"{label}: {value:.2f}, 95 % interval {low:.2f} to {high:.2f}")
    collapse = evaluation.collapse or {}
    trades = collapse.get("trades_per_1000")
    terminal.line(
        f"verdict: {', '.join(evaluation.verdicts) or 'no collapse'}"
        + (f"; {trades:.0f} trades per 1,000 steps" if trades is not None else "")
        + f"; trial number {evaluation.trials} on these bars"
    )
    if evaluation.gates:
        terminal.table(
            "gates",
            ["", "verdict", "value", "limit", "n", ""],
            [[g.name, g.verdict, g.value, g.threshold, g.n, g.reason] for g in evaluation.gates],
        )
    for note in evaluation.notes:
        terminal.line(f"note: {note}")


def _row(name: str, measures: Mapping[str, float | None]) -> list[object]:
    return [
        name,
        Percent(measures.get("total_return")),
        Percent(measures.get("cagr")),
        measures.get("sharpe"),
        Percent(measures.get("max_drawdown")),
        Percent(measures.get("volatility")),
    ]


def _first_unseen(day: str) -> str | None:
    """The day after ``day``."""
    import numpy as np

    return str(np.datetime64(day, "D") + 1) if day else None


def _without_curves(evaluation: Evaluation) -> dict[str, Any]:
    """The JSON form without the series, which are in evaluation.json."""
    payload = evaluation.to_dict()
    for key in ("curve", "trades", "action_map"):
        payload.pop(key)
    for comparator in payload["comparators"]:
        comparator.pop("equity")
    return payload
