"""One window of a walk-forward through the whole line: collect, pretrain, fine-tune, judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from offline_trader.config import to_dict
from offline_trader.datasets import collect
from offline_trader.envs import EnvConfig
from offline_trader.evaluation.walk_forward import Fold, FoldResult, fold_directory
from offline_trader.markets import BarRange, Bars, load_market
from offline_trader.pipeline.derived_seeds import fold_seed
from offline_trader.pipeline.finetuning import finetune
from offline_trader.pipeline.own_features import own_code
from offline_trader.pipeline.pretraining import pretrain
from offline_trader.pipeline.settings import LineConfig, WalkForwardConfig
from offline_trader.pipeline.trained_runs import acting_policy, finished_run
from offline_trader.tables.dates import date_of
from offline_trader.types import Policy

__all__ = ["LineJob", "judged_window", "window_env", "window_line"]

DATASETS, DATASET_ID = "datasets", "walk-forward/experts-v0"


@dataclass(frozen=True)
class LineJob:
    """Trains and judges one fold; see :class:`offline_trader.evaluation.walk_forward.FoldJob`."""

    config: WalkForwardConfig
    modules: ClassVar[tuple[str, ...]] = (
        "offline_trader.pipeline.folds",
        "offline_trader.pipeline.phases",
        "offline_trader.features.windows",
        "offline_trader.learning.stages.cloning",
        "offline_trader.learning.stages.direct.training",
        "offline_trader.learning.stages.offline",
        "offline_trader.learning.stages.online",
        "pandas",
        "talib",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    )

    def to_dict(self) -> dict[str, Any]:
        """The settings, the market's hash, and that of the user's own features."""
        shas = {"market_sha256": self._bars().sha256, **own_code(self.config.env.features)}
        return {**to_dict(self.config), **shas}

    def prepare(self, fold: Fold, directory: Path) -> None:
        """Collect the fold's dataset and clone its experts, unless that was done already."""
        line = self._line(fold)
        _collect(line, directory)
        if fold.warm_from is None:
            _pretrain(line, directory, only_clone=True)

    def train(self, fold: Fold, directory: Path) -> None:
        """Learn offline from the fold's dataset, as far as that was not done before."""
        _pretrain(self._line(fold), directory)

    def __call__(self, fold: Fold, directory: Path, policies: Path) -> FoldResult:
        """Result of ``fold``."""
        bars = self._bars()
        if fold.trained_by == fold.index:
            line = self._line(fold)
            _collect(line, directory)
            if fold.warm_from is None:
                _pretrain(line, directory)
            if self.config.finetune:
                _finetune(line, directory, self._parent(fold, directory, policies))
        home = fold_directory(policies, fold.trained_by)
        trained = _final_run(home, self.config.finetune)
        policy = acting_policy(finished_run(trained), unverified=True)
        facts = _selection(trained, home, fold.warm_from is not None)
        return judged_window(self.config.env, bars, fold, policy, facts)

    def _bars(self) -> Bars:
        (market,) = self.config.env.market
        return load_market(market, tz=self.config.env.tz, signals=self.config.env.signals)

    def _line(self, fold: Fold) -> LineConfig:
        """The line on one window: its ranges, and a seed of its own."""
        seed = fold_seed(self.config.seed, fold.index)
        return window_line(self.config, self._bars(), fold.train, fold.validation, seed)

    def _parent(self, fold: Fold, directory: Path, policies: Path) -> Path:
        """The run that the fold's online training starts from."""
        if fold.warm_from is None:
            return directory / "pretrain"
        return _final_run(fold_directory(policies, fold.warm_from), finetune=True)


def window_line(
    config: LineConfig, bars: Bars, train: BarRange, validation: BarRange, seed: int
) -> LineConfig:
    """The line of ``config``, whatever else that configures, on one window of ``bars``."""
    env = config.env
    episode = None if env.episode_bars is None else min(env.episode_bars, len(train) - 1)
    sections = {each.name: getattr(config, each.name) for each in fields(LineConfig)}
    return replace(
        LineConfig(**sections),
        env=window_env(env, bars, train, episode),
        validation=replace(
            config.validation,
            start=_moment(bars, validation.start),
            end=_moment(bars, validation.stop - 1),
        ),
        seed=seed,
    )


def window_env(
    env: EnvConfig, bars: Bars, part: BarRange, episode_bars: int | None = None
) -> EnvConfig:
    """``env`` on the bars ``part``; without ``episode_bars`` as one episode."""
    return replace(
        env,
        start=_moment(bars, part.start),
        end=_moment(bars, part.stop - 1),
        episode_bars=episode_bars,
        random_start=env.random_start and episode_bars is not None,
    )


def judged_window(
    env: EnvConfig, bars: Bars, fold: Fold, policy: Policy, facts: Mapping[str, Any]
) -> FoldResult:
    """What ``policy`` earned on the test range of ``fold``, beside buy-and-hold; with ``facts``."""
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.evaluation.measures import collapse_of
    from offline_trader.experts import get_expert

    # The first decision is taken at the close before the test range.
    judged = window_env(env, bars, BarRange(fold.test.start - 1, fold.test.stop))
    span, rules = EvaluationRange.from_env(judged), env.simulator
    own = span.account(policy, rules)
    held = span.account(get_expert("buy_and_hold"), rules)
    stamps = bars.timestamps[fold.test.start : fold.test.stop]
    collapse = collapse_of(own.backtests)
    return FoldResult(
        timestamps=np.datetime_as_string(stamps.astype("datetime64[s]")).tolist(),
        returns=own.returns.tolist(),
        benchmark=held.returns.tolist(),
        facts={
            "trades": int(sum(backtest.traded.sum() for backtest in own.backtests)),
            "mean_exposure": float(np.mean([np.abs(one.exposure).mean() for one in own.backtests])),
            "hold_share": collapse.hold_share,
            "verdicts": list(collapse.verdicts),
            **facts,
        },
    )


def _collect(line: LineConfig, directory: Path) -> None:
    collect(line.collecting(DATASET_ID), root=directory / DATASETS, resume=True)


def _pretrain(line: LineConfig, directory: Path, *, only_clone: bool = False) -> None:
    pretrain(
        line.pretraining(DATASET_ID),
        directory / "pretrain",
        root=directory / DATASETS,
        resume=True,
        only_clone=only_clone,
    )


def _finetune(line: LineConfig, directory: Path, parent: Path) -> None:
    finetune(
        line.finetuning(DATASET_ID),
        parent,
        directory / "finetune",
        root=directory / DATASETS,
        resume=True,
        unverified=True,
    )


def _final_run(directory: Path, finetune: bool) -> Path:
    return directory / ("finetune" if finetune else "pretrain")


def _selection(trained: Path, home: Path, warm: bool) -> dict[str, Any]:
    """Which policy of a window's training was kept, and its Sharpe ratio on the validation range.

    ``kept`` is the last stage that had a better policy than the one it began with.
    """
    facts = finished_run(trained).facts
    kept = "online"
    if facts.online is None or facts.online.kept == "warm_start":
        kept = "previous window" if warm else _kept_by_pretraining(home)
    chosen = facts.chosen
    return {"kept": kept, "validation_sharpe": None if chosen is None else chosen.kept_score}


def _kept_by_pretraining(home: Path) -> str:
    facts = finished_run(home / "pretrain").facts
    kept = [name for name, stage in facts.stages.items() if stage.kept != "warm_start"]
    return kept[-1] if kept else "clone"


def _moment(bars: Bars, row: int) -> str:
    return date_of(bars.timestamps[row])
