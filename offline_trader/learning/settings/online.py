"""Settings of online training: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive
from offline_trader.learning.settings.curiosity import CuriosityConfig
from offline_trader.learning.settings.curriculum import CurriculumConfig, DifficultyConfig
from offline_trader.learning.settings.objectives import ObjectivesConfig
from offline_trader.learning.settings.shaping import ShapingConfig

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
        target_entropy: that the temperature aims at, nats an action dimension, at the start.
        final_target_entropy: the same in the end.
        anneal: ``steps``: the one becomes the other in the course of the steps, as the next two
            say; ``validation``: by ``entropy_step`` at each validation that finds the policy better
            than all before.
        entropy_step: nats.
        entropy_hold: share of the steps before it begins to change.
        entropy_decay: share of the steps over which the one becomes the other, in a straight
            line; 0: at once.
        rate_decay: share of the steps, the last ones, over which the learning rates go down to
            a hundredth; 0: they stay.
        exploring_starts: share of the episodes whose first action is drawn uniformly, so that
            they begin in any position; of agents that note facts of their actions, none.
        on_collapse: what happens where a validation calls the policy collapsed: ``explore`` raises
            the target entropy by a nat, and by one more at each further one, until a validation
            does not; ``return`` goes on from the best policy; ``continue`` only says so.
        forecast_weight: share of a realised gain's surprise (gain less its out-of-fold forecast)
            that is taken off the rewards of the lanes, as in the direct stage, in [0, 1].
        transforms: names of registered transforms of what is stored and sampled, in order.
        hindsight: in lanes with goals, sampled rows that get another goal for each one that keeps
            its own (k of HER); 0: none does. Lanes without goals have nothing to relabel.
        shaping: settings of potential-based shaping, on where it names potentials; it comes after
            the transforms.
        curiosity: settings of an intrinsic reward, on where its ``weight`` is above 0; it comes
            after the transforms and the shaping.
        objectives: several objectives in place of the reward, each with a critic head of its own;
            on where ``preference`` is not ``none``.
        curriculum: synthetic markets of five stages in place of the environment's.
        difficulty: markets of a stage that become harder or easier as episodes go.
        patience: validations in a row that find no policy better than all before, after which the
            training ends; 0: it takes all its steps.
        evaluate_interval, log_interval, checkpoint_interval: environment steps between them.
    """

    steps: int = 20_000
    update_ratio: float = 0.25
    offline_share: float = 0.5
    buffer_size: int = 100_000
    warmup_steps: int = 1_000
    critic_updates: int = 500
    target_entropy: float = -1.0
    final_target_entropy: float = -1.0
    anneal: Literal["steps", "validation"] = "steps"
    entropy_step: float = 0.5
    entropy_hold: float = 0.0
    entropy_decay: float = 0.5
    rate_decay: float = 0.0
    exploring_starts: float = 0.5
    on_collapse: Literal["explore", "return", "continue"] = "explore"
    forecast_weight: float = 0.0
    transforms: tuple[str, ...] = ()
    hindsight: float = 4.0
    shaping: ShapingConfig = field(default_factory=ShapingConfig)
    curiosity: CuriosityConfig = field(default_factory=CuriosityConfig)
    objectives: ObjectivesConfig = field(default_factory=ObjectivesConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    difficulty: DifficultyConfig = field(default_factory=DifficultyConfig)
    patience: int = 0
    evaluate_interval: int = 5_000
    log_interval: int = 1_000
    checkpoint_interval: int = 5_000

    def __post_init__(self) -> None:
        positive(self, "buffer_size", "log_interval", "checkpoint_interval")
        not_negative(self, "steps", "update_ratio", "warmup_steps", "critic_updates")
        not_negative(self, "evaluate_interval", "hindsight", "patience")
        one_of(self, "on_collapse", ("explore", "return", "continue"))
        one_of(self, "anneal", ("steps", "validation"))
        not_negative(self, "entropy_step")
        for name in (
            *("entropy_hold", "entropy_decay", "rate_decay", "exploring_starts"),
            "forecast_weight",
        ):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name}={value}", expected="in [0, 1]")
        if not 0.0 <= self.offline_share < 1.0:
            raise ConfigError(f"offline_share={self.offline_share}", expected="in [0, 1)")
        if len(set(self.transforms)) < len(self.transforms):
            raise ConfigError(
                f"transforms={', '.join(self.transforms)}", expected="each at most once"
            )
        if self.patience > 0 and self.evaluate_interval == 0:
            raise ConfigError(
                f"patience={self.patience} with evaluate_interval=0",
                expected="evaluate_interval above 0: what ends the training are validations",
            )
        self._require_one_reward()

    @property
    def staged(self) -> bool:
        """Whether the lanes trade the stages' synthetic markets, not the environment's."""
        return self.curriculum.enabled or self.difficulty.enabled

    def _require_one_reward(self) -> None:
        """Refuse changes of a reward that nothing is learned from."""
        of_rewards = {
            "online.transforms": bool(self.transforms),
            "online.shaping.potentials": bool(self.shaping.potentials),
            "online.curiosity.weight": self.curiosity.weight > 0,
            "online.forecast_weight": self.forecast_weight > 0,
        }
        found = [name for name, asked in of_rewards.items() if asked and self.objectives]
        if found:
            raise ConfigError(
                f"online.objectives with {', '.join(found)}",
                expected="one of them: with objectives the components of a step are learned from, "
                "not its reward",
                hint="exploration is an objective, too",
            )
