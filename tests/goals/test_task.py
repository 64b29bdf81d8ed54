"""Goals: rewards by hand, horizons against a plain loop, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.goals import Conditioned, GoalTask, Horizons, Pursuit, pursued


def test_an_exposure_costs_one_a_bar_outside_its_tolerance() -> None:
    task = GoalTask("exposure", tolerance=0.1)
    achieved, goals = np.array([0.5, 0.61, 0.39, 0.6]), np.full(4, 0.5)
    for over in (False, True):
        np.testing.assert_array_equal(task.rewards(achieved, goals, over), [-0.0, -1.0, -1.0, -0.0])
    np.testing.assert_array_equal(task.succeeded(achieved, goals), [True, False, False, True])


@pytest.mark.parametrize(
    ("kind", "reward", "expected"),
    [
        ("return", "sparse", [1.0, 0.0, 0.0]),
        ("return", "dense", [0.6, 0.8, 0.0]),
        ("drawdown", "sparse", [0.0, 1.0, 0.0]),
        ("drawdown", "dense", [0.6, 0.8, 0.0]),
    ],
)
def test_an_outcome_is_paid_at_the_horizon_s_end_alone(
    kind: Any, reward: Any, expected: list[float]
) -> None:
    task = GoalTask(kind, reward=reward)
    achieved, goals = np.array([0.04, 0.01, 0.04]), np.array([0.02, 0.02, 0.02])
    over = np.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(task.rewards(achieved, goals, over), expected, atol=1e-12)
    tensors = [torch.from_numpy(each) for each in (achieved, goals, over)]
    np.testing.assert_allclose(task.rewards(*tensors).numpy(), expected, atol=1e-12)
    assert (task.rewards(achieved, goals, 0.0) == 0.0).all()
    assert task.rewards(np.array([0.2]), np.array([0.02]), 1.0)[0] >= 0.0


def test_success_has_a_margin_of_a_thousandth() -> None:
    outcome = np.array([0.0192, 0.0188, 0.0208, 0.0212])
    assert GoalTask("return").succeeded(outcome, 0.02).tolist() == [True, False, True, True]
    assert GoalTask("drawdown").succeeded(outcome, 0.02).tolist() == [True, True, True, False]


def test_horizons_count_returns_and_drawdowns_as_a_loop_does() -> None:
    task = GoalTask("return", horizon=7)
    rng = np.random.default_rng(0)
    equity = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.02, (40, 3)), axis=0))
    ours, everyone = Horizons(task, 3), np.ones(3, bool)
    ours.begin(everyone, equity[0])
    start = 0
    for t in range(1, 40):
        ours.advance(equity[t])
        since = equity[start : t + 1]
        fallen = (1.0 - since / np.maximum.accumulate(since, axis=0)).max(axis=0)
        expected = [np.full(3, (7 - (t - start)) / 7), equity[t] / equity[start] - 1.0, fallen]
        np.testing.assert_allclose(ours.columns(), np.stack(expected, 1), atol=1e-6)
        assert ours.over.all() == (t - start == 7)
        if ours.over.all():
            ours.begin(everyone, equity[t])
            start = t
    again = Horizons(task, 3)
    again.load_state_dict(ours.state_dict())
    again.advance(equity[3])
    ours.advance(equity[3])
    np.testing.assert_array_equal(again.columns(), ours.columns())


class Echo:
    """A policy whose action is what it sees in one column."""

    def __init__(self, column: int) -> None:
        self.column = column

    def __call__(self, observations: Any, /) -> Any:
        return observations[:, self.column : self.column + 1]


def test_a_pursuit_sees_goal_and_progress_and_starts_horizons_by_itself() -> None:
    task = GoalTask("return", horizon=3)
    seen = np.zeros((1, 2), np.float32)
    equity = [100.0, 110.0, 99.0, 105.0, 106.0, 107.0, 108.0, 109.0]
    expected = {2: [1, 2 / 3, 1 / 3, 1, 2 / 3, 1 / 3, 1, 2 / 3], 5: [0.04] * 8}
    expected[3] = [0, 0.1, -0.01, 0, 106 / 105 - 1, 107 / 105 - 1, 0, 109 / 108 - 1]
    expected[4] = [0, 0, 0.1, 0, 0, 0, 0, 0]
    for column, values in expected.items():
        pursuit = pursued(Conditioned(Echo(column), task, 0.04))
        assert isinstance(pursuit, Pursuit)
        pursuit.restart(np.ones(1, bool))
        found = []
        for each in equity:
            pursuit.mark(np.array([each]))
            found.append(float(pursuit(seen)[0, 0]))
        np.testing.assert_allclose(found, values, atol=1e-6)
    plain = Echo(0)
    assert pursued(plain) is plain
    alone = Conditioned(Echo(2), task)
    assert alone.goal == 0.02
    assert alone(seen)[0, 0] == 1.0  # a horizon's start


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kind": "speed"}, "kind"),
        ({"kind": "return", "reward": "rich"}, "reward"),
        ({"horizon": 0}, "horizon"),
        ({"kind": "exposure", "tolerance": 0.0}, "tolerance"),
        ({"kind": "return", "low": 0.1, "high": 0.1}, "0.1 to 0.1"),
        ({"kind": "drawdown", "low": -0.1}, "-0.1"),
        ({"kind": "exposure", "goal": 1.5}, "1.5"),
        ({"kind": "return", "goal": float("nan")}, "nan"),
        ({"goal": 0.5}, "goal.goal=0.5 of a policy that takes no goal"),
    ],
)
def test_a_task_that_cannot_be_is_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        GoalTask(**settings)


def test_the_rules_limit_exposures_and_nothing_else() -> None:
    assert GoalTask("exposure").within(short=True, most=0.8).range == (-0.8, 0.8)
    assert GoalTask("exposure", low=0.2).within(short=True).range == (0.2, 1.0)
    assert GoalTask("return").within(short=True) == GoalTask("return")
    assert GoalTask("exposure", goal=-0.5).within(short=True).goal == -0.5
    with pytest.raises(ConfigError, match=r"goal\.goal=-0\.5.*\nexpected: 0 to 0\.8"):
        GoalTask("exposure", goal=-0.5).within(short=False, most=0.8)
    assert not GoalTask()
