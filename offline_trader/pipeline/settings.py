"""The settings of the line: every section is defined once, with one set of defaults.

A command's configuration is made of the sections that it uses, so a key such as
``env.simulator.commission_bps`` or ``offline.updates`` means the same in each of them. The demo
and the walk-forward run the line with smaller budgets: :data:`DEMO` and :data:`WALK_FORWARD`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from offline_trader.config import require_seed
from offline_trader.datasets import CollectConfig
from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError, did_you_mean
from offline_trader.evaluation.judging import EvaluateOptions
from offline_trader.evaluation.walk_forward import WindowConfig
from offline_trader.goals import GoalTask
from offline_trader.learning.settings import (
    ALGORITHMS,
    AuxiliaryConfig,
    CloneConfig,
    CuriosityConfig,
    CurriculumConfig,
    DaggerConfig,
    DirectAgentConfig,
    DirectConfig,
    EvolutionAgentConfig,
    EvolutionConfig,
    HybridAgentConfig,
    ImpalaConfig,
    LearnerConfig,
    OfflineConfig,
    OnlineConfig,
    OptionsConfig,
)
from offline_trader.learning.stages import STAGES
from offline_trader.pipeline.validation import ValidationConfig, bar_after

__all__ = [
    "DEMO",
    "WALK_FORWARD",
    "DemoConfig",
    "FinetuneConfig",
    "LineConfig",
    "PretrainConfig",
    "StagesConfig",
    "WalkForwardConfig",
    "algorithm_among",
    "refuse_dates",
]


_SHORT = {"bc": "clone", "aux": "auxiliary"}
"""Names of stages that are shorter than those in the registry."""


@dataclass(frozen=True)
class _Training:
    """What every training has.

    Attributes:
        learner: algorithm and networks.
        validation: the bars by which the policy is chosen.
        threads: of torch while training. One is fastest for small networks (docs/learning.md);
            another number gives other last bits.
        seed: of networks, batches and draws.
    """

    learner: LearnerConfig = field(default_factory=LearnerConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        require_seed(self.seed)
        _require_one("threads", self.threads)


def _require_mlp(learner: LearnerConfig, stage: str, otherwise: str) -> None:
    """Nothing if the actor has linear layers alone, whose weights ``stage`` writes itself.

    Raises:
        ConfigError: another encoder.
    """
    encoder = getattr(learner, "encoder", "mlp")
    if encoder != "mlp":
        raise ConfigError(
            f"learner.encoder={encoder} with {stage}, which writes linear layers",
            expected=f"{otherwise}, or learner.encoder=mlp",
        )


@dataclass(frozen=True)
class StagesConfig:
    """What a pretraining consists of.

    Attributes:
        stages: names of registered stages, in this order; ``bc`` stands for ``clone``, ``aux`` for
            ``auxiliary``, which is the first where it is one, the name of ``learner.algorithm`` for
            ``offline``.
        learner: algorithm and networks.
        auxiliary: training of the encoder by what can be said of bars and experts.
        clone: behaviour cloning of the actor.
        dagger: imitation of experts that are asked on the learner's own states.
        direct: training through the portfolio's gradient on the dataset's bars.
        evolution: training by an evolution strategy on the dataset's bars.
        offline: offline training of critics and actor.
        seed: of networks, batches and draws.
    """

    stages: tuple[str, ...] = ("clone", "direct", "offline")
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)
    clone: CloneConfig = field(default_factory=CloneConfig)
    dagger: DaggerConfig = field(default_factory=DaggerConfig)
    direct: DirectConfig = field(default_factory=DirectConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        require_seed(self.seed)
        object.__setattr__(self, "stages", _stages(self.stages, self.learner.algorithm))
        direct = self.direct if "direct" in self.stages and self.direct.updates > 0 else None
        if direct is not None and direct.market_input == "forecast":
            seen = "direct.market_input"
            _require_mlp(self.learner, f"{seen}=forecast", f"{seen}=features")
        if "evolution" in self.stages:
            _require_mlp(self.learner, "the evolution stage", "stages without evolution")


@dataclass(frozen=True)
class _Pretraining(StagesConfig, _Training):
    """The stages, and what every training has."""

    def __post_init__(self) -> None:
        _Training.__post_init__(self)
        StagesConfig.__post_init__(self)


@dataclass(frozen=True)
class _Finetuning(_Training):
    """What the fine-tuning adds.

    Attributes:
        env: the training environment.
        agent: what learns: ``sac`` from steps and offline data; ``direct`` through the gradient
            of the portfolio on the bars of the lanes, which needs neither; ``hybrid``, which is
            ``sac`` with turns of evolution on the bars of the lanes; ``evolution`` on the
            environment's bars, without lanes; ``options``, a controller that chooses among
            stretches of behaviour; or ``impala`` in lanes of its own actors.
        direct_agent: windows and objective of ``direct``.
        evolution_agent: generations, windows and objective of ``evolution``.
        hybrid_agent: turns, generations, windows and objective of ``hybrid``.
        options_agent: which options, and how ``options`` learns to choose among them.
        impala: steps, lanes of an actor and rollouts of ``impala``.
        online: length, update ratio, share of offline data.
        lanes: environments side by side.
        goal: that the policy learns to take; of kind ``none``: it earns as much as it can.
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    agent: Literal["sac", "direct", "evolution", "hybrid", "options", "impala"] = "sac"
    direct_agent: DirectAgentConfig = field(default_factory=DirectAgentConfig)
    evolution_agent: EvolutionAgentConfig = field(default_factory=EvolutionAgentConfig)
    hybrid_agent: HybridAgentConfig = field(default_factory=HybridAgentConfig)
    options_agent: OptionsConfig = field(default_factory=OptionsConfig)
    impala: ImpalaConfig = field(default_factory=ImpalaConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    lanes: int = 16
    goal: GoalTask = field(default_factory=GoalTask)

    def __post_init__(self) -> None:
        _Training.__post_init__(self)
        agents = ("sac", "direct", "evolution", "hybrid", "options", "impala")
        if self.agent not in agents:
            raise ConfigError(f"agent={self.agent!r}", expected=f"one of {', '.join(agents)}")
        if self.agent in ("evolution", "impala") and self.online.staged:
            raise ConfigError(
                f"online.curriculum or online.difficulty with agent={self.agent}",
                expected=f"agent=sac, direct or hybrid: {self.agent} trades the environment's own "
                "bars",
            )
        if self.agent in ("evolution", "hybrid"):
            _require_mlp(self.learner, f"agent={self.agent}", "agent=sac or direct")
        _require_one("lanes", self.lanes)
        if self.online.buffer_size < self.lanes:
            raise ConfigError(
                f"online.buffer_size={self.online.buffer_size:,} with {self.lanes:,} lanes",
                expected="room for a step of every lane",
            )


@dataclass(frozen=True)
class PretrainConfig(_Pretraining):
    """One pretraining: ``learner``, ``clone``, ``direct``, ``offline``, ``validation``.

    Attributes:
        dataset: id of the Minari dataset.
    """

    dataset: str = "offline_trader/experts-v0"


@dataclass(frozen=True)
class FinetuneConfig(_Finetuning):
    """One online training: ``env``, ``learner``, ``online``, ``lanes``, ``validation``.

    What a command does not set comes from the parent run.

    Attributes:
        learner: as everywhere, but for SAC, which learns online; the parent's networks.
        dataset: offline transitions in every batch; empty: none.
    """

    learner: LearnerConfig = field(default_factory=lambda: _online(LearnerConfig()))
    dataset: str = ""


@dataclass(frozen=True)
class LineConfig(_Pretraining, _Finetuning):
    """The line from experts to a fine-tuned policy, on one training range.

    Attributes:
        experts: the behaviour mixture.
        transitions: expert steps to collect.
    """

    experts: tuple[str, ...] = CollectConfig.experts
    transitions: int = CollectConfig.transitions

    def __post_init__(self) -> None:
        _Pretraining.__post_init__(self)
        _Finetuning.__post_init__(self)
        self.collecting()  # refuses what a collection refuses

    def collecting(self, dataset: str = CollectConfig.dataset_id) -> CollectConfig:
        """What the first stage does; ``dataset`` is the id of what it makes."""
        return CollectConfig(
            dataset_id=dataset,
            env=self.env,
            experts=self.experts,
            transitions=self.transitions,
            seed=self.seed,
        )

    def pretraining(self, dataset: str = CollectConfig.dataset_id) -> PretrainConfig:
        """What the second stage does."""
        return PretrainConfig(
            dataset=dataset,
            learner=self.learner,
            stages=self.stages,
            auxiliary=self.auxiliary,
            clone=self.clone,
            dagger=self.dagger,
            direct=self.direct,
            evolution=self.evolution,
            offline=self.offline,
            validation=self.validation,
            threads=self.threads,
            seed=self.seed,
        )

    def finetuning(self, dataset: str = CollectConfig.dataset_id) -> FinetuneConfig:
        """What the third stage does."""
        return FinetuneConfig(
            dataset=dataset,
            env=self.env,
            learner=_online(self.learner),
            agent=self.agent,
            direct_agent=self.direct_agent,
            evolution_agent=self.evolution_agent,
            hybrid_agent=self.hybrid_agent,
            options_agent=self.options_agent,
            impala=self.impala,
            online=self.online,
            lanes=self.lanes,
            goal=self.goal,
            validation=self.validation,
            threads=self.threads,
            seed=self.seed,
        )

    def testing(self) -> EnvConfig:
        """The bars that judge the policy: all after those that chose it, and after a gap.

        Raises:
            ConfigError: the choice has no end, or no bars follow it.
        """
        end = self.validation.end
        if end is None:
            raise ConfigError(
                "validation.end is not set, so nothing is left to judge on",
                expected="the last day of the bars that choose the policy",
            )
        start = bar_after(self.env.market, self.env.tz, end, self.validation.gap_bars)
        return replace(self.env, start=start, end=None)


@dataclass(frozen=True)
class DemoConfig(LineConfig):
    """The whole line, to a judged model.

    Attributes:
        options: the evaluation's comparisons and robustness runs.
    """

    options: EvaluateOptions = field(default_factory=EvaluateOptions)

    def require_bars(self) -> None:
        """Nothing if there are bars to validate on, and later ones to judge on.

        Raises:
            ConfigError, DataError: there are none.
        """
        self.validation.env(self.env)
        make_market(self.testing())


@dataclass(frozen=True)
class WalkForwardConfig(LineConfig):
    """One walk-forward: the windows, and the line that is run on each.

    ``env`` names one market, and by its dates the bars that are cut into windows. The windows
    themselves say where a training, its validation and its test begin and end.

    Attributes:
        windows: how the bars are cut.
        finetune: whether online training follows.
    """

    windows: WindowConfig = field(default_factory=WindowConfig)
    finetune: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.env.market) != 1:
            raise ConfigError(
                f"env.market names {len(self.env.market)} markets", expected="one instrument"
            )
        refuse_dates(
            self.validation, "a walk-forward", "windows.validation_bars and windows.purge_bars"
        )
        for name in ("train_bars", "validation_bars"):
            if getattr(self.windows, name) < 2:
                raise ConfigError(f"windows.{name} = 1", expected="2 or more: one step of trading")
        if self.windows.warm_start and not self.finetune:
            raise ConfigError(
                "windows.warm_start = true with finetune = false",
                expected="finetune = true: a warm start goes on training the last policy online",
            )


