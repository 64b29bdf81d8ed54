"""The line's settings: one key for one thing in every command, and the presets."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from offline_trader.config import load_config, to_dict
from offline_trader.datasets import CollectConfig
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.walk_forward import make_folds
from offline_trader.learning.settings import DirectConfig
from offline_trader.pipeline import (
    DEMO,
    WALK_FORWARD,
    DemoConfig,
    EvaluateConfig,
    FinetuneConfig,
    LineConfig,
    PretrainConfig,
    ValidationConfig,
    WalkForwardConfig,
)
from offline_trader.pipeline.folds import LineJob
from offline_trader.pipeline.walking import walk_plan

COMMANDS = (
    CollectConfig,
    PretrainConfig,
    FinetuneConfig,
    EvaluateConfig,
    DemoConfig,
    WalkForwardConfig,
)
BUDGETS = {"clone", "offline", "online", "transitions"}


def test_one_key_sets_one_thing_in_every_command() -> None:
    for command in (CollectConfig, FinetuneConfig, EvaluateConfig, DemoConfig, WalkForwardConfig):
        cls: Any = command
        config = load_config(cls, None, ["env.simulator.commission_bps=2", "env.market=nasdaq"])
        assert config.env.simulator.commission_bps == 2.0
        assert config.env.market == ("nasdaq",)
    for cls in (PretrainConfig, DemoConfig, WalkForwardConfig):
        config = load_config(cls, None, ["offline.updates=7", "direct.updates=3", "threads=2"])
        assert (config.offline.updates, config.direct.updates, config.threads) == (7, 3, 2)


def test_a_section_has_the_same_defaults_wherever_it_is_used() -> None:
    line = to_dict(LineConfig())
    for cls in COMMANDS:
        found = to_dict(cls())
        for name in found.keys() & line.keys() - {"lanes"}:
            if (cls, name) != (FinetuneConfig, "learner"):  # it learns with SAC
                assert found[name] == line[name], f"{cls.__name__}.{name}"
    assert to_dict(FinetuneConfig())["lanes"] == line["lanes"]


def test_a_preset_changes_budgets_and_ranges_alone() -> None:
    """And the demo's its stages: it shows all of them, auxiliary tasks too. The walk's direct stage
    climbs what its windows are judged by."""
    shown, walked = {"env", "validation", "stages"}, {"direct"}
    assert WALK_FORWARD.direct == DirectConfig(objective="sharpe", risk_target=0.25)
    for preset, ranges in ((DEMO, shown), (WALK_FORWARD, walked)):
        usual = to_dict(type(preset)())
        changed = {name for name, value in to_dict(preset).items() if value != usual[name]}
        assert changed <= BUDGETS | ranges
        assert changed & BUDGETS


def test_the_stages_of_a_line_take_its_sections() -> None:
    line = replace(DEMO, seed=5, threads=2, lanes=3)
    collected = line.collecting("own/line-v0")
    pretrained, tuned = line.pretraining("own/line-v0"), line.finetuning("own/line-v0")
    assert (collected.env, collected.seed, collected.dataset_id) == (line.env, 5, "own/line-v0")
    for stage in (pretrained, tuned):
        for each in dataclasses.fields(stage):
            if each.name not in ("dataset", "learner"):
                assert getattr(stage, each.name) == getattr(line, each.name)
        assert stage.dataset == "own/line-v0"
    assert pretrained.learner == line.learner
    assert tuned.learner == line.learner.with_tag("sac")


def test_what_the_windows_decide_is_no_setting_of_a_walk() -> None:
    for validation in (ValidationConfig(end="2014"), ValidationConfig(gap_bars=9)):
        with pytest.raises(ConfigError, match=r"validation\.(end|gap_bars) = \w+ in a walk"):
            replace(WALK_FORWARD, validation=validation)
    with pytest.raises(ConfigError, match=r"env\.market names 2 markets"):
        replace(WALK_FORWARD, env=EnvConfig(market=("sp500", "nasdaq")))
    assert replace(WALK_FORWARD, validation=ValidationConfig(min_trades_per_1000=1.0))


def test_the_dates_of_a_walk_bound_its_windows() -> None:
    bars, every = walk_plan(WALK_FORWARD)
    _, some = walk_plan(replace(WALK_FORWARD, env=EnvConfig(start="2002", end="2012")))
    stamps = bars.timestamps
    assert len(some) < len(every)
    assert str(stamps[some[0].train.start])[:4] == "2002"
    assert str(stamps[some[-1].test.stop - 1])[:4] <= "2012"
    first, stop = bars.rows_between("2002", "2012")
    assert some == make_folds(stop, WALK_FORWARD.windows, first)


def test_a_window_is_the_line_on_its_own_ranges() -> None:
    plan = replace(WALK_FORWARD, env=EnvConfig(episode_bars=200), threads=2)
    _, (fold, *_) = walk_plan(plan)
    line = LineJob(plan)._line(fold)
    assert line.env.simulator == plan.env.simulator
    assert (line.env.episode_bars, line.env.random_start, line.threads) == (200, True, 2)
    assert line.env.end is not None
    assert line.validation.start is not None
    assert line.env.end < line.validation.start
    assert line.seed != plan.seed
