"""Offline training that stays near its data, where there are no replays.

What the data never show is guessed, and an actor finds where the guess is too high. So the policy
is held near the data's actions, in the data's own unit: with the deviation σ of the logged actions
around the policy μ₀ that the training begins with,

    E_D (μ(s) − a)² ≤ (1 + k²) σ²,   σ² = E_D (μ₀(s) − a)²

which μ₀ itself fulfils at k = 0. The bound is kept by the pull's weight w (``behaviour_weight``:
the loss has ``w · E|Q| · E(μ − a)²``), a Lagrange multiplier that ascends in its logarithm on what
is measured; it does not fall below a least weight. An ensemble of critics, of whose values the
least counts, and a spread of the policy no wider than the data's do the rest: a critic asked for
values at ten times the data's spread answers with its guesses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from offline_trader.learning.agents import Learner, online_learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.settings import LearnerConfig, LeashConfig

__all__ = ["Leash", "holds_on", "leashed"]

_ALGORITHMS = ("cql", "sac")
_MEASURED, _MOST_ROWS = 1_024, 100_000
# From a tight leash to a longer one, and back at once: a policy that has run far does not return.
_FIRST, _RISE, _FALL, _MOST = 10.0, 0.5, 0.1, 1e4
_LEAST_SPREAD = 0.01


def holds_on(settings: LearnerConfig, config: LeashConfig) -> bool:
    """Whether a learner with these settings is trained on a leash."""
    plain = getattr(settings, "behaviour_weight", 0.0) == 0.0
    return config.distance > 0.0 and settings.algorithm in _ALGORITHMS and plain


def leashed(
    learner: Learner, data: Transitions, config: LeashConfig, seed: int
) -> tuple[Learner, Leash]:
    """SAC with the learner's policy and critics of its own, and its leash."""
    settings = learner.config.with_tag(
        "sac",
        n_critics=config.n_critics,
        actor_lr=config.learning_rate,
        critic_lr=config.learning_rate,
        initial_temperature=config.temperature,
        temp_lr=0.0,
        behaviour_weight=1.0,
    )
    trained = online_learner(learner, settings, seed)
    leash = Leash(trained, data, config, seed)
    trained.set_spread(max(leash.deviation, _LEAST_SPREAD))
    return trained, leash


class Leash:
    """The multiplier and what it reads.

    Args:
        trained: with the policy that the training begins with.
        data: whose actions count.
        config: settings.
        seed: of the rows that are measured.

    Attributes:
        deviation: σ.
        weight: w.
    """

    def __init__(self, trained: Learner, data: Transitions, config: LeashConfig, seed: int) -> None:
        self._trained, self._data, self._config, self._seed = trained, data, config, seed
        self.weight = max(_FIRST, config.least_weight)
        every = -(-len(data) // _MOST_ROWS)
        self.deviation = math.sqrt(self._distance(slice(None, None, every)))

    def _distance(self, rows: Any) -> float:
        """E (μ(s) − a)² over ``rows``."""
        away = self._trained.act(self._data.observations[rows]) - self._data.actions[rows]
        return float(np.square(away, dtype=np.float64).sum(axis=1).mean())

    def adjust(self, step: int) -> None:
        """Measure the policy of ``step``, and pull harder or less hard from there on."""
        k = self._config.distance
        rows = np.random.default_rng([self._seed, step]).integers(0, len(self._data), _MEASURED)
        allowed = (1.0 + k * k) * max(self.deviation**2, 1e-12)
        excess = (self._distance(rows) / allowed - 1.0) * (1.0 + k * k) / k
        weight = self.weight * math.exp(max(min(_RISE * excess, _RISE), -_FALL))
        self.weight = min(max(weight, self._config.least_weight), _MOST)
        self._trained.set_behaviour_weight(self.weight)

    def state_dict(self) -> dict[str, float]:
        """What the next call reads."""
        return {"weight": self.weight, "deviation": self.deviation}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.weight, self.deviation = float(state["weight"]), float(state["deviation"])
        self._trained.set_behaviour_weight(self.weight)
