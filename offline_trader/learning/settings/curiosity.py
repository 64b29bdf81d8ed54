"""Settings of curiosity: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, positive

__all__ = ["CuriosityConfig"]


@dataclass(frozen=True)
class CuriosityConfig:
    """An intrinsic reward for what the agent cannot predict of its own doing (ICM).

    Attributes:
        weight: share of the intrinsic reward in what is learned from, at the start; 0: off.
        half_life: updates after which the share has halved; 0: it stays.
        eta: size of the intrinsic reward, after it was divided by its running deviation.
        beta: share of the forward model's loss in the models' loss.
        hidden, features: units of the models' hidden layers, numbers that a state is encoded in.
        learning_rate: of the models.
        train_interval: sampled batches for each one that the models are trained on.
    """

    weight: float = 0.0
    half_life: int = 10_000
    eta: float = 0.01
    beta: float = 0.2
    hidden: int = 32
    features: int = 16
    learning_rate: float = 1e-3
    train_interval: int = 8

    def __post_init__(self) -> None:
        positive(self, "hidden", "features", "train_interval", "learning_rate")
        not_negative(self, "eta", "half_life")
        if not 0.0 <= self.weight < 1.0:
            raise ConfigError(f"curiosity.weight={self.weight}", expected="in [0, 1)")
        if not 0.0 < self.beta < 1.0:
            raise ConfigError(f"curiosity.beta={self.beta}", expected="between 0 and 1")
