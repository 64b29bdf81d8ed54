"""One window of a walk-forward whose policy a function of the user's makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from offline_trader.config import to_dict
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.walk_forward import Fold, FoldResult, make_folds
from offline_trader.features import compute_features
from offline_trader.markets import Bars, load_market
from offline_trader.pipeline.derived_seeds import fold_seed
from offline_trader.pipeline.folds import judged_window, window_env
from offline_trader.pipeline.own_features import own_code
from offline_trader.pipeline.settings import WalkForwardConfig
from offline_trader.policies import ForeignPolicy, adapt
from offline_trader.types import digest
from offline_trader.user_code import code_sha256, find_function, guarded

__all__ = ["PolicyFactory", "PolicyJob", "Window"]


@dataclass(frozen=True)
class Window:
    """What a factory may look at: the bars before those that judge its policy.

    Attributes:
        env: settings of the environment on the training bars, with the trading rules.
        validation: the same on the later bars that choose among policies.
        seed: of the window's training.
        folder: of the window's own, for whatever the factory keeps.
    """

    env: EnvConfig
    validation: EnvConfig
    seed: int
    folder: Path


PolicyFactory: TypeAlias = Callable[[Window], Any]
"""Trains on a window; what it returns is a policy to :func:`offline_trader.policies.adapt`."""


@dataclass(frozen=True)
class PolicyJob:
    """Has one fold's policy made, and judges it; see
    :class:`offline_trader.evaluation.walk_forward.FoldJob`.

    Attributes:
        config: the windows, the market, the rules and the seed; its stages do not count.
        factory: the function, or ``file.py:function``, by which other processes find it, too.
    """

    config: WalkForwardConfig
    factory: PolicyFactory | str
    modules: ClassVar[tuple[str, ...]] = ("offline_trader.pipeline.policy_folds",)

    def __post_init__(self) -> None:
        if self.config.windows.warm_start:
            raise ConfigError(
                "windows.warm_start = true with a factory of policies",
                expected="false: a factory begins anew in every window",
            )

    @property
    def name(self) -> str:
        """What the factory is called."""
        if isinstance(self.factory, str):
            return self.factory
        return getattr(self.factory, "__qualname__", type(self.factory).__name__)

    def to_dict(self) -> dict[str, Any]:
        """The settings, the market's hash, the factory and the hash of its file."""
        return {
            "env": to_dict(self.config.env),
            "windows": to_dict(self.config.windows),
            "seed": self.config.seed,
            "market_sha256": self._bars().sha256,
            **own_code(self.config.env.features),
            "factory": self.name,
            "factory_sha256": _content(self.factory),
        }

    def prepare(self, fold: Fold, directory: Path) -> None:
        """Nothing: a factory does all at once."""

    def train(self, fold: Fold, directory: Path) -> None:
        """Nothing: the policy of a fold is made when it is judged."""

    def __call__(self, fold: Fold, directory: Path, policies: Path) -> FoldResult:
        """Result of ``fold``. One that uses an earlier fold's policy has it made once more."""
        bars, windows = self._bars(), self.config.windows
        first, stop = bars.rows_between(self.config.env.start, self.config.env.end)
        warmup = compute_features(bars, self.config.env.features).warmup
        folds = make_folds(stop, windows, max(warmup, first))
        policy = self._made(folds[fold.trained_by], bars, directory)
        return judged_window(self.config.env, bars, fold, policy, {"kept": policy.kind})

    def _made(self, fold: Fold, bars: Bars, directory: Path) -> ForeignPolicy:
        env = self.config.env
        window = Window(
            env=window_env(env, bars, fold.train, _episode(env, len(fold.train))),
            validation=window_env(env, bars, fold.validation),
            seed=fold_seed(self.config.seed, fold.index),
            folder=directory,
        )
        directory.mkdir(parents=True, exist_ok=True)
        made = guarded(self.name, self._function())(window)
        policy = adapt(made, name=f"the policy of {self.name}")
        policy.require_layout(env.layout)
        return policy

    def _function(self) -> PolicyFactory:
        if isinstance(self.factory, str):
            return find_function(self.factory)
        return self.factory

    def _bars(self) -> Bars:
        (market,) = self.config.env.market
        return load_market(market, tz=self.config.env.tz, signals=self.config.env.signals)


def _content(factory: PolicyFactory | str) -> str:
    """Hash of the code: of its file where that is named; of a function in memory of its text and
    of all that it carries along, so that none is taken for another one of the same name."""
    if isinstance(factory, str):
        return code_sha256(find_function(factory))
    try:
        text = inspect.getsource(factory)
    except (OSError, TypeError):
        text = repr(factory)
    cells = [repr(cell.cell_contents) for cell in getattr(factory, "__closure__", None) or ()]
    carried = [repr(getattr(factory, name, None)) for name in ("__defaults__", "__kwdefaults__")]
    return digest([text, cells, carried])


def _episode(env: EnvConfig, bars: int) -> int | None:
    """Steps of an episode within ``bars`` bars."""
    return None if env.episode_bars is None else min(env.episode_bars, bars - 1)