def algorithm_among(stages: Sequence[str]) -> str | None:
    """The algorithm that the names of stages ask for, as ``cql`` in ``bc,cql``; None: none."""
    return next((name for name in stages if name in ALGORITHMS), None)


def refuse_dates(validation: ValidationConfig, command: str, instead: str) -> None:
    """Nothing if ``validation`` sets no range, which ``command`` chooses by ``instead``.

    Raises:
        ConfigError: it does.
    """
    for name in ("start", "end", "gap_bars"):
        value = getattr(validation, name)
        if value != getattr(ValidationConfig, name):
            raise ConfigError(f"validation.{name} = {value} in {command}", expected=instead)


_IN_LANES = ("impala", "online")
"""Stages that take no dataset."""


def _stages(names: Sequence[str], algorithm: str) -> tuple[str, ...]:
    """The stages' names in the registry.

    Raises:
        ConfigError: none, one that is not known, twice the same, or one that takes no dataset.
    """
    found = []
    for name in names:
        if name in ALGORITHMS and name != algorithm:
            raise ConfigError(
                f"stages: {name}, but learner.algorithm is {algorithm}",
                expected=f"offline, {algorithm}, or --algorithm {name}",
            )
        found.append("offline" if name in ALGORITHMS else _SHORT.get(name, name))
    possible = [name for name in STAGES if name not in _IN_LANES]
    wrong = [name for name in found if name not in possible]
    if wrong or not found or len(set(found)) < len(found):
        raise ConfigError(
            f"stages = {', '.join(names) or 'none'}",
            expected=f"each at most once, in any order: {', '.join(possible)} (bc stands for "
            "clone, aux for auxiliary, the learner's algorithm for offline)",
            hint=did_you_mean(wrong[0], possible) if wrong else "",
        )
    if "auxiliary" in found[1:]:
        raise ConfigError(
            f"stages: {', '.join(names)}",
            expected="aux as the first one: it changes the encoder, and with it what the stages "
            "before it have learned",
        )
    return tuple(found)


