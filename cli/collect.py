"""``offline-trader collect``: experts in the simulator to a Minari dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.feature_options import (
    BarEnd,
    Features,
    FeaturesOnly,
    SignalFiles,
    Signals,
    TrustFeatures,
    chosen_features,
    naming,
    tell_features,
)
from offline_trader.cli.options import (
    Closes,
    Config,
    DryRun,
    Json,
    Quiet,
    Resume,
    Root,
    Seed,
    Settings,
    Tz,
    Workers,
    examples,
    listed,
    market_sources,
    resolve,
    rooted,
    show_settings,
)
from offline_trader.workers import read_workers

if TYPE_CHECKING:
    from offline_trader.datasets import CollectSummary

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader collect --market sp500 --end 2012-12-31 --id sp500/experts-v0",
    "offline-trader collect --market prices.csv --expert technical?epsilon=0.1 --expert random",
    "offline-trader collect --market prices.csv --expert my_rules.py:dips?epsilon=0.1",
    "offline-trader collect --market prices.csv --log trades.csv --id own/log-v0",
    "offline-trader collect --market prices.csv --features my_features.py:signals",
    "offline-trader collect --market prices.csv --signal sentiment --signal-file sentiment.csv",
    "offline-trader collect --config collect.yaml --set env.simulator.commission_bps=2 --resume",
)


def command(
    dataset_id: Annotated[
        str | None, typer.Option("--id", help="Id of the dataset, as in sp500/experts-v0.")
    ] = None,
    market: Annotated[
        list[str] | None,
        typer.Option("--market", help="Built-in market, CSV or Parquet file; repeatable."),
    ] = None,
    tz: Tz = None,
    start: Annotated[str | None, typer.Option("--start", help="First date.")] = None,
    end: Annotated[
        str | None, typer.Option("--end", help="Last date, included; later bars stay unseen.")
    ] = None,
    expert: Annotated[
        list[str] | None,
        typer.Option(
            "--expert",
            help="An expert with weight, noise and parameters, as in "
            "technical?weight=2&epsilon=0.1, or a rule of your own, file.py:function; repeatable.",
        ),
    ] = None,
    closes: Closes = False,
    features: Features = None,
    signal: Signals = None,
    signal_file: SignalFiles = None,
    bar_end: BarEnd = None,
    features_only: FeaturesOnly = False,
    trust_features: TrustFeatures = False,
    log: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            help="Replay a CSV or Parquet log of actions, weights, fills or legacy actions; alone "
            "once from its start, with --expert as one of the mixture; repeatable.",
        ),
    ] = None,
    transitions: Annotated[
        int | None, typer.Option("--transitions", help="At least so many steps.")
    ] = None,
    workers: Workers = "1",
    root: Root = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a dataset of the same id.")
    ] = False,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let experts trade in the simulator and store what happened as a Minari dataset.

    The dataset appears whole or not at all; an interrupted collection goes on with --resume.
    """
    from offline_trader.config import to_dict
    from offline_trader.datasets import CollectConfig, collect
    from offline_trader.pipeline.collecting import collection_notes, replayed_once

    terminal = Terminal(as_json=as_json, quiet=quiet)
    at_once = read_workers(workers or 1)
    plan = resolve(
        CollectConfig,
        config,
        settings,
        dataset_id=dataset_id,
        env__market=listed(market_sources(market, closes)),
        env__tz=tz,
        env__start=start,
        env__end=end,
        experts=listed([*(expert or []), *(f"log:{name}" for name in log or [])]),
        transitions=transitions,
        seed=seed,
        **chosen_features(
            features, signal, signal_file, bar_end, only=features_only, trust=trust_features
        ),
    )
    if log and not expert:
        plan = replayed_once(plan)
    for note in collection_notes(plan):
        terminal.note(note)
    tell_features(terminal, plan.env.features)
    if dry_run:
        show_settings(terminal, plan)
        return
    with terminal.task("collecting", plan.transitions) as advance:
        summary = collect(
            plan, advance, root=root, resume=resume, overwrite=overwrite, workers=at_once
        )
    print_summary(terminal, summary)
    named = naming(features, trust=trust_features)
    terminal.next_step("pretrain", "--dataset", summary.dataset_id, *rooted(root), *named)
    terminal.result(to_dict(summary))


def print_summary(terminal: Terminal, summary: CollectSummary) -> None:
    """What was collected: totals, by expert, and the histogram of actions."""
    terminal.line(
        f"{summary.dataset_id}: {summary.steps:,} steps in {summary.episodes:,} episodes "
        f"({summary.terminations} ruined), {summary.trades:,} trades, {summary.size_mb:.1f} MB, "
        f"{summary.seconds:.1f} s"
    )
    terminal.line(
        f"log return of an episode: mean {summary.mean_return:.3f}, "
        f"sd {summary.std_return:.3f}, {summary.min_return:.3f} to {summary.max_return:.3f}"
    )
    terminal.table(
        "",
        ["expert", "episodes", "steps", "mean log return", "trades per 1,000 steps"],
        [
            [b.label, b.episodes, b.steps, b.mean_return, b.trades_per_1000_steps]
            for b in summary.behaviours
        ],
    )
    bins, most = summary.action_histogram, max(summary.action_histogram)
    bars = " ▁▂▃▄▅▆▇█"
    drawn = "".join(bars[-(-count * 8 // most)] for count in bins)
    terminal.line(f"actions −1 ┤{drawn}├ 1")
    terminal.line(f"data: {summary.path}")
    terminal.line(f"plot: {summary.plot}")
