"""Settings of the evolution stage: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive, share
from offline_trader.learning.settings.direct import OBJECTIVES, DirectConfig, Objective

__all__ = ["EvolutionAgentConfig", "EvolutionConfig", "HybridAgentConfig"]

_INTERVALS = ("evaluate_interval", "log_interval", "checkpoint_interval")


@dataclass(frozen=True)
class EvolutionConfig:
    """Training of the actor by an evolution strategy: no gradient goes through market or rules.

    Attributes:
        generations: updates.
        population: members of a generation, in antithetic pairs.
        sigma: standard deviation of the members' weights around the policy's.
        learning_rate: of Adam at the first generation; it falls to 0 by half a cosine.
        weight_decay: pull of the weights to 0, in the gradient.
        windows: windows of consecutive bars on which every member of a generation is tried, the
            same for all.
        bars: decisions in a window; fewer where the longest series is shorter.
        objective: of the rewards in the windows, as in the direct stage (``docs/direct.md``).
        risk_aversion, risk_target, tail: its settings.
        market_input: what the policy sees of the market: ``forecast``, the out-of-fold forecasts of
            the next gain and of its size alone, or ``features``, all of them.
        forecast_weight, folds, embargo: of that forecast, as in the direct stage.
        evaluate_interval: generations between validations (and at the end); 0 validates only the
            end. Without a validator the objective on the log itself chooses, or with 0 the last
            policy is kept.
        log_interval, checkpoint_interval: generations between rows of metrics, checkpoints.
        engine: ``fast`` (compiled, where the market has it, on the CPU) or ``torch``.
    """

    generations: int = 200
    population: int = 256
    sigma: float = 0.02
    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    windows: int = 64
    bars: int = 64
    objective: Objective = "growth"
    risk_aversion: float = 1.0
    risk_target: float = 0.0
    tail: float = 0.05
    market_input: Literal["forecast", "features"] = "forecast"
    forecast_weight: float = 1.0
    folds: int = 5
    embargo: int = 5
    evaluate_interval: int = 10
    log_interval: int = 10
    checkpoint_interval: int = 25
    engine: Literal["fast", "torch"] = "fast"

    def __post_init__(self) -> None:
        positive(self, "sigma", "learning_rate", "windows", "bars")
        positive(self, "log_interval", "checkpoint_interval")
        not_negative(self, "generations", "weight_decay", "risk_aversion", "embargo")
        not_negative(self, "evaluate_interval")
        share(self, "tail")
        one_of(self, "objective", OBJECTIVES[:-1])  # components are of rewards with a slope
        one_of(self, "market_input", ("forecast", "features"))
        one_of(self, "engine", ("fast", "torch"))
        if self.population < 2 or self.population % 2:
            raise ConfigError(
                f"population={self.population}", expected="an even number: members come in pairs"
            )
        self.judging()  # refuses what the direct stage refuses

    def judging(self) -> DirectConfig:
        """Objective, forecast and windows as the direct stage has them, which judges alike."""
        return DirectConfig(
            objective=self.objective,
            risk_aversion=self.risk_aversion,
            risk_target=self.risk_target,
            tail=self.tail,
            bars=self.bars,
            windows=self.windows,
            market_input=self.market_input,
            forecast_weight=self.forecast_weight,
            folds=self.folds,
            embargo=self.embargo,
            horizon=1,
            engine=self.engine,
        )


@dataclass(frozen=True)
class EvolutionAgentConfig(EvolutionConfig):
    """Fine-tuning by an evolution strategy.

    The attributes are those of :class:`EvolutionConfig`. The policy goes on from the weights that
    it has, so it sees all features.
    """

    market_input: Literal["forecast", "features"] = "features"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.market_input != "features":
            raise ConfigError(
                f"evolution_agent.market_input={self.market_input}",
                expected="features: the policy goes on from the weights that it has",
            )


@dataclass(frozen=True)
class HybridAgentConfig(EvolutionConfig):
    """Fine-tuning by SAC, with turns of an evolution strategy in between.

    The attributes are those of :class:`EvolutionConfig`, but for the intervals, which are those of
    the online loop, and these. The policy goes on from the weights that it has, so it sees all
    features.

    Attributes:
        every: updates of SAC between the turns.
        generations: of a turn.
        trial_windows: windows on which the policies before and after a turn are compared, 32 or
            more.
        critic_updates: updates of the critics alone where a turn ends with another policy than it
            was given.
    """

    every: int = 2_000
    generations: int = 20
    trial_windows: int = 256
    critic_updates: int = 500
    market_input: Literal["forecast", "features"] = "features"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "every", "generations")
        not_negative(self, "critic_updates")
        if self.trial_windows < 32:
            raise ConfigError(f"trial_windows={self.trial_windows}", expected="32 or more")
        for name in ("market_input", *_INTERVALS):
            if getattr(self, name) != getattr(HybridAgentConfig, name):
                raise ConfigError(
                    f"hybrid_agent.{name}={getattr(self, name)}",
                    expected="a setting of the evolution stage alone; intervals of fine-tuning are "
                    "those of online, and its policy sees all features",
                )
