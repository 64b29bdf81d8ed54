"""Settings of the curriculum and of adaptive difficulty: frozen, checked, no torch needed."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive

__all__ = ["LEVEL_NAMES", "CurriculumConfig", "DifficultyConfig"]

LEVEL_NAMES: tuple[str, ...] = ("beginner", "intermediate", "advanced", "expert", "master")


@dataclass(frozen=True)
class CurriculumConfig:
    """Training on synthetic markets of five stages, each harder than the one before.

    Attributes:
        enabled: whether the lanes trade these markets in place of the environment's.
        first: the stage that training begins with; without the curriculum the one that adaptive
            difficulty changes.
        like: a market whose volatility, clusters, tails and volume the stages take; empty: those
            of ``synthetic:turbulent``.
        paths, bars: markets of a stage at a time, and decisions in each.
        exam_interval: environment steps between exams, each of which draws new paths, too.
        exam_episodes: markets of an exam, one episode each, that no training sees.
        exam_bars: decisions of such an episode.
        passing: success rate that the lower bound of Wilson's 95 % interval has to reach.
        rehearsal: share of the lanes that go on in earlier stages.
    """

    enabled: bool = False
    first: str = "beginner"
    like: str = ""
    paths: int = 8
    bars: int = 2_000
    exam_interval: int = 5_000
    exam_episodes: int = 100
    exam_bars: int = 1_000
    passing: float = 0.7
    rehearsal: float = 0.25

    def __post_init__(self) -> None:
        one_of(self, "first", LEVEL_NAMES)
        positive(self, "exam_interval", "exam_episodes")
        for name, least, most in (("paths", 1, 1_000), ("bars", 2, 20_000)):
            _within(self, name, least, most)
        _within(self, "exam_bars", 20, 20_000)
        _within(self, "exam_episodes", 1, 10_000)
        for name in ("passing", "rehearsal"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"curriculum.{name}={getattr(self, name)}", expected="in [0, 1)")


@dataclass(frozen=True)
class DifficultyConfig:
    """Markets that become harder while episodes go well, and easier while they go badly.

    Attributes:
        enabled: whether the markets adapt.
        window: episodes that are looked at; of a policy that takes a goal, at how much of its goals
            each reached.
        cooldown: episodes between two changes.
        factor: of a change.
        good_return, good_wins: mean return of the episodes, and the share of them that ended
            with a profit, above which it gets harder; with goals the latter bounds the mean of what
            they reached, and there is no return to look at.
        bad_return, bad_wins: below one of which it gets easier; with goals, below the latter.
    """

    enabled: bool = False
    window: int = 20
    cooldown: int = 20
    factor: float = 1.02
    good_return: float = 0.02
    good_wins: float = 0.6
    bad_return: float = -0.01
    bad_wins: float = 0.35

    def __post_init__(self) -> None:
        _within(self, "window", 1, 10_000)
        not_negative(self, "cooldown")
        if not 1.0 < self.factor <= 2.0:
            raise ConfigError(f"difficulty.factor={self.factor}", expected="above 1, at most 2")
        if not self.bad_return <= self.good_return or not self.bad_wins <= self.good_wins:
            raise ConfigError(
                f"difficulty: bad_return={self.bad_return}, good_return={self.good_return}, "
                f"bad_wins={self.bad_wins}, good_wins={self.good_wins}",
                expected="what is bad below what is good",
            )


def _within(config: object, name: str, least: int, most: int) -> None:
    if not least <= getattr(config, name) <= most:
        raise ConfigError(f"{name}={getattr(config, name)}", expected=f"{least:,} to {most:,}")
