"""``offline-trader pretrain``: clone the experts of a dataset, then learn offline from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    Workers,
    check_device,
    examples,
    resolve,
    show_settings,
)
from offline_trader.cli.validation import ValidationConfig, Validator
from offline_trader.config import from_dict
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.learning.settings import CloneConfig, DirectConfig, LearnerConfig, OfflineConfig
from offline_trader.runs import Run
from offline_trader.types import digest

if TYPE_CHECKING:
    from offline_trader.cli.phases import Phases
    from offline_trader.learning.agents import Learner

__all__ = [
    "EXAMPLES",
    "PretrainConfig",
    "check_inputs",
    "command",
    "data_hash",
    "pretrain",
    "print_training",
]

EXAMPLES = examples(
    "offline-trader pretrain --dataset sp500/experts-v0 --validate-until 2014-12-31",
    "offline-trader pretrain --dataset sp500/experts-v0 --algorithm sac --run runs/sac",
    "offline-trader pretrain --dataset sp500/experts-v0 --validate-until 2014-12-31 --seeds 5",
    "offline-trader pretrain --dataset sp500/experts-v0 --set direct.updates=400",
    "offline-trader pretrain --dataset sp500/experts-v0 --set learner.hidden=256,256 --resume",
)


@dataclass(frozen=True)
class PretrainConfig:
    """One pretraining.

    Attributes:
        dataset: id of the Minari dataset.
        learner: algorithm and networks.
        clone: behaviour cloning of the actor.
        direct: training through the portfolio's gradient on the dataset's bars, which starts from
            the clone; off unless ``direct.updates`` is set.
        offline: offline training that starts from the policy before it.
        validation: the bars by which the policy is chosen.
        threads: of torch while training. One is fastest for small networks (docs/learning.md);
            another number gives other last bits.
        seed: of networks, batches and draws.
    """

    dataset: str = "offline_trader/experts-v0"
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    clone: CloneConfig = field(default_factory=CloneConfig)
    direct: DirectConfig = field(
        default_factory=lambda: DirectConfig(updates=0, evaluate_interval=50)
    )
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"threads={self.threads}", expected="1 or more")


def command(
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Id of the dataset, as in sp500/experts-v0.")
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option("--algorithm", help="cql, sac, cal_ql, iql, awac, td3_plus_bc.")
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
    """Clone the experts of a dataset into an actor, then train actor and critics offline.

    The run directory holds settings, metrics, checkpoints and the policy (policy.d3, a d3rlpy
    model). With --validate-until the best policy on those bars is kept, otherwise the last.
    With --seeds it holds a run directory a seed, with the bytes of as many single runs, and
    seeds.json names the best by validation, which finetune, export and evaluate take.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    plan = resolve(
        PretrainConfig,
        config,
        settings,
        dataset=dataset,
        learner__algorithm=algorithm,
        learner__device=device,
        validation__end=validate_until,
        threads=threads,
        seed=seed,
    )
    if dry_run:
        check_inputs(plan, root)
        show_settings(terminal, plan)
        return
    if seeds > 1:
        from offline_trader.cli.seeds import pretrain_seeds, print_seeds

        record = pretrain_seeds(
            plan, run, seeds, terminal, root=root, resume=resume, workers=workers
        )
        print_seeds(terminal, run, record)
        terminal.result({"run": str(run), **record})
        return
    finished = pretrain(plan, run, terminal, root=root, resume=resume)
    print_training(terminal, finished)
    terminal.result({"run": str(finished.path), **finished.facts})


def pretrain(
    config: PretrainConfig,
    path: Path,
    terminal: Terminal,
    *,
    root: Path | None = None,
    resume: bool = False,
    only_clone: bool = False,
) -> Run:
    """Clone and train; the finished run, or with ``only_clone`` one to go on with by ``resume``.

    Raises:
        ConfigError, DataError: a dataset, range or run directory that cannot be used.
    """
    from offline_trader.cli.phases import torch_threads
    from offline_trader.config import to_dict
    from offline_trader.datasets import dataset_path

    own, env, validation_env = check_inputs(config, root)
    run = Run.create(
        path,
        to_dict(config),
        command="pretrain",
        seed=config.seed,
        parents=[dataset_path(config.dataset, root) / "data"],
        data_hash=data_hash(own["market_sha256"]),
        resume=resume,
    )
    with run:
        if run.status == "done":
            terminal.note(f"{path} is done already")
            return run
        with torch_threads(config.threads):
            facts = _train(config, run, terminal, own, validation_env, root, only_clone)
        if facts is None:
            return run
        run.finish(
            dataset=config.dataset,
            layout=own["layout"],
            layout_hash=own["layout_hash"],
            env=to_dict(env),
            validation_env=None if validation_env is None else to_dict(validation_env),
            experts=own["experts"],
            privileged=bool(own.get("privileged")),
            **facts,
        )
    return run


