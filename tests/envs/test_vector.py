"""The vector environment: the simulator's lanes behind Gymnasium's vector interface."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from offline_trader.envs import ENV_ID, EnvConfig, VectorTradingEnv, make_simulator
from offline_trader.errors import ConfigError


def test_lanes_equal_the_simulators_and_keep_their_own_arrays() -> None:
    env = VectorTradingEnv(6, "sp500", episode_bars=40)
    simulator = make_simulator(EnvConfig(market=("sp500",), episode_bars=40), 6)
    observations, _ = env.reset(seed=11)
    assert (observations == simulator.reset(11)).all()
    rng = np.random.default_rng(0)
    kept = []
    for t in range(100):
        actions = rng.uniform(-1, 1, (6, 1)).astype(np.float32)
        observations, rewards, terminated, truncated, infos = env.step(actions)
        result = simulator.step(actions)
        assert env.observation_space.contains(observations)
        assert (observations == result.observations).all()
        assert (rewards == result.rewards).all()
        assert (truncated == result.truncated).all()
        assert not terminated.any()
        assert (infos["equity"] == simulator.outcome()["equity"]).all()
        assert ("final_observation" in infos) == bool(truncated.any())
        assert truncated.any() == ((t + 1) % 40 == 0)
        if truncated.any():
            assert infos["_final_observation"].all()
            last = np.stack(list(infos["final_observation"]))
            assert (last == simulator.final_observations).all()
            assert (last != observations).any()
        kept.append((observations, observations.copy()))
    assert all((seen == then).all() for seen, then in kept)


def test_gymnasium_makes_it() -> None:
    env = gymnasium.make_vec(
        ENV_ID, num_envs=3, vectorization_mode="custom", vector_kwargs={"market": "nasdaq"}
    )
    observations, _ = env.reset(seed=0)
    assert observations.shape == env.observation_space.shape == (3, 37)
    assert env.action_space.shape == (3, 1)
    env.close()  # type: ignore[no-untyped-call]


def test_gymnasiums_name_for_the_length_of_an_episode_goes_first() -> None:
    env = VectorTradingEnv(2, "sp500", episode_bars=40, max_episode_steps=7)
    env.reset(seed=0)
    ends = [bool(env.step(np.zeros((2, 1), dtype=np.float32))[3].all()) for _ in range(14)]
    assert [t for t, end in enumerate(ends) if end] == [6, 13]


def test_a_list_of_seeds_is_refused() -> None:
    with pytest.raises(ConfigError, match="list of seeds"):
        VectorTradingEnv(2, "sp500").reset(seed=[1, 2])
