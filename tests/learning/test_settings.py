"""One class of settings an algorithm: what it does not use is refused, what was stored is read."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pytest

from offline_trader.config import from_dict, load_config, to_dict, to_yaml
from offline_trader.config.loading import known_keys
from offline_trader.errors import ConfigError
from offline_trader.learning.settings import (
    ALGORITHMS,
    CalQLConfig,
    CQLConfig,
    IQLConfig,
    LearnerConfig,
    SACConfig,
)


@dataclass(frozen=True)
class Plan:
    learner: LearnerConfig = field(default_factory=lambda: LearnerConfig(gamma=0.97))


def test_the_tag_chooses_the_class_and_defaults_both_have_are_kept() -> None:
    assert type(LearnerConfig()) is CQLConfig
    assert LearnerConfig(algorithm="iql", expectile=0.8) == IQLConfig(expectile=0.8)  # type: ignore[call-arg]
    plan = load_config(Plan, overrides=["learner.algorithm=iql", "learner.expectile=0.8"])
    assert plan.learner == IQLConfig(gamma=0.97, expectile=0.8)
    assert type(load_config(Plan, overrides=["learner.tau=0.1"]).learner) is CQLConfig


@pytest.mark.parametrize("given", ["0.9", "0.7"])
def test_a_setting_of_another_algorithm_is_refused_with_the_names_of_those_that_use_it(
    given: str,
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Plan, overrides=[f"learner.expectile={given}"])
    assert "learner.expectile: cql does not use it" in str(caught.value)
    assert "used by iql" in str(caught.value)
    with pytest.raises(ConfigError, match="used by cql, cal_ql, awac"):
        load_config(Plan, overrides=["learner.algorithm=sac", "learner.n_action_samples=4"])
    with pytest.raises(ConfigError, match="expectile: cql does not use it"):
        LearnerConfig(expectile=0.9)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="with_tag"):
        replace(CQLConfig(), algorithm="sac")
    with pytest.raises(ConfigError, match="did you mean 'sac'"):
        load_config(Plan, overrides=["learner.algorithm=sacc"])


def flat(**changed: object) -> dict[str, object]:
    """Settings as earlier versions stored them: those of every algorithm."""
    found: dict[str, object] = {}
    for name in reversed(list(ALGORITHMS)):
        found |= {each.name: each.default for each in fields(ALGORITHMS[name])}
    return {**found, "hidden": [64, 64], **changed}


def test_stored_settings_of_all_algorithms_are_read(tmp_path: Path) -> None:
    stored = tmp_path / "config.yaml"
    stored.write_text(to_yaml({"learner": flat(algorithm="cql", conservative_weight=0.5)}))
    assert load_config(Plan, stored).learner == CQLConfig(conservative_weight=0.5)
    ignored = LearnerConfig.used(flat(algorithm="sac", expectile=0.9, tau=0.1))
    assert from_dict(LearnerConfig, ignored) == SACConfig(tau=0.1)
    with pytest.raises(ConfigError, match="expectile: sac does not use it"):
        from_dict(Plan, {"learner": flat(algorithm="sac", expectile=0.9)})


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_settings_survive_their_dict_copies_and_pickles(algorithm: str) -> None:
    config = LearnerConfig(algorithm=algorithm, hidden=(8,), gamma=0.5)
    assert from_dict(LearnerConfig, to_dict(config)) == config
    assert from_dict(Plan, {"learner": to_dict(config)}).learner == config
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    assert replace(config, gamma=0.6).gamma == 0.6
    assert config.with_tag("cal_ql").with_tag(algorithm) == config


def test_help_names_the_settings_of_every_algorithm() -> None:
    keys = known_keys(Plan)
    assert {"learner.hidden", "learner.expectile", "learner.td3_alpha"} <= set(keys)
    assert len(keys) == len(set(keys))
    assert issubclass(CalQLConfig, CQLConfig)
