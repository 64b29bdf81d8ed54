"""Policies that methods learn where the best policy is known."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.config import require_seed, to_dict
from offline_trader.errors import ConfigError
from offline_trader.learning.settings import (
    AuxiliaryConfig,
    CloneConfig,
    DaggerConfig,
    DirectConfig,
    EvolutionConfig,
    LearnerConfig,
    LeashConfig,
    OfflineConfig,
    OnlineConfig,
    ReplayConfig,
)
from offline_trader.pipeline.settings import StagesConfig
from offline_trader.policies import adapt
from offline_trader.user_code import find_function, guarded

if TYPE_CHECKING:
    from offline_trader.evaluation.known_optimum import (
        KnownMarket,
        KnownOptimumLanes,
        KnownPolicy,
    )
    from offline_trader.learning.agents import Learner
    from offline_trader.learning.data import Transitions

__all__ = [
    "KnownOptimumConfig",
    "market_of",
    "method_of",
    "train",
    "train_default",
    "train_on_bars",
    "train_on_log",
    "train_own",
]


@dataclass(frozen=True)
class KnownOptimumConfig:
    """How a learner is trained and a policy is scored.

    Attributes:
        learner: algorithm and networks.
        offline: training on one of the offline datasets.
        online, lanes: training from scratch where no dataset is named.
        direct: training through the portfolio's gradient, with ``--train direct``.
        evolution: training by an evolution strategy, with ``--train evolution``.
        auxiliary, clone, dagger, stages: of the default chain, with ``--train default``; its
            offline stage is ``offline``, and all of its settings are by default those of
            ``pretrain``.
        score_lanes, score_steps: size of the scoring run.
        bars, paths: size of the scoring run on M3-bars, all paths together.
        features: of the user's own, beside the built-in ones, for training on M3-bars.
        seed: the first one.
    """

    learner: LearnerConfig = field(
        default_factory=lambda: LearnerConfig(gamma=0.97, reward_scaling="none")
    )
    offline: OfflineConfig = field(
        default_factory=lambda: OfflineConfig(
            updates=4_000,
            critic_updates=0,
            evaluate_interval=0,
            rate_decay=0.0,
            replay=ReplayConfig(mode="never"),
            leash=LeashConfig(distance=0.0),
        )
    )
    online: OnlineConfig = field(
        default_factory=lambda: OnlineConfig(
            steps=64_000,
            update_ratio=0.125,
            offline_share=0.0,
            critic_updates=0,
            evaluate_interval=0,
        )
    )
    lanes: int = 8
    direct: DirectConfig = field(default_factory=DirectConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)
    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)
    clone: CloneConfig = field(default_factory=CloneConfig)
    dagger: DaggerConfig = field(default_factory=DaggerConfig)
    stages: tuple[str, ...] = StagesConfig.stages
    score_lanes: int = 256
    score_steps: int = 2_000
    bars: int = 240_000
    paths: int = 60
    features: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        require_seed(self.seed)
        self.chain()  # refuses stages that there are not

    def chain(self) -> StagesConfig:
        """The stages of the default chain with their settings."""
        return StagesConfig(
            stages=self.stages,
            learner=self.learner,
            auxiliary=self.auxiliary,
            clone=self.clone,
            dagger=self.dagger,
            direct=self.direct,
            evolution=self.evolution,
            offline=self.offline,
            seed=self.seed,
        )

    @staticmethod
    def of_chain() -> dict[str, Any]:
        """What the default chain has in place of the other methods' defaults: pretraining's."""
        default = StagesConfig()
        return {name: to_dict(getattr(default, name)) for name in ("learner", "offline")}


def method_of(run: Path) -> dict[str, Any]:
    """The learner's settings of the training run at ``run``, as the base of ours.

    Raises:
        DataError: no run there.
        ConfigError: a run that trained nothing.
    """
    from offline_trader.runs import Run

    settings = Run.open(run).config()
    if "learner" not in settings:
        raise ConfigError(f"{run} trained no learner", expected="a run of pretrain or finetune")
    return {"learner": settings["learner"]}


def market_of(name: str) -> KnownMarket:
    """The market ``name``, or that of the dataset or bars ``name``."""
    from offline_trader.evaluation.known_optimum import get_market

    return get_market(name.partition("-")[0])


def _experience(
    name: str, config: KnownOptimumConfig, realised: bool
) -> Transitions | KnownOptimumLanes:
    """What a method learns ``name`` from: a dataset's transitions, or a market to act in."""
    from offline_trader.evaluation.known_optimum import (
        OFFLINE_DATASETS,
        KnownOptimumLanes,
        make_dataset,
    )

    if name in OFFLINE_DATASETS:
        return make_dataset(name, seed=config.seed, realised=realised).transitions()
    return KnownOptimumLanes(market_of(name), config.lanes, seed=config.seed, realised=realised)


def train(name: str, config: KnownOptimumConfig, *, realised: bool = False) -> KnownPolicy:
    """The policy that ``config.learner`` learns on dataset or market ``name``.

    Raises:
        ConfigError: online training of another algorithm than SAC.
    """
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.data import Transitions
    from offline_trader.learning.stages import finetune, train_offline

    given = _experience(name, config, realised)
    size = len(market_of(name).observation_names)
    learner = make_learner(config.learner, size, seed=config.seed)
    if isinstance(given, Transitions):
        train_offline(learner, given, config.offline, seed=config.seed)
    else:
        finetune(learner, given, None, config.online, seed=config.seed)
    return learner.act


