"""When offline training replays logged bars, and what it trains then.

With replays of a bar at any position and under any action there is nothing that the data do not
hold, so nothing to be pessimistic about: the updates are SAC's, whose actor and critics have the
shapes of CQL's. They are those of the learner itself again when the training ends.
"""

from __future__ import annotations

from offline_trader.errors import ConfigError, OfflineTraderError
from offline_trader.learning.agents import Learner, online_learner
from offline_trader.learning.data import CounterfactualReplay, Transitions
from offline_trader.learning.settings import LearnerConfig, OfflineConfig, ReplayConfig
from offline_trader.learning.stages.direct.bars import require_no_impact
from offline_trader.learning.stages.direct.forecast import fit_forecast
from offline_trader.learning.stages.direct.market import DirectMarket
from offline_trader.simulator import SimulatorConfig

__all__ = ["find_replay", "require_replays", "unconstrained"]

_ALGORITHMS = ("cql", "sac")


def find_replay(
    learner: Learner,
    data: Transitions,
    config: OfflineConfig,
    market: DirectMarket | None,
    seed: int,
) -> tuple[CounterfactualReplay | None, str]:
    """The replay of ``data`` or None, and how many or why none; nothing is said where there are
    no bars and none were asked for.

    Raises:
        ConfigError: replays are asked for (``offline.replay.mode = always``) and cannot be.
    """
    mode, count = config.replay.mode, config.replay.per_logged
    if mode == "never" or (mode == "auto" and market is None):
        return None, ""
    try:
        replay = _replay(learner, data, config, market, seed)
        return replay, f"{count} replays for each logged transition"
    except OfflineTraderError as error:
        if mode == "always":
            raise _refused(error) from error
        return None, f"no replays: {error.found}"


def require_replays(settings: LearnerConfig, config: OfflineConfig, rules: SimulatorConfig) -> None:
    """Nothing if bars can be replayed for such a learner under such rules, before any training.

    Raises:
        ConfigError: they cannot be.
    """
    try:
        _require_usable(settings, config)
        require_no_impact(rules)
    except ConfigError as error:
        raise _refused(error) from error


def _refused(error: OfflineTraderError) -> ConfigError:
    return ConfigError(
        f"offline.replay.mode = always: {error.found}",
        expected=error.expected,
        hint="train without replays: --no-replay",
    )


def _replay(
    learner: Learner,
    data: Transitions,
    config: OfflineConfig,
    market: DirectMarket | None,
    seed: int,
) -> CounterfactualReplay:
    """The replay.

    Raises:
        ConfigError, DataError: there can be none.
    """
    if market is None:
        raise ConfigError(
            "there are transitions alone, without their bars",
            expected="a dataset that was collected in this toolkit's simulator",
        )
    _require_usable(learner.config, config)
    replayed = market.replayed()
    surprises = None
    if config.replay.forecast_weight > 0.0:
        surprise = market.log.gains - fit_forecast(market.log).values
        surprises = config.replay.forecast_weight * surprise
    return CounterfactualReplay(
        replayed, data, config.replay, learner.preprocessing, surprises, seed
    )


def _require_usable(settings: LearnerConfig, config: OfflineConfig) -> None:
    """Nothing if the learner can use replays.

    Raises:
        ConfigError: it cannot.
    """
    if settings.algorithm not in _ALGORITHMS:
        raise ConfigError(
            f"learner.algorithm = {settings.algorithm} holds on to the actions of the data, and "
            "those of replays are drawn at random",
            expected=" or ".join(_ALGORITHMS),
        )
    if getattr(settings, "behaviour_weight", 0.0) > 0.0:
        raise ConfigError(
            "learner.behaviour_weight > 0 pulls to the actions of the data, and those of replays "
            "are drawn at random",
            expected="learner.behaviour_weight = 0",
        )
    if config.n_steps > 1:
        raise ConfigError(
            f"offline.n_steps = {config.n_steps}: a replay is of one bar", expected="1"
        )


def unconstrained(learner: Learner, config: ReplayConfig, seed: int) -> Learner:
    """SAC with the learner's policy and critics, and the settings of replays."""
    settings = learner.config.with_tag(
        "sac",
        actor_lr=config.learning_rate,
        critic_lr=config.learning_rate,
        initial_temperature=config.temperature,
        temp_lr=0.0,
    )
    return online_learner(learner, settings, seed)
