"""Settings of options and of the controller that chooses among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive, share

__all__ = ["OptionsConfig"]


@dataclass(frozen=True)
class OptionsConfig:
    """Which options there are, and how the choice among them is learned.

    Attributes:
        names: registered options, in the order of the controller's outputs. One that may always
            begin has to be among them: ``wait``, ``policy`` or one of the user's own.
        method: ``smdp``: SMDP Q-learning on whole options, which end by their own rules;
            ``option_critic``: intra-option Q-learning from every bar, and terminations that are
            learned beside the rules: an option ends where its rule says so, or earlier.
        hidden: units of the hidden layers.
        learning_rate: of Adam, for values and terminations.
        tau: target networks move by this share of the difference at every update.
        exploration: share of the choices that are drawn among all that may begin; it falls from 1
            to this over ``exploration_steps`` environment steps.
        exploration_steps: see there.
        deliberation: what a change of option has to be better by before ``option_critic`` ends
            one early, in standard deviations of a row's reward.
        least_bars: that an option runs before ``option_critic`` may end it early.
        least_share: every option shall be chosen in this share of the choices in which it may
            begin; one that is chosen less gets a bonus in the choice (not in its value) that rises
            until it is. 0: no bonus.
        balance_rate: how fast the bonus moves, per step of all lanes.
    """

    names: tuple[str, ...] = ("open_long", "close", "trend_follow", "scalp", "wait")
    method: Literal["smdp", "option_critic"] = "option_critic"
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    tau: float = 0.005
    exploration: float = 0.1
    exploration_steps: int = 10_000
    deliberation: float = 1.0
    least_bars: int = 5
    least_share: float = 0.1
    balance_rate: float = 0.05

    def __post_init__(self) -> None:
        one_of(self, "method", ("smdp", "option_critic"))
        positive(self, "learning_rate", "exploration_steps", "least_bars")
        not_negative(self, "deliberation", "balance_rate")
        share(self, "tau")
        if not 0.0 <= self.exploration <= 1.0:
            raise ConfigError(f"exploration={self.exploration}", expected="in [0, 1]")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden={self.hidden}", expected="one or more positive layer sizes")
        count = len(self.names)
        if count < 2 or len(set(self.names)) < count:
            raise ConfigError(
                f"names={', '.join(self.names)}", expected="two or more options, each once"
            )
        if not 0.0 <= self.least_share <= 1.0 / count:
            raise ConfigError(
                f"least_share={self.least_share}",
                expected=f"0 to {1.0 / count:.3g}: {count} options share the choices",
            )
