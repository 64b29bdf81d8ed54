"""Settings of DAgger: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass, field

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, positive
from offline_trader.learning.settings.clone import CloneConfig

__all__ = ["DaggerConfig"]


@dataclass(frozen=True)
class DaggerConfig:
    """Imitation of experts that are asked on the learner's own states (DAgger).

    Attributes:
        rounds: of acting, asking and fitting.
        steps: of all lanes together in a round; every one is an expert's answer.
        lanes: environments side by side.
        beta: an expert acts in round i with probability ``beta`` to the power of i, in a step of a
            lane. 0: in the first round alone.
        experts: who is asked, as in ``collect``; empty: those of the dataset.
        clone: the fit of a round to all answers so far; ``updates`` are those of a round.
    """

    rounds: int = 10
    steps: int = 2_000
    lanes: int = 16
    beta: float = 0.0
    experts: tuple[str, ...] = ()
    clone: CloneConfig = field(
        default_factory=lambda: CloneConfig(updates=300, fit="mean", holdout=0.0)
    )

    def __post_init__(self) -> None:
        positive(self, "rounds", "steps", "lanes")
        not_negative(self, "beta")
        if not self.beta < 1.0:
            raise ConfigError(f"beta={self.beta}", expected="in [0, 1): the learner acts, too")
        if self.steps < self.lanes:
            raise ConfigError(
                f"steps={self.steps} of {self.lanes} lanes", expected="a step of every lane or more"
            )
