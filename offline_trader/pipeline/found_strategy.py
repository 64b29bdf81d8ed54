"""A strategy that was found by its name, a file or a run, with what is known of its making."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from offline_trader.errors import ConfigError
from offline_trader.goals import Preference
from offline_trader.pipeline.run_facts import GoalFacts, ModelFacts, StageRow, latest_day

if TYPE_CHECKING:
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.backtest import Strategy

__all__ = ["FoundStrategy", "last_day_seen"]


@dataclass(frozen=True, eq=False)
class FoundStrategy:
    """A policy or an expert with what is known of its making.

    Attributes:
        name: for reports and folders.
        opener: opens what is evaluated, once; until then nothing of it was.
        env: settings of its environment that it was trained in; empty: not known.
        seen_until: last day that its training or choice saw; empty: not known.
        experts: source experts to compare with, without noise.
        unasked: source experts that lie in files, which are not imported on a file's word.
        trial: what was chosen to get it, for the trial ledger.
        seed: of its training.
        facts: what an ONNX file tells of its training.
        history: what each stage of its training added.
        goal: that it takes; None: none.
        preference: weights of the objectives that it was trained for; None: for the reward alone.
    """

    name: str
    opener: Callable[[], Strategy]
    env: Mapping[str, Any] = field(default_factory=dict)
    seen_until: str = ""
    experts: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    trial: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    facts: ModelFacts | None = None
    history: tuple[StageRow, ...] = ()
    goal: GoalFacts | None = None
    preference: Preference | None = None

    @property
    def is_rule(self) -> bool:
        """Whether it is an expert, which nothing was trained on."""
        return "expert" in self.trial

    def asked_for(self, goal: float | None) -> FoundStrategy:
        """The strategy with ``goal`` instead of the default that it aims at; None: as it is.

        Raises:
            ConfigError: it takes no goal, or none such.
        """
        if goal is None:
            return self
        if self.goal is None:
            raise ConfigError(
                f"a goal of {goal:g} for {self.name}, which takes none",
                expected="a policy that finetune --her trained",
            )
        asked = self.goal.task.require(goal)

        def opened() -> Strategy:
            found: Any = self.opener()
            found.goal = asked
            return cast("Strategy", found)

        return replace(self, opener=cache(opened), trial={**self.trial, "goal": asked})

    def preferring(self, weights: Sequence[float] | None) -> FoundStrategy:
        """The strategy under ``weights`` of the objectives instead of its default; None: as it is.

        Raises:
            ConfigError: it takes no preference, or none such.
        """
        if weights is None:
            return self
        if self.preference is None or not self.preference.given:
            raise ConfigError(
                f"a preference for {self.name}, which takes none",
                expected="a policy that finetune --objectives given, or learned, trained",
            )
        asked = self.preference.asking(weights)

        def opened() -> Strategy:
            found: Any = self.opener()
            return cast("Strategy", found.preferring(asked.weights))

        trial = {**self.trial, "preference": list(asked.weights)}
        return replace(self, opener=cache(opened), trial=trial, preference=asked)

    def open(self) -> Strategy:
        """What is evaluated, opened at the first call.

        Raises:
            DataError: a model that cannot be opened.
        """
        return self.opener()


def last_day_seen(training: EnvConfig, validation: EnvConfig | None) -> str:
    """Last day, ISO, that a training or the choice of its policy saw.

    Args:
        training: its environment; without an end it saw all bars of its market.
        validation: the one that the policy was chosen in, if there was one.

    Raises:
        DataError: bars without an end that cannot be read.
    """
    from offline_trader.markets import load_markets

    ends = [training.end, None if validation is None else validation.end]
    if ends[0] is None:
        bars = load_markets(training.market, tz=training.tz)
        ends[0] = str(max(each.timestamps[-1] for each in bars).astype("datetime64[D]"))
    return latest_day(*([None, end] for end in ends))
