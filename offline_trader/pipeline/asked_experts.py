"""The experts that DAgger asks: those of the dataset, or those that its settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from offline_trader.config import names_code
from offline_trader.envs import EnvConfig, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.experts import (
    Behaviour,
    ExpertLanes,
    Mixture,
    get_expert,
    mixture,
    require_askable,
)

if TYPE_CHECKING:
    from offline_trader.learning.settings import DaggerConfig

__all__ = ["asked_lanes", "asked_mixture"]


def asked_mixture(experts: Sequence[Mapping[str, Any]], config: DaggerConfig) -> Mixture:
    """The mixture that is asked.

    Of a dataset's behaviours those that draw their actions are left out: there is nothing to ask
    them. A rule in a file is imported where the settings name it, never on a dataset's word.

    Args:
        experts: the dataset's behaviours (:meth:`offline_trader.experts.Mixture.to_dict`).
        config: may name others.

    Raises:
        ConfigError: nobody can be asked.
    """
    if config.experts:
        named = mixture(config.experts)
        require_askable(*((one.expert.name, one.expert.exploration) for one in named.behaviours))
        return named
    asked, weights = [], []
    for one in experts:
        rule = one["expert"]
        name = str(rule["name"])
        if names_code(name):
            raise ConfigError(
                f"dagger: the dataset's expert {name} is a rule in a file, which is not run on a "
                "dataset's word",
                expected="a rule that you name",
                hint=f"--set dagger.experts={name}",
            )
        require_askable((name, 0.0))  # before a log's file is looked for
        expert = get_expert(name, **rule["params"])
        if expert.exploration == 0.0:
            asked.append(Behaviour(expert, label=str(one.get("label", name))))
            weights.append(float(one.get("weight", 1.0)))
    if not asked:
        raise ConfigError(
            "dagger: the dataset names no expert that could be asked",
            expected="an expert that decides from the observation",
            hint="name who is asked, as in --set dagger.experts=technical,reversion, or leave "
            "dagger out of --stages",
        )
    return mixture(asked, weights)


def asked_lanes(env: EnvConfig, asked: Mixture, config: DaggerConfig, seed: int) -> ExpertLanes:
    """Lanes in the dataset's environment, from random bars on where its episodes begin so."""
    return ExpertLanes(make_simulator(env, config.lanes, seed), asked, seed)
