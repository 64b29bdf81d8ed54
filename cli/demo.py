"""``offline-trader demo``: the whole line on real prices, from bars to a policy and a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

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
from offline_trader.cli.options import (
    Closes,
    Config,
    DryRun,
    Json,
    Quiet,
    Resume,
    RunName,
    Seed,
    Settings,
    Stages,
    Tz,
    examples,
    listed,
    market_sources,
    resolve,
    show_settings,
    stages_option,
)
from offline_trader.config import to_dict
from offline_trader.pipeline.demo import (
    UNDATED,
    dated,
    on_builtin,
    require_active,
    run_demo,
    shortened,
    too_long_for,
)
from offline_trader.pipeline.settings import DEMO, DemoConfig

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader demo",
    "offline-trader demo --stages bc,direct",
    "offline-trader demo --seed 3 --run runs/demo-3",
    "offline-trader demo --market prices.csv --tz America/New_York",
    "offline-trader demo --set env.simulator.commission_bps=5 "
    "--set env.simulator.action_mode=target_long",
    "offline-trader demo --features my_features.py:signals",
)


def command(
    market: Annotated[
        list[str] | None,
        typer.Option(
            "--market",
            help="CSV or Parquet file, or built-in market, instead of sp500; repeatable.",
        ),
    ] = None,
    closes: Closes = False,
    tz: Tz = None,
    end: Annotated[
        str | None,
        typer.Option("--end", help="Last date of the training; of a file after 70 % of its bars."),
    ] = None,
    validate_until: Annotated[
        str | None,
        typer.Option(
            "--validate-until",
            help="Last date of the bars that choose the policy; of a file after 80 % of its bars.",
        ),
    ] = None,
    run: RunName = Path("runs/demo"),
    stages: Stages = None,
    features: Features = None,
    signal: Signals = None,
    signal_file: SignalFiles = None,
    bar_end: BarEnd = None,
    features_only: FeaturesOnly = False,
    trust_features: TrustFeatures = False,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run collect, pretrain, finetune, export and evaluate on S&P 500 prices, or on your own.

    Training ends in 2012, the policy is chosen on 2013 and 2014, and judged on what follows; of
    other prices 70, 10 and 20 % of the bars. Costs and mode are settings as in every command.
    What an earlier demo left in the folder is replaced, unless --resume is given.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    options = {
        "env__market": listed(market_sources(market, closes)),
        "env__tz": tz,
        "env__end": end,
        "validation__end": validate_until,
        "seed": seed,
        **stages_option(stages, None),
        **chosen_features(
            features, signal, signal_file, bar_end, only=features_only, trust=trust_features
        ),
    }

    def planned(base: DemoConfig) -> DemoConfig:
        return resolve(DemoConfig, config, settings, to_dict(base), **options)

    plan = planned(shortened(DEMO))
    base = DEMO if on_builtin(plan.env.market) else UNDATED
    without = too_long_for(plan)
    if without:
        terminal.note(f"{without}: fine-tuning is without curiosity and curriculum by default")
    plan = planned(shortened(base) if without else base)
    if not on_builtin(plan.env.market):
        plan = dated(plan)
        terminal.note(
            f"{', '.join(plan.env.market)}: training ends on {plan.env.end}, the policy is chosen "
            f"on the bars until {plan.validation.end}, and judged on what follows"
        )
    plan.require_bars()
    tell_features(terminal, plan.env.features)
    if dry_run:
        show_settings(terminal, plan)
        return
    begun = time.perf_counter()
    exported, evaluation = run_demo(plan, run, terminal, resume=resume)
    report = run / "evaluation" / "report.html"
    print_evaluation(terminal, evaluation)
    if exported is not None:
        terminal.line(f"model:  {exported.model}")
    terminal.line(f"report: {report}")
    terminal.line(f"time:   {(time.perf_counter() - begun) / 60:.1f} minutes")
    terminal.result(
        {
            "model": None if exported is None else str(exported.model),
            "report": str(report),
            "sha256": None if exported is None else exported.sha256,
            "measures": evaluation.measures,
            "intervals": evaluation.intervals,
            "collapse": evaluation.collapse,
            "verdicts": list(evaluation.verdicts),
            "comparators": {c.name: c.measures for c in evaluation.comparators},
        }
    )
    require_active(evaluation, exported)
