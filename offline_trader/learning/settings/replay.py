"""Settings of replays of logged bars: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import one_of, positive, share

__all__ = ["ReplayConfig"]


@dataclass(frozen=True)
class ReplayConfig:
    """Further transitions on a logged bar: other positions, other actions.

    Attributes:
        mode: ``auto``: where the dataset's bars are there and orders do not move their prices,
            and the algorithm can use them; ``always``: refused elsewhere; ``never``.
        per_logged: replays for each logged transition of a batch, which keeps its size.
        near: share of the positions, and of the actions, that lie around the logged position.
        uniform: share that is drawn from all that the rules allow; the rest are at its corners.
        smallest, largest: standard deviations of the near ones, log-uniform between them, of half
            the range of positions and of the range −1 to 1 of actions.
        forecast_weight: share of the realised gain's surprise (gain less its out-of-fold forecast)
            that is taken off the rewards, as in the direct stage; 0: rewards as realised.
        largest_reward: a replay's reward is not further from the mean of the logged ones than so
            many of their standard deviations: what a position far off costs would drown the rest.
        learning_rate: of actor and critics while there are replays.
        temperature: of the entropy bonus while there are replays, in scaled rewards; it stays.
    """

    mode: Literal["auto", "always", "never"] = "auto"
    per_logged: int = 7
    near: float = 0.7
    uniform: float = 0.2
    smallest: float = 0.01
    largest: float = 0.6
    forecast_weight: float = 1.0
    largest_reward: float = 10.0
    learning_rate: float = 1e-3
    temperature: float = 0.02

    def __post_init__(self) -> None:
        one_of(self, "mode", ("auto", "always", "never"))
        positive(self, "per_logged", "smallest", "largest_reward")
        positive(self, "learning_rate", "temperature")
        share(self, "largest")
        for name in ("near", "uniform", "forecast_weight"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name}={getattr(self, name)}", expected="in [0, 1]")
        if not self.near + self.uniform <= 1.0:
            raise ConfigError(
                f"near={self.near} and uniform={self.uniform}", expected="1 or less together"
            )
        if not self.smallest <= self.largest:
            raise ConfigError(
                f"smallest={self.smallest}", expected=f"at most largest, {self.largest}"
            )
