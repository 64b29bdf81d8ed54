"""Pretraining: the stages that learn from a dataset, in the order that its settings give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.codec import plain
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError
from offline_trader.pipeline.dataset_bars import needs_bars, require_same_bars
from offline_trader.pipeline.derived_seeds import stage_seeds
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.run_facts import TrainingFacts
from offline_trader.pipeline.settings import PretrainConfig, StagesConfig
from offline_trader.pipeline.validation import Validator
from offline_trader.runs import Run
from offline_trader.types import Policy, digest
from offline_trader.workers import Workers, read_workers, usable_workers

if TYPE_CHECKING:
    from offline_trader.datasets.facts import DatasetFacts
    from offline_trader.experts import Mixture
    from offline_trader.learning.agents import Learner
    from offline_trader.learning.data import Transitions
    from offline_trader.learning.stages import Validated
    from offline_trader.learning.stages.auxiliary import AuxiliaryData
    from offline_trader.learning.stages.dagger import AskedLanes
    from offline_trader.learning.stages.direct import BarMarket, DirectMarket
    from offline_trader.learning.stages.results import Evaluate
    from offline_trader.pipeline.phases import PlannedStage

__all__ = [
    "check_device",
    "check_inputs",
    "data_hash",
    "limit_note",
    "logged_bars",
    "plan_stages",
    "pretrain",
    "stage_config",
]


def pretrain(
    config: PretrainConfig,
    path: Path,
    progress: Progress = Silent(),
    *,
    root: Path | None = None,
    resume: bool = False,
    only_clone: bool = False,
    workers: Workers = 1,
) -> Run:
    """Train stage by stage; the finished run.

    With ``only_clone`` a run that has its clone, to go on with by ``resume``. ``workers`` try the
    policies of the evolution stage, to the same bytes; the other stages have no use for them.

    Raises:
        ConfigError, DataError: a dataset, range or run directory that cannot be used.
    """
    from offline_trader.config import to_dict
    from offline_trader.datasets import dataset_path
    from offline_trader.pipeline.phases import maths_threads

    workers = read_workers(workers)
    own, validation_env = check_inputs(config, root)
    _check_workers(config, workers)
    workers = usable_workers(workers)
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
        if note := limit_note(config):
            progress.note(note)
        with maths_threads(config.threads):
            facts = _train(config, run, progress, own, validation_env, root, only_clone, workers)
        if facts is None:
            return run
        asked = _asked(config, own)
        stated = TrainingFacts(
            dataset=config.dataset,
            layout=own.layout,
            layout_hash=own.layout_hash,
            env=own.env_config,
            validation_env=validation_env,
            experts=own.experts if asked is None else _with(own.experts, asked),
            privileged=own.privileged or (asked is not None and asked.privileged),
            own_features=own.own_features,
            **facts,
        )
        run.finish(**stated.to_dict())
    return run


def _check_workers(config: PretrainConfig, workers: Workers) -> None:
    """Nothing if there is something for them to do.

    Raises:
        ConfigError: there is not.
    """
    if workers == 1:
        return
    if "evolution" not in config.stages:
        raise ConfigError(
            f"--workers {workers} with one seed, and without the evolution stage",
            expected="--seeds 2 or more, or evolution among --stages; or 1",
        )
    from offline_trader.learning.stages.evolution import require_cpu

    require_cpu(workers, config.learner.device)


def data_hash(instruments: Mapping[str, str]) -> str:
    """SHA-256 of the bars, as ``offline-trader markets`` shows it; of several, one over theirs."""
    hashes = list(instruments.values())
    return hashes[0] if len(hashes) == 1 else digest(dict(instruments))


def check_inputs(
    config: PretrainConfig, root: Path | None
) -> tuple[DatasetFacts, EnvConfig | None]:
    """The dataset's facts, and the environment to validate in.

    Raises:
        ConfigError, DataError: no such dataset, or bars that are not those that it was collected
            on where a stage reads them; no such device, no expert that can be asked, an encoder
            of windows for a dataset without them, a range that cannot validate, or replays that
            are asked for and cannot be.
        SchemaMismatch: the dataset was made with another layout than this version makes.
    """
    check_device(config.learner.device)
    from offline_trader.datasets.catalog import dataset_facts
    from offline_trader.datasets.loading import check_layout
    from offline_trader.networks import require_windows

    own = dataset_facts(config.dataset, root)
    check_layout(config.dataset, own.env_config.layout, root)
    require_windows(config.learner.encoder, tuple(own.layout.windows.values()))
    _asked(config, own)
    _check_replays(config, own.env_config)
    if needs_bars(config):
        require_same_bars(config.dataset, own)
    return own, config.validation.env(own.env_config)


def _check_replays(config: PretrainConfig, env: EnvConfig) -> None:
    """Nothing if replays are not asked for, or can be: an early stage is not trained in vain.

    Raises:
        ConfigError: they cannot be, or no stage has a use for them.
    """
    if config.offline.replay.mode != "always":
        return
    if "offline" not in config.stages:
        raise ConfigError(
            f"offline.replay.mode = always with stages = {', '.join(config.stages)}",
            expected="offline among --stages: no other stage has a use for replays",
        )
    from offline_trader.learning.stages import require_replays

    require_replays(config.learner, config.offline, env.simulator)


def _asked(config: PretrainConfig, own: DatasetFacts) -> Mixture | None:
    """Who is asked in the dagger stage; None without one.

    Raises:
        ConfigError: nobody can be.
    """
    if "dagger" not in config.stages:
        return None
    from offline_trader.pipeline.asked_experts import asked_mixture

    return asked_mixture(own.experts, config.dagger)


def _with(experts: tuple[Mapping[str, Any], ...], asked: Mixture) -> tuple[Mapping[str, Any], ...]:
    """The dataset's behaviours, and those asked that are none of them."""
    known = [each["expert"] for each in experts]
    return (*experts, *(each for each in asked.to_dict() if each["expert"] not in known))


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
    workers: Workers,
) -> dict[str, Any] | None:
    """Facts of the training; None where it stops at the clone's last checkpoint."""
    from offline_trader.datasets import load_transitions
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.engines import EngineFacts
    from offline_trader.pipeline.auxiliary_data import labelled_data
    from offline_trader.pipeline.phases import Phases

    transitions = load_transitions(config.dataset, root)
    _require_unchanged(config.dataset, own, root)
    learner_seed = stage_seeds(config.seed, 1)[0]
    learner = make_learner(
        config.learner,
        transitions.observation_size,
        own.scaler,
        learner_seed,
        windows=tuple(own.layout.windows.values()),
    )
    if transitions.action_size != 1:
        raise ConfigError(f"{config.dataset} has {transitions.action_size} actions", expected="1")
    engine = EngineFacts.of(learner.engine)
    validator = None if validation_env is None else Validator(validation_env, config.validation)
    planned = plan_stages(
        config,
        learner,
        transitions,
        cache(lambda: logged_bars(own.env_config)),
        validator,
        lambda seed: _asked_lanes(config, own, seed),
        lambda seed: labelled_data(
            config.dataset, own, transitions, validation_env, config.auxiliary, seed, root
        ),
        workers=workers,
    )
    phases = Phases(run, config.stages)
    phases.state_engine(engine, progress)
    if only_clone:
        planned = [stage for stage in planned[:1] if stage.name == "clone"]
    for stage in planned:
        phases.train(learner, stage, progress)
    if only_clone:
        return None
    saved = phases.save_policy(learner.save)
    stated = {"policy_sha256": saved, "transitions": len(transitions), "engine": engine}
    return {**phases.stated(validated=validator is not None), **stated}


