"""The actor's side: many lanes in step under given weights, without torch.

An actor keeps its lanes from one rollout to the next; what it is given is the policy alone. Axes: T
time, N lanes, O columns of an observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.data import Preprocessing
from offline_trader.learning.stages.lanes import Lanes
from offline_trader.types import BoolArray, FloatArray, Observations
from offline_trader.workers import Report

__all__ = ["Actor", "ActorWeights", "MakeLanes", "Rollout", "Trajectory"]

MakeLanes: TypeAlias = Callable[[int, int], Lanes]
"""(number of lanes, seed) → lanes; of actors in other processes picklable."""
Layer: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight [out, in] and bias [out]."""


@dataclass(frozen=True, eq=False)
class ActorWeights:
    """A squashed Gaussian: ``a = tanh u``, ``u ~ N(mu, sigma²)``, of linear layers with ReLU.

    Attributes:
        hidden: layers of the encoder.
        mu, log_std: the two heads.
        bounds: of log_std.
        version: how many updates made it.
    """

    hidden: tuple[Layer, ...]
    mu: Layer
    log_std: Layer
    bounds: tuple[float, float]
    version: int

    def heads(self, scaled: Observations) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """mu and log sigma [N, 1] for scaled observations [N, O]."""
        values = scaled
        for weight, bias in self.hidden:
            values = np.maximum(values @ weight.T + bias, 0.0)
        mu, log_std = (values @ weight.T + bias for weight, bias in (self.mu, self.log_std))
        return mu, np.clip(log_std, *self.bounds)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What a rollout saw.

    Attributes:
        observations: [T, N, O] float32, scaled.
        last: [N, O] the observation after the last step, or in a new episode its first.
        drawn: [T, N] u, the action before its squash.
        log_probs: [T, N] log density of u under the acting policy.
        rewards: [T, N] float32, raw.
        terminated, truncated: [T, N] whether the step was its episode's last, and why.
        final_observations: [E, O] what the E episodes that ended saw last, in the order of their
            ends in [T, N].
        version: of the acting policy.
    """

    observations: NDArray[np.float32]
    last: Observations
    drawn: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: BoolArray
    truncated: BoolArray
    final_observations: Observations
    version: int

    @property
    def steps(self) -> int:
        """Environment steps, of all lanes."""
        return self.rewards.size


class Actor:
    """Lanes with a random stream of their own.

    Args:
        make: makes the lanes.
        lanes: N.
        seed: of lanes and draws.
        scales: of observations.
    """

    def __init__(self, make: MakeLanes, lanes: int, seed: int, scales: Preprocessing) -> None:
        first, second = np.random.SeedSequence(seed).spawn(2)
        self._lanes = make(lanes, int(first.generate_state(1)[0]))
        self._rng = np.random.default_rng(second)
        self._scales = scales
        self._seen = self._scaled(self._lanes.reset())

    def roll(self, weights: ActorWeights, steps: int) -> Trajectory:
        """Step every lane ``steps`` times under ``weights``."""
        n, size = self._seen.shape
        observations = np.empty((steps, n, size), np.float32)
        drawn, log_probs, rewards = (np.empty((steps, n), np.float32) for _ in range(3))
        terminated, truncated = (np.zeros((steps, n), np.bool_) for _ in range(2))
        finals: list[Observations] = []
        for t in range(steps):
            observations[t] = self._seen
            mu, log_std = weights.heads(self._seen)
            noise = self._rng.standard_normal((n, 1), np.float32)
            action = mu + noise * np.exp(log_std)
            drawn[t] = action[:, 0]
            log_probs[t] = _log_density(noise, log_std)[:, 0]
            result = self._lanes.step(np.tanh(action))
            rewards[t] = result.rewards
            terminated[t], truncated[t] = result.terminated, result.truncated
            ended = terminated[t] | truncated[t]
            if ended.any():
                finals.append(self._scaled(self._lanes.final_observations[ended]))
            self._seen = self._scaled(result.observations)
        none = np.empty((0, size), np.float32)
        return Trajectory(
            observations, self._seen, drawn, log_probs, rewards, terminated, truncated,
            np.concatenate([none, *finals]), weights.version,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Lanes, draws and what was seen last."""
        lanes: Any = self._lanes
        return {
            "lanes": dict(lanes.state_dict()),
            "seen": self._seen,
            "rng": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        lanes: Any = self._lanes
        lanes.load_state_dict(state["lanes"])
        self._seen = state["seen"]
        self._rng.bit_generator.state = state["rng"]

    def _scaled(self, raw: Observations) -> Observations:
        return self._scales.observations(np.array(raw, np.float32))


def _log_density(noise: FloatArray | NDArray[np.float32], log_std: Any) -> Any:
    """log N(mu + sigma·noise; mu, sigma²)."""
    return -0.5 * noise**2 - log_std - 0.5 * math.log(2.0 * math.pi)


_HERE: dict[str, Actor] = {}
"""This process's actor of the training that it works for."""


@dataclass(frozen=True, eq=False)
class Rollout:
    """A rollout as a job of the pool: the worker that gets it is the actor.

    Attributes:
        training: names the training; a worker that did none of its rollouts yet makes lanes.
        make, lanes, scales: of those.
        seed: of those, if they are made.
        weights: the policy.
        steps: T.
    """

    training: str
    make: MakeLanes
    lanes: int
    scales: Preprocessing
    seed: int
    weights: ActorWeights
    steps: int

    def __call__(self, report: Report, /) -> Trajectory:
        """Go on from where this worker's lanes are."""
        actor = _HERE.get(self.training)
        if actor is None:
            actor = Actor(self.make, self.lanes, self.seed, self.scales)
            _HERE.clear()
            _HERE[self.training] = actor
        return actor.roll(self.weights, self.steps)
