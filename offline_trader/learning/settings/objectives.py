"""Settings of training for several objectives: frozen, checked, no torch needed to read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive, share

__all__ = ["COMPONENTS", "LARGEST_WEIGHT", "ObjectivesConfig", "require_weights"]

COMPONENTS: tuple[str, ...] = (
    "profit",
    "risk",
    "activity",
    "timing",
    "exploration",
    "consistency",
)
"""Objectives in the order of every vector of them; see ``docs/objectives.md``."""

LARGEST_WEIGHT = 0.6
"""What a weight may be at most where it is learned, and what the gate on balance asks."""

_PREFERENCES = ("none", "fixed", "given", "learned")
_LIMITS = ("none", "drawdown", "cvar")


@dataclass(frozen=True)
class ObjectivesConfig:
    """Several objectives in place of one reward, each with a critic head of its own.

    Attributes:
        preference: ``none``: the reward alone; ``fixed``: the weights below; ``given``: the policy
            takes weights as an input and is trained under random ones; ``learned``: the same, and
            the default weights are those of the highest score on the validation range, none above
            0.6.
        weights: of profit, risk, activity, timing, exploration, consistency; they add up to 1.
            With ``given`` the default, with ``learned`` the first candidate.
        limit: ``none``, or what is kept below ``at_most`` by a price on it: ``drawdown``: of all
            bars at most the share ``tail`` ends deeper below the account's peak; ``cvar``: the mean
            loss of the worst ``tail`` of the bars.
        at_most: the limit, a positive fraction.
        tail: see ``limit``.
        price_rate: how fast the price moves.
        candidates: weights that are tried on the validation range, with ``learned``.
    """

    preference: Literal["none", "fixed", "given", "learned"] = "none"
    weights: tuple[float, ...] = (0.5, 0.2, 0.05, 0.1, 0.05, 0.1)
    limit: Literal["none", "drawdown", "cvar"] = "none"
    at_most: float = 0.1
    tail: float = 0.05
    price_rate: float = 0.01
    candidates: int = 24

    def __post_init__(self) -> None:
        one_of(self, "preference", _PREFERENCES)
        one_of(self, "limit", _LIMITS)
        require_weights("objectives.weights", self.weights)
        positive(self, "price_rate", "candidates")
        share(self, "tail")
        not_negative(self, "at_most")
        if not 0.0 < self.at_most < 1.0:
            raise ConfigError(
                f"objectives.at_most={self.at_most}", expected="in (0, 1), as 0.1 for 10 %"
            )
        if self.candidates > 10_000:
            raise ConfigError(f"objectives.candidates={self.candidates}", expected="to 10,000")
        if self.limit != "none" and self.preference == "none":
            raise ConfigError(
                f"objectives.limit={self.limit} without objectives",
                expected="objectives.preference=fixed, given or learned",
            )
        if self.preference == "learned" and max(self.weights) > LARGEST_WEIGHT:
            raise ConfigError(
                f"objectives.weights up to {max(self.weights):g} with preference=learned",
                expected=f"at most {LARGEST_WEIGHT} each",
            )

    def __bool__(self) -> bool:
        """Whether there are several objectives."""
        return self.preference != "none"

    @property
    def takes_preference(self) -> bool:
        """Whether the policy has the weights as an input."""
        return self.preference in ("given", "learned")


def require_weights(name: str, weights: tuple[float, ...]) -> tuple[float, ...]:
    """``weights``, if they are a preference: one a component, none negative, of sum 1.

    Raises:
        ConfigError: they are not.
    """
    good = len(weights) == len(COMPONENTS) and all(
        math.isfinite(each) and each >= 0.0 for each in weights
    )
    if not good or abs(sum(weights) - 1.0) > 1e-6:
        raise ConfigError(
            f"{name} = {', '.join(f'{each:g}' for each in weights)}",
            expected=f"{len(COMPONENTS)} numbers from 0 that add up to 1, of "
            + ", ".join(COMPONENTS),
        )
    return weights
