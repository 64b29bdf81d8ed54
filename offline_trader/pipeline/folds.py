"""One window of a walk-forward through the whole line: collect, pretrain, fine-tune, judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from offline_trader.config import require_seed, to_dict
from offline_trader.datasets import CollectConfig, collect
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.walk_forward import Fold, FoldResult, WindowConfig, fold_directory
from offline_trader.learning.settings import CloneConfig, LearnerConfig, OfflineConfig, OnlineConfig
from offline_trader.markets import BarRange, Bars, load_market
from offline_trader.pipeline.finetuning import FinetuneConfig, finetune
from offline_trader.pipeline.pretraining import PretrainConfig, pretrain
from offline_trader.pipeline.progress import Silent
from offline_trader.pipeline.trained_runs import finished_run, trained_policy
from offline_trader.pipeline.validation import ValidationConfig
from offline_trader.runs import Run
from offline_trader.simulator import SimulatorConfig

__all__ = ["LineJob", "WalkForwardConfig"]

DATASETS, DATASET_ID = "datasets", "walk-forward/experts-v0"


@dataclass(frozen=True)
class WalkForwardConfig:
    """One walk-forward: the windows, and the line that is run on each.

    Attributes:
        market: a built-in market or a file with one instrument.
        tz: time zone of times that carry none.
        windows: how the bars are cut.
        simulator: trading rules and costs.
        experts: the behaviour mixture.
        transitions: expert steps to collect a window.
        learner, clone, offline: the pretraining.
        finetune: whether online training follows.
        online, lanes: the online training.
        seed: of everything; each fold derives its own.
    """

    market: str = "sp500"
    tz: str | None = None
    windows: WindowConfig = field(default_factory=WindowConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    experts: tuple[str, ...] = field(default_factory=lambda: CollectConfig().experts)
    transitions: int = 50_000
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    clone: CloneConfig = field(default_factory=lambda: CloneConfig(updates=1_500))
    offline: OfflineConfig = field(default_factory=lambda: OfflineConfig(updates=2_000))
    finetune: bool = True
    online: OnlineConfig = field(default_factory=lambda: OnlineConfig(steps=5_000))
    lanes: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        require_seed(self.seed)
        for name in ("train_bars", "validation_bars"):
            if getattr(self.windows, name) < 2:
                raise ConfigError(f"windows.{name} = 1", expected="2 or more: one step of trading")
        if self.windows.warm_start and not self.finetune:
            raise ConfigError(
                "windows.warm_start = true with finetune = false",
                expected="finetune = true: a warm start goes on training the last policy online",
            )


@dataclass(frozen=True)
class LineJob:
    """Trains and judges one fold; see :class:`offline_trader.evaluation.walk_forward.FoldJob`."""

    config: WalkForwardConfig
    modules: ClassVar[tuple[str, ...]] = (
        "offline_trader.pipeline.folds",
        "offline_trader.pipeline.phases",
        "offline_trader.features.windows",
        "offline_trader.learning.stages.cloning",
        "offline_trader.learning.stages.offline",
        "offline_trader.learning.stages.online",
        "pandas",
        "talib",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    )

    def to_dict(self) -> dict[str, Any]:
        """The settings and the market's hash."""
        market = load_market(self.config.market, tz=self.config.tz)
        return {**to_dict(self.config), "market_sha256": market.sha256}

    def prepare(self, fold: Fold, directory: Path) -> None:
        """Collect the fold's dataset and clone its experts, unless that was done already."""
        bars = load_market(self.config.market, tz=self.config.tz)
        self._collect(fold, directory, bars)
        if fold.warm_from is None:
            self._pretrain(fold, directory, bars, only_clone=True)

    def train(self, fold: Fold, directory: Path) -> None:
        """Learn offline from the fold's dataset, as far as that was not done before."""
        bars = load_market(self.config.market, tz=self.config.tz)
        self._pretrain(fold, directory, bars)

    def _collect(self, fold: Fold, directory: Path, bars: Bars) -> None:
        collect(self._plan(fold, bars), root=directory / DATASETS, resume=True)

    def _pretrain(
        self, fold: Fold, directory: Path, bars: Bars, *, only_clone: bool = False
    ) -> None:
        settings = PretrainConfig(
            dataset=DATASET_ID,
            learner=self.config.learner,
            clone=self.config.clone,
            offline=self.config.offline,
            validation=_validation(bars, fold),
            seed=self._seed(fold),
        )
        root = directory / DATASETS
        pretrain(
            settings,
            directory / "pretrain",
            Silent(),
            root=root,
            resume=True,
            only_clone=only_clone,
        )

    def __call__(self, fold: Fold, directory: Path, policies: Path) -> FoldResult:
        """Result of ``fold``."""
        from offline_trader.evaluation.backtest import Course
        from offline_trader.evaluation.measures import collapse_of
        from offline_trader.experts import get_expert

        bars = load_market(self.config.market, tz=self.config.tz)
        if fold.trained_by == fold.index:
            self._collect(fold, directory, bars)
            if fold.warm_from is None:
                self._pretrain(fold, directory, bars)
            if self.config.finetune:
                self._finetune(fold, bars, directory, policies)
        home = fold_directory(policies, fold.trained_by)
        trained = _final_run(home, self.config.finetune)
        # The first decision is taken at the close before the test range.
        env = self._env(bars, BarRange(fold.test.start - 1, fold.test.stop))
        course, rules = Course.from_env(env), self.config.simulator
        learner = trained_policy(finished_run(trained), unverified=True)
        own = course.account(learner.act, rules)
        held = course.account(get_expert("buy_and_hold"), rules)
        stamps = bars.timestamps[fold.test.start : fold.test.stop]
        collapse = collapse_of(own.legs)
        return FoldResult(
            timestamps=np.datetime_as_string(stamps.astype("datetime64[s]")).tolist(),
            returns=own.returns.tolist(),
            benchmark=held.returns.tolist(),
            facts={
                "trades": int(sum(leg.traded.sum() for leg in own.legs)),
                "hold_share": collapse.hold_share,
                "verdicts": list(collapse.verdicts),
                **_selection(trained, home, fold.warm_from is not None),
            },
        )

    def _seed(self, fold: Fold) -> int:
        return int(np.random.SeedSequence([self.config.seed, fold.index]).generate_state(1)[0])

    def _plan(self, fold: Fold, bars: Bars) -> CollectConfig:
        """What the experts collect on the training range."""
        return CollectConfig(
            dataset_id=DATASET_ID,
            env=self._env(bars, fold.train, min(1_000, len(fold.train) - 1)),
            experts=self.config.experts,
            transitions=self.config.transitions,
            seed=self._seed(fold),
        )

    def _env(self, bars: Bars, part: BarRange, episode_bars: int | None = None) -> EnvConfig:
        return EnvConfig(
            market=(self.config.market,),
            tz=self.config.tz,
            start=_moment(bars, part.start),
            end=_moment(bars, part.stop - 1),
            episode_bars=episode_bars,
            random_start=episode_bars is not None,
            simulator=self.config.simulator,
        )

    def _finetune(self, fold: Fold, bars: Bars, directory: Path, policies: Path) -> None:
        parent = directory / "pretrain"
        if fold.warm_from is not None:
            parent = _final_run(fold_directory(policies, fold.warm_from), finetune=True)
        settings = FinetuneConfig(
            dataset=DATASET_ID,
            env=self._plan(fold, bars).env,
            learner=self.config.learner.with_tag("sac"),
            online=self.config.online,
            lanes=self.config.lanes,
            validation=_validation(bars, fold),
            seed=self._seed(fold),
        )
        root = directory / DATASETS
        finetune(
            settings,
            parent,
            directory / "finetune",
            Silent(),
            root=root,
            resume=True,
            unverified=True,
        )


def _validation(bars: Bars, fold: Fold) -> ValidationConfig:
    return ValidationConfig(
        start=_moment(bars, fold.validation.start),
        end=_moment(bars, fold.validation.stop - 1),
    )


def _final_run(directory: Path, finetune: bool) -> Path:
    return directory / ("finetune" if finetune else "pretrain")


def _selection(trained: Path, home: Path, warm: bool) -> dict[str, Any]:
    """Which policy of a window's training was kept, and its Sharpe ratio on the validation range.

    ``kept`` is the last stage that had a better policy than the one it began with.
    """
    facts = Run.open(trained).facts
    stage = facts["online"] if "online" in facts else facts["offline"]
    kept = "online"
    if "online" not in facts or stage["kept"] == "warm_start":
        kept = "previous window" if warm else _kept_by_pretraining(home)
    return {"kept": kept, "validation_sharpe": stage["kept_score"]}


def _kept_by_pretraining(home: Path) -> str:
    offline = Run.open(home / "pretrain").facts["offline"]
    return "clone" if offline["kept"] == "warm_start" else "offline"


def _moment(bars: Bars, row: int) -> str:
    return str(bars.timestamps[row].astype("datetime64[s]"))
