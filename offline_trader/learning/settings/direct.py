"""Settings of the direct stage: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive, share
from offline_trader.learning.settings.objectives import COMPONENTS, require_weights

__all__ = ["OBJECTIVES", "DirectAgentConfig", "DirectConfig", "Objective"]

Objective = Literal["growth", "mean_variance", "quadratic", "sharpe", "cvar", "components"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
_WITHOUT_SLOPE = ("activity", "timing", "exploration")


@dataclass(frozen=True)
class DirectConfig:
    """Training of the actor by unrolling it over windows of logged bars.

    Attributes:
        updates: gradient steps.
        windows: windows of one update.
        bars: decisions in a window; fewer where the longest series is shorter.
        learning_rate: of Adam at the first update; it falls to 0 by half a cosine.
        clip: largest norm of the gradient.
        weight_decay: weights shrink by ``learning_rate · weight_decay`` an update (AdamW).
        feature_noise: standard deviation of the noise on the scaled market features.
        objective: what is climbed, of the rewards in windows (``docs/direct.md``): ``growth``
            (their mean), ``mean_variance``, ``quadratic``, ``sharpe``, ``cvar``, or ``components``:
            those of ``docs/objectives.md`` that have a slope.
        weights: of profit, risk, activity, timing, exploration and consistency, in ``components``;
            of activity, timing and exploration 0.
        risk_aversion: weight of the risk in ``mean_variance`` and ``quadratic``.
        risk_target: in ``sharpe``, the spread that the rewards are to have, as a share of that of
            the gains: at 0.5 the policy takes half the risk of holding all the time; 0: none is
            asked for.
        tail: share of the worst windows that count, in ``cvar`` and for the limit.
        drawdown_limit: largest drawdown within a window, as a share of the peak, which only the
            ``tail`` of the windows may exceed; 0: no limit. Windows should be as long as the time
            over which it is to hold.
        limit_by: how the limit is held: ``scale``: the policy is trained without it and its
            positions are then scaled down; ``price``: it is trained under a price on the drawdown.
        price_rate: how fast that price moves.
        clone_weight: pull of the actions to those of the policy that the stage began with.
        market_input: what the policy sees of the market: ``forecast``, the out-of-fold forecasts of
            the next gain and of its size alone, or ``features``, all of them.
        forecast_weight: share of the realised gain's surprise (gain less its out-of-fold
            forecast) that is taken off the rewards, in [0, 1]; 0: rewards as realised.
        horizon: bars whose mean gain, and mean size of a gain, the forecasts that a policy sees are
            fitted to.
        folds: blocks in time that the forecast is cross-fitted over.
        embargo: rows around a block that are not fitted on when the block is forecast.
        own_starts: share of the windows that start with a portfolio the policy itself had there;
            the others start with a random one.
        evaluate_interval: updates between validations (and at the end); 0 validates only the end.
            Without a validator the objective on the log itself chooses, or with 0 the last policy
            is kept.
        log_interval, checkpoint_interval: updates between rows of metrics, between checkpoints.
        engine: ``fast`` (compiled, where the market has it, on the CPU) or ``torch``.
    """

    updates: int = 500
    windows: int = 128
    bars: int = 64
    learning_rate: float = 1e-2
    clip: float = 1.0
    weight_decay: float = 0.0
    feature_noise: float = 0.0
    objective: Objective = "growth"
    weights: tuple[float, ...] = (0.6, 0.3, 0.0, 0.0, 0.0, 0.1)
    risk_aversion: float = 1.0
    risk_target: float = 0.0
    tail: float = 0.05
    drawdown_limit: float = 0.0
    limit_by: Literal["scale", "price"] = "scale"
    price_rate: float = 0.05
    clone_weight: float = 0.0
    market_input: Literal["forecast", "features"] = "forecast"
    forecast_weight: float = 1.0
    horizon: int = 5
    folds: int = 5
    embargo: int = 5
    own_starts: float = 0.5
    evaluate_interval: int = 25
    log_interval: int = 50
    checkpoint_interval: int = 100
    engine: Literal["fast", "torch"] = "fast"

    def __post_init__(self) -> None:
        positive(self, "windows", "bars", "learning_rate", "clip")
        positive(self, "log_interval", "checkpoint_interval", "horizon")
        not_negative(self, "updates", "weight_decay", "feature_noise", "risk_aversion")
        not_negative(self, "clone_weight", "embargo", "evaluate_interval")
        share(self, "tail")
        positive(self, "price_rate")
        not_negative(self, "risk_target")
        if not 0.0 <= self.drawdown_limit < 1.0:
            raise ConfigError(
                f"drawdown_limit={self.drawdown_limit}", expected="in [0, 1), as 0.1 for 10 %"
            )
        one_of(self, "limit_by", ("scale", "price"))
        one_of(self, "objective", OBJECTIVES)
        require_weights("direct.weights", self.weights)
        flat = [name for name in _WITHOUT_SLOPE if self.weights[COMPONENTS.index(name)] != 0.0]
        if flat:
            raise ConfigError(
                f"direct.weights above 0 of {', '.join(flat)}",
                expected="0 of them: they count trades and cells, or read exposures, which the "
                "rewards of a window do not tell",
                hint="finetune --objectives takes all of them",
            )
        one_of(self, "market_input", ("forecast", "features"))
        if self.market_input == "forecast" and self.clone_weight > 0:
            raise ConfigError(
                f"clone_weight={self.clone_weight} with market_input=forecast",
                expected="market_input=features: a policy that sees the forecast alone cannot be "
                "pulled to one that sees all features",
            )
        one_of(self, "engine", ("fast", "torch"))
        for name in ("forecast_weight", "own_starts"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name}={getattr(self, name)}", expected="in [0, 1]")
        if not self.folds >= 2:
            raise ConfigError(f"folds={self.folds}", expected="2 or more")


_INTERVALS = ("evaluate_interval", "log_interval", "checkpoint_interval")
_OF_THE_STAGE = (
    "updates",
    "clone_weight",
    "market_input",
    "horizon",
    "drawdown_limit",
    "limit_by",
    *_INTERVALS,
)


@dataclass(frozen=True)
class DirectAgentConfig(DirectConfig):
    """Fine-tuning through the portfolio's gradient.

    The attributes are those of :class:`DirectConfig`, but for the settings of a stage: how many
    updates there are and when is said by the online loop, the policy goes on from the weights that
    it has, so it sees all features, and there is no clone to be pulled to.
    """

    windows: int = 32
    learning_rate: float = 1e-3
    market_input: Literal["forecast", "features"] = "features"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in _OF_THE_STAGE:
            if getattr(self, name) != getattr(DirectAgentConfig, name):
                raise ConfigError(
                    f"direct_agent.{name}={getattr(self, name)}",
                    expected="a setting of the direct stage alone; steps, updates a step and "
                    "intervals of fine-tuning are those of online",
                )
