"""``offline-trader walk-forward``: train on each past, judge on each future, window by window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from offline_trader.cli.console import Percent, Terminal, number
from offline_trader.cli.evaluation_tables import print_gates
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
    Quiet,
    RunName,
    Seed,
    Settings,
    Stages,
    Tz,
    Workers,
    examples,
    listed,
    market_sources,
    resolve,
    show_settings,
    stages_option,
)
from offline_trader.config import to_dict
from offline_trader.pipeline.settings import WALK_FORWARD, WalkForwardConfig
from offline_trader.pipeline.walking import walk_market, walk_plan
from offline_trader.workers import read_workers

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader walk-forward --market sp500",
    "offline-trader walk-forward --market prices.csv --set windows.test_bars=126 --workers 2",
    "offline-trader walk-forward --market sp500 --gates default",
    "offline-trader walk-forward --market prices.csv --features my_features.py:signals",
    "offline-trader walk-forward --market nasdaq --set windows.anchored=true "
    "--set windows.retrain_every=2",
    "offline-trader walk-forward --market prices.csv --train my_policies.py:train --workers 2",
)
SHARES = ("return", "max_drawdown")


def command(
    market: Annotated[
        str | None, typer.Option("--market", help="Built-in market, CSV or Parquet file.")
    ] = None,
    tz: Tz = None,
    closes: Closes = False,
    features: Features = None,
    signal: Signals = None,
    signal_file: SignalFiles = None,
    bar_end: BarEnd = None,
    features_only: FeaturesOnly = False,
    trust_features: TrustFeatures = False,
    workers: Workers = "1",
    train: Annotated[
        str | None,
        typer.Option(
            "--train",
            help="Train by file.py:function instead of the line: a window (env, validation, seed, "
            "folder) in, a policy or model out.",
        ),
    ] = None,
    gates: Gates = None,
    stage: Stage = None,
    run: RunName = Path("runs/walk-forward"),
    stages: Stages = None,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the whole line on windows that move through time, and judge each on its own future.

    Finished windows with the same settings are kept, so an interrupted walk goes on by the same
    command. The result does not depend on the number of workers. With --gates the joined test
    ranges are held against the gates, and the exit code is 4 if one failed.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    sources = market_sources(None if market is None else [market], closes)
    plan = resolve(
        WalkForwardConfig,
        config,
        settings,
        to_dict(WALK_FORWARD),
        env__market=listed(sources),
        env__tz=tz,
        seed=seed,
        **stages_option(stages, None),
        **chosen_features(
            features, signal, signal_file, bar_end, only=features_only, trust=trust_features
        ),
    )
    at_once = read_workers(workers or 1)
    limits = read_limits(gates, stage)
    bars, folds = walk_plan(plan)
    for note in bars.notes:
        terminal.note(f"{bars.name}: {note}")
    tell_features(terminal, plan.env.features)
    if dry_run:
        terminal.note(f"{len(folds)} windows on {len(bars):,} bars of {plan.env.market[0]}")
        show_settings(terminal, plan)
        return
    try:
        payload, evaluation = walk_market(
            plan, run, terminal, workers=at_once, gates=limits, factory=train
        )
    except KeyboardInterrupt:
        terminal.note("finished windows are kept: the same command goes on")
        raise
    _print(terminal, payload)
    print_gates(terminal, evaluation.gates)
    terminal.line(f"report: {run / 'report.html'}")
    terminal.result(payload)
    if limits is not None:
        from offline_trader.evaluation.gates import require_gates

        require_gates(evaluation.gates)


def _print(terminal: Terminal, payload: Mapping[str, Any]) -> None:
    columns = ("window", "start", "end", "return", "sharpe", "max_drawdown", "trades", "kept")
    named = ("Window", "From", "To", "Return", "Sharpe", "Drawdown", "Orders", "Kept")
    terminal.table(
        "",
        [*named, "Buy-and-hold", "Its Sharpe", "Collapse verdict"],
        [
            [
                *(Percent(row[name]) if name in SHARES else row[name] for name in columns),
                Percent(row["hold_return"]),
                row["hold_sharpe"],
                ", ".join(row["verdicts"]) or "none",
            ]
            for row in payload["table"]
        ],
    )
    total = payload["summary"]
    terminal.line(
        f"{total['windows']} windows: Sharpe ratio above 0 in "
        f"{_with_interval(total, 'share_positive_sharpe')}, ahead of buy-and-hold in "
        f"{_with_interval(total, 'share_beating_hold')}"
    )
    terminal.line(
        f"between windows: Sharpe ratio from {number(total['sharpe_lowest'])} to "
        f"{number(total['sharpe_highest'])}, median {number(total['sharpe_median'])}, standard "
        f"deviation {number(total['sharpe_std_between_windows'])}"
    )
    for label, prefix in (("joined", ""), ("buy-and-hold", "hold_")):
        terminal.line(
            f"{label}: return {number(Percent(total[prefix + 'return']))}, Sharpe ratio "
            f"{_with_interval(total, prefix + 'sharpe')}, drawdown "
            f"{number(Percent(total[prefix + 'max_drawdown']))}"
        )
    terminal.line(f"difference of the Sharpe ratios {_with_interval(total, 'sharpe_difference')}")


def _with_interval(total: Mapping[str, Any], name: str) -> str:
    """``0.42 (95 % interval 0.11 to 0.73)``; shares in per cent."""

    def shown(value: float | None) -> str:
        return number(Percent(value) if name.startswith("share_") else value)

    ends = total[f"{name}_interval"]
    if ends is None:
        reason = total.get("no_interval", {}).get(name)
        return shown(total[name]) + (f" (no interval: {reason})" if reason else "")
    return f"{shown(total[name])} (95 % interval {shown(ends[0])} to {shown(ends[1])})"