def plan_stages(
    config: StagesConfig,
    learner: Learner,
    transitions: Transitions,
    market: Callable[[], DirectMarket],
    validator: Evaluate | None,
    asked: Callable[[int], AskedLanes] | None = None,
    labelled: Callable[[int], AuxiliaryData] | None = None,
    *,
    workers: Workers = 1,
) -> list[PlannedStage]:
    """The stages of ``config`` in their order, each with what it trains on.

    A direct stage without updates is left out. Without a validator the offline stage, too, is
    judged on the log itself: a policy is not given up for one that does worse on the very bars it
    was trained on.

    Args:
        config: stages, their settings and the seed.
        learner: that they will train.
        transitions: an offline dataset.
        market: makes the bars of the dataset's environment; called when they are needed.
        validator: judges policies, or None.
        asked: makes lanes whose experts can be asked, of a seed; called when they are needed.
        labelled: makes observations with the labels of their bars, of a seed.
        workers: for stages that have something for them to do.
    """
    from offline_trader.learning.stages import STAGES, StageData
    from offline_trader.learning.stages.direct import LogJudge
    from offline_trader.pipeline.phases import PlannedStage

    order = ("clone", "offline", "direct")
    further = [name for name in config.stages if name not in order]
    seeds = dict(
        zip((*order, *further), stage_seeds(config.seed, 4 + len(further))[1:], strict=True)
    )

    replays = config.offline.replay.mode != "never"

    def data_of(name: str) -> StageData:
        needs = STAGES[name].needs
        return StageData(
            transitions=transitions if "transitions" in needs else None,
            market=market() if "market" in needs or (name == "offline" and replays) else None,
            asked=asked(seeds[name]) if asked and "asked" in needs else None,
            labelled=labelled(seeds[name]) if labelled and "labelled" in needs else None,
            workers=workers,
        )

    @cache
    def judge() -> LogJudge:
        return LogJudge(learner, market(), config.direct)

    def on_the_log(policy: Policy) -> Validated:
        return judge()(policy)

    titles = {"clone": "cloning", "offline": f"offline {config.learner.algorithm}"}
    return [
        PlannedStage(
            name,
            titles.get(name, name),
            stage_config(config, name),
            partial(data_of, name),
            seeds[name],
            on_the_log if validator is None and name == "offline" else validator,
        )
        for name in config.stages
        if name != "direct" or config.direct.updates > 0
    ]


