"""How much each of several objectives counts, and a policy that is told so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.types import FloatArray, Observations, Policy

__all__ = ["Preference", "PreferencePolicy", "Preferred"]


@dataclass(frozen=True)
class Preference:
    """Weights of objectives.

    Attributes:
        names: K objectives.
        weights: K numbers from 0 that add up to 1; of a policy that takes them its default.
        given: whether the policy takes the weights as an input.
        chosen: how the weights were chosen.
        limit: what a price holds beside them, in words; empty: nothing.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    given: bool = False
    chosen: str = ""
    limit: str = ""

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ConfigError(f"objectives {', '.join(self.names)}", expected="names, each once")
        self.require(self.weights)

    @property
    def largest(self) -> float:
        """The largest weight."""
        return max(self.weights)

    def require(self, weights: Sequence[float]) -> tuple[float, ...]:
        """``weights``, if they are of these objectives.

        Raises:
            ConfigError: another number of them, a negative one, or another sum than 1.
        """
        good = len(weights) == len(self.names) and all(
            math.isfinite(each) and each >= 0.0 for each in weights
        )
        if not good or abs(sum(weights) - 1.0) > 1e-6:
            raise ConfigError(
                f"a preference of {', '.join(f'{each:g}' for each in weights)}",
                expected=f"{len(self.names)} numbers from 0 that add up to 1, of "
                + ", ".join(self.names),
            )
        return tuple(float(each) for each in weights)

    def asking(self, weights: Sequence[float], chosen: str = "set by the user") -> Preference:
        """The same objectives with other weights."""
        return replace(self, weights=self.require(weights), chosen=chosen)

    def widened(
        self, observations: Observations, weights: NDArray[np.floating[Any]] | None = None
    ) -> Observations:
        """[N, O + K] float32: observations [N, O] with weights [K] or [N, K]; None: the default."""
        n, size = observations.shape
        wide = np.empty((n, size + len(self.names)), np.float32)
        wide[:, :size] = observations
        wide[:, size:] = self.weights if weights is None else weights
        return wide

    def drawn(self, count: int, rng: np.random.Generator, largest: float = 1.0) -> FloatArray:
        """[count, K] weights, uniform on the part of the simplex where none is above ``largest``.

        Raises:
            ConfigError: ``largest`` below 1/K, which no weights can keep.
        """
        k = len(self.names)
        if largest * k < 1.0:
            raise ConfigError(
                f"no weight above {largest:g} of {k}", expected=f"{1.0 / k:g} or more"
            )
        found: FloatArray = np.zeros((0, k))
        while len(found) < count:
            some = rng.dirichlet(np.ones(k), max(16, count))
            found = np.concatenate([found, some[some.max(axis=1) <= largest]])
        return found[:count]


@runtime_checkable
class PreferencePolicy(Protocol):
    """A policy that is told the weights, and has a default.

    Attributes:
        preference: the objectives, with the weights of the moment.
    """

    preference: Preference | None

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1] for raw observations [N, O] under the weights of the moment."""
        ...

    def preferring(self, weights: Sequence[float]) -> Policy:
        """The same policy under other weights."""
        ...


class Preferred:
    """A policy over observations with weights behind, under one preference.

    Args:
        policy: actions [N, 1] for [N, O + K].
        preference: with its weights.

    Attributes:
        pure: its actions depend on the present observation alone.
    """

    pure = True

    def __init__(self, policy: Policy, preference: Preference) -> None:
        self.preference: Preference | None = preference
        self._wide = preference.widened
        self._policy = policy
        layers: Callable[[Observations], Any] | None = getattr(policy, "hidden_layers", None)
        self._layers = layers

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1] for raw observations [N, O]."""
        return self._policy(self._wide(observations))

    def preferring(self, weights: Sequence[float]) -> Preferred:
        """The same policy under other weights."""
        assert self.preference is not None
        return Preferred(self._policy, self.preference.asking(weights))

    def hidden_layers(self, observations: Observations) -> Any:
        """Those of the policy; see
        :meth:`offline_trader.learning.agents.Learner.hidden_layers`."""
        return None if self._layers is None else self._layers(self._wide(observations))