def train_on_log(
    stage: str, name: str, config: KnownOptimumConfig, *, realised: bool = False
) -> KnownPolicy:
    """The policy that a stage makes of the log of a dataset, or of market ``name``.

    Args:
        stage: ``direct`` or ``evolution``, which need no log of actions.
        name: the dataset or market.
        config: settings of the stage and the learner.
        realised: rewards are those that were realised.

    Raises:
        ConfigError: a market that these stages cannot train on.
    """
    from offline_trader.evaluation.known_optimum.direct_market import logged_market
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.stages import STAGES, StageData

    market = logged_market(name, seed=config.seed, realised=realised)
    size = len(market_of(name).observation_names)
    learner = make_learner(config.learner, size, seed=config.seed)
    STAGES[stage](getattr(config, stage)).fit(learner, StageData(market=market), seed=config.seed)
    return learner.act


def train_default(
    name: str,
    config: KnownOptimumConfig,
    *,
    realised: bool = False,
    on_stage: Callable[[str, Learner], None] | None = None,
) -> KnownPolicy:
    """The policy that the default chain makes of a dataset (of M1 and M3: the wide one).

    The expert that a dagger stage asks is the dataset's behaviour without its noise.

    Args:
        name: the dataset or its market.
        config: the stages and their settings.
        realised: rewards are those that were realised.
        on_stage: told the name of each stage when it has ended, with the learner.

    Raises:
        ConfigError: a market without a log of actions.
    """
    from offline_trader.evaluation.known_optimum import (
        OFFLINE_DATASETS,
        AskedMarket,
        behaviour_policy,
        make_dataset,
    )
    from offline_trader.evaluation.known_optimum.direct_market import position_market
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.stages import STAGES
    from offline_trader.pipeline.derived_seeds import stage_seeds
    from offline_trader.pipeline.pretraining import plan_stages

    named = name if name in OFFLINE_DATASETS else f"{name}-wide"
    if named not in OFFLINE_DATASETS:
        raise ConfigError(
            f"the default chain on {name}",
            expected=f"M1, M3, {', '.join(OFFLINE_DATASETS)}, M3-bars",
            hint="--train direct needs no log of actions",
        )
    chain = config.chain()
    if "auxiliary" in chain.stages:
        raise ConfigError(f"the auxiliary stage on {name}, which has no bars", expected="M3-bars")
    data, market = make_dataset(named, seed=config.seed, realised=realised), market_of(name)
    size = len(market.observation_names)
    learner = make_learner(config.learner, size, seed=stage_seeds(config.seed, 1)[0])
    bars = position_market(market, data)
    lanes = chain.dagger.lanes

    def asked(seed: int) -> AskedMarket:
        return AskedMarket(market, lanes, behaviour_policy(market), seed=seed)

    for stage in plan_stages(chain, learner, data.transitions(), lambda: bars, None, asked):
        STAGES[stage.name](stage.config).fit(
            learner, stage.data(), None, stage.evaluate, seed=stage.seed
        )
        if on_stage is not None:
            on_stage(stage.name, learner)
    return learner.act


def train_on_bars(config: KnownOptimumConfig, stages: tuple[str, ...]) -> Learner:
    """What the line makes of a log of M3 as bars: experts, dataset, the stages.

    The bars are ``synthetic:ou`` with the seed of ``config``; the rules are those of the score.
    """
    import tempfile

    from offline_trader.datasets import collect
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.settings import LineConfig
    from offline_trader.pipeline.trained_runs import finished_run, trained_policy

    source, features = f"synthetic:ou?seed={config.seed}", ("builtin", *config.features)
    env = EnvConfig(market=(source,), simulator=OU_RULES, features=features)
    names = ("learner", "auxiliary", "clone", "dagger", "direct", "evolution", "offline")
    parts = {name: getattr(config, name) for name in names}
    line = LineConfig(env=env, stages=stages, seed=config.seed, **parts)
    with tempfile.TemporaryDirectory(prefix="offline-trader-") as folder:
        root, run = Path(folder) / "datasets", Path(folder) / "run"
        collect(line.collecting(), root=root)
        pretrain(line.pretraining(), run, root=root)
        return trained_policy(finished_run(run))


def train_own(
    path: str, name: str, config: KnownOptimumConfig, *, realised: bool = False
) -> KnownPolicy:
    """The policy that the user's function makes of a dataset's transitions or a market's lanes.

    Raises:
        ConfigError: no such function, it failed, or it returned no policy.
    """
    function = guarded(path, find_function(path))
    policy = function(_experience(name, config, realised), config.seed)
    if inspect.isfunction(policy):
        return guarded(f"the policy of {path}", policy)
    try:
        return adapt(policy, name=f"the policy of {path}")
    except ConfigError as error:
        raise ConfigError(
            f"{path} returned a {type(policy).__name__}: {error.found}",
            expected="a policy: a function of observations [N, O] that returns actions [N], or a "
            "model of stable-baselines3, d3rlpy or torch",
        ) from error
