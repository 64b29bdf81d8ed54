"""``offline-trader finetune``: go on learning online, in the simulator, from a pretrained run."""

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
    Threads,
    Unverified,
    Workers,
    examples,
    resolve,
    show_settings,
)
from offline_trader.cli.training_tables import print_training
from offline_trader.pipeline.finetuning import (
    check_parent,
    check_steps,
    finetune,
    parent_settings,
    steps_told,
)
from offline_trader.pipeline.seed_records import chosen_run
from offline_trader.pipeline.settings import FinetuneConfig
from offline_trader.pipeline.trained_runs import finished_run

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader finetune runs/pretrain",
    "offline-trader finetune runs/pretrain --steps 50000 --run runs/online --seed 3",
    "offline-trader finetune runs/pretrain --curriculum --adaptive",
    "offline-trader finetune runs/pretrain --agent direct --curriculum",
    "offline-trader finetune runs/pretrain --her exposure --run runs/her",
    "offline-trader finetune runs/pretrain --objectives given --run runs/objectives",
    "offline-trader finetune runs/pretrain --agent evolution --run runs/evolved",
    "offline-trader finetune runs/pretrain --agent evolution --workers 2 --run runs/evolved",
    "offline-trader finetune runs/pretrain --agent hybrid --run runs/hybrid",
    "offline-trader finetune runs/pretrain --agent options --run runs/options",
    "offline-trader finetune runs/pretrain --agent impala --workers 2 --run runs/impala",
    "offline-trader finetune runs/pretrain --features my_features.py:signals",
    "offline-trader finetune runs/pretrain --set online.offline_share=0.25 --resume",
)


def command(
    parent: Annotated[Path, typer.Argument(help="The run to start from, as runs/pretrain.")],
    steps: Annotated[
        int | None, typer.Option("--steps", min=0, help="Environment steps, over all lanes.")
    ] = None,
    lanes: Annotated[int | None, typer.Option("--lanes", help="Environments side by side.")] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            help="What learns: sac; direct, through the portfolio's gradient; evolution, without "
            "one; hybrid, sac with turns of evolution; options, a controller that chooses "
            "among stretches of behaviour; or impala, from actors that do not wait.",
        ),
    ] = None,
    curriculum: Annotated[
        bool | None,
        typer.Option(
            "--curriculum/--no-curriculum",
            help="Train on synthetic markets of five stages, each harder than the last.",
        ),
    ] = None,
    adaptive: Annotated[
        bool | None,
        typer.Option(
            "--adaptive/--no-adaptive",
            help="Let a stage's markets become harder or easier as episodes go.",
        ),
    ] = None,
    her: Annotated[
        str | None,
        typer.Option(
            "--her",
            metavar="exposure|return|drawdown",
            help="Learn to take a goal, with hindsight (HER): an exposure, or the return or the "
            "drawdown over a horizon.",
        ),
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option(
            "--goal",
            help="With --her: what the policy aims at by default; a return or drawdown is chosen "
            "by validation otherwise.",
        ),
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            "--objectives",
            metavar="fixed|given|learned",
            help="Learn for profit, risk, activity, timing, exploration and consistency, a critic "
            "head each: with the weights of the settings, with weights that the policy takes as an "
            "input, or with those that do best on the validation range.",
        ),
    ] = None,
    features: NamedFeatures = None,
    trust_features: TrustFeatures = False,
    workers: Workers = None,
    threads: Threads = None,
    device: Device = None,
    run: RunName = Path("runs/finetune"),
    root: Root = None,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    resume: Resume = False,
    unverified: Unverified = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a pretrained policy on in the simulator: with SAC, offline data in every batch.

    Market, rules, networks, dataset and validation range are the parent run's, unless set. Of
    a folder of seeds the best by validation is the parent. With --her the policy takes a goal.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    name_all(features, trust=trust_features)
    parent = chosen_run(parent, terminal)
    plan = resolve(
        FinetuneConfig,
        config,
        settings,
        parent_settings(parent),
        **steps_told(steps),
        lanes=lanes,
        agent=agent,
        online__curriculum__enabled=curriculum,
        online__difficulty__enabled=adaptive,
        goal__kind=her,
        goal__goal=goal,
        online__objectives__preference=objectives,
        learner__device=device,
        threads=threads,
        seed=seed,
    )
    check_steps(plan, steps)
    if dry_run:
        check_parent(plan, parent, unverified=unverified)
        show_settings(terminal, plan)
        return
    finished = finetune(
        plan,
        parent,
        run,
        terminal,
        root=root,
        resume=resume,
        unverified=unverified,
        workers=1 if workers is None else workers,
    )
    print_training(terminal, finished_run(finished.path))
    terminal.next_step("export", finished.path, *naming(features, trust=trust_features))
    terminal.result({"run": str(finished.path), **finished.facts})
