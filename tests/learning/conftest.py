"""A tiny problem and its data, shared by the tests of learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.learning.data import Transitions
from offline_trader.types import BoolArray, FloatArray, Observations


@dataclass(frozen=True)
class Step:
    observations: Observations
    rewards: FloatArray
    terminated: BoolArray
    truncated: BoolArray


class TargetLanes:
    """One-step problem: reward ``-(a - 0.8 · x)²`` for observation (x, noise); best a = 0.8 x.

    Every second step terminates, every other is truncated, so both kinds occur.
    """

    def __init__(self, n_lanes: int = 8, seed: int = 0) -> None:
        self.n_lanes = n_lanes
        self._rng = np.random.default_rng(seed)
        self._count = 0
        self.final_observations = np.zeros((n_lanes, 2), np.float32)
        self._seen = np.zeros((n_lanes, 2), np.float32)

    def _draw(self) -> Observations:
        return self._rng.uniform(-1, 1, (self.n_lanes, 2)).astype(np.float32)

    def reset(self) -> Observations:
        self._seen = self._draw()
        return self._seen

    def step(self, actions: NDArray[np.float32]) -> Step:
        rewards = -((actions[:, 0] - 0.8 * self._seen[:, 0]) ** 2)
        self._count += 1
        terminated = np.full(self.n_lanes, self._count % 2 == 0)
        self.final_observations = self._seen + np.float32(10.0)
        self._seen = self._draw()
        return Step(self._seen, rewards.astype(np.float64), terminated, ~terminated)

    def state_dict(self) -> dict[str, Any]:
        state = self._rng.bit_generator.state["state"]
        return {
            "rng": [str(state["state"]), str(state["inc"])],
            "count": self._count,
            "seen": self._seen.copy(),
            "final": self.final_observations.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        whole: dict[str, Any] = dict(self._rng.bit_generator.state)
        whole["state"] = {"state": int(state["rng"][0]), "inc": int(state["rng"][1])}
        self._rng.bit_generator.state = whole
        self._count = int(state["count"])
        self._seen, self.final_observations = state["seen"].copy(), state["final"].copy()


def target_data(behaviour: str, count: int = 4_000, seed: int = 0) -> Transitions:
    """One-step episodes of :class:`TargetLanes` under uniform or half-way actions."""
    rng = np.random.default_rng(seed)
    seen = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    if behaviour == "uniform":
        actions = rng.uniform(-1, 1, (count, 1))
    else:
        actions = np.clip(0.4 * seen[:, :1] + 0.1 * rng.normal(size=(count, 1)), -1, 1)
    rewards = -((actions[:, 0] - 0.8 * seen[:, 0]) ** 2)
    done = np.ones(count, bool)
    return Transitions(
        seen, actions.astype(np.float32), rewards, seen, done, ~done, np.arange(count)
    )


@pytest.fixture(scope="session")
def uniform_data() -> Transitions:
    """Data that cover all actions."""
    return target_data("uniform")


@pytest.fixture(scope="session")
def halfway_data() -> Transitions:
    """Data of a mediocre policy, a = 0.4 x and a little noise."""
    return target_data("halfway")


@pytest.fixture
def target_lanes() -> type[TargetLanes]:
    """The class of lanes, for a test to make its own."""
    return TargetLanes
