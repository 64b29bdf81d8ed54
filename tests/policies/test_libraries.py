"""Models of stable-baselines3 and d3rlpy decide here as they decide there, and in our files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from offline_trader.envs import DiscreteActions, EnvConfig, TradingEnv, from_discrete
from offline_trader.errors import ConfigError, SchemaMismatch
from offline_trader.export import OnnxPolicy
from offline_trader.features import observation_layout
from offline_trader.policies import adapt, write_graph

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import stable_baselines3
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

LAYOUT = observation_layout()
RANGE: dict[str, Any] = {"market": "sp500", "start": "2010", "end": "2012"}


@pytest.fixture(scope="module")
def seen() -> Any:
    """Observations of the environment under random actions."""
    env = TradingEnv(**RANGE)
    env.action_space.seed(0)
    rows = [env.reset(seed=0)[0]]
    rows += [env.step(env.action_space.sample())[0] for _ in range(200)]
    return np.stack(rows)


def trained(name: str, *, normalise: bool) -> Any:
    """A model that learned a little."""
    env: Any = DummyVecEnv([lambda: TradingEnv(**RANGE)])
    if normalise:
        env = VecNormalize(env, clip_obs=3.0)
    settings = {"n_steps": 64} if name in ("PPO", "A2C") else {"learning_starts": 40}
    kind = getattr(stable_baselines3, name)
    model = kind("MlpPolicy", env, seed=0, device="cpu", **settings)
    return model.learn(80)


@pytest.mark.parametrize(
    ("name", "normalise"),
    [
        ("PPO", True),
        ("SAC", True),
        pytest.param("TD3", False, marks=pytest.mark.slow),
        pytest.param("A2C", False, marks=pytest.mark.slow),
    ],
)
def test_a_stable_baselines_model_decides_here_and_in_a_file_as_there(
    name: str, normalise: bool, seen: Any, tmp_path: Path
) -> None:
    model = trained(name, normalise=normalise)
    policy = adapt(model)
    policy.require_layout(LAYOUT)
    scales = model.get_vec_normalize_env()
    shown = seen if scales is None else scales.normalize_obs(seen)
    expected = model.predict(shown, deterministic=True)[0]
    np.testing.assert_allclose(policy(seen), expected, atol=1e-6)
    write_graph(policy.require_graph(), LAYOUT, tmp_path / "policy.onnx", {})
    np.testing.assert_allclose(OnnxPolicy(tmp_path / "policy.onnx")(seen), expected, atol=1e-5)
    assert policy.env == EnvConfig(**RANGE)


def test_legacy_actions_are_read_with_the_profit_of_the_position(seen: Any) -> None:
    env = DummyVecEnv([lambda: DiscreteActions(TradingEnv(**RANGE))])
    model = stable_baselines3.DQN("MlpPolicy", env, seed=0, device="cpu")
    policy = adapt(model)
    policy.require_layout(LAYOUT)
    chosen = model.predict(seen, deterministic=True)[0]
    profit = seen[:, LAYOUT.names.index("unrealised_return")]
    np.testing.assert_array_equal(policy(seen)[:, 0], from_discrete(chosen, profit))
    with pytest.raises(ConfigError, match="without a graph"):
        policy.require_graph()


def test_models_of_other_observations_or_actions_are_refused() -> None:
    pendulum = adapt(stable_baselines3.SAC("MlpPolicy", "Pendulum-v1", device="cpu"))
    with pytest.raises(SchemaMismatch, match="SAC reads 3 columns"):
        pendulum.require_layout(LAYOUT)
    cart = stable_baselines3.PPO("MlpPolicy", gymnasium.make("CartPole-v1"), device="cpu")
    with pytest.raises(ConfigError, match=r"PPO acts in Discrete\(2\)"):
        adapt(cart)


def test_a_d3rlpy_model_decides_here_and_in_a_file_as_there(seen: Any, tmp_path: Path) -> None:
    import d3rlpy

    scaler = d3rlpy.preprocessing.StandardObservationScaler(mean=seen.mean(0), std=seen.std(0) + 1)
    for config in (
        d3rlpy.algos.SACConfig(observation_scaler=scaler),
        d3rlpy.algos.BCConfig(),
    ):
        model = config.create(device="cpu")
        with pytest.raises(ConfigError, match="is not built"):
            adapt(model)
        model.create_impl((LAYOUT.size,), 1)
        policy = adapt(model)
        policy.require_layout(LAYOUT)
        expected = model.predict(seen)
        np.testing.assert_allclose(policy(seen), expected.clip(-1, 1), atol=1e-6)
        write_graph(policy.require_graph(), LAYOUT, tmp_path / "policy.onnx", {})
        found = OnnxPolicy(tmp_path / "policy.onnx")(seen)
        np.testing.assert_allclose(found, expected.clip(-1, 1), atol=1e-5)
    discrete = d3rlpy.algos.DiscreteBCConfig().create(device="cpu")
    discrete.create_impl((LAYOUT.size,), 7)
    with pytest.raises(ConfigError, match="to 7 discrete actions"):
        adapt(discrete)
