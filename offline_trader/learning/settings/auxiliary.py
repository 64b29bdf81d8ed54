"""Settings of the auxiliary stage: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, positive

__all__ = ["AuxiliaryConfig", "HeadWeights"]


@dataclass(frozen=True)
class HeadWeights:
    """Weights of the heads' losses; a head of weight 0 is measured all the same.

    Attributes:
        next_return: log return of the next bar.
        volatility: of the next ``horizon`` bars.
        volume: class of the next bar's volume.
        action: of the expert.
        regime: ``horizon`` bars ahead.
    """

    next_return: float = 0.2
    volatility: float = 0.15
    volume: float = 0.1
    action: float = 0.3
    regime: float = 0.25

    def __post_init__(self) -> None:
        not_negative(self, "next_return", "volatility", "volume", "action", "regime")
        if not any(getattr(self, each.name) > 0 for each in fields(self)):
            raise ConfigError("weights of 0", expected="one head or more with a weight above 0")


@dataclass(frozen=True)
class AuxiliaryConfig:
    """Training of the encoder on what can be said of bars and experts (``docs/auxiliary.md``).

    Attributes:
        updates: gradient steps, at most.
        batch_size: observations a step.
        learning_rate: of Adam.
        weight_decay: weights shrink by ``learning_rate · weight_decay`` a step (AdamW).
        horizon: bars ahead of volatility and regime.
        weights: of the heads' losses.
        holdout: without a validation range, share of the training bars, the last ones, that stop
            the training early instead.
        evaluate_interval: steps between validations; the best encoder is kept.
        patience: validations without a better one after which the training ends.
        log_interval, checkpoint_interval: steps between rows of metrics, between checkpoints.
    """

    updates: int = 3_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    horizon: int = 20
    weights: HeadWeights = field(default_factory=HeadWeights)
    holdout: float = 0.2
    evaluate_interval: int = 100
    patience: int = 10
    log_interval: int = 500
    checkpoint_interval: int = 1_000

    def __post_init__(self) -> None:
        positive(self, "batch_size", "learning_rate", "horizon", "evaluate_interval", "patience")
        positive(self, "log_interval", "checkpoint_interval")
        not_negative(self, "updates", "weight_decay")
        if not 0.0 < self.holdout < 1.0:
            raise ConfigError(f"holdout={self.holdout}", expected="in (0, 1)")
