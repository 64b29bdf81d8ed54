"""Settings of IMPALA: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive

__all__ = ["ImpalaConfig"]


@dataclass(frozen=True)
class ImpalaConfig:
    """Policy gradient from trajectories of actors that do not wait for the learner.

    Attributes:
        steps: environment steps, summed over all lanes of all actors.
        lanes: environments side by side in one actor.
        rollout: steps of every lane in one trajectory, of which the learner makes one update.
        learning_rate: of Adam for policy and values at the first step; it falls to 0 in a straight
            line.
        spread, final_spread: deviation of the action before its squash, the same in every state,
            at the first step and at the last; geometric in between. A learned one shrinks, because
            noise pays costs, until policies that are some updates old say nothing of the present
            one; a wide one pays so much that holding still is best.
        correction: ``vtrace``, or ``none``: trajectories are taken for the present policy's own.
        largest_rho, largest_c: bounds of V-trace's ratios.
        ratio_clip: how far from 1 the ratio of the present to the acting policy may be driven.
        gradient_clip: greatest norm of a gradient.
        waiting: trajectories that wait for the learner at most; the actors then wait, too.
        delay: updates by which the acting policy is older than it need be, to measure what the
            correction is worth.
        evaluate_interval, log_interval, checkpoint_interval: environment steps between them.
    """

    steps: int = 3_000_000
    lanes: int = 64
    rollout: int = 20
    learning_rate: float = 6e-4
    spread: float = 0.3
    final_spread: float = 0.1
    correction: Literal["vtrace", "none"] = "vtrace"
    largest_rho: float = 1.0
    largest_c: float = 0.95
    ratio_clip: float = 0.6
    gradient_clip: float = 0.5
    waiting: int = 2
    delay: int = 0
    evaluate_interval: int = 200_000
    log_interval: int = 20_000
    checkpoint_interval: int = 200_000

    def __post_init__(self) -> None:
        positive(self, "lanes", "rollout", "learning_rate", "largest_rho", "largest_c")
        positive(self, "spread", "final_spread", "ratio_clip", "gradient_clip", "waiting")
        positive(self, "log_interval", "checkpoint_interval")
        not_negative(self, "steps", "delay", "evaluate_interval")
        one_of(self, "correction", ("vtrace", "none"))
        if self.largest_c > self.largest_rho:
            raise ConfigError(
                f"largest_c={self.largest_c}", expected=f"largest_rho={self.largest_rho} or less"
            )
