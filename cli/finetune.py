"""``offline-trader finetune``: go on learning online, in the simulator, from a pretrained run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from offline_trader.cli.console import Terminal
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
    check_device,
    examples,
    resolve,
    show_settings,
)
from offline_trader.cli.pretrain import data_hash, print_training
from offline_trader.cli.seeds import chosen_run
from offline_trader.cli.trained_runs import finished_run, passed_on, policy_hash, trained_policy
from offline_trader.cli.validation import ValidationConfig, Validator
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.learning.settings import LearnerConfig, OnlineConfig
from offline_trader.markets import load_markets
from offline_trader.runs import Run

__all__ = ["EXAMPLES", "FinetuneConfig", "command", "finetune_run", "parent_settings"]

EXAMPLES = examples(
    "offline-trader finetune runs/pretrain",
    "offline-trader finetune runs/pretrain --steps 50000 --run runs/online --seed 3",
    "offline-trader finetune runs/pretrain --set online.offline_share=0.25 --resume",
)


@dataclass(frozen=True)
class FinetuneConfig:
    """One online training; what is not set comes from the parent run.

    Attributes:
        dataset: offline transitions in every batch; empty: none.
        env: the training environment.
        learner: SAC and its networks; the network shapes must be the parent's.
        online: length, update ratio, share of offline data.
        lanes: environments side by side.
        validation: the bars by which the policy is chosen.
        threads: of torch while training; see ``PretrainConfig``.
        seed: of exploration, starts and batches.
    """

    dataset: str = ""
    env: EnvConfig = field(default_factory=EnvConfig)
    learner: LearnerConfig = field(default_factory=lambda: LearnerConfig(algorithm="sac"))
    online: OnlineConfig = field(default_factory=OnlineConfig)
    lanes: int = 16
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("lanes", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}", expected="1 or more")


def command(
    parent: Annotated[Path, typer.Argument(help="The run to start from, as runs/pretrain.")],
    steps: Annotated[
        int | None, typer.Option("--steps", help="Environment steps, over all lanes.")
    ] = None,
    lanes: Annotated[int | None, typer.Option("--lanes", help="Environments side by side.")] = None,
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
    """Train a pretrained policy on with SAC in the simulator, offline data in every batch.

    Market, rules, networks, dataset and validation range are the parent run's, unless set. Of
    a folder of seeds the best by validation is the parent.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    parent = chosen_run(parent, terminal)
    plan = resolve(
        FinetuneConfig,
        config,
        settings,
        parent_settings(parent),
        online__steps=steps,
        lanes=lanes,
        learner__device=device,
        threads=threads,
        seed=seed,
    )
    check_device(plan.learner.device)
    if dry_run:
        policy_hash(finished_run(parent), unverified=unverified)
        plan.validation.env(plan.env)
        show_settings(terminal, plan)
        return
    finished = finetune_run(
        plan, parent, run, terminal, root=root, resume=resume, unverified=unverified
    )
    print_training(terminal, finished)
    terminal.result({"run": str(finished.path), **finished.facts})


def parent_settings(parent: Path) -> dict[str, Any]:
    """The settings that a parent run passes on.

    Raises:
        DataError: no run there, one that is not done, or that states what it cannot.
        SchemaMismatch: a run of another observation layout.
    """
    run = finished_run(parent)
    given = passed_on(run)
    learner = LearnerConfig.used({**given["learner"], "algorithm": "sac"})
    return {**given, "env": run.facts["env"], "learner": learner}


def finetune_run(
    config: FinetuneConfig,
    parent: Path,
    path: Path,
    terminal: Terminal,
    *,
    root: Path | None = None,
    resume: bool = False,
    unverified: bool = False,
) -> Run:
    """Train online from ``parent``'s policy; the finished run.

    With ``unverified`` the parent's manifest may lack its policy's hash.

    Raises:
        ConfigError, DataError: a parent, range, dataset or run directory that cannot be used.
    """
    from offline_trader.cli.phases import torch_threads
    from offline_trader.config import to_dict
    from offline_trader.datasets import dataset_path

    source = finished_run(parent)
    facts = source.facts
    policy_hash(source, unverified=unverified)  # refused before anything is written
    if config.dataset:
        dataset_path(config.dataset, root)  # refused before anything is written
    validation_env = config.validation.env(config.env)
    run = Run.create(
        path,
        to_dict(config),
        command="finetune",
        seed=config.seed,
        parents=[parent],
        data_hash=data_hash(
            {bars.symbol: bars.sha256 for bars in load_markets(config.env.market, tz=config.env.tz)}
        ),
        resume=resume,
    )
    with run:
        if run.status == "done":
            terminal.note(f"{path} is done already")
            return run
        with torch_threads(config.threads):
            trained = _train(
                config, run, parent, terminal, validation_env, root, unverified=unverified
            )
        kept = ("layout", "layout_hash", "experts", "privileged", "dataset")
        run.finish(
            env=to_dict(config.env),
            validation_env=None if validation_env is None else to_dict(validation_env),
            **{key: facts[key] for key in kept},
            **trained,
        )
    return run


def _train(
    config: FinetuneConfig,
    run: Run,
    parent: Path,
    terminal: Terminal,
    validation_env: EnvConfig | None,
    root: Path | None,
    *,
    unverified: bool,
) -> Mapping[str, Any]:
    from offline_trader.cli.phases import Phases, stage_seeds
    from offline_trader.datasets import load_transitions
    from offline_trader.envs import make_simulator
    from offline_trader.learning.agents import online_learner
    from offline_trader.learning.stages import finetune

    source = trained_policy(Run.open(parent), unverified=unverified)
    if source.config.hidden != config.learner.hidden:
        raise ConfigError(
            f"learner.hidden is {list(config.learner.hidden)}",
            expected=f"the parent's, {list(source.config.hidden)}",
        )
    learner_seed, lane_seed, train_seed = stage_seeds(config.seed, 3)
    learner = online_learner(source, config.learner, learner_seed)
    offline = load_transitions(config.dataset, root) if config.dataset else None
    validator = None if validation_env is None else Validator(validation_env, config.validation)
    phases = Phases(run, ("online",))
    with terminal.progress("online sac", config.online.steps) as advance:
        trained = finetune(
            learner,
            make_simulator(config.env, config.lanes, lane_seed),
            offline,
            config.online,
            phases.log(advance),
            validator,
            phases.checkpoint("online"),
            seed=train_seed,
            resume=phases.resume("online"),
        )
    phases.finish("online", config.online.steps, asdict(trained))
    saved = phases.save_policy(learner.save)
    return {**phases.facts, **saved}
