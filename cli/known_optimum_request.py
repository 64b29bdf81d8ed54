"""What ``known-optimum`` is asked for: its settings, and which options go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from offline_trader.config import require_seed
from offline_trader.errors import ConfigError
from offline_trader.learning.settings import (
    DirectConfig,
    LearnerConfig,
    OfflineConfig,
    OnlineConfig,
)

__all__ = ["ON_BARS", "KnownOptimumConfig", "Request"]

ON_BARS = "M3-bars"


@dataclass(frozen=True)
class KnownOptimumConfig:
    """How a learner is trained and a policy is scored.

    Attributes:
        learner: algorithm and networks.
        offline: training on one of the offline datasets.
        online, lanes: training from scratch where no dataset is named.
        direct: training through the portfolio's gradient, with ``--train direct``.
        score_lanes, score_steps: size of the scoring run.
        bars, paths: size of the scoring run on M3-bars, all paths together.
        seed: the first one.
    """

    learner: LearnerConfig = field(
        default_factory=lambda: LearnerConfig(gamma=0.97, reward_scaling="none")
    )
    offline: OfflineConfig = field(
        default_factory=lambda: OfflineConfig(updates=4_000, critic_updates=0, evaluate_interval=0)
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
    score_lanes: int = 256
    score_steps: int = 2_000
    bars: int = 50_000
    paths: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        require_seed(self.seed)


@dataclass(frozen=True)
class Request:
    """The options that say what is to be scored; refuses those that do not go together."""

    policy: str | None
    algorithm: str | None
    seeds: int
    fqe: bool
    run: Path | None
    realised: bool = False
    unverified: bool = False

    def require_nothing(self) -> None:
        """Raises ConfigError where something is to be scored on no market."""
        if self != Request(None, None, 1, False, None):
            raise ConfigError(
                "no market or dataset",
                expected="its name first: what is to be scored, and where",
                hint="offline-trader known-optimum alone lists them",
            )

    def require_possible(self, name: str) -> None:
        """Raises ConfigError where ``name`` is unknown or cannot do what was asked."""
        from offline_trader.evaluation.known_optimum import KNOWN_MARKETS, OFFLINE_DATASETS

        known = [*KNOWN_MARKETS, *OFFLINE_DATASETS, ON_BARS]
        if name not in known:
            raise ConfigError(
                f"unknown market or dataset {name!r}", expected="one of " + ", ".join(known)
            )
        if name == ON_BARS and self.policy is None:
            raise ConfigError(
                f"training on {ON_BARS}",
                expected="--policy with a policy that was trained through the line",
                hint="pretrain on a dataset of synthetic:ou, then score its run here",
            )
        neither = self.policy is None and self.algorithm is None
        if (self.policy and self.algorithm) or (neither and self.run is None):
            raise ConfigError(
                "neither --policy nor --train" if neither else "both --policy and --train",
                expected="one of the two: what is to be scored",
                hint="or --run FOLDER of a training run, whose method is to be scored",
            )
        if self.policy and self.seeds > 1:
            raise ConfigError(
                f"--seeds {self.seeds} with --policy, which trains nothing",
                expected="--seeds with --train or --run",
                hint="--seed N scores the policy on another draw of the market",
            )
        if self.realised and self.policy is not None:
            raise ConfigError(
                "--realised with --policy, which trains nothing",
                expected="--realised with --train or --run",
            )
        if self.fqe and name not in OFFLINE_DATASETS:
            raise ConfigError(
                f"--fqe on {name}", expected="an offline dataset: " + ", ".join(OFFLINE_DATASETS)
            )

    @property
    def own(self) -> bool:
        """Whether a method of the user's own is trained."""
        return self.algorithm is not None and ":" in self.algorithm

    @property
    def direct(self) -> bool:
        """Whether the policy is trained through the portfolio's gradient."""
        return self.algorithm == "direct"

    def require_used(self, name: str, settings: Sequence[str]) -> None:
        """Raises ConfigError where one of the ``--set`` texts changes nothing on ``name``."""
        used = {"seed", *(("bars", "paths") if name == ON_BARS else ("score_lanes", "score_steps"))}
        on_lanes = self.policy is None and "-" not in name
        if on_lanes and not self.direct:
            used.add("lanes")
        if self.direct:
            used |= {"learner", "direct"}
        elif self.policy is None and not self.own:
            used |= {"learner", "online" if on_lanes else "offline"}
        known = {each.name for each in fields(KnownOptimumConfig)}
        for text in settings:
            section = text.partition("=")[0].partition(".")[0].strip()
            if section in known - used:
                raise ConfigError(
                    f"--set {text} changes nothing here",
                    expected="settings of " + ", ".join(sorted(used)),
                )
