"""Lanes and environment with goals: what they show, pay and end is what the simulator did."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from offline_trader.envs import GOAL_ENV_ID, EnvConfig, GoalLanes, GoalTradingEnv, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.goals import Conditioned, GoalTask, Pursuit
from offline_trader.simulator import SimulatorConfig

ENV = EnvConfig(
    market=("sp500",),
    end="2003-12-31",
    episode_bars=50,
    simulator=SimulatorConfig(action_mode="target_long_short"),
)


def actions(rng: np.random.Generator, n: int = 4) -> Any:
    return rng.uniform(-1, 1, (n, 1)).astype(np.float32)


@pytest.mark.parametrize("kind", ["exposure", "return", "drawdown"])
def test_lanes_are_the_simulator_s_with_goals_that_a_plain_loop_finds(kind: Any) -> None:
    task = GoalTask(kind, horizon=8, tolerance=0.3).within(short=True)
    lanes, plain = GoalLanes(make_simulator(ENV, 4, 3), task, 5), make_simulator(ENV, 4, 3)
    wide, seen = lanes.reset().copy(), plain.reset().copy()
    rng, paid, ends = np.random.default_rng(0), 0.0, 0
    equity: list[list[float]] = [[each] for each in plain.equity]
    goals = lanes.goals.copy()
    for _ in range(130):
        np.testing.assert_array_equal(wide[:, : -len(task.progress) - 1], seen)
        np.testing.assert_allclose(wide[:, -1], goals, atol=1e-7)
        action = actions(rng)
        ours, theirs = lanes.step(action), plain.step(action)
        outcome = plain.outcome()
        cut = theirs.terminated | theirs.truncated
        for n in range(4):
            equity[n].append(float(outcome["equity"][n]))
            path = np.array(equity[n])
            over = len(path) == 9
            reached = {
                "exposure": outcome["exposure"][n],
                "return": path[-1] / path[0] - 1.0,
                "drawdown": (1.0 - path / np.maximum.accumulate(path)).max(),
            }[kind]
            expected = float(task.rewards(reached, goals[n], float(over)))
            assert ours.rewards[n] == pytest.approx(expected, abs=2e-6)
            assert ours.terminated[n] == over
            assert ours.truncated[n] == (bool(cut[n]) and not over)
            assert lanes.final_observations[n, -1] == np.float32(goals[n])
            assert lanes.achieved[n] == pytest.approx(reached, abs=1e-6)
            paid += abs(expected)
            if over or cut[n]:
                equity[n] = [float(plain.equity[n])]
                ends += 1
        goals = lanes.goals.copy()
        wide, seen = ours.observations.copy(), theirs.observations.copy()
    assert paid > 0
    assert ends > 50
    low, high = task.range
    assert ((goals >= low) & (goals <= high)).all()


def test_a_pursuit_through_an_account_sees_what_the_lanes_show() -> None:
    task = GoalTask("return", horizon=6)
    whole = EnvConfig(market=("sp500",), end="2000-12-31", episode_bars=None, random_start=False)
    lanes = GoalLanes(make_simulator(whole, 1), task)
    shown: list[Any] = []

    def keep(observations: Any, /) -> Any:
        shown.append(observations.copy())
        return np.zeros((1, 1), np.float32)

    pursuit = Pursuit(Conditioned(keep, task))
    pursuit.restart(np.ones(1, bool))
    wide, rng = lanes.reset(), np.random.default_rng(1)
    for _ in range(40):
        pursuit.mark(lanes.simulator.equity)
        pursuit(lanes.simulator.observations)
        np.testing.assert_array_equal(shown[-1][:, :-1], wide[:, :-1])
        wide = lanes.step(actions(rng, 1)).observations


def test_a_state_goes_on_as_if_nothing_had_happened() -> None:
    task = GoalTask("exposure", horizon=8)
    whole = GoalLanes(make_simulator(ENV, 4, 3), task, 5)
    whole.reset()
    rng = np.random.default_rng(2)
    for _ in range(21):
        whole.step(actions(rng))
    resumed = GoalLanes(make_simulator(ENV, 4, 99), task, 6)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for _ in range(60):
        action = actions(rng)
        one, other = whole.step(action), resumed.step(action)
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.rewards, other.rewards)


def test_a_lane_s_goals_do_not_depend_on_the_others() -> None:
    task = GoalTask("exposure", horizon=8)
    few, many = (GoalLanes(make_simulator(ENV, n, 3), task, 5) for n in (2, 6))
    few.reset()
    many.reset()
    found = []
    for _ in range(30):
        few.step(np.zeros((2, 1), np.float32))
        many.step(np.zeros((6, 1), np.float32))
        np.testing.assert_array_equal(few.goals, many.goals[:2])
        found.append(few.goals.copy())
    assert len(np.unique(found)) >= 6


def test_gymnasium_s_checker_passes_and_the_goal_api_holds() -> None:
    env = gymnasium.make(
        GOAL_ENV_ID,
        market="sp500",
        end="2003-12-31",
        episode_bars=20,
        goal={"kind": "return", "horizon": 5},
    )
    check_env(env.unwrapped, skip_render_check=True)
    plain: Any = env.unwrapped
    observation, _ = plain.reset(seed=3)
    rng, rewards = np.random.default_rng(0), []
    for step in range(43):
        observation, reward, terminated, truncated, info = plain.step(actions(rng, 1)[0])
        again = plain.compute_reward(
            observation["achieved_goal"], observation["desired_goal"], info
        )
        assert again == pytest.approx(reward, abs=1e-12)
        many = plain.compute_reward(
            np.stack([observation["achieved_goal"]] * 2),
            np.stack([observation["desired_goal"]] * 2),
            [info] * 2,
        )
        assert many.tolist() == [reward, reward]
        rewards.append(reward)
        assert terminated == (step % 5 == 4)
        assert not truncated
        if terminated:
            observation, _ = plain.reset()
    assert sum(each > 0 for each in rewards) > 0


def test_an_environment_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="render_mode"):
        GoalTradingEnv(render_mode="human")
    with pytest.raises(ConfigError, match="horizont"):
        GoalTradingEnv(goal={"kind": "return", "horizont": 5})
    with pytest.raises(ConfigError, match="goal"):
        GoalLanes(make_simulator(ENV, 1), GoalTask())
    env = GoalTradingEnv(end="2003-12-31")
    with pytest.raises(ConfigError, match="before reset"):
        env.step(np.zeros(1, np.float32))
