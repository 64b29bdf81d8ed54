"""What to collect, and how it is cut into parts that can be repeated alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from offline_trader.config import require_seed
from offline_trader.datasets.catalog import check_dataset_id
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.experts import Mixture, mixture

__all__ = ["DEFAULT_EXPERTS", "PART_TRANSITIONS", "CollectConfig", "PartPlan", "plan_parts"]

DEFAULT_EXPERTS: tuple[str, ...] = (
    "technical?weight=3&epsilon=0.1",
    "reversion?weight=2&epsilon=0.1",
    "donchian?epsilon=0.1",
    "ma_cross?epsilon=0.1",
    "volatility_target?epsilon=0.1",
    "random?weight=2",
)


PART_TRANSITIONS = 1 << 20
"""Most transitions of a part (but one episode): what is in memory at once, 260 MB, and at risk."""


@dataclass(frozen=True)
class CollectConfig:
    """One collection.

    Attributes:
        dataset_id: ``name-v0`` or ``namespace/name-v0``.
        env: market range, episodes and trading rules.
        experts: the mixture; each ``name?weight=2&epsilon=0.1&parameter=value``
            (:func:`offline_trader.experts.parse_behaviour`).
        transitions: at least so many steps, rounded up to whole episodes.
        lanes: episodes that run at once, at most; fewer where they would be longer than
            :data:`PART_TRANSITIONS` together. Part of the collection's identity.
        seed: of starts, draws and noise.
        score_episodes: episodes of every rule for the reference scores.
        author, description: for Minari's metadata; may be empty.
    """

    dataset_id: str = "offline_trader/experts-v0"
    env: EnvConfig = field(default_factory=EnvConfig)
    experts: tuple[str, ...] = DEFAULT_EXPERTS
    transitions: int = 100_000
    lanes: int = 1024
    seed: int = 0
    score_episodes: int = 64
    author: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        check_dataset_id(self.dataset_id)
        for name in ("transitions", "lanes", "score_episodes"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"collect: {name} = {value}", expected="at least 1")
        require_seed(self.seed)
        mixture(self.experts)

    @property
    def mixture(self) -> Mixture:
        """The experts with their noise and weights."""
        return mixture(self.experts)


@dataclass(frozen=True)
class PartPlan:
    """One part: ``lanes`` lanes from a reset for the same number of steps.

    Attributes:
        index: its number, which is also mixed into its seed.
        lanes: how many.
    """

    index: int
    lanes: int


def plan_parts(transitions: int, lanes: int, episode_steps: int) -> list[PartPlan]:
    """Parts of whole episodes of ``episode_steps`` steps that hold ``transitions`` or more."""
    episodes = -(-transitions // episode_steps)
    together = min(lanes, max(PART_TRANSITIONS // episode_steps, 1))
    starts = range(0, episodes, together)
    return [PartPlan(i, min(together, episodes - first)) for i, first in enumerate(starts)]
