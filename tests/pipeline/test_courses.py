"""The lanes that finetune makes, and what it says of settings before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offline_trader.config import from_dict
from offline_trader.envs import EnvConfig, GoalLanes
from offline_trader.errors import ConfigError, DataError
from offline_trader.goals import GoalTask
from offline_trader.learning.settings import CurriculumConfig, DifficultyConfig, OnlineConfig
from offline_trader.learning.stages.course import CourseLanes
from offline_trader.learning.stages.goal_course import GoalCourseLanes
from offline_trader.markets import Bars, load_market
from offline_trader.markets.synthetic import TurbulentMarket, fit_turbulent
from offline_trader.pipeline.courses import check_course, make_lanes
from offline_trader.pipeline.finetuning import check_parent
from offline_trader.pipeline.settings import FinetuneConfig
from offline_trader.simulator import Simulator, SimulatorConfig

SHORT = "synthetic:turbulent?bars=300"


@pytest.mark.parametrize("curriculum", [False, True])
@pytest.mark.parametrize("adaptive", [False, True])
def test_each_switch_alone_and_both_together_make_lanes(curriculum: bool, adaptive: bool) -> None:
    settings = CurriculumConfig(enabled=curriculum, paths=1, bars=50)
    config = OnlineConfig(curriculum=settings, difficulty=DifficultyConfig(enabled=adaptive))
    env = EnvConfig(end="2004-12-31", simulator=SimulatorConfig(commission_bps=5))
    lanes = make_lanes(config, env, 4, 1)
    aimed = make_lanes(config, env, 4, 1, GoalTask("exposure"))
    if not (curriculum or adaptive):
        assert isinstance(lanes, Simulator)
        assert lanes.config == env.simulator
        assert isinstance(aimed, GoalLanes)
        return
    assert isinstance(aimed, GoalCourseLanes)
    assert aimed.simulators[0].market.prices[0, 3] == lanes.market.prices[0, 3]
    assert isinstance(lanes, CourseLanes)
    (part,) = lanes.simulators
    assert part.config.commission_bps == pytest.approx(1.0)
    assert part.config.half_spread_bps == pytest.approx(5.0 if adaptive else 0.0)
    assert part.market.layout == env.layout


def test_a_course_can_be_like_a_market_of_ones_own_but_not_have_its_signals() -> None:
    settings = CurriculumConfig(enabled=True, paths=1, bars=50, like="sp500")
    lanes = make_lanes(OnlineConfig(curriculum=settings), EnvConfig(), 4, 1)
    assert isinstance(lanes, CourseLanes)
    assert lanes.course.like is not None
    assert 0.15 < lanes.course.like.volatility < 0.25
    with pytest.raises(ConfigError, match="signal:mood"):
        make_lanes(OnlineConfig(curriculum=settings), EnvConfig(features=("signal:mood",)), 4, 1)


def test_a_market_that_the_check_fitted_is_not_fitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offline_trader.markets import synthetic

    fitted: list[str] = []

    def fit(bars: Bars) -> TurbulentMarket:
        fitted.append(bars.sha256)
        return fit_turbulent(bars)

    monkeypatch.setattr(synthetic, "fit_turbulent", fit)
    file = tmp_path / "own.csv"
    config = OnlineConfig(
        curriculum=CurriculumConfig(enabled=True, paths=1, bars=50, like=str(file))
    )
    for seed in (1, 2):
        TurbulentMarket(bars=600, seed=seed).make().to_frame().to_csv(file)
        like = check_course(config, EnvConfig())
        lanes = make_lanes(config, EnvConfig(), 4, 1, like=like)
        assert isinstance(lanes, CourseLanes)
        assert lanes.course.like == like == fit_turbulent(load_market(str(file)))
    assert len(fitted) == len(set(fitted)) == 2


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"transforms": ["repaly"]}, ConfigError, "did you mean 'replay'"),
        ({"transforms": ["whole_options"]}, ConfigError, "expected: agent=options"),
        ({"shaping": {"potentials": ["learned"]}}, ConfigError, "data to fit it to"),
        ({"buffer_size": 2}, ConfigError, "buffer_size=2 with 16 lanes"),
        ({"curriculum": {"enabled": True, "like": "none.csv"}}, DataError, "none.csv"),
        (
            {"difficulty": {"enabled": True}, "curriculum": {"like": SHORT}},
            DataError,
            "at least 500",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_anything_is_written(
    setting: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        check_parent(from_dict(FinetuneConfig, {"online": setting}), tmp_path / "no run")


def test_replays_of_bars_that_an_order_moves_are_refused_at_once(tmp_path: Path) -> None:
    env = {"simulator": {"impact_bps": 5.0, "volume_cap": 0.1}}
    plan = from_dict(FinetuneConfig, {"env": env, "online": {"transforms": ["replay"]}})
    with pytest.raises(ConfigError, match="impact_bps = 5: an order moves the price"):
        check_parent(plan, tmp_path / "no run")


def test_a_transform_is_named_once() -> None:
    with pytest.raises(ConfigError, match="transforms=replay, replay\nexpected: each at most once"):
        OnlineConfig(transforms=("replay", "replay"))


@pytest.mark.parametrize("switch", ["curriculum", "difficulty"])
def test_replays_are_of_the_environments_own_bars_alone(switch: str) -> None:
    on = {"curriculum": CurriculumConfig, "difficulty": DifficultyConfig}[switch](enabled=True)
    config = replace(OnlineConfig(transforms=("replay",)), **{switch: on})
    with pytest.raises(ConfigError, match="replay with a curriculum"):
        make_lanes(config, EnvConfig(market=("sp500",)), 4, 0)


@pytest.mark.parametrize(
    "setting",
    [
        {"transforms": ["mine"]},
        {"curiosity": {"weight": 0.1}},
        {"anneal": "validation"},
    ],
)
def test_agents_without_rows_are_not_asked_for_what_they_do_not_do(
    setting: dict[str, Any], tmp_path: Path
) -> None:
    for agent in ("direct", "evolution"):
        plan = from_dict(FinetuneConfig, {"agent": agent, "online": setting})
        with pytest.raises(ConfigError, match=f"agent={agent} with online"):
            check_parent(plan, tmp_path)
