"""Pretraining: cloning of a dataset's experts, the direct stage, offline training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.codec import plain
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError
from offline_trader.pipeline.derived_seeds import stage_seeds
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.run_facts import TrainingFacts
from offline_trader.pipeline.settings import PretrainConfig
from offline_trader.pipeline.validation import Validator
from offline_trader.runs import Run
from offline_trader.types import digest

if TYPE_CHECKING:
    from offline_trader.datasets.facts import DatasetFacts
    from offline_trader.learning.stages.direct import BarMarket

__all__ = ["check_device", "check_inputs", "data_hash", "pretrain"]


def pretrain(
    config: PretrainConfig,
    path: Path,
    progress: Progress = Silent(),
    *,
    root: Path | None = None,
    resume: bool = False,
    only_clone: bool = False,
) -> Run:
    """Clone and train; the finished run, or with ``only_clone`` one to go on with by ``resume``.

    Raises:
        ConfigError, DataError: a dataset, range or run directory that cannot be used.
    """
    from offline_trader.config import to_dict
    from offline_trader.datasets import dataset_path
    from offline_trader.pipeline.phases import torch_threads

    own, validation_env = check_inputs(config, root)
    run = Run.create(
        path,
        to_dict(config),
        command="pretrain",
        seed=config.seed,
        parents=[dataset_path(config.dataset, root) / "data"],
        data_hash=data_hash(own.market_sha256),
        resume=resume,
    )
    with run:
        if run.status == "done":
            progress.note(f"{path} is done already")
            return run
        with torch_threads(config.threads):
            facts = _train(config, run, progress, own, validation_env, root, only_clone)
        if facts is None:
            return run
        stated = TrainingFacts(
            dataset=config.dataset,
            layout=own.layout,
            layout_hash=own.layout_hash,
            env=own.env_config,
            validation_env=validation_env,
            experts=own.experts,
            privileged=own.privileged,
            **facts,
        )
        run.finish(**stated.to_dict())
    return run


def data_hash(instruments: Mapping[str, str]) -> str:
    """SHA-256 of the bars, as ``offline-trader markets`` shows it; of several, one over theirs."""
    hashes = list(instruments.values())
    return hashes[0] if len(hashes) == 1 else digest(dict(instruments))


def check_inputs(
    config: PretrainConfig, root: Path | None
) -> tuple[DatasetFacts, EnvConfig | None]:
    """The dataset's facts, and the environment to validate in.

    Raises:
        ConfigError, DataError: no such dataset, device, or a range that cannot validate.
        SchemaMismatch: the dataset was made with another layout than this version makes.
    """
    check_device(config.learner.device)
    from offline_trader.datasets.catalog import dataset_facts
    from offline_trader.datasets.loading import check_layout

    own = dataset_facts(config.dataset, root)
    check_layout(config.dataset, own.env_config.layout, root)
    return own, config.validation.env(own.env_config)


def _require_unchanged(dataset: str, own: DatasetFacts, root: Path | None) -> None:
    """Nothing if the dataset, whose transitions were read by now, still has the facts ``own``.

    Layout, scaler and seeds are among them: transitions of another dataset under the same id would
    be scaled by numbers that are not theirs.

    Raises:
        DataError: it was replaced in between.
    """
    from offline_trader.datasets.catalog import dataset_facts

    if plain(dataset_facts(dataset, root)) != plain(own):
        raise DataError(
            f"dataset {dataset!r} was replaced while the training began",
            expected="one dataset from the first to the last that is read of it",
            hint="start again, with a run directory of its own (--run)",
        )


def _train(
    config: PretrainConfig,
    run: Run,
    progress: Progress,
    own: DatasetFacts,
    validation_env: EnvConfig | None,
    root: Path | None,
    only_clone: bool,
) -> dict[str, Any] | None:
    """Facts of the training; None where it stops at the clone's last checkpoint."""
    from offline_trader.datasets import load_transitions
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.engines import EngineFacts
    from offline_trader.learning.stages import StageData
    from offline_trader.pipeline.phases import Phases, PlannedStage

    transitions = load_transitions(config.dataset, root)
    _require_unchanged(config.dataset, own, root)
    learner_seed, clone_seed, offline_seed, direct_seed = stage_seeds(config.seed, 4)
    learner = make_learner(config.learner, transitions.observation_size, own.scaler, learner_seed)
    if transitions.action_size != 1:
        raise ConfigError(f"{config.dataset} has {transitions.action_size} actions", expected="1")
    engine = EngineFacts.of(learner.engine)
    data = StageData(transitions=transitions)
    validator = None if validation_env is None else Validator(validation_env, config.validation)
    offline_steps = config.offline.critic_updates + config.offline.updates
    planned = [
        PlannedStage(
            "clone", "cloning", config.clone.updates, config.clone, lambda: data, clone_seed
        ),
        PlannedStage(
            "direct",
            "direct",
            config.direct.updates,
            config.direct,
            lambda: StageData(market=_logged_bars(own)),
            direct_seed,
            validator,
        ),
        PlannedStage(
            "offline",
            f"offline {config.learner.algorithm}",
            offline_steps,
            config.offline,
            lambda: data,
            offline_seed,
            validator,
        ),
    ]
    if config.direct.updates == 0:
        del planned[1]
    phases = Phases(run, ("clone", "direct", "offline"))
    phases.state_engine(engine, progress)
    for stage in planned[:1] if only_clone else planned:
        phases.train(learner, stage, progress)
    if only_clone:
        return None
    saved = phases.save_policy(learner.save)
    stated = {"policy_sha256": saved, "transitions": len(transitions), "engine": engine}
    return {**phases.stated(), **stated}


def _logged_bars(own: DatasetFacts) -> BarMarket:
    """The bars that the dataset was collected on, under its rules."""
    from offline_trader.envs import make_market
    from offline_trader.learning.stages.direct import BarMarket

    return BarMarket(make_market(own.env_config), own.env_config.simulator)


def check_device(name: str) -> None:
    """Nothing if torch can compute on device ``name``.

    Raises:
        ConfigError: no such device here.
    """
    if name == "cpu":
        return
    from offline_trader.learning.engines import require_device

    require_device(name)
