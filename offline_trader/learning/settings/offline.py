"""Settings of offline training: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass, field

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, positive
from offline_trader.learning.settings.leash import LeashConfig
from offline_trader.learning.settings.replay import ReplayConfig

__all__ = ["OfflineConfig"]


@dataclass(frozen=True)
class OfflineConfig:
    """Offline training from a warm start.

    Attributes:
        critic_updates: first, updates of the critics alone, which fits them to the warm policy.
        updates: then, updates of critics and actor.
        n_steps: rewards summed before bootstrapping, 1 or more.
        rate_decay: share of the updates, the last ones, over which the learning rates go down to
            a hundredth; 0: they stay.
        transforms: names of registered transforms of what is stored and sampled, in order.
        replay: logged bars with other positions and actions, on where that can be done.
        leash: how far from the data's actions a policy may go where there are no replays.
        evaluate_interval: updates between validations (and at the end); 0 validates only the end.
        log_interval, checkpoint_interval: updates between rows of metrics, between checkpoints.
    """

    critic_updates: int = 1_000
    updates: int = 5_000
    n_steps: int = 1
    rate_decay: float = 0.5
    transforms: tuple[str, ...] = ()
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    leash: LeashConfig = field(default_factory=LeashConfig)
    evaluate_interval: int = 1_000
    log_interval: int = 500
    checkpoint_interval: int = 1_000

    def __post_init__(self) -> None:
        positive(self, "n_steps", "log_interval", "checkpoint_interval")
        not_negative(self, "critic_updates", "updates", "evaluate_interval")
        if not 0.0 <= self.rate_decay <= 1.0:
            raise ConfigError(f"rate_decay={self.rate_decay}", expected="in [0, 1]")
