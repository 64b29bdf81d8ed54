"""Fine-tuning: a pretrained policy learns on online, in the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.config import to_dict
from offline_trader.envs import EnvConfig, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.learning.settings import LearnerConfig, OnlineConfig
from offline_trader.pipeline.courses import check_course, make_lanes
from offline_trader.pipeline.derived_seeds import stage_seeds
from offline_trader.pipeline.goal_training import (
    GoalValidator,
    chosen_goal,
    learner_for,
    task_of,
)
from offline_trader.pipeline.objective_training import (
    agent_for,
    check_objectives,
    stated_preference,
)
from offline_trader.pipeline.option_training import (
    check_options,
    kept_options,
    option_loop,
    options_agent,
)
from offline_trader.pipeline.pretraining import check_device, data_hash, logged_bars
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.pipeline.settings import FinetuneConfig
from offline_trader.pipeline.trained_runs import (
    TrainedRun,
    finished_run,
    passed_on,
    policy_hash,
    trained_policy,
)
from offline_trader.pipeline.validation import Validator
from offline_trader.runs import Run
from offline_trader.workers import Workers, read_workers, usable_workers

if TYPE_CHECKING:
    from offline_trader.learning.agents import Agent, Learner, MultiObjectiveAgent
    from offline_trader.learning.stages.evolution import Trials
    from offline_trader.learning.stages.lanes import Lanes
    from offline_trader.markets.synthetic import TurbulentMarket

__all__ = ["Checked", "check_parent", "check_steps", "finetune", "parent_settings", "steps_told"]


@dataclass(frozen=True)
class Checked:
    """What a check found, for the training after it.

    Attributes:
        source: the parent run.
        validation_env: the environment to validate in, if the parent has a validation range.
        like: the fitted market that a curriculum's are to be like, if any.
    """

    source: TrainedRun
    validation_env: EnvConfig | None
    like: TurbulentMarket | None


def steps_told(steps: int | None) -> dict[str, int | None]:
    """Settings of ``steps`` environment steps, whoever learns from them; None: as they are."""
    return {"online__steps": steps, "impala__steps": steps}


def check_steps(config: FinetuneConfig, steps: int | None) -> None:
    """Nothing if the agent takes ``steps`` in the environment, or is not told how many.

    Raises:
        ConfigError: it takes none.
    """
    if steps is not None and config.agent == "evolution":
        raise ConfigError(
            f"agent=evolution with {steps:,} steps",
            expected="evolution_agent.generations: it tries policies on the environment's bars and "
            "takes no steps in lanes",
        )


def parent_settings(parent: Path) -> dict[str, Any]:
    """The settings that a parent run passes on.

    Raises:
        DataError: no run there, one that is not done, or that states what it cannot.
        SchemaMismatch: a run of another observation layout.
    """
    run = finished_run(parent)
    given = passed_on(run)
    learner = LearnerConfig.used({**given.learner, "algorithm": "sac"})
    return {**to_dict(given), "env": to_dict(run.facts.env), "learner": learner}


def check_parent(config: FinetuneConfig, parent: Path, *, unverified: bool = False) -> Checked:
    """The parent run, and what else training begins with; nothing is opened or written.

    Raises:
        ConfigError, DataError: a parent, device or range that cannot be used.
    """
    check_device(config.learner.device)
    _check_agent(config)
    like = check_course(config.online, config.env)
    _check_rows(config)
    source = finished_run(parent)
    policy_hash(source, unverified=unverified)
    check_options(config, source)
    if config.goal or source.facts.goal is not None:
        task_of(config, source.facts.goal)
    validation = config.validation.env(config.env)
    check_objectives(config, source.facts, validated=validation is not None)
    if validation is None and config.online.anneal == "validation":
        raise ConfigError(
            "online.anneal=validation, but the parent has no validation range",
            expected="validation.end, or online.anneal=steps",
        )
    if validation is None and config.online.patience > 0:
        raise ConfigError(
            f"online.patience={config.online.patience}, but the parent has no validation range",
            expected="validation.end, or online.patience=0",
        )
    return Checked(source, validation, like)


def _check_agent(config: FinetuneConfig) -> None:
    """Nothing if the agent can do what is asked of it."""
    online = config.online
    of_rows = {
        "online.transforms": bool(online.transforms),
        "online.shaping.potentials": bool(online.shaping.potentials),
        "online.curiosity.weight": online.curiosity.weight > 0,
        "online.forecast_weight": online.forecast_weight > 0,
        "online.anneal=validation": online.anneal == "validation",
    }
    if config.agent == "options":  # rewards without surprises can be summed as any others
        del of_rows["online.forecast_weight"]
    idle = [name for name, asked in of_rows.items() if asked]
    if idle and config.agent in ("direct", "evolution", "impala", "options"):
        raise ConfigError(
            f"agent={config.agent} with {', '.join(idle)}",
            expected=f"agent=sac: {config.agent} learns neither from its rows nor at an entropy",
        )


def _check_rows(config: FinetuneConfig) -> None:
    """Nothing if what changes the rows is there.

    Raises:
        ConfigError: an unknown transform, replays of bars that an order would have moved, or a
            potential that has no data to be fitted to.
    """
    online = config.online
    if "learned" in online.shaping.potentials and not (config.dataset and online.offline_share):
        raise ConfigError(
            "online.shaping.potentials=learned, without offline data to fit it to",
            expected="a dataset, and online.offline_share above 0",
        )
    if online.transforms:
        from offline_trader.learning.data import TRANSFORMS

        for name in online.transforms:
            TRANSFORMS[name]
        if "whole_options" in online.transforms:
            raise ConfigError(
                "online.transforms=whole_options",
                expected="agent=options, which sets it by itself",
            )
        if "replay" in online.transforms:
            from offline_trader.learning.stages.direct import require_no_impact

            require_no_impact(config.env.simulator)


def _check_workers(config: FinetuneConfig, workers: Workers) -> None:
    """Nothing if the agent has something for them to do.

    Raises:
        ConfigError: it has not.
    """
    if workers == 1 or config.agent == "impala":
        return
    if config.agent not in ("evolution", "hybrid"):
        raise ConfigError(
            f"--workers {workers} with agent={config.agent}",
            expected="agent=impala, evolution or hybrid, or 1",
        )
    from offline_trader.learning.stages.evolution import require_cpu

    require_cpu(workers, config.learner.device)


def _loop_settings(config: FinetuneConfig) -> OnlineConfig:
    """Of the online loop: ``direct`` has no critics to begin with and no entropy to raise."""
    if config.agent == "options":
        return option_loop(config)
    online = config.online
    if config.agent != "direct":
        return online
    answer = "return" if online.on_collapse == "explore" else online.on_collapse
    return replace(online, critic_updates=0, warmup_steps=0, on_collapse=answer)


def finetune(
    config: FinetuneConfig,
    parent: Path,
    path: Path,
    progress: Progress = Silent(),
    *,
    root: Path | None = None,
    resume: bool = False,
    unverified: bool = False,
    workers: Workers = 1,
) -> Run:
    """Train online from ``parent``'s policy; the finished run.

    With ``unverified`` the parent's manifest may lack its policy's hash. ``workers`` are processes,
    or a Ray cluster: the actors of the agent ``impala``, or what tries the policies of
    ``evolution`` and ``hybrid``; the other agents have one.

    Raises:
        ConfigError, DataError: a parent, range, dataset or run directory that cannot be used.
    """
    from offline_trader.datasets import dataset_path
    from offline_trader.pipeline.phases import maths_threads

    workers = read_workers(workers)
    _check_workers(config, workers)
    checked = check_parent(config, parent, unverified=unverified)
    source, validation_env = checked.source, checked.validation_env
    if config.dataset:
        dataset_path(config.dataset, root)  # refused before anything is written
    workers = usable_workers(workers)
    run = Run.create(
        path,
        to_dict(config),
        command="finetune",
        seed=config.seed,
        parents=[parent],
        data_hash=data_hash({bars.symbol: bars.sha256 for bars in config.env.load_bars()}),
        resume=resume,
    )
    with run:
        if run.status == "done":
            progress.note(f"{path} is done already")
            return run
        with maths_threads(config.threads):
            trained = _train(
                config,
                run,
                checked,
                progress,
                root,
                unverified=unverified,
                workers=workers,
            )
        stated = replace(
            source.facts,
            env=config.env,
            validation_env=validation_env,
            transitions=None,
            clone=None,
            direct=None,
            offline=None,
            **{
                "online": None,
                "goal": None,
                "options": None,
                "preference": None,
                **trained,
                "history": (*source.facts.history, *trained["history"]),
            },
        )
        run.finish(**stated.to_dict())
    return run


def _train(
    config: FinetuneConfig,
    run: Run,
    checked: Checked,
    progress: Progress,
    root: Path | None,
    *,
    unverified: bool,
    workers: Workers,
) -> Mapping[str, Any]:
    from offline_trader.datasets import load_transitions
    from offline_trader.learning.agents import online_learner
    from offline_trader.learning.engines import EngineFacts
    from offline_trader.learning.stages import StageData
    from offline_trader.learning.stages.course import CourseLanes
    from offline_trader.learning.stages.evolution import shared_trials
    from offline_trader.pipeline.phases import Phases, PlannedStage

    parent, validation_env = checked.source, checked.validation_env
    source = trained_policy(parent, unverified=unverified)
    for name in ("hidden", "encoder"):
        given, theirs = getattr(config.learner, name), getattr(source.config, name)
        if given != theirs:
            raise ConfigError(
                f"learner.{name} is {_shown(given)}", expected=f"the parent's, {_shown(theirs)}"
            )
    learner_seed, lane_seed, train_seed = stage_seeds(config.seed, 3)
    wanted = config.dataset if config.agent in ("sac", "hybrid") else ""
    offline = load_transitions(wanted, root) if wanted else None
    task = task_of(config, parent.facts.goal) if config.goal else config.goal
    lanes = make_lanes(config.online, config.env, config.lanes, lane_seed, task, checked.like)
    validator: Validator | GoalValidator | None = None
    several: MultiObjectiveAgent | None = None
    if config.goal:
        widen = parent.facts.goal is None
        learner = learner_for(source, config.learner, task, learner_seed, widen=widen)
        validator = None if validation_env is None else GoalValidator(validation_env, task)
    else:
        if config.online.objectives:
            several = agent_for(source, config, parent.facts, learner_seed)
        learner = (
            several.learner if several else online_learner(source, config.learner, learner_seed)
        )
        if validation_env is not None:
            weight = config.online.forecast_weight
            validator = Validator(validation_env, config.validation, config.env, weight)
    engine = several.engine if several else EngineFacts.of(learner.engine)
    stage = PlannedStage(
        "online",
        f"online {config.agent}",
        _loop_settings(config),
        lambda: StageData(transitions=offline, lanes=lanes),
        train_seed,
        validator,
    )
    if config.agent == "evolution":
        stage = PlannedStage(
            *("evolution", "evolution", config.evolution_agent),
            lambda: StageData(market=logged_bars(config.env), workers=workers),
            train_seed,
            validator,
        )
    if config.agent == "impala":
        worlds = partial(make_simulator, config.env)
        stage = PlannedStage(
            *("impala", "impala", config.impala),
            lambda: StageData(make_lanes=worlds, workers=workers),
            train_seed,
            validator,
        )
    phases = Phases(run, (stage.name,))
    phases.state_engine(engine, progress)
    agent: Agent
    in_turns = workers if config.agent == "hybrid" else 1
    with shared_trials(in_turns, config.learner.device) as trials:
        if config.agent == "options":
            agent = options_agent(config, learner, parent, learner_seed)
        else:
            agent = several or _agent(learner, lanes, config, learner_seed, trials)
        phases.train(agent, stage, progress)
    if config.online.curriculum.enabled and isinstance(lanes, CourseLanes):
        progress.note(f"curriculum: training ended in stage {lanes.stage}")
    saved = phases.save_policy(learner.save)
    # the scores of a policy that takes a goal are no Sharpe ratios
    facts = phases.stated(validated=isinstance(validator, Validator))
    stated = {**facts, "policy_sha256": saved, "engine": engine}
    stated["options"] = kept_options(agent, phases)
    if config.goal:
        found = validator if isinstance(validator, GoalValidator) else None
        stated["goal"] = chosen_goal(task, learner, found)
    if several:
        judge = validator if isinstance(validator, Validator) else None
        stated["preference"] = stated_preference(several, config, judge, train_seed)
    return stated


def _agent(
    learner: Learner,
    lanes: Lanes,
    config: FinetuneConfig,
    seed: int,
    trials: Trials | None,
) -> Agent:
    """What trains ``learner``: itself, or one that looks at the markets of ``lanes`` too."""
    from offline_trader.learning.stages.course import CourseLanes
    from offline_trader.learning.stages.direct import BarMarket, DirectAgent
    from offline_trader.learning.stages.evolution import HybridAgent
    from offline_trader.simulator import Simulator

    def simulators() -> list[Simulator]:
        if isinstance(lanes, CourseLanes):
            return lanes.simulators
        assert isinstance(lanes, Simulator), "task_of refuses goals of these agents"
        return [lanes]

    if config.agent == "direct":
        return DirectAgent(learner, simulators, config.direct_agent, seed)
    if config.agent == "hybrid":

        def markets() -> list[BarMarket]:
            return [BarMarket(each.market, each.config) for each in simulators()]

        return HybridAgent(learner, markets, config.hybrid_agent, seed, trials)
    return learner


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
