"""``offline-trader demo``: the whole line on real prices, from bars to a policy and a report."""

from __future__ import annotations

import time
from pathlib import Path

from offline_trader.cli.console import Terminal
from offline_trader.cli.evaluation_tables import print_evaluation
from offline_trader.cli.options import (
    Config,
    DryRun,
    Json,
    Quiet,
    Resume,
    RunName,
    Seed,
    Settings,
    examples,
    resolve,
    show_settings,
)
from offline_trader.config import to_dict
from offline_trader.pipeline.demo import require_active, run_demo
from offline_trader.pipeline.settings import DEMO, DemoConfig

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader demo",
    "offline-trader demo --seed 3 --run runs/demo-3",
    "offline-trader demo --set env.market=prices.csv --set env.end=2019-12-31 "
    "--set validation.end=2021-12-31",
)


def command(
    run: RunName = Path("runs/demo"),
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run collect, pretrain, finetune, export and evaluate on S&P 500 prices.

    Training ends in 2012, the policy is chosen on 2013 and 2014, and judged on what follows.
    What an earlier demo left in the folder is replaced, unless --resume is given.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    plan = resolve(DemoConfig, config, settings, to_dict(DEMO), seed=seed)
    plan.require_bars()
    if dry_run:
        show_settings(terminal, plan)
        return
    begun = time.perf_counter()
    exported, evaluation = run_demo(plan, run, terminal, resume=resume)
    report = run / "evaluation" / "report.html"
    print_evaluation(terminal, evaluation)
    terminal.line(f"model:  {exported.model}")
    terminal.line(f"report: {report}")
    terminal.line(f"time:   {(time.perf_counter() - begun) / 60:.1f} minutes")
    terminal.result(
        {
            "model": str(exported.model),
            "report": str(report),
            "sha256": exported.sha256,
            "measures": evaluation.measures,
            "intervals": evaluation.intervals,
            "collapse": evaluation.collapse,
            "verdicts": list(evaluation.verdicts),
            "comparators": {c.name: c.measures for c in evaluation.comparators},
        }
    )
    require_active(evaluation)
