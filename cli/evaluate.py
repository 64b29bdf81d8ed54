"""``offline-trader evaluate``: a policy or an expert over a market range, with a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.evaluation_tables import print_evaluation
from offline_trader.cli.feature_options import (
    BarEnd,
    Features,
    FeaturesOnly,
    SignalFiles,
    Signals,
    TrustFeatures,
    chosen_features,
    tell_features,
)
from offline_trader.cli.gate_options import Gates, Stage, read_limits
from offline_trader.cli.options import (
    Closes,
    Config,
    DryRun,
    Json,
    Overwrite,
    Quiet,
    Seed,
    Settings,
    Tz,
    Unverified,
    as_numbers,
    examples,
    listed,
    market_sources,
    resolve,
    show_settings,
)
from offline_trader.pipeline.evaluating import (
    EvaluateConfig,
    evaluate_seeds,
    evaluate_strategy,
    known_results,
    note_market,
    note_seen_bars,
    own_settings,
    windows_of,
)
from offline_trader.pipeline.report_folder import claimed_folder, evaluation_folder
from offline_trader.pipeline.seed_strategies import find_strategies, study_name
from offline_trader.pipeline.strategies import FoundStrategy, require_bars

if TYPE_CHECKING:
    from offline_trader.evaluation.judging import Evaluation

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader evaluate runs/finetune/export/policy.onnx --start 2015-01-01",
    "offline-trader evaluate runs/finetune --market nasdaq --json",
    "offline-trader evaluate expert:technical --market sp500 --start 2015-01-01",
    "offline-trader evaluate policy.onnx --gates default --walk-forward runs/walk-forward",
    "offline-trader evaluate my_policies.py:act --market prices.csv",
    "offline-trader evaluate policy.onnx --features my_features.py:signals",
    "offline-trader evaluate runs/her --goal 0.8",
    "offline-trader evaluate runs/objectives --preference 0.2,0.6,0.05,0.05,0.05,0.05",
    "offline-trader evaluate runs/a runs/b runs/c --as-seeds",
    "offline-trader evaluate runs/finetune --known-optimum runs/pretrain",
)


def command(
    policy: Annotated[
        list[str],
        typer.Argument(
            help="An ONNX file, a run directory, expert:NAME, or file.py:function (a policy, or "
            "what returns a model); a folder of seed-0, seed-1, … or several with --as-seeds for "
            "the seeds of one configuration."
        ),
    ],
    market: Annotated[
        list[str] | None,
        typer.Option("--market", help="Built-in market, CSV or Parquet file; repeatable."),
    ] = None,
    tz: Tz = None,
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
    goal: Annotated[
        float | None,
        typer.Option(
            "--goal",
            help="Of a policy that takes a goal: judge it with this one instead of its default. "
            "The report shows all goals anyway.",
        ),
    ] = None,
    preference: Annotated[
        str | None,
        typer.Option(
            "--preference",
            metavar="W,W,…",
            help="Of a policy that takes weights of its objectives: judge it with these instead of "
            "its default. The report shows growth against drawdown of others anyway.",
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
    features: Features = None,
    signal: Signals = None,
    signal_file: SignalFiles = None,
    bar_end: BarEnd = None,
    features_only: FeaturesOnly = False,
    trust_features: TrustFeatures = False,
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
    """Judge a policy or an expert: measures with intervals, collapse verdict, comparators, report.

    The policy runs deterministically with the trading rules of its training. The report is one
    HTML page (report.html); its figures lie beside it as PNG, the numbers in evaluation.json. A
    report that is in the folder is replaced with --overwrite only.
    Every evaluated configuration is counted in runs/trials.jsonl. With --gates the exit code is 4
    if a gate failed, and the result goes into the model's manifest. Of several seeds the one that
    validation chose, or else the one with the median Sharpe ratio, is judged closely, beside a
    table of all of them.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    chosen = chosen_features(
        features, signal, signal_file, bar_end, only=features_only, trust=trust_features
    )
    found = find_strategies(policy, as_seeds=as_seeds, unverified=unverified)
    weights = None if preference is None else as_numbers("--preference", preference)
    strategies = [each.asked_for(goal).preferring(weights) for each in found]
    known = known_results(policy, known_optimum or [])
    strategy = strategies[0]
    base, seen_until = own_settings(strategies)
    plan = resolve(
        EvaluateConfig,
        config,
        settings,
        base,
        env__market=listed(market_sources(market, closes)),
        env__tz=tz,
        env__start=start,
        env__end=end,
        options__experts=listed(expert),
        options__seed=seed,
        **_over(base, chosen),
    )
    named = (settings or []) if config is None else ["env.market"]
    given = market is not None or any("env.market" in text for text in named)
    note_market(terminal, strategy, plan.env, named=given)
    note_seen_bars(terminal, plan.env, seen_until)
    require_bars(plan.env, seen_until)
    limits = read_limits(gates, stage)
    windows = () if walk is None else windows_of(walk, plan.env)
    if dry_run:
        show_settings(terminal, plan)
        return
    for each in strategies:
        each.open()
    _note_unasked(terminal, strategy, plan)
    name = strategy.name if len(strategies) == 1 else study_name(policy)
    folder = output or evaluation_folder(name, plan.env)
    with claimed_folder(folder, overwrite=overwrite):
        if len(strategies) > 1:
            evaluation = evaluate_seeds(
                policy,
                strategies,
                plan,
                folder,
                terminal,
                limits,
                known_optimum=known,
                windows=windows,
            )
        else:
            evaluation = evaluate_strategy(
                strategy, plan, folder, terminal, limits, known_optimum=known, windows=windows
            )
    tell_features(terminal, plan.env.features)
    print_evaluation(terminal, evaluation)
    terminal.line(f"report: {folder / 'report.html'}")
    terminal.result({"report": str(folder / "report.html"), **_without_curves(evaluation)})
    if limits is not None:
        from offline_trader.evaluation.gates import require_gates

        require_gates(evaluation.gates)


def _over(base: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The options of features; which ones a policy reads is its training's to say."""
    if "features" not in base["env"]:
        return dict(chosen)
    return {key: value for key, value in chosen.items() if key != "env__features"}


def _note_unasked(terminal: Terminal, strategy: FoundStrategy, plan: EvaluateConfig) -> None:
    """Names the source experts that are not compared with, because they lie in files."""
    missing = [each for each in strategy.unasked if each not in plan.options.experts]
    if missing:
        terminal.note(
            f"note: not compared with {', '.join(missing)}, which the model names: its code is "
            "imported only if you name it with --expert"
        )


def _without_curves(evaluation: Evaluation) -> dict[str, Any]:
    """The JSON form without the series, which are in evaluation.json."""
    payload = evaluation.to_dict()
    for key in ("curve", "trades", "action_map"):
        payload.pop(key)
    for comparator in payload["comparators"]:
        comparator.pop("equity")
    return payload
