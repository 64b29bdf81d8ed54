"""A pretraining as it is asked for: with the rules that its dataset was to be collected under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from offline_trader.config import flat, portable, to_dict
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.pipeline.settings import PretrainConfig

__all__ = ["PretrainRequest", "collected_settings"]


@dataclass(frozen=True)
class PretrainRequest(PretrainConfig):
    """Settings of a pretraining, and ``env`` as in every other command.

    The rewards of a dataset were earned under its own rules, and a training under others would
    learn from wrong ones. So ``env`` can only say once more what the dataset says.

    Attributes:
        env: market, dates and trading rules.
    """

    env: EnvConfig = field(default_factory=EnvConfig)

    def plan(self, collected: Mapping[str, Any]) -> PretrainConfig:
        """The pretraining, if ``env`` says what ``collected`` says.

        Args:
            collected: settings of the dataset's environment.

        Raises:
            ConfigError: they differ; the key and both values are named.
        """
        asked, made = (flat(portable({"env": tree})) for tree in (to_dict(self.env), collected))
        for key, value in asked.items():
            if key in made and made[key] != value:
                raise ConfigError(
                    f"{key} = {value!r}, but {self.dataset} was collected with {made[key]!r}",
                    expected="the dataset's own rules: its rewards were earned under them",
                    hint=f"collect another one: offline-trader collect --set {key}={value} …",
                )
        kept = {each.name: getattr(self, each.name) for each in fields(PretrainConfig)}
        return PretrainConfig(**kept)


def collected_settings(dataset: str, root: Path | None) -> dict[str, Any]:
    """Settings of the environment that ``dataset`` was collected in.

    Raises:
        ConfigError, DataError: no such dataset, or one that was not made by this toolkit.
    """
    from offline_trader.datasets.catalog import dataset_facts

    return to_dict(dataset_facts(dataset, root).env_config)
