"""``offline-trader power``: does the line, on these bars, find a signal that is there?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.feature_options import (
    Features,
    FeaturesOnly,
    TrustFeatures,
    chosen_features,
)
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
from offline_trader.codec import to_json
from offline_trader.errors import ConfigError
from offline_trader.pipeline.power_study import PowerConfig, power
from offline_trader.workers import read_workers

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader power --market sp500 --workers 2",
    "offline-trader power --market prices.csv --years 6 --coefficients 0,0.1,0.2 --seeds 20",
    "offline-trader power --market sp500 --features my_features.py:signals",
    "offline-trader power --market sp500 --set env.simulator.commission_bps=10",
)


def command(
    market: Annotated[
        str | None, typer.Option("--market", help="History: built-in market, CSV or Parquet file.")
    ] = None,
    tz: Tz = None,
    closes: Closes = False,
    coefficients: Annotated[
        str | None,
        typer.Option("--coefficients", help="Information coefficients, as 0,0.05,0.1."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Markets for each coefficient.")
    ] = None,
    years: Annotated[
        float | None, typer.Option("--years", help="Years of bars to train on.")
    ] = None,
    workers: Workers = "1",
    features: Features = None,
    features_only: FeaturesOnly = False,
    trust_features: TrustFeatures = False,
    run: RunName = Path("runs/power"),
    stages: Stages = None,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plant a signal of known strength in your bars, run the line, and count how often it is found.

    An insignificant result says little before it is known what the line would have found. The
    history's returns are drawn anew in blocks without their mean, a signal is added that is given
    to the line as a feature of its own beside the others, and policies are judged on later bars.
    --features puts your own features beside it; columns of a price file have no place on bars that
    are drawn anew.
    Finished markets are kept: the same command goes on, and more seeds add to them.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    sources = market_sources(None if market is None else [market], closes)
    observed = chosen_features(features, None, None, None, only=features_only, trust=trust_features)
    plan = resolve(
        PowerConfig,
        config,
        settings,
        None,
        env__market=listed(sources),
        env__tz=tz,
        coefficients=None if coefficients is None else to_json(_numbers(coefficients)),
        seeds=seeds,
        train_years=years,
        seed=seed,
        **observed,
        **stages_option(stages, None),
    )
    if dry_run:
        terminal.note(f"{len(plan.coefficients) * plan.seeds} markets")
        show_settings(terminal, plan)
        return
    try:
        payload = power(plan, run, terminal, workers=read_workers(workers or 1))
    except KeyboardInterrupt:
        terminal.note("finished markets are kept: the same command goes on")
        raise
    _print(terminal, payload)
    terminal.line(payload["sentence"])
    terminal.line(f"pictures: {run / 'power.png'}, {run / 'sharpe.png'}")
    terminal.result({key: payload[key] for key in ("history", "points", "sentence")})


def _numbers(text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--coefficients {text}", expected="numbers with commas between, as 0,0.05,0.1"
        ) from None


def _print(terminal: Terminal, payload: Mapping[str, Any]) -> None:
    heads = ["signal", "found", "95 % interval", "Sharpe", "worst", "rule's", "optimum's"]
    rows = [
        [
            f"{p['coefficient']:g}",
            f"{p['found']} of {p['seeds']}",
            f"{100 * p['share_low']:.0f}–{100 * p['share_high']:.0f} %",
            f"{p['sharpe']:.2f}",
            f"{p['sharpe_worst']:.2f}",
            f"{p['rule_sharpe']:.2f}",
            f"{p['optimum_sharpe']:.2f}",
            f"{p['exposure']:.0%}",
            f"{p['idle']} of {p['seeds']}",
        ]
        for p in payload["points"]
    ]
    terminal.table("", [*heads, "exposure", "stay out"], rows)
