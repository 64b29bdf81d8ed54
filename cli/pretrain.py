"""``offline-trader pretrain``: stages that learn from a dataset, one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.feature_options import NamedFeatures, TrustFeatures, name_all, naming
from offline_trader.cli.options import (
    Config,
    Device,
    DryRun,
    Json,
    Quiet,
    Resume,
    Root,
    RunName,
    Seed,
    Settings,
    Stages,
    Threads,
    Workers,
    examples,
    resolve,
    rooted,
    show_settings,
    stages_option,
)
from offline_trader.cli.training_tables import print_seeds, print_training
from offline_trader.config import to_dict
from offline_trader.pipeline.dataset_rules import PretrainRequest, collected_settings
from offline_trader.pipeline.pretraining import check_inputs, pretrain
from offline_trader.pipeline.seeds import pretrain_seeds
from offline_trader.pipeline.trained_runs import finished_run

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader pretrain --dataset sp500/experts-v0 --validate-until 2014-12-31",
    "offline-trader pretrain --dataset sp500/experts-v0 --algorithm sac --run runs/sac",
    "offline-trader pretrain --dataset sp500/experts-v0 --validate-until 2014-12-31 --seeds 5",
    "offline-trader pretrain --dataset sp500/experts-v0 --stages bc,direct,iql",
    "offline-trader pretrain --dataset sp500/experts-v0 --stages bc,offline --no-replay",
    "offline-trader pretrain --dataset own/signals-v0 --features my_features.py:signals",
    "offline-trader pretrain --dataset sp500/experts-v0 --set learner.hidden=256,256 --resume",
)


def command(
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Id of the dataset, as in sp500/experts-v0.")
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option("--algorithm", help="cql, sac, cal_ql, iql, awac, td3_plus_bc.")
    ] = None,
    stages: Stages = None,
    replay: Annotated[
        bool | None,
        typer.Option(
            "--replay/--no-replay",
            help="Whether offline training sees logged bars with other positions and actions, too; "
            "by default where orders do not move the price.",
        ),
    ] = None,
    validate_until: Annotated[
        str | None,
        typer.Option(
            "--validate-until",
            help="Choose the policy on the bars from the end of the training range to this date.",
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option("--seeds", min=1, help="Train so many seeds, from --seed on, side by side."),
    ] = 1,
    features: NamedFeatures = None,
    trust_features: TrustFeatures = False,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
    run: RunName = Path("runs/pretrain"),
    root: Root = None,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Clone the experts of a dataset, train through the portfolio's gradient, then offline.

    The run directory holds settings, metrics, checkpoints and the policy (policy.d3, a d3rlpy
    model). With --validate-until every stage's policy is held against the one that it began with
    on those bars, otherwise on the bars of the training.
    With --seeds it holds a run directory a seed, with the bytes of as many single runs, and
    seeds.json names the best by validation, which finetune, export and evaluate take; --workers
    are seeds at once. Without, they try the policies of an evolution stage.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    name_all(features, trust=trust_features)
    again = naming(features, trust=trust_features)
    options = {
        "dataset": dataset,
        **stages_option(stages, algorithm),
        "offline__replay__mode": None if replay is None else "always" if replay else "never",
        "learner__device": device,
        "validation__end": validate_until,
        "threads": threads,
        "seed": seed,
    }
    named = resolve(PretrainRequest, config, settings, None, **options).dataset
    collected = collected_settings(named, root)
    request = resolve(PretrainRequest, config, settings, {"env": collected}, **options)
    plan = request.plan(collected)
    if dry_run:
        check_inputs(plan, root)
        show_settings(terminal, plan)
        return
    if seeds > 1:
        record = pretrain_seeds(
            plan, run, seeds, terminal, root=root, resume=resume, workers=workers
        )
        print_seeds(terminal, run, record)
        if record.best is not None:
            terminal.next_step("finetune", run, *rooted(root), *again)
        terminal.result({"run": str(run), **to_dict(record)})
        return
    finished = pretrain(
        plan, run, terminal, root=root, resume=resume, workers=1 if workers is None else workers
    )
    print_training(terminal, finished_run(finished.path))
    terminal.next_step("finetune", finished.path, *rooted(root), *again)
    terminal.result({"run": str(finished.path), **finished.facts})
