"""Golden decisions of every rule, worked out by hand from its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from offline_trader.errors import ConfigError
from offline_trader.experts import Columns, ExpertPolicy, get_expert, list_experts
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import ObservationLayout, Observations

Row = Callable[..., Observations]


def decided(name: str, layout: ObservationLayout, row: Observations, **params: object) -> float:
    count = len(layout.features)
    features = Columns(layout.features, row[:, :count])
    portfolio = Columns(layout.portfolio, row[:, count:])
    return float(get_expert(name, **params)(features, portfolio)[0])


TECHNICAL = [
    # flat: the large buy needs all four conditions
    ({"rsi_14": 0.29, "macd_hist": 1e-3, "bollinger_position": 0.19, "volume_ratio_20": 1.6}, 1.0),
    ({"rsi_14": 0.29, "macd_hist": 1e-3, "bollinger_position": 0.21, "volume_ratio_20": 1.6}, 0.3),
    ({"rsi_14": 0.29, "macd_hist": 1e-3, "bollinger_position": 0.19, "volume_ratio_20": 1.4}, 0.3),
    ({"rsi_14": 0.39, "macd_hist": 1e-3, "adx_14": 0.51}, 0.6),
    ({"rsi_14": 0.39, "macd_hist": 1e-3, "adx_14": 0.49}, 0.3),
    ({"rsi_14": 0.49, "macd_hist": 1e-3}, 0.3),
    ({"rsi_14": 0.51, "macd_hist": 1e-3}, 0.0),
    ({"rsi_14": 0.49, "macd_hist": -1e-3}, 0.0),
    # holding: strength is sold
    ({"exposure": 0.5, "rsi_14": 0.71, "macd_hist": -1e-3, "bollinger_position": 0.81}, -1.0),
    ({"exposure": 0.5, "rsi_14": 0.71, "macd_hist": -1e-3, "bollinger_position": 0.79}, -0.5),
    ({"exposure": 0.5, "rsi_14": 0.66, "macd_hist": -1e-3}, -0.5),
    ({"exposure": 0.5, "rsi_14": 0.64, "macd_hist": -1e-3}, 0.0),
    ({"exposure": 0.5, "rsi_14": 0.71, "macd_hist": 1e-3, "bollinger_position": 0.81}, 0.0),
    # adding needs profit, not merely a position
    (
        {
            "exposure": 0.5,
            "unrealised_return": 0.01,
            "rsi_14": 0.49,
            "macd_hist": 1e-3,
            "adx_14": 0.71,
        },
        0.4,
    ),
    (
        {
            "exposure": 0.5,
            "unrealised_return": -0.01,
            "rsi_14": 0.49,
            "macd_hist": 1e-3,
            "adx_14": 0.71,
        },
        0.0,
    ),
    (
        {
            "exposure": 0.5,
            "unrealised_return": 0.01,
            "rsi_14": 0.49,
            "macd_hist": 1e-3,
            "adx_14": 0.69,
        },
        0.0,
    ),
    # a flat lane never sells
    ({"rsi_14": 0.71, "macd_hist": -1e-3, "bollinger_position": 0.81}, 0.0),
]


@pytest.mark.parametrize(("values", "expected"), TECHNICAL)
def test_technical(
    layout: ObservationLayout, row: Row, values: dict[str, float], expected: float
) -> None:
    assert decided("technical", layout, row(**values)) == expected


def test_technical_reads_the_line_when_asked(layout: ObservationLayout, row: Row) -> None:
    values = row(rsi_14=0.45, macd=1e-3, macd_hist=-1e-3)
    assert decided("technical", layout, values) == 0.0
    assert decided("technical", layout, values, macd="line") == 0.3


RULES = [
    ("ma_cross", {}, {"sma_cross_50_200": 0.01}, 1.0),
    ("ma_cross", {}, {"sma_cross_50_200": -0.01, "exposure": 0.7}, 0.0),
    ("ma_cross", {"short_weight": 0.5}, {"sma_cross_50_200": -0.01}, -0.5),
    ("ma_cross", {"band": 0.02}, {"sma_cross_50_200": 0.01, "exposure": 0.25}, 0.25),
    ("donchian", {}, {"donchian_position_55": 1.0, "donchian_position_20": 1.0}, 1.0),
    ("donchian", {}, {"donchian_position_55": 0.5}, 0.0),
    ("donchian", {}, {"donchian_position_55": 0.5, "exposure": 0.75}, 0.75),
    (
        "donchian",
        {},
        {"donchian_position_55": 0.3, "donchian_position_20": 0.0, "exposure": 0.75},
        0.0,
    ),
    ("donchian", {"short_weight": 1.0}, {"donchian_position_55": 0.0}, -1.0),
    # 1 % a bar is 15.87 % a year: 0.15 / 0.15875
    ("momentum", {}, {"return_252": 0.1}, 0.15 / (0.01 * np.sqrt(252))),
    ("momentum", {}, {"return_252": -0.1}, -0.15 / (0.01 * np.sqrt(252))),
    ("momentum", {"short": False}, {"return_252": -0.1}, 0.0),
    ("momentum", {}, {"return_252": 0.1, "exposure": 0.9}, 0.9),
    ("momentum", {}, {"return_252": 0.1, "exposure": -0.9}, 0.15 / (0.01 * np.sqrt(252))),
    ("volatility_target", {}, {"volatility_20": 0.02}, 0.12 / (0.02 * np.sqrt(252))),
    ("volatility_target", {}, {"volatility_20": 0.0}, 1.0),
    ("volatility_target", {"max_weight": 0.5}, {"volatility_20": 0.001}, 0.5),
    ("reversion", {}, {"bollinger_position": 0.04}, 1.0),
    ("reversion", {}, {"bollinger_position": 0.06}, 0.0),
    ("reversion", {}, {"bollinger_position": 0.5, "exposure": 0.75}, 0.75),
    ("reversion", {}, {"bollinger_position": 0.61, "exposure": 0.75}, 0.0),
    ("reversion", {"short_weight": 1.0}, {"bollinger_position": 0.96}, -1.0),
    ("reversion", {"short_weight": 1.0}, {"bollinger_position": 0.5, "exposure": -0.5}, -0.5),
    ("reversion", {"short_weight": 1.0}, {"bollinger_position": 0.39, "exposure": -0.5}, 0.0),
    ("buy_and_hold", {}, {}, 1.0),
    ("buy_and_hold", {"weight": 0.6}, {}, 0.6),
    ("buy_and_hold", {}, {"exposure": 0.25}, 0.25),
    ("random", {}, {"exposure": 0.25}, 0.0),
]


@pytest.mark.parametrize(("name", "params", "values", "expected"), RULES)
def test_target_rules(
    layout: ObservationLayout,
    row: Row,
    name: str,
    params: dict[str, object],
    values: dict[str, float],
    expected: float,
) -> None:
    assert decided(name, layout, row(**values), **params) == pytest.approx(expected, rel=1e-6)


def test_the_registry_names_what_is_near() -> None:
    names = [expert.name for expert in list_experts()]
    assert len(set(names)) == len(names) == 9
    assert [expert.name for expert in list_experts() if expert.privileged] == ["oracle"]
    with pytest.raises(ConfigError, match="'technical'"):
        get_expert("tecnical")
    with pytest.raises(ConfigError, match="'large'"):
        get_expert("technical", larg=0.5)
    with pytest.raises(ConfigError, match="a float"):
        get_expert("technical", large="half")
    with pytest.raises(ConfigError, match="a bool"):
        get_expert("momentum", short=1)
    assert get_expert("technical", large=1).params == get_expert("technical").params


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("technical", {"large": 1.5}),
        ("technical", {"macd": "slow"}),
        ("ma_cross", {"band": -0.1}),
        ("ma_cross", {"long_weight": 2.0}),
        ("donchian", {"edge": 0.5}),
        ("momentum", {"target_volatility": 0.0}),
        ("reversion", {"entry": 0.7}),
        ("buy_and_hold", {"weight": 0.0}),
        ("volatility_target", {"band": 1.0}),
        ("random", {"probability": 0.0}),
        ("oracle", {"levels": 1}),
    ],
)
def test_values_out_of_range_are_refused(name: str, params: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        get_expert(name, **params)


def test_columns_name_what_is_missing() -> None:
    columns = Columns(("rsi_14", "macd"), np.zeros((3, 2), dtype=np.float32))
    assert list(columns) == ["rsi_14", "macd"]
    assert columns["macd"].dtype == np.float64
    with pytest.raises(ConfigError, match="'rsi_14'"):
        columns["rsi_13"]
    with pytest.raises(ConfigError, match=r"\[N, 2\]"):
        Columns(("rsi_14", "macd"), np.zeros((3, 3), dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "column", "lowest"),
    [("momentum", "volatility_60", 0.15), ("volatility_target", "volatility_20", 0.12)],
)
@pytest.mark.parametrize("bars_a_year", [252.0, 365.0, 98_280.0])
def test_volatility_is_annualised_by_the_markets_own_bars_a_year(
    name: str,
    column: str,
    lowest: float,
    bars_a_year: float,
    layout: ObservationLayout,
    market: MarketTensor,
    row: Callable[..., Observations],
) -> None:
    minutes = replace(market, periods_per_year=np.full(2, bars_a_year))
    config = SimulatorConfig(action_mode="target_long")
    seen = row(**{column: 2 * lowest / np.sqrt(bars_a_year), "return_252": 0.1})
    policy = ExpertPolicy(get_expert(name), layout, config, market=minutes)
    np.testing.assert_allclose(policy.decide(seen), 0.5, rtol=1e-6)
    told = ExpertPolicy(
        get_expert(name, periods_per_year=bars_a_year), layout, config, market=market
    )
    np.testing.assert_allclose(told.decide(seen), 0.5, rtol=1e-6)
    daily = row(**{column: 2 * lowest / np.sqrt(252.0), "return_252": 0.1})
    blind = ExpertPolicy(get_expert(name), layout, config)
    np.testing.assert_allclose(blind.decide(daily), 0.5, rtol=1e-6)