def _online(learner: LearnerConfig) -> LearnerConfig:
    """The same networks with the algorithm that learns online."""
    online: LearnerConfig = learner.with_tag("sac")
    return online


def _require_one(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name}={value}", expected="1 or more")


DEMO = DemoConfig(
    env=EnvConfig(end="2012-12-31"),
    stages=("auxiliary", "clone", "direct", "offline"),
    clone=CloneConfig(updates=2_000),
    offline=OfflineConfig(updates=2_000, evaluate_interval=250),
    online=OnlineConfig(
        steps=8_000,
        evaluate_interval=2_000,
        curiosity=CuriosityConfig(weight=0.1, eta=1.0),
        curriculum=CurriculumConfig(enabled=True, exam_interval=4_000),
    ),
    validation=ValidationConfig(end="2014-12-31"),
)
"""All of the line in a few minutes on two cores: S&P 500, chosen on two years, judged on four."""

WALK_FORWARD = WalkForwardConfig(
    transitions=50_000,
    clone=CloneConfig(updates=1_500),
    direct=DirectConfig(objective="sharpe", risk_target=0.25),
    offline=OfflineConfig(updates=2_000),
    online=OnlineConfig(steps=5_000),
)
"""A window takes about half of the demo's time: there are many. Windows are judged by their Sharpe
ratios, and so is the policy trained: where no gain is foretold, the most log growth that an account
without credit can have is that of buying once, which is no policy to judge. The ratio has no size
of its own, so its risk is stated: otherwise all of the account is held through a calm year."""
