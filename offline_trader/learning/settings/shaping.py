"""Settings of potential-based shaping: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, positive

__all__ = ["POTENTIALS", "ShapingConfig"]

POTENTIALS: tuple[str, ...] = (
    "learned",
    "trend_alignment",
    "support_resistance",
    "unrealised_profit",
    "holding_time",
    "novelty",
)


@dataclass(frozen=True)
class ShapingConfig:
    """Rewards for getting nearer to where it is good to be, which cannot change what is best.

    Attributes:
        potentials: names, their sum is the potential; none: off.
        weight: of the potential, at the start; all but the learned one are in units of the rewards
            that are learned from: standard deviations where these are scaled. The learned one is in
            units of the return.
        adaptive: whether the weight goes up by ``step`` where the exposures that are held become
            few (entropy below ``low_entropy`` nats) and down where the Sharpe ratio a year is above
            ``high_sharpe``, every ``interval`` steps.
        step, low_entropy, high_sharpe: of that rule.
        interval: steps of the lanes from one move of the weight to the next, and from one snapshot
            of what ``novelty`` counts to the next.
        largest_weight: bound of the weight.
        updates: gradient steps of the learned potential's fit.
    """

    potentials: tuple[str, ...] = ()
    weight: float = 0.1
    adaptive: bool = False
    step: float = 0.01
    low_entropy: float = 0.3
    high_sharpe: float = 1.0
    interval: int = 500
    largest_weight: float = 1.0
    updates: int = 500

    def __post_init__(self) -> None:
        wrong = [name for name in self.potentials if name not in POTENTIALS]
        if wrong or len(set(self.potentials)) < len(self.potentials):
            raise ConfigError(
                f"shaping.potentials = {', '.join(self.potentials)}",
                expected=f"each at most once: {', '.join(POTENTIALS)}",
            )
        positive(self, "interval", "largest_weight")
        not_negative(self, "weight", "step", "low_entropy", "updates")
        if self.weight > self.largest_weight:
            raise ConfigError(
                f"shaping.weight={self.weight}", expected=f"at most {self.largest_weight}"
            )
