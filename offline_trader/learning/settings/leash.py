"""Settings of the leash that offline training has without replays: frozen, checked, no torch."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.learning.settings.checks import not_negative, positive

__all__ = ["LeashConfig"]


@dataclass(frozen=True)
class LeashConfig:
    """How far from the data's actions a policy may go.

    Attributes:
        distance: in standard deviations of the data's actions around the policy that the training
            begins with, root mean square over the data; 0: the learner's algorithm as it is.
        n_critics: of the ensemble, whose least value counts.
        learning_rate: of actor and critics.
        temperature: of the entropy bonus, in scaled rewards; it stays.
        least_weight: of the pull to the data's actions (``learner.behaviour_weight``), within the
            distance, too.
        most_foretold: transitions up to which rewards are taken as far as state and action foretell
            them out of fold; with more of them, and with 0, as they were realised.
        updates: of critics and actor at most: further ones find what noise left in the rewards.
    """

    distance: float = 3.0
    n_critics: int = 10
    learning_rate: float = 1e-3
    temperature: float = 0.02
    least_weight: float = 0.3
    most_foretold: int = 500_000
    updates: int = 1_200

    def __post_init__(self) -> None:
        positive(self, "n_critics", "learning_rate", "temperature", "least_weight")
        not_negative(self, "distance", "updates", "most_foretold")
