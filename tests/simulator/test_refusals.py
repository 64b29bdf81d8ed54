"""Settings, markets and calls that cannot be right are refused with what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig

MakeMarket = Callable[..., MarketTensor]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("action_mode", "market"),
        ("fill", "open"),
        ("sizing", "fee"),
        ("commission_bps", -1.0),
        ("half_spread_bps", float("nan")),
        ("slippage_bps", 6_000.0),
        ("max_position_pct", 0.0),
        ("max_position_pct", 1.5),
        ("smoothing_alpha", 0.0),
        ("initial_cash", 0.0),
        ("ruin_fraction", 1.0),
        ("volume_cap", -0.1),
    ],
)
def test_a_setting_out_of_range_is_named(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=setting.removesuffix("_bps")):
        SimulatorConfig(**{setting: value})


def test_lanes_episodes_and_seeds_must_be_sensible(market: MarketTensor) -> None:
    with pytest.raises(ConfigError, match="0 lanes"):
        Simulator(market, SimulatorConfig(), 0)
    with pytest.raises(ConfigError, match="episode_bars = 0"):
        Simulator(market, SimulatorConfig(), 1, episode_bars=0)
    with pytest.raises(ConfigError, match="seed = -1"):
        Simulator(market, SimulatorConfig(), 1, seed=-1)


def test_a_refused_action_moves_no_lane(market: MarketTensor) -> None:
    simulator = Simulator(market, SimulatorConfig(), 3)
    with pytest.raises(ConfigError, match="before its first reset"):
        simulator.step(np.zeros(3))
    simulator.reset()
    simulator.step(np.array([0.5, 0.5, 0.5]))
    before = simulator.state_dict()
    with pytest.raises(ConfigError, match="lane 2"):
        simulator.step(np.array([1.0, -1.0, np.nan]))
    with pytest.raises(ConfigError, match=r"\(2,\)"):
        simulator.step(np.zeros(2))
    after = simulator.state_dict()
    assert all((before[name] == after[name]).all() for name in before)


def test_infinite_actions_are_clipped(market: MarketTensor) -> None:
    results = []
    for action in (np.inf, 1.0):
        simulator = Simulator(market, SimulatorConfig(), 1)
        simulator.reset()
        simulator.step(np.array([action]))
        results.append(simulator.units[0])
    assert results[0] == results[1] > 0.0


def test_a_lane_that_does_not_restart_cannot_be_stepped_past_its_end(
    make_tensor: MakeMarket,
) -> None:
    simulator = Simulator(make_tensor(4), SimulatorConfig(), 1, auto_reset=False)
    simulator.reset()
    for _ in range(3):
        simulator.step(np.zeros(1))
    with pytest.raises(ConfigError, match="lane 0 has ended"):
        simulator.step(np.zeros(1))
    simulator.reset()
    simulator.step(np.zeros(1))


def test_rules_that_need_volume_refuse_a_market_without(make_tensor: MakeMarket) -> None:
    prices = np.full((10, 5), 20.0)
    prices[:, 4] = 0.0
    with pytest.raises(DataError, match="no volume"):
        Simulator(make_tensor(prices=prices), SimulatorConfig(impact_bps=1.0), 1)


def test_a_market_with_gaps_in_its_features_is_refused(market: MarketTensor) -> None:
    features = market.features.copy()
    features[5, 2] = np.nan
    with pytest.raises(DataError, match="row 5"):
        replace(market, features=features)
    with pytest.raises(DataError, match="1 bars"):
        replace(market, start=market.start + 299)
