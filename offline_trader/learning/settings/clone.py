"""Settings of behaviour cloning: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive

__all__ = ["CloneConfig"]


@dataclass(frozen=True)
class CloneConfig:
    """Behaviour cloning of the dataset's actions into the actor.

    Attributes:
        updates: gradient steps.
        batch_size: transitions a step.
        learning_rate: of Adam.
        entropy_weight: imitation's weight of the entropy bonus.
        l2_weight: imitation's weight of half the squared norm of the parameters.
        action_clip: actions are clipped to [-clip, clip] before atanh: ±1 has no finite preimage.
        min_std: floor of the actor's standard deviation before the squash while cloning; without
            it the likelihood of repeated equal actions has no bound.
        fit: ``likelihood`` of the actions before the squash, ``mean`` for the deterministic
            action: the mean of noisy actions, which atanh would exaggerate; or ``measured``: the
            one that is nearer to the held-out actions after a tenth of the updates (at least 200,
            at most half of them) of each.
        holdout: share of the episodes kept apart to measure the clone.
        log_interval, checkpoint_interval: steps between rows of metrics, between checkpoints.
    """

    updates: int = 3_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    entropy_weight: float = 1e-3
    l2_weight: float = 0.0
    action_clip: float = 0.99
    min_std: float = 0.1
    fit: Literal["measured", "likelihood", "mean"] = "measured"
    holdout: float = 0.1
    log_interval: int = 500
    checkpoint_interval: int = 1_000

    def __post_init__(self) -> None:
        positive(self, "batch_size", "learning_rate", "log_interval", "checkpoint_interval")
        positive(self, "min_std", "action_clip")
        not_negative(self, "updates", "entropy_weight", "l2_weight")
        if self.action_clip >= 1.0:
            raise ConfigError(
                f"action_clip={self.action_clip}", expected="below 1, which has no atanh"
            )
        one_of(self, "fit", ("measured", "likelihood", "mean"))
        if not 0.0 <= self.holdout < 1.0:
            raise ConfigError(f"holdout={self.holdout}", expected="in [0, 1)")
