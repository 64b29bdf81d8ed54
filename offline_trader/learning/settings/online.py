"""Settings of online training: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, positive

__all__ = ["OnlineConfig"]


@dataclass(frozen=True)
class OnlineConfig:
    """Online training of an agent over N lanes.

    Attributes:
        steps: environment steps, summed over the lanes.
        update_ratio: updates per environment step (0.25: one update every four steps).
        offline_share: share of every batch that is drawn from the offline data (RLPD: half).
        buffer_size: transitions that the ring buffer holds.
        warmup_steps: environment steps with the warm policy before the first update.
        critic_updates: updates of the critics alone at the start of updating.
        transforms: names of registered transforms of what is stored and sampled, in order.
        evaluate_interval, log_interval, checkpoint_interval: environment steps between them.
    """

    steps: int = 20_000
    update_ratio: float = 0.25
    offline_share: float = 0.5
    buffer_size: int = 100_000
    warmup_steps: int = 1_000
    critic_updates: int = 500
    transforms: tuple[str, ...] = ()
    evaluate_interval: int = 5_000
    log_interval: int = 1_000
    checkpoint_interval: int = 5_000

    def __post_init__(self) -> None:
        positive(self, "buffer_size", "log_interval", "checkpoint_interval")
        not_negative(self, "steps", "update_ratio", "warmup_steps", "critic_updates")
        not_negative(self, "evaluate_interval")
        if not 0.0 <= self.offline_share < 1.0:
            raise ConfigError(f"offline_share={self.offline_share}", expected="in [0, 1)")
