"""The methods that are compared, each from random weights with two hidden layers of 32.

One setting a method for all markets. The online methods take ``STEPS`` steps in lanes with an
update each. SAC's settings were found on M1 and M3 without replays at other positions, which
``benchmarks.finetune`` has by now and with them an entropy that is high for less long; SAC has
its own steps alone here. IMPALA makes an update of every trajectory. The direct and the
evolution stage read a log of as many rows, again and again. A method is an entry of
:data:`METHODS`; nothing else names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.method_markets import LANES, STEPS, Market

__all__ = ["METHODS", "Method", "Trained"]

LEARNER: dict[str, Any] = {
    "algorithm": "sac",
    "hidden": (32, 32),
    "gamma": 0.95,
    "batch_size": 128,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "temp_lr": 1e-3,
}
ONLINE: dict[str, Any] = {
    "steps": STEPS,
    "update_ratio": 1.0,
    "offline_share": 0.0,
    "critic_updates": 200,
    "warmup_steps": 500,
    "forecast_weight": 1.0,
    "target_entropy": -1.0,
    "final_target_entropy": -6.0,
    "entropy_hold": 0.5,
    "entropy_decay": 0.25,
    "rate_decay": 0.5,
    "evaluate_interval": 0,
    "log_interval": STEPS,
}
CURIOSITY: dict[str, Any] = {"weight": 0.1, "eta": 1.0, "half_life": 4_000}
SHAPING: dict[str, Any] = {"potentials": ("support_resistance",), "weight": 0.3}
DIRECT: dict[str, Any] = {"market_input": "forecast"}
EVOLUTION: dict[str, Any] = {"generations": 60, "market_input": "forecast"}
OPTIONS: dict[str, Any] = {
    "options": {"hidden": (32, 32), "exploration_steps": STEPS // 2, "method": "option_critic"},
    "update_ratio": 0.25,  # an update of all options takes several times as long
}
OBJECTIVES: dict[str, Any] = {
    "objectives": {"preference": "fixed"},
    "forecast_weight": 0.0,
    "update_ratio": 0.25,  # an update of six critic heads takes several times as long
}
HYBRID: dict[str, Any] = {"every": 2_500, "population": 64}
IMPALA: dict[str, Any] = {"rollout": 5, "learning_rate": 3e-3}


@dataclass(frozen=True)
class Trained:
    """A policy, and the steps that were simulated for it, replays of logged bars included."""

    policy: Any
    simulated: int


@dataclass(frozen=True)
class Method:
    """A method in the comparison.

    Attributes:
        train: on a market, with a seed.
        settings: all of it; a change of them is another measurement.
        skips: markets that it does not take part in: those without bars, where it needs their
            columns; the S&P 500, whose one stretch of years tells variants of SAC apart least.
    """

    train: Callable[[Market, int, Mapping[str, Any]], Trained]
    settings: Mapping[str, Any] = field(default_factory=dict)
    skips: tuple[str, ...] = ()


def _learner(market: Market, seed: int) -> Any:
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import LearnerConfig

    return make_learner(LearnerConfig(**LEARNER), market.size, market.scales, seed)


def _in_lanes(agent: Any, market: Market, seed: int, settings: Mapping[str, Any]) -> None:
    """Train an agent in the market's lanes, with what the settings add."""
    from offline_trader.config import from_dict
    from offline_trader.learning.settings import OnlineConfig
    from offline_trader.learning.stages import finetune

    known = {} if market.gains else {"forecast_weight": 0.0}
    config = from_dict(OnlineConfig, {**ONLINE, **known, **settings})
    finetune(agent, market.lanes(), None, config, seed=seed)


def _online(market: Market, seed: int, settings: Mapping[str, Any]) -> Trained:
    """SAC."""
    learner = _learner(market, seed)
    _in_lanes(learner, market, seed, settings)
    return Trained(learner.act, STEPS)


def _options(market: Market, seed: int, settings: Mapping[str, Any]) -> Trained:
    """A controller of options by rules, option-critic."""
    from offline_trader.learning.options import OptionsAgent
    from offline_trader.learning.settings import OptionsConfig

    config, layout = OptionsConfig(**settings["options"]), market.bars.layout
    agent = OptionsAgent(_learner(market, seed), config, layout, market.rules, seed)
    online = {"critic_updates": 0, "on_collapse": "return"}
    _in_lanes(agent, market, seed, {**online, "update_ratio": settings["update_ratio"]})
    return Trained(agent.policy(), STEPS)


def _objectives(market: Market, seed: int, settings: Mapping[str, Any]) -> Trained:
    """SAC with a critic head an objective, under the default weights."""
    from offline_trader.learning.agents import MultiObjectiveAgent
    from offline_trader.learning.settings import ObjectivesConfig

    config = ObjectivesConfig(**settings["objectives"])
    agent = MultiObjectiveAgent(_learner(market, seed), config, seed)
    _in_lanes(agent, market, seed, settings)
    return Trained(agent.policy(), STEPS)


def _hybrid(market: Market, seed: int, settings: Mapping[str, Any]) -> Trained:
    """SAC with turns of evolution on the log."""
    from offline_trader.learning.settings import HybridAgentConfig
    from offline_trader.learning.stages.evolution import HybridAgent

    learner, log, config = _learner(market, seed), market.log(), HybridAgentConfig(**settings)
    _in_lanes(HybridAgent(learner, lambda: [log], config, seed), market, seed, {})
    turns = (STEPS - ONLINE["warmup_steps"]) // config.every
    tried = turns * config.generations * config.population * config.windows * config.bars
    return Trained(learner.act, STEPS + tried)


def _impala(market: Market, seed: int, settings: Mapping[str, Any]) -> Trained:
    """One actor in step with the learner, an update a trajectory of all lanes."""
    from offline_trader.learning.settings import ImpalaConfig
    from offline_trader.learning.stages.impala import train_impala

    learner = _learner(market, seed)
    config = ImpalaConfig(
        steps=STEPS, lanes=LANES, evaluate_interval=0, log_interval=STEPS, **settings
    )
    train_impala(learner, lambda _lanes, _seed: market.lanes(), config, seed=seed)
    return Trained(learner.act, STEPS)


def _staged(stage: str) -> Callable[[Market, int, Mapping[str, Any]], Trained]:
    """A stage that trains on the log."""

    def train(market: Market, seed: int, settings: Mapping[str, Any]) -> Trained:
        from offline_trader.learning.stages import STAGES, StageData

        learner, made = _learner(market, seed), STAGES[stage]
        config = made.Config(**settings)
        made(config).fit(learner, StageData(market=market.log()), seed=seed)
        tried = config.updates if stage == "direct" else config.generations * config.population
        return Trained(learner.act, tried * config.windows * config.bars)

    return train


METHODS: Mapping[str, Method] = {
    "SAC": Method(_online),
    "SAC with curiosity": Method(_online, {"curiosity": CURIOSITY}, ("sp500",)),
    "SAC with shaping": Method(_online, {"shaping": SHAPING}, ("M1", "M3", "sp500")),
    "direct": Method(_staged("direct"), DIRECT),
    "evolution": Method(_staged("evolution"), EVOLUTION),
    "hybrid": Method(_hybrid, HYBRID),
    "IMPALA": Method(_impala, IMPALA),
    "objectives": Method(_objectives, OBJECTIVES, ("M1", "M3")),
    "options": Method(_options, OPTIONS, ("M1", "M3")),
}
