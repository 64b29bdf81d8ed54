"""The lanes that online training steps: the user's market, or the curriculum's with its exams."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from offline_trader.envs import EnvConfig, GoalLanes, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.goals import GoalTask
from offline_trader.learning.settings import OnlineConfig
from offline_trader.markets import load_market, signal_names
from offline_trader.pipeline.exams import examine, examine_goals

if TYPE_CHECKING:
    from offline_trader.learning.stages.course import CourseLanes
    from offline_trader.markets.synthetic import TurbulentMarket
    from offline_trader.simulator import Simulator

__all__ = ["beyond_bars", "check_course", "make_lanes"]


def check_course(config: OnlineConfig, env: EnvConfig) -> TurbulentMarket | None:
    """The fitted market that the course's are to be like; None without a course, or if its markets
    are like none.

    Raises:
        ConfigError: a curriculum with features that its markets do not have, or with replays.
        DataError: a market to be like that cannot be read or fitted.
    """
    if not config.staged:
        return None
    if "replay" in config.transforms:
        raise ConfigError(
            "online.transforms=replay with a curriculum or adaptive difficulty",
            expected="one of them: its replays are of the environment's own bars",
        )
    wanting = beyond_bars(env)
    if wanting:
        raise ConfigError(
            f"the policy observes {', '.join(wanting)}, which a curriculum's markets do not have",
            expected="features that are computed from bars",
            hint="online.curriculum.enabled=false, and online.difficulty.enabled=false",
        )
    if not config.curriculum.like:
        return None
    from offline_trader.markets.synthetic import fit_turbulent

    return fit_turbulent(load_market(config.curriculum.like, tz=env.tz))


def beyond_bars(env: EnvConfig) -> list[str]:
    """Features that are not computed from bars, so that synthetic markets have none of them."""
    return [f"signal:{name}" for name in signal_names(env.features)]


def make_lanes(
    config: OnlineConfig,
    env: EnvConfig,
    n_lanes: int,
    seed: int,
    task: GoalTask = GoalTask(),
    like: TurbulentMarket | None = None,
) -> Simulator | GoalLanes | CourseLanes:
    """The environment's lanes, or those of the curriculum or of adaptive difficulty; with the goals
    of ``task``, if it has any.

    ``like`` is what :func:`check_course` found, where it was asked before; it is asked otherwise.

    Raises:
        ConfigError, DataError: as :func:`check_course`.
    """
    like = like or check_course(config, env)
    if not config.staged:
        plain = make_simulator(env, n_lanes, seed)
        return GoalLanes(plain, task, seed) if task else plain
    from offline_trader.learning.stages.course import Course, CourseLanes
    from offline_trader.learning.stages.goal_course import GoalCourseLanes

    course = Course(
        config.curriculum,
        config.difficulty,
        env.simulator,
        env.features,
        env.episode_bars,
        partial(examine_goals, task) if task else examine,
        like,
    )
    return (
        GoalCourseLanes(course, task, n_lanes, seed) if task else CourseLanes(course, n_lanes, seed)
    )
