"""Episodes without a simulator, in the form that a rollout leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from offline_trader.datasets.rollout import INFO_NAMES, Part

MakePart: TypeAlias = Callable[..., Part]
WIDTH = 6


def _part(lengths: tuple[int, ...], seed: int) -> Part:
    rng = np.random.default_rng(seed)
    steps, episodes = sum(lengths), len(lengths)
    stops = np.cumsum(lengths) - 1
    ends = np.zeros(steps, dtype=np.bool_)
    ends[stops] = True
    terminated = np.zeros(steps, dtype=np.bool_)
    terminated[stops[::2]] = True
    rows = steps + episodes
    infos: dict[str, NDArray[np.generic]] = {name: rng.normal(size=rows) for name in INFO_NAMES}
    infos["fill_units"] = rng.normal(size=rows) * (rng.random(rows) < 0.3)
    return Part(
        lengths=np.array(lengths),
        observations=rng.normal(size=(steps + episodes, WIDTH)).astype(np.float32),
        actions=rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
        rewards=rng.normal(size=steps),
        terminations=terminated,
        truncations=ends & ~terminated,
        behaviours=np.arange(episodes) % 2,
        infos=infos,
    )


@pytest.fixture
def make_part() -> MakePart:
    return lambda *lengths, seed=0: _part(lengths, seed)


@pytest.fixture
def spaces() -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    observation = gymnasium.spaces.Box(-np.inf, np.inf, (WIDTH,), np.float32)
    return observation, gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)


@pytest.fixture
def spec() -> EnvSpec:
    return gymnasium.spec("Pendulum-v1")