def data_hash(instruments: Mapping[str, str]) -> str:
    """SHA-256 of the bars, as ``offline-trader markets`` shows it; of several, one over theirs."""
    hashes = list(instruments.values())
    return hashes[0] if len(hashes) == 1 else digest(dict(instruments))


def check_inputs(
    config: PretrainConfig, root: Path | None
) -> tuple[Mapping[str, Any], EnvConfig, EnvConfig | None]:
    """The dataset's own metadata, its environment, and the one to validate in.

    Raises:
        ConfigError, DataError: no such dataset, device, or a range that cannot validate.
        SchemaMismatch: the dataset was made with another layout than this version makes.
    """
    check_device(config.learner.device)
    from offline_trader.datasets.catalog import own_metadata
    from offline_trader.datasets.loading import check_layout
    from offline_trader.features import observation_layout

    own = own_metadata(config.dataset, root)
    check_layout(config.dataset, observation_layout(), root)
    env = from_dict(EnvConfig, own["env_config"])
    return own, env, config.validation.env(env)


def _train(
    config: PretrainConfig,
    run: Run,
    terminal: Terminal,
    own: Mapping[str, Any],
    validation_env: EnvConfig | None,
    root: Path | None,
    only_clone: bool,
) -> dict[str, Any] | None:
    """Facts of the training; None where it stops at the clone's last checkpoint."""
    from offline_trader.cli.phases import Phases, stage_seeds
    from offline_trader.datasets import load_transitions
    from offline_trader.features import FeatureScaler
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.stages import clone, train_offline

    transitions = load_transitions(config.dataset, root)
    scaler = FeatureScaler.from_dict(own["scaler"])
    learner_seed, clone_seed, offline_seed, direct_seed = stage_seeds(config.seed, 4)
    learner = make_learner(config.learner, transitions.observation_size, scaler, learner_seed)
    if transitions.action_size != 1:
        raise ConfigError(f"{config.dataset} has {transitions.action_size} actions", expected="1")
    phases = Phases(run, ("clone", "direct", "offline"))
    if phases.finished("clone"):
        phases.skip(config.clone.updates)
    else:
        with terminal.progress("cloning", config.clone.updates) as advance:
            cloned = clone(
                learner,
                transitions,
                config.clone,
                phases.log(advance),
                seed=clone_seed,
                checkpoint=phases.checkpoint("clone"),
                resume=phases.resume("clone"),
            )
        phases.finish("clone", config.clone.updates, asdict(cloned))
    if only_clone:
        return None
    validator = None if validation_env is None else Validator(validation_env, config.validation)
    if config.direct.updates > 0 and phases.finished("direct"):
        phases.skip(config.direct.updates)
    elif config.direct.updates > 0:
        _train_directly(config, phases, learner, own, validator, direct_seed, terminal)
    total = config.offline.critic_updates + config.offline.updates
    with terminal.progress(f"offline {config.learner.algorithm}", total) as advance:
        trained = train_offline(
            learner,
            transitions,
            config.offline,
            phases.log(advance),
            validator,
            phases.checkpoint("offline"),
            seed=offline_seed,
            resume=phases.resume("offline"),
        )
    phases.finish("offline", total, asdict(trained))
    saved = phases.save_policy(learner.save)
    return {**phases.facts, **saved, "transitions": len(transitions)}


def _train_directly(
    config: PretrainConfig,
    phases: Phases,
    learner: Learner,
    own: Mapping[str, Any],
    validator: Validator | None,
    seed: int,
    terminal: Terminal,
) -> None:
    """The direct stage on the bars that the dataset was collected on, under its rules."""
    from offline_trader.envs import make_market
    from offline_trader.learning.stages.direct import BarMarket, train_direct

    env = from_dict(EnvConfig, own["env_config"])
    with terminal.progress("direct", config.direct.updates) as advance:
        trained = train_direct(
            learner,
            BarMarket(make_market(env), env.simulator),
            config.direct,
            phases.log(advance),
            validator,
            phases.checkpoint("direct"),
            seed=seed,
            resume=phases.resume("direct"),
        )
    phases.finish("direct", config.direct.updates, asdict(trained))


def print_training(terminal: Terminal, run: Run) -> None:
    """What a training run did, and where its policy is."""
    facts = run.facts
    if "clone" in facts and facts["clone"]["holdout_mse"] is not None:
        cloned = facts["clone"]
        terminal.line(
            f"clone: mean square error {cloned['holdout_mse']:.4f} on "
            f"{cloned['holdout_transitions']:,} held-out transitions "
            f"(best constant action: {cloned['holdout_mean_mse']:.4f})"
        )
    for name in ("direct", "offline", "online"):
        if name not in facts:
            continue
        stage = facts[name]
        chosen = {
            "best": f"policy of step {stage['kept_step']:,} kept, the best by validation",
            "warm_start": "no policy was better by validation than the one it began with",
            "last": "last policy kept (no validation)",
        }[stage["kept"]]
        terminal.line(f"{name}: {stage['updates']:,} updates; {chosen}")
    terminal.line(f"run: {run.path}")
