"""What ``known-optimum`` is asked for: which of its options go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from offline_trader.errors import ConfigError
from offline_trader.pipeline.known_optimum import ON_BARS
from offline_trader.pipeline.known_optimum_training import KnownOptimumConfig

__all__ = ["Request"]

_STAGES = ("aux", "auxiliary", "bc", "clone", "dagger", "offline")
"""Stages that are no method by themselves."""


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
        self._require_no_stages()
        if name == ON_BARS and self.policy is None and not self.through_bars:
            raise ConfigError(
                f"training on {ON_BARS}",
                expected="--train direct, evolution or default, or --policy with a policy that "
                "was trained through the line",
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

    def _require_no_stages(self) -> None:
        """Raises ConfigError where ``--train`` is given stages, which are settings of the chain."""
        stages = (self.algorithm or "").replace(" ", "")
        if self.own or self.through_bars or not ("," in stages or stages in _STAGES):
            return
        raise ConfigError(
            f"--train {self.algorithm}",
            expected="one method: default (the chain of pretrain), direct, evolution, an algorithm "
            "of a learner, or module:function",
            hint=f"some stages of the chain alone: --train default --set stages={stages}",
        )

    @property
    def own(self) -> bool:
        """Whether a method of the user's own is trained."""
        return self.algorithm is not None and ":" in self.algorithm

    @property
    def through_bars(self) -> bool:
        """Whether the policy is trained on the market's log, by one stage or the default chain."""
        return self.algorithm in ("direct", "evolution", "default")

    @property
    def method(self) -> str | None:
        """The method that is no algorithm of a learner, or None."""
        return self.algorithm if self.own or self.through_bars else None

    def require_used(self, name: str, settings: Sequence[str]) -> None:
        """Raises ConfigError where one of the ``--set`` texts changes nothing on ``name``."""
        used = {
            "seed",
            *(("bars", "paths", "features") if name == ON_BARS else ("score_lanes", "score_steps")),
        }
        on_lanes = self.policy is None and "-" not in name
        if on_lanes and not self.through_bars:
            used.add("lanes")
        if self.algorithm == "default":
            used |= {"learner", "stages", "auxiliary", "clone", "dagger", "direct", "evolution"}
            used.add("offline")
        elif self.algorithm in ("direct", "evolution"):
            used |= {"learner", self.algorithm}
        elif self.policy is None and not self.own:
            used |= {"learner", "online" if on_lanes else "offline"}
        known = {each.name for each in fields(KnownOptimumConfig)}
        if any(text.strip().startswith("env.") for text in settings):
            raise ConfigError(
                f"{name} has rules of its own: its optimum was computed for them",
                expected="settings of " + ", ".join(sorted(used)),
                hint="costs of real markets are set in collect, finetune, evaluate, walk-forward",
            )
        for text in settings:
            section = text.partition("=")[0].partition(".")[0].strip()
            if section in known - used:
                raise ConfigError(
                    f"--set {text} changes nothing here",
                    expected="settings of " + ", ".join(sorted(used)),
                )
