"""Lanes on the curriculum's markets: which stage they are in, when it changes, how hard it is.

To the online loop they are lanes like others. They end every episode at once (as truncated, with
the observations that followed) when the markets are drawn anew: after an exam, and when the
difficulty adapts. A share of them goes on in the stages before the present one, which would be
forgotten otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.envs import GoalLanes
from offline_trader.errors import ConfigError
from offline_trader.learning.settings import CurriculumConfig, DifficultyConfig
from offline_trader.learning.stages.lanes import LaneStep
from offline_trader.learning.stages.levels import (
    LEVELS,
    Difficulty,
    Level,
    adapted,
    as_row,
    level_paths,
    level_rules,
    of_row,
)
from offline_trader.markets.synthetic import TurbulentMarket
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
from offline_trader.types import BoolArray, FloatArray, Observations, Policy

__all__ = ["Course", "CourseLanes", "Exam", "Examine"]

_TRAINING, _EXAM, _LANES = 0, 1, 2


@dataclass(frozen=True)
class Exam:
    """What an examiner found.

    Attributes:
        passed, episodes: episodes that reached the stage's gates, and all.
        low: lower bound of Wilson's 95 % interval of the success rate.
        measures: further figures of it, for the log.
    """

    passed: int
    episodes: int
    low: float
    measures: Mapping[str, float]


Examine = Callable[[Policy, MarketTensor, SimulatorConfig, Level], Exam]
"""Judges a policy by one episode on each instrument of a market, under rules, by the gates of a
stage."""


@dataclass(frozen=True)
class Course:
    """What the lanes are made of.

    Attributes:
        curriculum, difficulty: settings of the two.
        rules: of the portfolio; what trading costs is the stages'.
        features: names of feature sets.
        episode_bars: decisions of a training's episode, or None: a market's.
        examine: judges a policy.
        like: a fitted market, or None.
    """

    curriculum: CurriculumConfig
    difficulty: DifficultyConfig
    rules: SimulatorConfig
    features: tuple[str, ...]
    episode_bars: int | None
    examine: Examine
    like: TurbulentMarket | None = None


@dataclass(frozen=True)
class _Step:
    observations: Observations
    rewards: FloatArray
    terminated: BoolArray
    truncated: BoolArray


class CourseLanes:
    """N lanes over the markets of a stage and, in a share of them, of those before it.

    Args:
        course: the markets.
        n_lanes: N.
        seed: of markets, exams and starts.

    Attributes:
        level: number of the present stage, from 0.
        difficulty: how hard it is now.
    """

    def __init__(self, course: Course, n_lanes: int, seed: int = 0) -> None:
        if n_lanes < 1:
            raise ConfigError(f"{n_lanes} lanes", expected="1 or more")
        self.course, self.n_lanes, self._seed = course, n_lanes, seed
        self.level = [level.name for level in LEVELS].index(course.curriculum.first)
        self.difficulty = self._beginning()
        self._drawn, self._exams, self._since, self._due = 0, 0, 0, False
        self._results: list[float] = []
        self._build()

    def _beginning(self) -> Difficulty:
        return Difficulty.of(LEVELS[self.level], adaptive=self.course.difficulty.enabled)

    def _build(self) -> None:
        """New markets for the present stage and difficulty."""
        self._made = (self.level, self.difficulty)
        self._simulators = [
            self._simulator(number, count, place)
            for place, (number, count) in enumerate(self._dealt())
        ]
        self._parts = [self._part(each, place) for place, each in enumerate(self._simulators)]
        shape = (self.n_lanes, self._parts[0].observations.shape[1])
        self.final_observations: Observations = np.zeros(shape, np.float32)

    def _dealt(self) -> list[tuple[int, int]]:
        """(stage, lanes), the present one first; earlier ones share what is rehearsed, the
        nearest first."""
        share = self.course.curriculum.rehearsal if self.course.curriculum.enabled else 0.0
        again = min(int(self.n_lanes * share), self.n_lanes - 1) if self.level > 0 else 0
        counts = {self.level: self.n_lanes - again}
        for i in range(again):
            number = self.level - 1 - i % self.level
            counts[number] = counts.get(number, 0) + 1
        return list(counts.items())

    def _simulator(self, number: int, count: int, place: int) -> Simulator:
        course, level = self.course, LEVELS[number]
        now = self.difficulty if number == self.level else Difficulty.of(level)
        shape = (course.curriculum.paths, course.curriculum.bars)
        paths = self._seeds(_TRAINING, self._drawn, place)
        starts = self._seeds(_LANES, self._drawn, place)
        return Simulator(
            level_paths(level, now, course.like, course.features, shape, paths),
            level_rules(level, now, course.like, course.rules),
            count,
            episode_bars=course.episode_bars,
            seed=int(starts.generate_state(1)[0]),
            random_start=True,
        )

    def _part(self, simulator: Simulator, place: int) -> Simulator | GoalLanes:
        """What steps the lanes of a simulator."""
        return simulator

    def _seeds(self, *purpose: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self._seed, *purpose])

    @property
    def endogenous(self) -> tuple[int, ...]:
        """Columns of the observation that the actions move: the portfolio's."""
        return self._parts[0].endogenous

    @property
    def stage(self) -> str:
        """Name of the present stage."""
        return LEVELS[self.level].name

    @property
    def simulators(self) -> list[Simulator]:
        """The lanes by stage, the present one first."""
        return list(self._simulators)

    @property
    def market(self) -> MarketTensor:
        """The present stage's, whose columns are those of every stage."""
        return self._parts[0].market

    @property
    def traded(self) -> BoolArray:
        """[N] whether the last step filled an order."""
        return self._traded

    def reset(self) -> Observations:
        """[N, O] first observations."""
        self._traded = np.zeros(self.n_lanes, np.bool_)
        return np.concatenate([each.reset() for each in self._parts])

    def step(self, actions: NDArray[np.float32]) -> _Step:
        """One step of every lane; the last one before new markets ends every episode."""
        bounds = np.cumsum([each.n_lanes for each in self._parts])[:-1]
        parts = np.split(np.asarray(actions), bounds)
        steps = [each.step(own) for each, own in zip(self._parts, parts, strict=True)]
        terminated = np.concatenate([each.terminated for each in steps])
        truncated = np.concatenate([each.truncated for each in steps])
        rewards = np.concatenate([each.rewards for each in steps])
        seen = np.concatenate([each.observations for each in steps])
        ended = terminated | truncated
        final = np.concatenate([each.final_observations for each in self._parts])
        self._traded = np.concatenate([each.traded for each in self._parts])
        self._note(steps[0])
        if self._due:
            final = np.where(ended[:, None], final, seen)
            truncated = ~terminated
            self._renew()
            seen = np.concatenate([each.reset() for each in self._parts])
        self.final_observations = final
        return _Step(seen, rewards, terminated, truncated)

    def _renew(self) -> None:
        self._drawn, self._due = self._drawn + 1, False
        self._build()

    def _note(self, step: LaneStep) -> None:
        """Count the present stage's episodes that ended with its ``step``, and adapt."""
        config = self.course.difficulty
        found = self._results_of(step) if config.enabled else []
        if not found:
            return
        self._results = (self._results + found)[-config.window :]
        self._since += len(found)
        if len(self._results) < config.window or self._since < config.cooldown:
            return
        changed = self._adapted(np.array(self._results))
        if changed != self.difficulty:
            self.difficulty, self._since, self._due = changed, 0, True

    def _results_of(self, step: LaneStep) -> list[float]:
        """What the episodes came to that ended in the present stage: their returns."""
        ended = step.terminated | step.truncated
        if not ended.any():
            return []
        found: list[float] = self._simulators[0].outcome()["cumulative_return"][ended].tolist()
        return found

    def _adapted(self, results: FloatArray) -> Difficulty:
        """The difficulty after episodes that came to ``results``."""
        return adapted(self.difficulty, results, self.course.difficulty)

    def examine(self, policy: Policy) -> dict[str, Any]:
        """Examine ``policy`` on new markets of the present stage, and go on to the next if it
        passes; what is to be logged.

        The exam is at the stage's own difficulty, whatever the lanes have adapted to.
        """
        course, level = self.course, LEVELS[self.level]
        settings, now = course.curriculum, Difficulty.of(level)
        seeds = self._seeds(_EXAM, self._exams)
        shape = (settings.exam_episodes, settings.exam_bars)
        market = level_paths(level, now, course.like, course.features, shape, seeds)
        rules = level_rules(level, now, course.like, course.rules)
        found = course.examine(policy, market, rules, level)
        self._exams, self._due = self._exams + 1, True
        row: dict[str, Any] = {
            "curriculum/stage": self.level + 1.0,
            "curriculum/success_rate": found.passed / found.episodes,
            "curriculum/success_low": found.low,
        }
        row |= {f"curriculum/{name}": value for name, value in found.measures.items()}
        if found.low >= settings.passing and self.level + 1 < len(LEVELS):
            self.level += 1
            self.difficulty, self._results, self._since = self._beginning(), [], 0
            row["curriculum/passed"] = (
                f"{found.passed} of {found.episodes} episodes reached the gates of stage "
                f"{level.name}: training goes on to {LEVELS[self.level].name}"
            )
        return row

    def measures(self) -> dict[str, float]:
        """Number of the stage from 1, and the difficulty where it adapts."""
        found = {"stage": self.level + 1.0}
        if self.course.difficulty.enabled:
            found |= self.difficulty._asdict()
        return found

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on; markets are made again from their seeds."""
        return {
            "counts": np.array([self._drawn, self._exams, self._since, self._due], np.int64),
            "now": as_row(self.level, self.difficulty),
            "made": as_row(*self._made),
            "returns": np.array(self._results, np.float64),
            "traded": self._traded.copy(),
            "final": self.final_observations.copy(),
            "parts": {str(i): each.state_dict() for i, each in enumerate(self._parts)},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`, for lanes of the same course and seed."""
        drawn, exams, since, due = state["counts"].tolist()
        self._drawn, self._exams, self._since, self._due = drawn, exams, since, bool(due)
        self.level, self.difficulty = of_row(state["made"])
        self._build()
        self.level, self.difficulty = of_row(state["now"])
        self._results = state["returns"].tolist()
        self._traded, self.final_observations = state["traded"].copy(), state["final"].copy()
        for i, each in enumerate(self._parts):
            each.load_state_dict(state["parts"][str(i)])
