"""The single environment: Gymnasium's contract, specs that rebuild it, infos that add up."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from offline_trader.envs import (
    ENV_ID,
    EnvConfig,
    TradingEnv,
    VectorTradingEnv,
    make_market,
    make_simulator,
)
from offline_trader.errors import ConfigError, DataError

RULES: dict[str, dict[str, Any]] = {
    "order": {},
    "smooth": {"smoothing_alpha": 0.5, "fill": "close"},
    "long": {"action_mode": "target_long", "sizing": "post_fee"},
    "short": {"action_mode": "target_long_short", "rebalance_threshold": 0.1},
}


def steps(env: TradingEnv, n: int, seed: int = 0) -> list[tuple[Any, ...]]:
    """n steps of random actions, resetting where an episode ends."""
    rng = np.random.default_rng(seed)
    seen: list[tuple[Any, ...]] = []
    for _ in range(n):
        seen.append(env.step(rng.uniform(-1, 1, 1).astype(np.float32)))
        if seen[-1][2] or seen[-1][3]:
            env.reset()
    return seen


@pytest.mark.parametrize("name", RULES)
def test_gymnasiums_checker_has_nothing_to_say(name: str) -> None:
    env = gymnasium.make(ENV_ID, market="sp500", simulator=RULES[name])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    assert [str(one.message) for one in said] == []


def test_a_spec_survives_json_and_rebuilds_the_same_environment() -> None:
    env = gymnasium.make(
        ENV_ID, market=["sp500", "nasdaq"], end="2012-12-31", episode_bars=40,
        simulator={"commission_bps": 3.0, "action_mode": "target_long"},
    )  # fmt: skip
    assert env.spec is not None
    text = env.spec.to_json()
    again = gymnasium.make(EnvSpec.from_json(text))
    assert json.loads(text)["kwargs"]["simulator"]["commission_bps"] == 3.0
    assert isinstance(env.unwrapped, TradingEnv)
    assert isinstance(again.unwrapped, TradingEnv)
    assert again.unwrapped.config == env.unwrapped.config
    ours, theirs = env.reset(seed=3)[0], again.reset(seed=3)[0]
    assert (ours == theirs).all()
    action = np.array([0.7], dtype=np.float32)
    for a, b in zip(env.step(action), again.step(action), strict=True):
        assert np.all(a == b) if not isinstance(a, dict) else a == b


def test_a_config_gives_the_keywords_that_make_it() -> None:
    config = EnvConfig(market=("nasdaq",), start="2003-01-01", episode_bars=None)
    kwargs = json.loads(json.dumps(config.to_kwargs()))
    env = gymnasium.make(ENV_ID, **kwargs)
    assert isinstance(env.unwrapped, TradingEnv)
    assert env.unwrapped.config == config


def test_infos_add_up_and_count_from_the_episodes_start() -> None:
    env = TradingEnv("sp500", episode_bars=200)
    env.reset(seed=1)
    rng = np.random.default_rng(0)
    log_return, filled = 0.0, 0
    for _ in range(200):
        _, reward, _, _, info = env.step(rng.uniform(-1, 1, 1).astype(np.float32))
        log_return += reward
        total = info["realised_profit"] + info["unrealised_profit"]
        assert abs(total - (info["equity"] - 10_000.0)) < 1e-6
        assert abs(np.log1p(info["cumulative_return"]) - log_return) < 1e-9
        assert -1.0 <= info["drawdown"] <= 0.0
        assert (info["fill_price"] > 0.0) == (info["fill_units"] != 0.0)
        filled += info["fill_units"] != 0.0
    assert filled > 100
    assert info["costs_paid"] > 0.0
    assert env.log_equity == pytest.approx(log_return)
    assert set(info) == set(env.reset()[1])


def test_one_environment_is_the_simulators_first_lane() -> None:
    config = EnvConfig(market=("sp500",), episode_bars=50)
    env = TradingEnv("sp500", episode_bars=50)
    env.reset(seed=7)
    simulator = make_simulator(config, 3)
    simulator.reset(int(env.simulator._schedule[0]))
    rng = np.random.default_rng(2)
    for _ in range(120):
        action = rng.uniform(-1, 1, 1).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        result = simulator.step(np.full(3, action[0]))
        assert reward == result.rewards[0]
        assert info["equity"] == simulator.outcome()["equity"][0]
        assert (terminated, truncated) == (result.terminated[0], result.truncated[0])
        if truncated:
            assert (observation == simulator.final_observations[0]).all()
            observation, _ = env.reset()
        assert (observation == result.observations[0]).all()


def test_copies_and_pickles_go_on_alike_and_apart() -> None:
    env = TradingEnv("sp500", episode_bars=30)
    env.reset(seed=5)
    steps(env, 20)
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    wanted = steps(env, 40, seed=9)
    for one in copies:
        for a, b in zip(wanted, steps(one, 40, seed=9), strict=True):
            assert (a[0] == b[0]).all()
            assert a[1:] == b[1:]


def test_instruments_come_in_turn_without_random_starts() -> None:
    env = TradingEnv(["sp500", "nasdaq"], episode_bars=5, random_start=False)
    env.reset(seed=0)
    seen = []
    for _ in range(4):
        seen.append(int(env.simulator.instrument[0]))
        steps(env, 5)
    assert seen == [0, 1, 0, 1]


def test_a_step_out_of_place_is_refused() -> None:
    env = TradingEnv("sp500", episode_bars=1)
    action = np.zeros(1, dtype=np.float32)
    with pytest.raises(ConfigError, match="before reset"):
        env.step(action)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="not a number"):
        env.step(np.array([np.nan], dtype=np.float32))
    assert env.step(action)[3]
    with pytest.raises(ConfigError, match="after the end"):
        env.step(action)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="commision_bps"):
        TradingEnv("sp500", simulator={"commision_bps": 1.0})
    with pytest.raises(ConfigError, match="did you mean 'episode_bars'"):
        TradingEnv("sp500", episode_bar=10)
    with pytest.raises(ConfigError, match="did you mean 'episode_bars'"):
        VectorTradingEnv(2, "sp500", episode_bar=10)
    with pytest.raises(ConfigError, match="render_mode"):
        TradingEnv("sp500", render_mode="human")
    with pytest.raises(ConfigError, match="episode_bars"):
        TradingEnv("sp500", episode_bars=0)
    with pytest.raises(DataError, match="no-such-file"):
        TradingEnv("no-such-file.csv")
    with pytest.raises(DataError, match="warm-up"):
        TradingEnv("sp500", end="1999-03-01")


def test_a_file_that_changes_is_read_again(
    tmp_path: Path, write_bars: Callable[[Path, int], None]
) -> None:
    path = tmp_path / "bars.csv"
    write_bars(path, 400)
    first = make_market(EnvConfig(market=(str(path),)))
    assert make_market(EnvConfig(market=(str(path),))) is first
    write_bars(path, 420)
    assert len(make_market(EnvConfig(market=(str(path),)))) == len(first) + 20
