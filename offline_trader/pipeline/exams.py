"""Exams of a policy: by the gates of a stage, or of the goals that it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offline_trader.evaluation.backtest import Backtest, backtests
from offline_trader.evaluation.judging import achieved_of
from offline_trader.evaluation.measures import sharpe_ratio
from offline_trader.evaluation.statistics import wilson_interval
from offline_trader.experts import get_expert, to_actions
from offline_trader.goals import OUTCOME_WIDTH, SUCCESS_MARGIN, GoalTask, Pursuits
from offline_trader.simulator.side_by_side import SideRun
from offline_trader.types import FloatArray, Observations, Policy, PortfolioField

if TYPE_CHECKING:
    from offline_trader.learning.stages.course import Exam
    from offline_trader.learning.stages.levels import Level
    from offline_trader.simulator import MarketTensor, SimulatorConfig

__all__ = ["Rebalancing", "examine", "examine_goals"]

_A_YEAR = 252.0
"""Bars of the year that a stage's Sharpe ratio is of, whatever a bar is."""
_REACHED = 0.9
"""Share of what rebalancing reaches that an episode with an exposure has to reach."""
_MARGIN = SUCCESS_MARGIN / OUTCOME_WIDTH
"""Reward that an outcome may miss: what the margin of its success is worth."""
_STEPS = 4
"""Fixed exposures between none and the largest, on either side."""


def examine(policy: Policy, market: MarketTensor, rules: SimulatorConfig, level: Level) -> Exam:
    """One deterministic episode of ``policy`` on each instrument, judged by the stage's gates.

    An episode succeeds if its net Sharpe ratio (a year of 252 bars) and its share of bars won
    reach the gates, and its account ends above that of buy-and-hold.
    """
    runs = _runs(market, rules)
    own = backtests(policy, runs, observe=False)
    held = backtests(get_expert("buy_and_hold"), runs, observe=False)
    ratios = [sharpe_ratio(each.returns, _A_YEAR) or 0.0 for each in own]
    passed = sum(
        ratio >= level.sharpe and _wins(each) >= level.win_rate and _beats(each, other)
        for ratio, each, other in zip(ratios, own, held, strict=True)
    )
    return _exam(passed, len(runs), {"sharpe": median(ratios)})


def _wins(run: Backtest) -> float:
    """Share of the bars with a position that gained; 0 where there was none.

    Not of the round trips: who follows a drift through noise wins few trades and much by each. On
    a market where such a policy has a net Sharpe ratio of 9 it wins 53 % of them.
    """
    earned = run.returns[run.returns != 0.0]
    return float((earned > 0.0).mean()) if len(earned) else 0.0


def _beats(run: Backtest, other: Backtest) -> bool:
    return bool(run.equity[-1] > other.equity[-1])


class Rebalancing:
    """Goes at every bar to the exposure that an observation's last column names.

    Where that is farther away than the tolerance of the task, an order that would be too small to
    be filled is as large as one has to be.

    Args:
        task: of the goals.
        exposure: column of the exposure.
        rules: of trading.
    """

    def __init__(self, task: GoalTask, exposure: int, rules: SimulatorConfig) -> None:
        self._tolerance, self._column, self._rules = task.tolerance, exposure, rules
        self._least = rules.hold_threshold if rules.action_mode == "order" else 0.0

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1] for observations [N, O + E + 1]."""
        wanted = observations[:, -1].astype(np.float64)
        held = observations[:, self._column].astype(np.float64)
        actions = to_actions(wanted, held, "target", self._rules)
        small = (abs(actions) < self._least) & (abs(wanted - held) > self._tolerance)
        actions = np.where(small, np.copysign(self._least, wanted - held), actions)
        return actions.astype(np.float32)[:, None]


def examine_goals(
    task: GoalTask, policy: Policy, market: MarketTensor, rules: SimulatorConfig, level: Level
) -> Exam:
    """One deterministic episode of ``policy`` on each instrument, each with a goal, horizon after
    horizon; the gates are the same in every stage, its markets and costs are not.

    Episode i asks for the i-th of nine goals, modulo 9. With an **exposure** it succeeds if that is
    reached on nine tenths of the bars on which rebalancing to it at every bar reaches it. With an
    **outcome** it succeeds if its mean reward over the horizons is at least, to within 0.02, that
    of the fixed exposure that is best for this goal on this exam's markets: of none, a quarter, a
    half, three quarters and all of what the rules allow, short ones too where they may be.
    An account that is ruined reaches nothing from then on.

    Args:
        task: what is asked for.
        policy: over observations with progress and goal [N, O + E + 1].
        market: K instruments.
        rules: of trading.
        level: the stage.
    """
    runs = _runs(market, rules)
    asked = np.arange(len(runs)) % len(task.sweep())
    goals = task.sweep()[asked]
    own = backtests(Pursuits(policy, task, goals), runs, observe=False)
    rewards = _rewards(own, task, goals)
    reference = Rebalancing(task, market.layout.column(PortfolioField.EXPOSURE), rules)
    if task.is_outcome:
        best = _best_fixed(reference, task, goals, asked, runs)
        gates = best - _MARGIN
    else:
        best = _rewards(
            backtests(Pursuits(reference, task, goals), runs, observe=False), task, goals
        )
        gates = _REACHED * (1.0 + best) - 1.0
    passed = int((rewards >= gates).sum())
    measures = {"goal_reward": float(rewards.mean()), "goal_reference": float(best.mean())}
    return _exam(passed, len(runs), measures)


def _best_fixed(
    reference: Policy,
    task: GoalTask,
    goals: FloatArray,
    asked: NDArray[np.int64],
    runs: list[SideRun],
) -> FloatArray:
    """[K] mean rewards of the fixed exposure that is best for each goal over its episodes."""
    rules = runs[0].config
    low = -_STEPS if rules.action_mode == "target_long_short" else 0
    fixed = rules.max_position_pct * np.arange(low, _STEPS + 1) / _STEPS
    held = Pursuits(reference, task, np.repeat(fixed, len(runs)))
    found = backtests(held, runs * len(fixed), observe=False)
    rewards = _rewards(found, task, np.tile(goals, len(fixed))).reshape(len(fixed), -1)
    best: FloatArray = np.empty(len(runs))
    for goal in np.unique(asked):
        mine = asked == goal
        best[mine] = rewards[rewards[:, mine].mean(axis=1).argmax(), mine]
    return best


def _rewards(runs: list[Backtest], task: GoalTask, goals: FloatArray) -> FloatArray:
    """[K] mean reward of each run's bars, or of its whole horizons; of none after ruin."""
    found: FloatArray = np.empty(len(runs))
    for i, (run, goal) in enumerate(zip(runs, goals, strict=True)):
        rewards = task.rewards(achieved_of(run, task), goal, 1.0)
        lived = len(run.actions) // task.horizon if task.is_outcome else len(run.actions)
        rewards[lived:] = 0.0 if task.is_outcome else -1.0
        found[i] = rewards.mean()
    return found


def _runs(market: MarketTensor, rules: SimulatorConfig) -> list[SideRun]:
    """An episode on each instrument."""
    return [SideRun(market.instrument(k), rules) for k in range(len(market.symbols))]


def _exam(passed: int, episodes: int, measures: Mapping[str, float]) -> Exam:
    """What was found, with the lower bound of Wilson's interval."""
    from offline_trader.learning.stages.course import Exam

    interval = wilson_interval(passed, episodes)
    assert interval is not None
    return Exam(passed, episodes, interval[0], measures)
