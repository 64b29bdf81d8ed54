"""A rollout is what stepping lane by lane would have recorded, ends within it included."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.datasets.plan import PART_TRANSITIONS, plan_parts
from offline_trader.datasets.rollout import Part, roll
from offline_trader.envs import EnvConfig, make_market, make_simulator
from offline_trader.experts import MixtureActor, mixture
from offline_trader.simulator import SimulatorConfig

BLEND = mixture(["technical?sticky=0.5", "random", "reversion?gaussian=0.3"])
MARKETS = ("sp500", "nasdaq")


def made(env: EnvConfig, lanes: int, steps: int) -> Part:
    market = make_market(env)
    actor = MixtureActor(BLEND, market.layout, env.simulator, lanes, seed=9, market=market)
    return roll(make_simulator(env, lanes, 4), actor, steps)


def by_hand(env: EnvConfig, lanes: int, steps: int) -> list[dict[str, list[object]]]:
    """The episodes of lane 0, then of lane 1, …, appended step by step to plain lists."""
    market = make_market(env)
    simulator = make_simulator(env, lanes, 4)
    actor = MixtureActor(BLEND, market.layout, env.simulator, lanes, seed=9, market=market)
    episodes: list[list[dict[str, list[object]]]] = [[] for _ in range(lanes)]

    def begin(lane: int) -> None:
        episodes[lane].append({name: [] for name in ("obs", "act", "rew", "end", "fill", "bar")})
        episodes[lane][-1]["behaviour"] = [int(actor.behaviour[lane])]

    observations = simulator.reset().copy()
    for lane in range(lanes):
        begin(lane)
    for step in range(steps):
        bars = simulator.bar_index
        executed, _ = actor.act(observations, bars)
        result = simulator.step(executed)
        fills = simulator.outcome()["fill_units"]
        ended = result.terminated | result.truncated
        actor.begin(ended)
        for lane in range(lanes):
            now = episodes[lane][-1]
            now["obs"].append(observations[lane].copy())
            now["bar"].append(bars[lane])
            now["act"].append(executed[lane])
            now["rew"].append(result.rewards[lane])
            now["fill"].append(fills[lane])
            now["end"].append(bool(result.terminated[lane]))
            last = ended[lane] or step == steps - 1
            if last:
                final = simulator.final_observations if ended[lane] else result.observations
                now["obs"].append(final[lane].copy())
                now["bar"].append(bars[lane] + 1)
            if ended[lane] and step < steps - 1:
                begin(lane)
        observations = result.observations.copy()
    return [episode for lane in episodes for episode in lane]


CASES = {
    "one episode a lane": (EnvConfig(end="2002-12-31", episode_bars=30), 30),
    "cut by the rollout": (EnvConfig(end="2002-12-31", episode_bars=100), 30),
    "ends within": (EnvConfig(end="2002-12-31", episode_bars=12), 40),
    "ends within and at the last step": (EnvConfig(end="2002-12-31", episode_bars=10), 40),
    "whole ranges of two instruments": (
        EnvConfig(MARKETS, end="2000-03-31", episode_bars=None, random_start=False),
        80,
    ),
    "ruin": (
        EnvConfig(
            end="2002-12-31",
            episode_bars=40,
            simulator=SimulatorConfig(
                action_mode="target_long_short", commission_bps=400.0, ruin_fraction=0.7
            ),
        ),
        40,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rollout_equals_stepping_by_hand(case: str) -> None:
    env, steps = CASES[case]
    part = made(env, 7, steps)
    expected = by_hand(env, 7, steps)
    assert part.steps == 7 * steps
    np.testing.assert_array_equal(part.lengths, [len(one["act"]) for one in expected])
    step = row = 0
    for number, one in enumerate(expected):
        length = len(one["act"])
        steps_, rows = slice(step, step + length), slice(row, row + length + 1)
        np.testing.assert_array_equal(part.observations[rows], one["obs"])
        np.testing.assert_array_equal(part.infos["bar_index"][rows], one["bar"])
        np.testing.assert_array_equal(part.actions[steps_, 0], one["act"])
        np.testing.assert_array_equal(part.rewards[steps_], one["rew"])
        np.testing.assert_array_equal(part.terminations[steps_], one["end"])
        ends = np.zeros(length, dtype=bool)
        ends[-1] = not one["end"][-1]
        np.testing.assert_array_equal(part.truncations[steps_], ends)
        np.testing.assert_array_equal(part.infos["fill_units"][rows], [0.0, *one["fill"]])
        assert [part.behaviours[number]] == one["behaviour"]
        step, row = step + length, row + length + 1
    if case == "ruin":
        assert part.terminations.sum() >= 3
    if case.startswith("ends within"):
        assert len(expected) > 20


def test_more_lanes_change_no_lane() -> None:
    env = EnvConfig(end="2002-12-31", episode_bars=12)
    few, many = made(env, 3, 40), made(env, 11, 40)
    np.testing.assert_array_equal(many.actions[: few.steps], few.actions)
    np.testing.assert_array_equal(many.rewards[: few.steps], few.rewards)
    rows = len(few.observations)
    np.testing.assert_array_equal(many.observations[:rows], few.observations)


@pytest.mark.parametrize(
    ("transitions", "lanes", "steps", "expected"),
    [
        (1000, 5, 60, [5, 5, 5, 2]),
        (1, 1024, 1000, [1]),
        (1_000_000, 1024, 1000, [1000]),
        (2_000_000, 4096, 1000, [1048, 952]),
        (3 * PART_TRANSITIONS, 1024, 2 * PART_TRANSITIONS, [1, 1]),
    ],
)
def test_parts(transitions: int, lanes: int, steps: int, expected: list[int]) -> None:
    parts = plan_parts(transitions, lanes, steps)
    assert [part.lanes for part in parts] == expected
    assert [part.index for part in parts] == list(range(len(expected)))