def limit_note(config: StagesConfig) -> str:
    """What a user should know of a drawdown limit that later stages know nothing of, or nothing."""
    stages, limit = config.stages, config.direct.drawdown_limit
    if limit == 0.0 or config.direct.updates == 0 or "direct" not in stages[:-1]:
        return ""
    place = stages.index("direct") + 1
    later, kept = (", ".join(part) for part in (stages[place:], stages[:place]))
    return (
        f"note: direct.drawdown_limit={limit:.3g} is held by the direct stage; training after it "
        f"({later}) may break it, --stages {kept.replace(', ', ',')} keeps it"
    )


def stage_config(config: StagesConfig, name: str) -> Any:
    """The settings of the stage: its section, or its defaults where it has none."""
    from offline_trader.learning.stages import STAGES

    return getattr(config, name, None) or STAGES[name].Config()


def _asked_lanes(config: PretrainConfig, own: DatasetFacts, seed: int) -> AskedLanes:
    """Lanes in the dataset's environment, whose experts are asked."""
    from offline_trader.pipeline.asked_experts import asked_lanes

    asked = _asked(config, own)
    assert asked is not None
    return asked_lanes(own.env_config, asked, config.dagger, seed)


def logged_bars(env: EnvConfig) -> BarMarket:
    """The environment's bars under its rules, as stages train on them."""
    from offline_trader.envs import make_market
    from offline_trader.learning.stages.direct import BarMarket

    return BarMarket(make_market(env), env.simulator)


def check_device(name: str) -> None:
    """Nothing if torch can compute on device ``name``.

    Raises:
        ConfigError: no such device here.
    """
    if name == "cpu":
        return
    from offline_trader.learning.engines import require_device

    require_device(name)
