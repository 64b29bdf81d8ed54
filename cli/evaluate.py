"""``offline-trader evaluate``: a policy or an expert over a market range, with a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.evaluation_folder import Overwrite, claimed_folder, evaluation_folder
from offline_trader.cli.evaluation_tables import print_evaluation
from offline_trader.cli.gate_options import Gates, Stage, read_limits
from offline_trader.cli.options import (
    Closes,
    Config,
    DryRun,
    Json,
    Quiet,
    Seed,
    Settings,
    Unverified,
    examples,
    listed,
    market_sources,
    resolve,
    show_settings,
)
from offline_trader.cli.seed_candidates import (
    open_candidates,
    seed_folders,
    study_name,
    validated_seed,
)
from offline_trader.cli.subjects import Candidate, require_bars
from offline_trader.envs import EnvConfig
from offline_trader.evaluation.judging import LEDGER_FOLDER, EvaluateOptions, TrialLedger, evaluate
from offline_trader.markets import load_markets

if TYPE_CHECKING:
    from offline_trader.evaluation.gates import GateSet
    from offline_trader.evaluation.judging import Evaluation, ScoreRow, WindowRow

__all__ = ["EXAMPLES", "EvaluateConfig", "command", "evaluate_candidate", "print_evaluation"]

EXAMPLES = examples(
    "offline-trader evaluate runs/finetune/export/policy.onnx --start 2015-01-01",
    "offline-trader evaluate runs/finetune --market nasdaq --json",
    "offline-trader evaluate expert:technical --market sp500 --start 2015-01-01",
    "offline-trader evaluate policy.onnx --gates default --walk-forward runs/walk-forward",
    "offline-trader evaluate runs/a runs/b runs/c --as-seeds",
    "offline-trader evaluate runs/finetune --known-optimum runs/pretrain",
)


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
    policy: Annotated[
        list[str],
        typer.Argument(
            help="An ONNX file, a run directory, or expert:NAME; a folder of seed-0, seed-1, … or "
            "several with --as-seeds for the seeds of one configuration."
        ),
    ],
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
    as_seeds: Annotated[
        bool, typer.Option("--as-seeds", help="The policies are seeds of one configuration.")
    ] = False,
    known_optimum: Annotated[
        list[Path] | None,
        typer.Option(
            "--known-optimum",
            help="Show this result of known-optimum --run, a file or a folder, too; repeatable. "
            "Those in the policy's own run are shown anyway.",
        ),
    ] = None,
    walk: Annotated[
        Path | None,
        typer.Option(
            "--walk-forward",
            help="Show the windows of this walk-forward over the same market, and let the gate "
            "judge them.",
        ),
    ] = None,
    closes: Closes = False,
    gates: Gates = None,
    stage: Stage = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the report; by default named by policy, market and dates.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    unverified: Unverified = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a policy or an expert: measures with intervals, collapse verdict, rivals, report.

    The policy runs deterministically with the trading rules of its training. The report is one
    HTML page (report.html); its figures lie beside it as PNG, the numbers in evaluation.json. A
    report that is in the folder is replaced with --overwrite only.
    Every evaluated configuration is counted in runs/trials.jsonl. With --gates the exit code is 4
    if a gate failed, and the result goes into the model's manifest. Of several seeds the one that
    validation chose, or else the one with the median Sharpe ratio, is judged closely, beside a
    table of all of them.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    candidates = open_candidates(policy, as_seeds=as_seeds, unverified=unverified)
    known = _known_results(policy, known_optimum or [])
    candidate = candidates[0]
    seen_until = max(each.seen_until for each in candidates)
    base = {"env": {**candidate.env, "start": _first_unseen(seen_until), "end": None}}
    base["options"] = {"experts": list(candidate.experts), "seed": candidate.seed}
    plan = resolve(
        EvaluateConfig,
        config,
        settings,
        base,
        env__market=listed(market_sources(market, closes)),
        env__start=start,
        env__end=end,
        options__experts=listed(expert),
        options__seed=seed,
    )
    _note_seen_bars(terminal, plan.env, seen_until)
    require_bars(plan.env, seen_until)
    limits = read_limits(gates, stage)
    windows = () if walk is None else _windows(walk, plan.env)
    if dry_run:
        show_settings(terminal, plan)
        return
    for each in candidates:
        each.open()
    _note_unasked(terminal, candidate, plan)
    name = candidate.name if len(candidates) == 1 else study_name(policy)
    folder = output or evaluation_folder(name, plan.env)
    with claimed_folder(folder, overwrite=overwrite):
        attached: dict[str, Any] = {"known_optimum": known, "windows": windows}
        if len(candidates) > 1:
            candidate, plan, attached["seeds"], reason = _close_look(
                policy, candidates, plan, terminal
            )
            shown = f"Curves and measures are those of {candidate.name}, {reason}"
            attached["notes"] = (f"{shown}; the other seeds' are under Seeds.",)
        evaluation = evaluate_candidate(candidate, plan, folder, terminal, limits, **attached)
    print_evaluation(terminal, evaluation)
    terminal.line(f"report: {folder / 'report.html'}")
    terminal.result({"report": str(folder / "report.html"), **_without_curves(evaluation)})
    if limits is not None:
        from offline_trader.evaluation.gates import require_gates

        require_gates(evaluation.gates)


def _note_seen_bars(terminal: Terminal, env: EnvConfig, seen_until: str) -> None:
    """Says where the range has bars that training saw.

    Raises:
        ConfigError: a date of the range that cannot be read.
    """
    from offline_trader.tables.dates import parse_date, parse_end

    start, _ = (None if date is None else parse_date(date) for date in (env.start, env.end))
    if seen_until and (start is None or start < parse_end(seen_until)):
        terminal.note(
            f"note: the policy's training saw bars until {seen_until}; what it earns before then "
            "proves nothing"
        )


def _note_unasked(terminal: Terminal, candidate: Candidate, plan: EvaluateConfig) -> None:
    """Names the source experts that are not compared with, because they lie in files."""
    missing = [each for each in candidate.unasked if each not in plan.options.experts]
    if missing:
        terminal.note(
            f"note: not compared with {', '.join(missing)}, which the model names: its code is "
            "imported only if you name it with --expert"
        )


def _windows(walk: Path, env: EnvConfig) -> tuple[WindowRow, ...]:
    """Windows of the walk-forward in the run ``walk``, which went over a market of ``env``.

    Raises:
        DataError: no walk-forward there.
        ConfigError: it went over other bars.
    """
    from offline_trader.evaluation.walk_forward import load_windows

    return load_windows(walk, load_markets(env.market, tz=env.tz))


def _known_results(policies: Sequence[str], further: Sequence[Path]) -> tuple[ScoreRow, ...]:
    """Scores that lie in the policies' runs, or in the run of a model's folder, and ``further``."""
    from offline_trader.evaluation.known_optimum.results import find_results, load_results

    places = [Path(policy) for policy in policies if not policy.startswith("expert:")]
    places += [each for place in places for each in seed_folders(place)]
    runs = [each for place in places for each in (place, place.parent, place.parent.parent)]
    own = [
        run
        for run in runs
        if run in places or (run / "manifest.json").is_file() or seed_folders(run)
    ]
    results = [*find_results(own), *(each for path in further for each in load_results(path))]
    return tuple({json.dumps(each.to_dict()): each.row() for each in results}.values())


def _close_look(
    sources: Sequence[str],
    candidates: Sequence[Candidate],
    config: EvaluateConfig,
    terminal: Terminal,
) -> tuple[Candidate, EvaluateConfig, tuple[ScoreRow, ...], str]:
    """The candidate to look at closely, its settings, the rows of all seeds, and why this one.

    The seed that validation chose, if one did: its choice has not seen these bars, and it is the
    one that export takes. Otherwise the median one.
    """
    from offline_trader.evaluation.judging import SeedRun, seed_study

    own = config.options.seed == candidates[0].seed
    runs = [SeedRun(each.seed, each.open(), each.trial, each.name) for each in candidates]
    with terminal.progress(f"evaluating {len(runs)} seeds", len(runs)) as advance:
        study = seed_study(
            runs,
            config.env,
            config.options,
            ledger=TrialLedger(LEDGER_FOLDER),
            own_seeds=own,
            on_seed=advance,
        )
    best = validated_seed(sources)
    seeds = [each.seed for each in candidates]
    index, why = study.median, "with the median Sharpe ratio"
    if best is not None and best in seeds:
        index, why = seeds.index(best), "that validation chose"
    chosen, reason = candidates[index], f"of {len(seeds)} seeds the one {why}"
    if own:
        config = replace(config, options=replace(config.options, seed=chosen.seed))
    named = replace(chosen, name=f"{study_name(sources)}, seed {chosen.seed}")
    return named, config, study.rows, reason


def evaluate_candidate(
    candidate: Candidate,
    config: EvaluateConfig,
    folder: Path,
    terminal: Terminal,
    gates: GateSet | None = None,
    *,
    seeds: tuple[ScoreRow, ...] = (),
    known_optimum: tuple[ScoreRow, ...] = (),
    windows: tuple[WindowRow, ...] = (),
    notes: tuple[str, ...] = (),
) -> Evaluation:
    """Evaluate, count the trial, write ``evaluation.json``, ``report.html`` and PNG files.

    With ``gates`` they are checked too, and noted in the manifest of a model that has one.
    ``seeds``, ``known_optimum`` and ``windows`` are shown in their sections, ``notes`` at the end.
    """
    from offline_trader.evaluation.report import write_report

    options = replace(config.options, name=config.options.name or candidate.name)
    with terminal.progress("evaluating") as advance:
        evaluation = evaluate(
            candidate.open(),
            config.env,
            options,
            ledger=TrialLedger(LEDGER_FOLDER),
            trial=candidate.trial,
        )
        evaluation = replace(
            evaluation,
            known_optimum=known_optimum,
            seeds=seeds,
            windows=windows,
            notes=(*evaluation.notes, *notes),
        )
        if gates is not None:
            evaluation = _gated(candidate, config, evaluation, gates, terminal)
        advance(1, 1)
    evaluation.save(folder / "evaluation.json")
    write_report(evaluation, folder / "report.html", png_directory=folder / "plots")
    return evaluation


def _gated(
    candidate: Candidate,
    config: EvaluateConfig,
    evaluation: Evaluation,
    gates: GateSet,
    terminal: Terminal,
) -> Evaluation:
    """The evaluation with its gates, which go into the manifest beside an ONNX file too."""
    from offline_trader.evaluation.gates import gate_rows
    from offline_trader.export import OnnxPolicy, record_gates

    subject = candidate.open()
    rows = gate_rows(subject, config.env, evaluation, gates)
    judged = replace(evaluation, gates=rows)
    model = subject.file if isinstance(subject, OnnxPolicy) else None
    if model is not None and (model.path.parent / "manifest.json").exists():
        record_gates(model.path, judged.to_dict()["gates"], sha256=model.sha256)
    elif judged.kind == "policy":
        terminal.note("note: no manifest takes the gates; that is beside an exported ONNX file")
    return judged


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
